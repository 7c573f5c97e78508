-- Findings of the landing check in this build: quarantined symbols, rows and files left out, names
-- that no feature reads.
select * from {{ source('landing', 'findings') }}
order by all
