-- What the landing check found in the files of this build: symbols in quarantine, rows and files left out, names that no feature reads.
select * from {{ source('landing', 'findings') }}
order by all
