-- Every planned reselection, append-only. Written before it runs, so that the next build can resume
-- a killed one.
with
plan as (
    select * from {{ ref('run_plan') }}
    where action = 'reselection'
),

final as (
    select
        bucket,
        live_from,
        action,
        trigger,
        reason,
        n_fits,
        n_to_train,
        trained_until,
        as_of_date,
        data_source,
        timezone('UTC', now())::timestamp as planned_at
    from plan
)

select * from final
{{ append_once(['bucket', 'live_from', 'trigger', 'as_of_date', 'data_source']) }}
