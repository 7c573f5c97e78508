{#
  Sentence for reason codes: templates of seeds/reasons.csv, joined and filled with named values.
  `codes` are SQL expressions; null adds nothing and an unknown code is an error. `numbers` and
  `texts` map names in the templates to SQL expressions.
#}
{% macro reason_text(codes, numbers={}, texts={}) -%}
    {%- set templates =
        "(select map(list(reason_code), list(template)) from " ~ ref('reasons') ~ ")"
    -%}
    {%- set parts, arguments = [], [] -%}
    {%- for code in codes -%}
        {%- set unknown =
            "case when (" ~ code ~ ") is not null"
            ~ " then error('seeds/reasons.csv has no ' || (" ~ code ~ ")) end"
        -%}
        {%- do parts.append("coalesce(" ~ templates ~ "[" ~ code ~ "], " ~ unknown ~ ")") -%}
    {%- endfor -%}
    {%- set filled = namespace(template="concat(" ~ parts | join(", ") ~ ")") -%}
    {%- for name, expression in numbers.items() -%}
        {#- rounded, because the last digits depend on the order of threads; + 0.0 makes -0 a 0 -#}
        {%- set value = "round(coalesce(" ~ expression ~ ", 0)::double, 9) + 0.0" -%}
        {%- do arguments.append([name, value]) -%}
    {%- endfor -%}
    {%- for name, expression in texts.items() -%}
        {%- do arguments.append([name, "coalesce((" ~ expression ~ ")::varchar, '')"]) -%}
    {%- endfor -%}
    {%- for name, _ in arguments -%}
        {%- set number = loop.index0 -%}
        {%- for end in [":", "}"] -%}
            {%- set filled.template =
                "replace(" ~ filled.template ~ ", '{" ~ name ~ end ~ "', '{" ~ number ~ end ~ "')"
            -%}
        {%- endfor -%}
    {%- endfor -%}
    format({{ filled.template }}, {{ arguments | map('last') | join(', ') }})
{%- endmacro %}
