-- Does it beat the reference out of sample, as a whole, in direction and in width, and does it know
-- more than ZL's own history? One row per subject (input of the ensemble, control or published) and
-- horizon.
with
published_verdicts as (
    select * from {{ ref('int_ensemble__verdicts') }}
),

horizons as (
    select horizon_days, horizon_code from {{ ref('horizons') }}
),

sources as (
    select any_value(data_source) as data_source from {{ ref('int_ensemble__published') }}
),

-- where nothing has matured the frame is empty, and its columns of text have no type of their own
final as (
    select
        ---------- key
        subject::varchar as subject,
        horizon_days::integer as horizon_days,
        horizons.horizon_code,

        ---------- out of sample
        n_rows::bigint as n_rows,
        pinball_skill::double as pinball_skill,
        coverage_80::double as coverage_80,

        ---------- Diebold-Mariano test against the reference
        p_value::double as p_value,
        statistic::double as statistic,
        degrees_of_freedom::bigint as degrees_of_freedom,
        verdict::varchar as verdict,

        ---------- the same test against the control
        control_skill::double as control_skill,
        control_p_value::double as control_p_value,

        ---------- its parts
        direction_skill::double as direction_skill,
        direction_p_value::double as direction_p_value,
        direction_verdict::varchar as direction_verdict,
        width_skill::double as width_skill,
        width_p_value::double as width_p_value,
        width_verdict::varchar as width_verdict,
        sources.data_source
    from published_verdicts
    left join horizons
        using (horizon_days)
    cross join sources
)

select * from final
