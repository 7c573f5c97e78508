-- The newest session of this market that the data folder has ever seen, ahead of what this build adds to the ledgers. One row.
{{ newest_seen(
    ref('int_targets__daily'),
    [source('state_forecasts', 'zl_forecast_ledger'), source('state_forecasts', 'bucket_forecast_ledger')]
) }}
