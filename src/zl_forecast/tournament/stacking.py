"""The rows of second-level families: what the first level forecast out of fold, on folds that came before."""

from dataclasses import replace

import pandas as pd

from zl_forecast.families.base import Family
from zl_forecast.families.stacking import column
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.tournament.bucket import BucketContest
from zl_forecast.tournament.contest import KEY, QUANTILES

NOTHING_MATURED = "no out-of-fold forecasts had matured before this block"


def second_level(
    contest: BucketContest, families: dict[str, Family], forecasts: pd.DataFrame, rows: pd.DataFrame
) -> BucketContest:
    """The contest of the second level on a fold: its features are the first level's forecasts.

    Parameters
    ----------
    families : dict
        Of the second level, by name.
    forecasts : DataFrame
        Of all first-level families of the bucket: competitor, fold_type, fold_start, as_of_date, horizon_days, q05 ... q95.
    rows : DataFrame
        as_of_date, horizon_days, target_date, z, is_matured.

    Returns
    -------
    BucketContest
        Training rows are forecasts of earlier folds whose targets matured before this one; skipped where there are none yet.
    """
    fold, own = contest.fold, replace(contest, families=families, lookback=None)
    # read back from the warehouse the key has other types, and the same rows must have the same fingerprint
    forecasts = forecasts.astype({name: rows[name].dtype for name in KEY})
    is_past = (forecasts["fold_type"] == "oof") & (forecasts["fold_start"] < fold.start)
    is_own = (forecasts["fold_type"] == fold.kind) & (forecasts["fold_start"] == fold.start)
    past = _side_by_side(forecasts[is_past]).merge(rows, on=KEY)
    train = past[fold.train_rows(past)]
    if train.empty:
        return replace(own, skipped=own.skipped or NOTHING_MATURED)
    test = contest.test[[*KEY, "target_date", "z"]].merge(_side_by_side(forecasts[is_own]), on=KEY, how="left")
    features = tuple(name for name in test.columns if name in train.columns and "__" in name)
    train, test = (with_row_hash(part, [*KEY, *features]) for part in (train.reset_index(drop=True), test))
    return replace(own, features=features, train_part=train, test=test)


def _side_by_side(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One row per as_of_date and horizon, one column per family and quantile."""
    wide = forecasts.pivot(index=KEY, columns="competitor", values=QUANTILES)
    wide.columns = [column(family, quantile) for quantile, family in wide.columns]
    return wide.reset_index()
