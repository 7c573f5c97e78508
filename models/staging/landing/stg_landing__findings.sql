-- What the landing check has to say of the files.
select * from {{ source('landing', 'findings') }}
