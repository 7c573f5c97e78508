-- What this build does with each bucket and why, decided before training. One row per bucket.
with
live as (
    select * from {{ ref('int_plan__live') }}
),

fits as (
    select * from {{ ref('int_plan__fits') }}
),

refused_buckets as (
    select
        bucket,
        string_agg(
            concat_ws(' ', column_name, details), '; '
            -- list faults of inputs before the features that they affect
            order by column_name <> 'gate_quarantined_symbols', column_name, details
        ) as refused_by_gate
    from {{ ref('int_gate__results') }}
    where not is_success and severity = 'critical'
    group by bucket
),

-- fits missing from the store, and the cause ranked first
fit_counts as (
    select
        bucket,
        count(*) as n_fits,
        count(*) filter (where not is_fitted) as n_to_train,
        bool_and(is_table_cached) as is_table_cached,
        max(trained_until) filter (where fold_type = 'live')::date as trained_until,
        arg_min(cause, cause_rank) filter (where not is_fitted) as cause,
        arg_min(reason, cause_rank) filter (where not is_fitted) as fits_reason
    from fits
    group by bucket
),

plan_inputs as (
    select
        live.*,
        refused_buckets.refused_by_gate,
        coalesce(fit_counts.n_fits, 0) as n_fits,
        coalesce(fit_counts.n_to_train, 0) as n_to_train,
        fit_counts.trained_until,
        coalesce(fit_counts.is_table_cached, false) as is_table_cached,
        fit_counts.cause,
        fit_counts.fits_reason,
        live.newest_session
            > fit_counts.trained_until + {{ threshold('model_expiry_days') }}::integer
            as is_expired,
        {{ "false" if var('tournament') == 'never' else "true" }} as may_train
    from live
    left join fit_counts
        on fit_counts.bucket = live.bucket
    left join refused_buckets
        on refused_buckets.bucket = live.bucket
),

plan_actions as (
    select
        * replace (coalesce(trigger, cause) as trigger),
        case
            when refused_by_gate is not null then 'quarantine'
            when is_expired and not may_train then 'expire'
            when n_to_train > 0 and not may_train then 'wait'
            when trigger is not null and may_train then 'reselection'
            when n_to_train > 0 then 'reselection'
            when is_table_cached then 'nothing'
            else 'score'
        end as action,
        case action
            when 'quarantine' then 'plan_quarantined'
            when 'expire' then 'plan_expired'
            when 'wait' then 'plan_waits'
            when 'score' then 'plan_scores'
            when 'nothing' then 'plan_unchanged'
            else case trigger
                when 'forced' then 'plan_forced'
                when 'first_run' then 'plan_first_run'
                when 'new_month' then 'plan_new_month'
                when 'degraded' then 'plan_degraded'
                when 'expired' then 'plan_about_to_expire'
                else 'plan_fits_changed'
            end
        end as reason_code
    from plan_inputs
),

final as (
    select
        ---------- key
        bucket,

        ---------- action
        action,
        case action when 'reselection' then trigger end as trigger,
        reason_code,
        {{ reason_text(
            ['reason_code', "case action when 'reselection' then 'plan_and_training' end"],
            numbers={
                'n_fits': 'n_fits', 'n_to_train': 'n_to_train',
                'age_days': 'newest_session - trained_until',
                'expiry_days': threshold('model_expiry_days')
            },
            texts={
                'refused_by_gate': 'refused_by_gate', 'fits_reason': 'fits_reason',
                'degraded_horizons': 'degraded_horizons', 'reselected_on': 'reselected_on',
                'trained_until': 'trained_until', 'newest_session': 'newest_session'
            }
        ) }} as reason,

        ---------- how much
        n_fits::bigint as n_fits,
        n_to_train::bigint as n_to_train,

        ---------- the active models
        live_from,
        trained_until,
        may_train,

        ---------- as of
        newest_session as as_of_date,
        data_source,
        timezone('UTC', now())::timestamp as planned_at
    from plan_actions
)

select * from final
order by bucket
