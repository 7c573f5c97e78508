-- Inputs of the ensemble methods: the consensus of each bucket, the core, carry, the linear signals
-- of all buckets, and the reference; the control only for the verdicts. The median of each but the
-- reference is shrunk towards the reference's, zero: by its own matured forecasts of all horizons,
-- to a limit that this record supports, and by the session's novelty. Widths stay as they are.
{%- set levels = ['05', '10', '25', '50', '75', '90', '95'] %}
{%- set tolerance = threshold('novelty_tolerance') %}
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
),

trained_inputs as (
    select
        forecasts.*,
        novelties.novelty,
        case
            when bucket <> 'core' then bucket
            when family = 'reference' then 'reference'
            else 'core'
        end as input
    from forecasts
    -- core has no features
    left join {{ ref('int_novelty__daily') }} as novelties
        using (bucket, fold_type, fold_start, as_of_date)
    where bucket = 'core' or family = 'consensus'
),

linear_signals as (
    select
        fold_type, as_of_date, horizon_days,
        -- in the order of the buckets: the last digits of a sum depend on it
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
    select *, 'carry' as input from {{ ref('int_carry__forecasts') }}
    union all by name
    select * from linear_forecasts
),

-- A bucket reselected within the month has its own live fold; the ensemble's live fold begins with
-- the newest of them.
live as (
    select fold_type, max(fold_start) as fold_start, max(trained_until) as trained_until
    from all_inputs
    where fold_type = 'live'
    group by fold_type
),

inputs as (
    select
        all_inputs.* replace (
            coalesce(live.fold_start, all_inputs.fold_start) as fold_start,
            coalesce(live.trained_until, all_inputs.trained_until) as trained_until
        ),
        -- greatest() skips nulls: 1 without a novelty
        {{ tolerance }} / greatest({{ tolerance }}, novelty) as novelty_weight
    from all_inputs
    left join live
        using (fold_type)
    where fold_type = 'oof' or as_of_date >= live.fold_start
),

-- Slope of the outcome on the median, in samples that do not overlap. The horizons of a session
-- share its outcome, so together they count half.
evidence as (
    select
        folds.*,
        coalesce(sum(past.q50 * past.z_return / past.horizon_days) / 2, 0) as agreement,
        coalesce(sum(past.q50 * past.q50 / past.horizon_days) / 2, 0) as information
    from (select distinct input, fold_type, fold_start, trained_until from inputs) as folds
    left join inputs as past
        on past.input = folds.input
        and past.fold_type = 'oof'
        and past.is_matured
        and past.fold_start < folds.fold_start
        and past.target_date < folds.trained_until
    group by all
),

-- posterior mean of the slope, with a normal prior around one (Bayesian linear regression);
-- rounded, because the last digits depend on the order of threads
weights as (
    select
        *,
        (agreement + prior_precision) / (information + prior_precision) as slope,
        agreement / nullif(sqrt(information), 0) as t_value,
        case when input = 'reference' then 1.0 else round(greatest(0, least(1, slope)), 4) end
            as median_weight,
        case when input <> 'reference'
            then {{ threshold('max_median_shift') }} * round(1 + greatest(0, t_value), 4)
        end as max_median_shift
    from evidence
    cross join (select 1 / pow({{ threshold('median_weight_sd') }}, 2) as prior_precision)
),

moves as (
    select
        inputs.*,
        weights.median_weight,
        weights.max_median_shift,
        -- greatest() and least() skip nulls: no limit for the reference
        inputs.novelty_weight * greatest(
            -weights.max_median_shift,
            least(weights.max_median_shift, weights.median_weight * inputs.q50)
        ) - inputs.q50 as move
    from inputs
    inner join weights
        using (input, fold_type, fold_start, trained_until)
),

shrunk_inputs as (
    select
        input, family, fold_type, fold_start, trained_until, as_of_date, horizon_days, horizon_code,
        {% for level in levels -%}
        q{{ level }} + move as q{{ level }},
        {% endfor -%}
        moves.q50 as raw_q50,
        median_weight, max_median_shift, novelty, novelty_weight, members,
        is_matured, target_date, horizon_volatility, z_return, data_source
    from moves
)

select
    *,
    {{ row_scores() }}
from shrunk_inputs
