-- Symbols that the landing check quarantined, by the buckets that read them. One row per bucket and
-- finding.
with
findings as (
    select * from {{ source('landing', 'findings') }}
    where severity = 'quarantined'
),

inputs as (
    select bucket, unnest(string_split(symbols, ' ')) as symbol
    from {{ ref('buckets') }}
),

final as (
    select
        inputs.bucket,
        inputs.symbol,
        findings.problem
    from inputs
    inner join findings
        on findings.subject = inputs.symbol
)

select * from final
