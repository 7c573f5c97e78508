-- Does it beat the reference out of sample? One row per subject (bucket, core or published) and
-- horizon.
with
published_verdicts as (
    select * from {{ ref('int_ensemble__verdicts') }}
),

-- where nothing has matured the frame is empty, and its columns of text have no type of their own
final as (
    select
        ---------- key
        subject::varchar as subject,
        horizon_days::integer as horizon_days,

        ---------- out of sample
        n_rows::bigint as n_rows,
        pinball_skill::double as pinball_skill,
        coverage_80::double as coverage_80,

        ---------- Diebold-Mariano test against the reference
        p_value::double as p_value,
        statistic::double as statistic,
        degrees_of_freedom::bigint as degrees_of_freedom,
        verdict::varchar as verdict
    from published_verdicts
)

select * from final
