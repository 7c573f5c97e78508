"""The rows of second-level families: out-of-fold forecasts of the first level on earlier folds."""

from dataclasses import replace

import pandas as pd

from zl_forecast.families.base import Family
from zl_forecast.families.stacking import column
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.tournament.bucket import BucketContest
from zl_forecast.tournament.contest import KEY, QUANTILES

NOTHING_MATURED = "no out-of-fold forecasts had matured before this fold"


def second_level(
    contest: BucketContest, families: dict[str, Family], forecasts: pd.DataFrame, rows: pd.DataFrame
) -> BucketContest:
    """Build the second-level contest on a fold; its features are the first level's forecasts.

    Parameters
    ----------
    contest : BucketContest
        The first level's contest on the same fold.
    families : dict of str to Family
        Second-level families by name.
    forecasts : DataFrame
        Forecasts of all first-level families of the bucket: competitor, fold_type, fold_start, as_of_date,
        horizon_days, q05 ... q95 (standardised returns).
    rows : DataFrame
        as_of_date, horizon_days, target_date, z_return, is_matured.

    Returns
    -------
    BucketContest
        Training rows are forecasts of earlier folds whose targets matured before this fold. Skipped if there
        are none.
    """
    fold, own = contest.fold, replace(contest, families=families, lookback=None)
    # the warehouse returns other types for the key, and equal rows must have equal fingerprints
    forecasts = forecasts.astype({name: rows[name].dtype for name in KEY})
    is_past = (forecasts["fold_type"] == "oof") & (forecasts["fold_start"] < fold.start)
    is_own = (forecasts["fold_type"] == fold.fold_type) & (forecasts["fold_start"] == fold.start)
    past = _side_by_side(forecasts[is_past]).merge(rows, on=KEY)
    train = past[fold.train_rows(past)]
    if train.empty:
        return replace(own, skipped=own.skipped or NOTHING_MATURED)
    test = contest.test[[*KEY, "target_date", "z_return"]].merge(_side_by_side(forecasts[is_own]), on=KEY, how="left")
    features = tuple(name for name in test.columns if name in train.columns and "__" in name)
    train, test = (with_row_hash(part, [*KEY, *features]) for part in (train.reset_index(drop=True), test))
    return replace(own, features=features, train_part=train, test=test)


def _side_by_side(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Pivot to one row per as_of_date and horizon, one column per family and quantile."""
    wide = forecasts.pivot(index=KEY, columns="competitor", values=QUANTILES)
    wide.columns = [column(family, quantile) for quantile, family in wide.columns]
    return wide.reset_index()
