-- Every decision between champion and challenger, append-only. One row per bucket, horizon and
-- reselection.
with
decisions as (
    select * from {{ ref('int_tournament__promotions') }}
),

newest as (
    select max(as_of_date) as as_of_date, any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
),

final as (
    select
        decisions.bucket,
        decisions.horizon_days::integer as horizon_days,
        decisions.fold_start as live_from,
        decisions.champion,
        decisions.challenger,
        decisions.is_promoted,
        decisions.reason,
        decisions.n_common_rows,
        decisions.champion_pinball_pct,
        decisions.challenger_pinball_pct,
        newest.as_of_date,
        newest.data_source
    from decisions
    cross join newest
)

select * from final
{{ append_once(['bucket', 'horizon_days', 'live_from', 'champion', 'challenger', 'data_source']) }}
