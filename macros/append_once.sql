{# The end of an append-only model over a CTE `final`: of rows with these keys the first that was ever written stays. #}
{% macro append_once(keys) -%}
{% if is_incremental() -%}
where not exists (
    select 1 from {{ this }} as written
    where {% for key in keys -%}
    written.{{ key }} = final.{{ key }}{{ "\n        and " if not loop.last }}
    {%- endfor %}
)
{%- endif %}
{%- endmacro %}
