-- Every degraded state that led to a reselection, append-only. The bucket's live selection at this
-- horizon then gives extra weight to rows since evidence_from, and its health test restarts.
with
degraded_subjects as (
    select * from {{ ref('int_plan__degraded') }}
),

-- recorded before the reselection runs, and only together with it
planned_buckets as (
    select distinct bucket, live_from, data_source from {{ ref('run_history') }}
    where trigger in ('degraded', 'forced')
),

final as (
    select
        degraded_subjects.bucket,
        degraded_subjects.horizon_days,
        degraded_subjects.acted_on,
        degraded_subjects.state_since,
        degraded_subjects.evidence_from,
        degraded_subjects.statistic,
        degraded_subjects.reason,
        degraded_subjects.data_source
    from degraded_subjects
    inner join planned_buckets
        on planned_buckets.bucket = degraded_subjects.bucket
        and planned_buckets.live_from = degraded_subjects.acted_on
        and planned_buckets.data_source = degraded_subjects.data_source
)

select * from final
{{ append_once(['bucket', 'horizon_days', 'state_since', 'data_source']) }}
