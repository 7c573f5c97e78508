-- Fed bucket: the policy rate, the rate implied by futures, the yield curve, financial conditions,
-- the FOMC calendar.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide(['DFF', 'DFEDTARU', 'DGS3MO', 'DGS2', 'DGS10', 'T10YIE', 'NFCI', 'STLFSI4']) }}
),

-- meetings of the seed count from the beginning, those of live data from the day they were seen;
-- severity 0 is a meeting that is no longer scheduled
announcements as (
    select meeting_date, date '1900-01-01' as available_on, true as is_scheduled
    from {{ ref('fomc_meetings') }}
    union all
    select event_date as meeting_date, available_on, bool_or(severity > 0) as is_scheduled
    from {{ ref('stg_landing__policy_events') }}
    where bucket = 'fomc'
    group by all
),

known_meetings as (
    select
        prices.as_of_date,
        announcements.meeting_date,
        arg_max(announcements.is_scheduled, announcements.available_on) as is_scheduled,
        max(announcements.available_on) as available_on
    from prices inner join announcements
        on announcements.available_on <= prices.as_of_date
    group by all
),

meetings as (
    select
        as_of_date,
        max(meeting_date)
            filter (where is_scheduled and meeting_date <= as_of_date) as last_meeting_on,
        min(meeting_date)
            filter (where is_scheduled and meeting_date > as_of_date) as next_meeting_on,
        max(available_on) as latest_meeting_on
    from known_meetings
    group by as_of_date
),

levels as (
    select
        prices.*,
        reports.* exclude (as_of_date),
        meetings.latest_meeting_on,
        100 - zq_close as implied_rate,
        dgs10 - dgs2 as curve_10y_2y,
        dgs10 - dgs3mo as curve_10y_3m,
        dgs10 - t10yie as real_10y,
        -- least() ignores a null and would return 90 past the end of the calendar
        case
            when last_meeting_on is not null then least(prices.as_of_date - last_meeting_on, 90)
        end as days_since_fomc,
        case
            when next_meeting_on is not null then least(next_meeting_on - prices.as_of_date, 90)
        end as days_to_fomc
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
    left join meetings
        on meetings.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        implied_rate - dff as cme_zq_implied_minus_dff,
        implied_rate - {{ ago('implied_rate', 21) }} as cme_zq_implied_change_21,
        dff as fred_dff,
        dff - {{ ago('dff', 63) }} as fred_dff_change_63,
        dff - {{ ago('dff', 252) }} as fred_dff_change_252,
        dfedtaru - {{ ago('dfedtaru', 126) }} as fred_target_rate_change_126,
        dgs2 as fred_dgs2,
        dgs2 - {{ ago('dgs2', 21) }} as fred_dgs2_change_21,
        dgs10 as fred_dgs10,
        dgs10 - {{ ago('dgs10', 21) }} as fred_dgs10_change_21,
        dgs10 - {{ ago('dgs10', 126) }} as fred_dgs10_change_126,
        curve_10y_2y as fred_curve_10y_2y,
        curve_10y_2y - {{ ago('curve_10y_2y', 63) }} as fred_curve_10y_2y_change_63,
        curve_10y_3m as fred_curve_10y_3m,
        real_10y as fred_real_10y,
        real_10y - {{ ago('real_10y', 21) }} as fred_real_10y_change_21,
        t10yie - {{ ago('t10yie', 21) }} as fred_t10yie_change_21,
        nfci as fred_nfci,
        nfci - {{ ago('nfci', 20) }} as fred_nfci_change_20,
        stlfsi4 as fred_stlfsi4,
        stlfsi4 - {{ ago('stlfsi4', 20) }} as fred_stlfsi4_change_20,
        {{ momentum('zn', 21) }} as cbot_zn_momentum_21,
        {{ momentum('zt', 21) }} as cbot_zt_momentum_21,
        days_since_fomc as fomc_days_since,
        days_to_fomc as fomc_days_to,
        greatest(latest_bar_on, latest_series_on, latest_meeting_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}
