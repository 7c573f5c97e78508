-- Which files made this build, and what became of every file in the landing folder.
select * from {{ source('landing', 'files') }}
order by file_name
