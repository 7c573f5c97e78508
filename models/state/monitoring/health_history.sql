-- What model_health said of the newest week as each build ended, append-only: written again only where it says something else.
-- Older weeks are left out: what it says of those is hindsight, and nobody acted on it.
with
newest as (
    select * from {{ ref('model_health') }}
    where is_newest
),

recorded as (
    select * exclude (recorded_at) from {{ this }}
    qualify row_number() over (
        partition by subject, horizon_days, week_ending, data_source order by recorded_at desc
    ) = 1
),

final as (
    select
        ---------- key
        subject,
        horizon_days,
        week_ending,
        data_source,

        ---------- what was said
        horizon_code,
        champion,
        state,
        state_since,
        evidence_from,
        round(statistic, 9) as statistic,  -- the last digits depend on the order in which threads finish
        reason
    from newest
    except
    select * from recorded
)

select
    *,
    timezone('UTC', now())::timestamp as recorded_at
from final
