-- Record of `zl ingest`: what each source sent in each run, and why one failed.
select
    run_id,
    source,
    timezone('UTC', started_at) as started_at,
    timezone('UTC', ended_at) as ended_at,
    state,
    n_rows,
    n_new,
    n_revised,
    newest_on,
    reason
from {{ source('landing', 'ingest_runs') }}
order by started_at, source
