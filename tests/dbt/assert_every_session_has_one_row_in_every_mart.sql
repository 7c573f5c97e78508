-- severity warn: the gate decides whether the bucket is quarantined; the other buckets continue
{{ config(severity='warn') }}
-- From the first session with a scaling volatility on, each bucket mart has exactly one row per
-- session. Fails with sessions that do not.
with
sessions as (
    select as_of_date from {{ ref('int_volatility__zl') }}
    where ewma_volatility > 0
),

marts as (
    {% for bucket in var('buckets') -%}
    select '{{ bucket }}' as bucket, as_of_date from {{ ref('mart_' ~ bucket ~ '__daily') }}
    {{ "union all" if not loop.last }}
    {% endfor %}
),

expected_rows as (
    select buckets.bucket, sessions.as_of_date
    from (select distinct bucket from marts) as buckets cross join sessions
)

select
    coalesce(expected_rows.bucket, marts.bucket) as bucket,
    coalesce(expected_rows.as_of_date, marts.as_of_date) as as_of_date,
    count(marts.as_of_date) as n_rows
from expected_rows
full join marts
    on marts.bucket = expected_rows.bucket and marts.as_of_date = expected_rows.as_of_date
group by all
having count(marts.as_of_date) <> 1 or count(expected_rows.as_of_date) <> 1
