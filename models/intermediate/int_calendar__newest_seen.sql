-- Newest session of this market that the data folder has seen, before this build adds to the
-- ledgers. One row.
{{ newest_seen(
    ref('int_targets__daily'),
    [
        source('state_forecasts', 'zl_forecast_ledger'),
        source('state_forecasts', 'bucket_forecast_ledger')
    ]
) }}
