-- What this build does with each bucket, and why; decided and to be read before anything is trained. One row a bucket.
with
live as (
    select * from {{ ref('int_plan__live') }}
),

fits as (
    select * from {{ ref('int_plan__fits') }}
),

-- what is missing from the store, and of that the most telling cause
counted as (
    select
        bucket,
        count(*) as n_fits,
        count(*) filter (where not is_fitted) as n_to_train,
        bool_and(is_remembered) as is_remembered,
        max(trained_until) filter (where kind = 'live')::date as trained_until,
        arg_min(cause, cause_rank) filter (where not is_fitted) as cause,
        arg_min(details, cause_rank) filter (where not is_fitted) as details
    from fits
    group by bucket
),

decided as (
    select
        live.*,
        coalesce(counted.n_fits, 0) as n_fits,
        coalesce(counted.n_to_train, 0) as n_to_train,
        counted.trained_until,
        coalesce(counted.is_remembered, false) as is_remembered,
        counted.cause,
        counted.details,
        live.newest_session > counted.trained_until + {{ var('model_expiry_days') }} as is_expired,
        {{ "false" if var('tournament') == 'never' else "true" }} as may_train
    from live
    left join counted
        on counted.bucket = live.bucket
),

final as (
    select
        ---------- key
        bucket,

        ---------- what is done
        case
            when refused_by_gate is not null then 'quarantine'
            when is_expired and not may_train then 'expire'
            when n_to_train > 0 and not may_train then 'wait'
            when trigger is not null and may_train then 'retournament'
            when n_to_train > 0 then 'retournament'
            when is_remembered then 'nothing'
            else 'score'
        end as action,
        case action
            when 'retournament' then coalesce(trigger, cause)
        end as trigger,
        case action
            when 'quarantine' then 'left out: ' || refused_by_gate
            when 'expire' then format(
                'left out: trained until {}, {} days before {}; the limit is {}. Build with var tournament auto',
                trained_until::varchar, newest_session - trained_until, newest_session::varchar, {{ var('model_expiry_days') }}
            )
            when 'wait' then format(
                '{} of {} fits are not in the store ({}) and var tournament is never: left out where they are needed', n_to_train, n_fits, details
            )
            when 'retournament' then format(
                '{}; {} of {} fits to train, on what had matured before {}', coalesce(why, details), n_to_train, n_fits, trained_until::varchar
            )
            when 'score' then format('new or revised rows, or a family that failed; all {} fits are in the store', n_fits)
            else format('no row has changed since these {} fits were scored', n_fits)
        end as reason,

        ---------- how much
        n_fits::bigint as n_fits,
        n_to_train::bigint as n_to_train,

        ---------- the models in force
        live_from,
        trained_until,
        may_train,

        ---------- as of
        newest_session as as_of_date,
        data_source,
        timezone('UTC', now())::timestamp as planned_at
    from decided
)

select * from final
order by bucket
