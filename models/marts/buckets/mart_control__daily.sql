-- Control: ZL's own history alone, the base block of every bucket mart.
with
base as (
    select * from {{ ref('int_base__daily') }}
),

final as (
    select
        * exclude (latest_bar_on),
        latest_bar_on as latest_input_on
    from base
)

select * from final
