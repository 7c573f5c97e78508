-- Every file of the landing folder, with what became of it.
select * from {{ source('landing', 'files') }}
