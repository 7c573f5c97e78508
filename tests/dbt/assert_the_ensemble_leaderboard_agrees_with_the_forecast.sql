-- The method published at each horizon is first on the ensemble leaderboard and the only one
-- marked; in a fallback the reference is, and both tables show it. Fails with the horizons.
select
    forecast.horizon_days,
    forecast.ensemble_method,
    forecast.fallback_reason,
    board.ensemble_method as published_on_the_board,
    board.reason
from {{ ref('zl_forecast') }} as forecast
left join {{ ref('ensemble_leaderboard') }} as board
    on board.horizon_days = forecast.horizon_days
    and board.is_published
where board.ensemble_method is distinct from forecast.ensemble_method
    or (board.rank <> 1 and board.selection_status = 'candidate')
    or (forecast.fallback_reason is not null) <> starts_with(board.reason, 'fallback: ')
