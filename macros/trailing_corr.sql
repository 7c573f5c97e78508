{# Pearson correlation over the last `sessions` rows; null until half the window is filled. #}
{% macro trailing_corr(x, y, sessions) -%}
    case when count({{ x }} + {{ y }}) {{ trailing(sessions) }} >= {{ sessions // 2 }}
        and stddev_samp({{ x }}) {{ trailing(sessions) }} > 0
        and stddev_samp({{ y }}) {{ trailing(sessions) }} > 0
        then corr({{ x }}, {{ y }}) {{ trailing(sessions) }}
    end
{%- endmacro %}
