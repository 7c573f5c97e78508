-- Which files made this build, and what became of every file in the landing folder.
select * from {{ ref('stg_landing__files') }}
order by file_name
