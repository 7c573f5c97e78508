-- What model_health said of the newest week as each build ended, append-only: written again only where the state is another one.
-- Older weeks are left out: what it says of those is hindsight, and nobody acted on it.
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

        ---------- what was said
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
    -- not the statistic and the words, whose last digits depend on the order in which threads finish
    where (newest.state, newest.state_since, newest.evidence_from)
        is distinct from (recorded_states.state, recorded_states.state_since, recorded_states.evidence_from)
)

select * from final
