-- Every degraded state that was acted on, append-only: from then on the bucket's live choice at this horizon rests on what matured since
-- its losses began to pile up, and its health is judged anew.
with
degraded as (
    select * from {{ ref('int_plan__degraded') }}
),

-- on record before it is held, and only together with the re-tournament that it asks for
planned as (
    select distinct bucket, live_from, data_source from {{ ref('run_history') }}
    where trigger in ('degraded', 'forced')
),

final as (
    select
        degraded.bucket,
        degraded.horizon_days,
        degraded.acted_on,
        degraded.state_since,
        degraded.evidence_from,
        degraded.statistic,
        degraded.reason,
        degraded.data_source
    from degraded
    inner join planned
        on planned.bucket = degraded.bucket
        and planned.live_from = degraded.acted_on
        and planned.data_source = degraded.data_source
)

select * from final
{{ append_once(['bucket', 'horizon_days', 'state_since', 'data_source']) }}
