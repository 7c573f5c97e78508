-- Inputs of the ensemble methods: the consensus of each bucket, the core, carry, the linear signals
-- of all buckets together, and the reference. The control is prepared in the same way for the
-- verdicts; no method reads it.
-- Before it enters, the median of each input but the reference is shrunk towards the reference's,
-- which is zero: by a weight from the input's own matured forecasts of all horizons, then to a
-- limit that this record supports, then by a weight for the session's novelty. Widths stay as they
-- are.
{%- set levels = ['05', '10', '25', '50', '75', '90', '95'] %}
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
),

novelties as (
    select
        bucket,
        fold_type,
        fold_start,
        as_of_date,
        novelty,
        tolerance / greatest(tolerance, novelty) as novelty_weight
    from {{ ref('int_novelty__daily') }}
    cross join (select {{ threshold('novelty_tolerance') }} as tolerance)
),

trained_inputs as (
    select
        forecasts.*,
        novelties.novelty,
        coalesce(novelties.novelty_weight, 1) as novelty_weight,
        case
            when bucket <> 'core' then bucket
            when family = 'reference' then 'reference'
            else 'core'
        end as input
    from forecasts
    -- core has no features
    left join novelties
        using (bucket, fold_type, fold_start, as_of_date)
    where bucket = 'core' or family = 'consensus'
),

carry_forecasts as (
    select
        *,
        null::double as novelty,
        1 as novelty_weight,
        'carry' as input
    from {{ ref('int_carry__forecasts') }}
),

linear_signals as (
    select
        fold_type,
        as_of_date,
        horizon_days,
        -- in the order of the buckets, because the last digits of a sum depend on its order
        list_sum(list(q50 order by bucket)) as shift
    from forecasts
    where family = 'ridge' and bucket <> 'control'
    group by fold_type, as_of_date, horizon_days
),

-- the reference, moved by the sum of what ridge finds in each bucket: the buckets see different
-- drivers, so a mean would divide each signal by their number
linear_forecasts as (
    select
        trained_inputs.* replace (
            {% for level in levels -%}
            q{{ level }} + linear_signals.shift as q{{ level }},
            {% endfor -%}
            'ridge' as family,
            'linear' as input
        )
    from trained_inputs
    inner join linear_signals
        using (fold_type, as_of_date, horizon_days)
    where input = 'reference'
),

all_inputs as (
    select * from trained_inputs
    union all by name
    select * from carry_forecasts
    union all by name
    select * from linear_forecasts
),

-- A bucket reselected within the month has its own live fold; the ensemble's live fold begins with
-- the newest of them.
live as (
    select max(fold_start) as fold_start, max(trained_until) as trained_until
    from all_inputs
    where fold_type = 'live'
),

inputs as (
    select
        all_inputs.* replace (
            case fold_type when 'live' then live.fold_start else all_inputs.fold_start end
                as fold_start,
            case fold_type when 'live' then live.trained_until else all_inputs.trained_until end
                as trained_until
        )
    from all_inputs
    cross join live
    where fold_type = 'oof' or as_of_date >= live.fold_start
),

folds as (
    select distinct input, fold_type, fold_start, trained_until from inputs
),

-- Slope of the outcome on the median, in samples that do not overlap. The horizons of a session
-- share its outcome, so together they count half.
evidence as (
    select
        folds.*,
        sum(past.q50 * past.z_return / past.horizon_days) / 2 as agreement,
        sum(past.q50 * past.q50 / past.horizon_days) / 2 as information
    from folds
    inner join inputs as past
        on past.input = folds.input
        and past.fold_type = 'oof'
        and past.is_matured
        and past.fold_start < folds.fold_start
        and past.target_date < folds.trained_until
    group by all
),

-- posterior mean of the slope, with a normal prior around one (Bayesian linear regression)
weights as (
    select
        folds.*,
        case
            when folds.input = 'reference' then 1.0
            else
                -- rounded, because the last digits depend on the order of threads
                round(greatest(0, least(
                    1,
                    (coalesce(agreement, 0) + prior_precision)
                    / (coalesce(information, 0) + prior_precision)
                )), 4)
        end as median_weight,
        case when folds.input <> 'reference' then
            -- the limit grows with the t-value of the slope
            {{ threshold('max_median_shift') }} * round(
                1 + greatest(0, coalesce(agreement / nullif(sqrt(information), 0), 0)), 4
            )
        end as max_median_shift
    from folds
    left join evidence
        using (input, fold_type, fold_start, trained_until)
    cross join (select 1 / pow({{ threshold('median_weight_sd') }}, 2) as prior_precision)
),

moves as (
    select
        inputs.*,
        inputs.q50 as raw_q50,
        weights.median_weight,
        weights.max_median_shift,
        inputs.novelty_weight * coalesce(
            greatest(
                -weights.max_median_shift,
                least(weights.max_median_shift, weights.median_weight * inputs.q50)
            ),
            inputs.q50
        ) - inputs.q50 as move
    from inputs
    inner join weights
        using (input, fold_type, fold_start, trained_until)
),

shrunk_inputs as (
    select
        input,
        family,
        fold_type,
        fold_start,
        trained_until,
        as_of_date,
        horizon_days,
        horizon_code,
        {% for level in levels -%}
        q{{ level }} + move as q{{ level }},
        {% endfor -%}
        raw_q50,
        median_weight,
        max_median_shift,
        novelty,
        novelty_weight,
        members,
        is_matured,
        target_date,
        horizon_volatility,
        z_return,
        data_source
    from moves
)

select
    *,
    {{ row_scores() }}
from shrunk_inputs
