{#
  Start of the evidence window of a bucket's live selection: evidence_from of the latest degradation
  that these data know. Over a CTE `forecasts`.
#}
{% macro evidence_since() -%}
select
    bucket,
    horizon_days,
    max(evidence_from) as evidence_from
from {{ ref('degradations') }}
where data_source = (select any_value(data_source) from forecasts)
    and acted_on <= (select max(as_of_date) from forecasts)
group by bucket, horizon_days
{%- endmacro %}
