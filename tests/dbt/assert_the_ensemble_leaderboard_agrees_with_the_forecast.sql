-- The method published at each horizon is first on the ensemble leaderboard and the only one marked. Fails with the horizons.
select forecast.horizon_days, forecast.ensemble_method, board.ensemble_method as first_on_the_board
from {{ ref('zl_forecast') }} as forecast
left join {{ ref('ensemble_leaderboard') }} as board
    on board.horizon_days = forecast.horizon_days
    and board.is_published
where board.ensemble_method is distinct from forecast.ensemble_method
    or (board.place <> 1 and board.standing = 'candidate')
