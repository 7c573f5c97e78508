-- State of the newest week in model_health at the end of each build, append-only; a row is added
-- only if the state differs. Older weeks are left out, because no build acted on them.
with
newest as (
    select * from {{ ref('model_health') }}
    where is_newest
),

recorded_states as (
    select * from {{ this }}
    qualify row_number() over (
        partition by subject, horizon_days, week_ending, data_source order by recorded_at desc
    ) = 1
),

final as (
    select
        ---------- key
        newest.subject,
        newest.horizon_days,
        newest.week_ending,
        newest.data_source,

        ---------- state
        newest.horizon_code,
        newest.champion,
        newest.state,
        newest.state_since,
        newest.evidence_from,
        newest.statistic,
        newest.reason,
        timezone('UTC', now())::timestamp as recorded_at
    from newest
    left join recorded_states
        using (subject, horizon_days, week_ending, data_source)
    -- do not compare statistic and reason: their last digits depend on the order in which threads
    -- finish
    where (newest.state, newest.state_since, newest.evidence_from)
        is distinct from (
            recorded_states.state, recorded_states.state_since, recorded_states.evidence_from
        )
)

select * from final
