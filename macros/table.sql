{#
  Materialization `table`: the new table takes the old one's place within one transaction. That of
  dbt-duckdb builds a table beside the old one, renames both and drops one, which costs more than
  most queries here. A Python model writes on a connection of its own, so its table is made beside
  the old one, and its pre-hooks must not begin a transaction. No indexes, grants or foreign keys:
  this project has none.
#}
{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set language = model['language'] -%}
    {%- set old = load_cached_relation(this) -%}
    {%- set new = this.incorporate(type='table') -%}
    {%- set drop_old = 'drop ' ~ old.type ~ ' ' ~ old ~ ';' if old else '' -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {% if language == 'python' -%}
        {%- set beside = make_intermediate_relation(new) -%}
        {#- a killed build can have left it -#}
        {% do drop_relation_if_exists(load_cached_relation(beside)) %}
        {{ run_hooks(pre_hooks, inside_transaction=True) }}
        {% call statement('main', language=language) -%}
            {{ create_table_as(False, beside, compiled_code, language) }}
        {%- endcall %}
        {% call statement('swap') -%}
            {{ drop_old }}
            alter table {{ beside }} rename to {{ new.identifier }};
        {%- endcall %}
    {%- else -%}
        {{ run_hooks(pre_hooks, inside_transaction=True) }}
        {% call statement('main') -%}
            {{ drop_old }}
            {{ create_table_as(False, new, compiled_code) }}
        {%- endcall %}
    {%- endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(new, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [new]}) }}
{% endmaterialization %}
