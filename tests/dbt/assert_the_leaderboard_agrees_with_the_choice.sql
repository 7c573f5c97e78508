-- The leaderboard ranks by the same rule as the selection: winner first, runner-up second, with the
-- same margin.
select
    board.bucket,
    board.horizon_days,
    board.rank,
    board.family,
    choices.family as chosen,
    choices.runner_up
from {{ ref('leaderboard') }} as board
inner join {{ ref('int_tournament__choices') }} as choices
    on choices.bucket = board.bucket
    and choices.horizon_days = board.horizon_days
    and choices.fold_type = 'live'
where (board.rank = 1) <> (board.family = choices.family)
    or (board.rank = 2 and choices.runner_up is not null and board.family <> choices.runner_up)
    or (board.rank = 1 and board.margin is distinct from choices.margin)
