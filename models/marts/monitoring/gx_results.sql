-- Results of the gate: every expectation of every suite in the newest build, and the status of the
-- bucket.
with
results as (
    select * from {{ ref('int_gate__results') }}
),

final as (
    select
        ---------- key
        bucket,
        suite,
        row_number() over (
            partition by bucket, suite
            order by severity, expectation, column_name, details
        )::integer as expectation_number,

        ---------- expectation
        expectation,
        column_name,
        severity,

        ---------- result
        is_success,
        observed_value,
        unexpected_count::bigint as unexpected_count,
        details,
        as_of_date::date as as_of_date,

        ---------- status of the bucket
        case
            when bool_or(not is_success and severity = 'critical') over (partition by bucket) then
                'quarantined'
            when bool_or(not is_success and severity = 'warning') over (partition by bucket) then
                'warned'
            else 'passed'
        end as bucket_status
    from results
)

select * from final
