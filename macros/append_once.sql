{# Last clause of an append-only model over a CTE `final`: the first row written per key is kept. #}
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
