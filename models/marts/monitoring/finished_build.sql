-- Last completed build: the plan it carried out and the snapshot it published. One row.
with
plan as (
    select
        max(planned_at) as planned_at,
        max(as_of_date) as as_of_date,
        any_value(data_source) as data_source
    from {{ ref('run_plan') }}
),

snapshot as (
    select any_value(snapshot_id) as snapshot_id
    from {{ ref('published_snapshot') }}
),

final as (
    select
        plan.planned_at,
        plan.as_of_date,
        plan.data_source,
        snapshot.snapshot_id::varchar as snapshot_id,
        timezone('UTC', now())::timestamp as finished_at
    from plan
    cross join snapshot
)

select * from final
