-- Every file in the landing folder of this build, with its status.
select * from {{ source('landing', 'files') }}
order by file_name
