-- A difference of two sums is 0 or -3e-17, depending on the order of threads; both read "+0.0000".
with
scores as (
    select unnest([0, -3e-17, 3e-17]) as selection_score
),

reasons as (
    select
        selection_score,
        {{ reason_text(
            ["'method_not_better'"],
            numbers={'score': 'selection_score', 'min_score': threshold('ensemble_min_score')}
        ) }} as reason
    from scores
)

select * from reasons
where reason <> 'score +0.0000 is not above 0.002'
