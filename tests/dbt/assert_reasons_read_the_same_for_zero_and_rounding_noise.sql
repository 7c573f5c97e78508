-- A difference of two sums is 0 or -3e-17, depending on the order of threads; both read "+0.0".
with
skills as (
    select unnest([0, -3e-17, 3e-17]) as skill
),

reasons as (
    select
        skill,
        {{ reason_text(
            ["'health_and_skill'"],
            numbers={'skill': 'skill', 'window_weeks': '26', 'expected': '0.5'}
        ) }} as reason
    from skills
)

select * from reasons
where reason <> '; pinball skill +0.0 % in 26 weeks, expected +0.5 %'
