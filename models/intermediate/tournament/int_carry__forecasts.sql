-- Scored forecasts of carry, the second reference: the reference, moved by the steps of the quoted
-- price at rolls until target_date. One row per fold type, session and horizon with a carry.
{%- set levels = ['05', '10', '25', '50', '75', '90', '95'] %}
with
reference as (
    select * from {{ ref('int_tournament__forecasts') }}
    where bucket = 'core' and family = 'reference' and status = 'ok'
),

carries as (
    select as_of_date, horizon_days, carry, source from {{ ref('int_carry__daily') }}
    where carry is not null
),

moved_forecasts as (
    select
        carries.source as family,
        reference.fold_type,
        reference.fold_start,
        reference.trained_until,
        as_of_date,
        horizon_days,
        reference.horizon_code,
        {% for level in levels -%}
        reference.q{{ level }} + carries.carry / reference.horizon_volatility as q{{ level }},
        {% endfor -%}
        reference.is_matured,
        reference.target_date,
        reference.horizon_volatility,
        reference.z_return,
        reference.data_source
    from reference
    inner join carries
        using (as_of_date, horizon_days)
)

select
    *,
    {{ row_scores() }}
from moved_forecasts
