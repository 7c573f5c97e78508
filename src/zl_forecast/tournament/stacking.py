"""The rows of second-level families: what the first level forecast out of fold, in blocks that came before."""

from dataclasses import replace

import pandas as pd

from zl_forecast import settings
from zl_forecast.families.stacking import column
from zl_forecast.fingerprint import with_row_hash
from zl_forecast.tournament.fit import KEY, Block


def second_level_block(block: Block, forecasts: pd.DataFrame, rows: pd.DataFrame) -> Block | None:
    """A block whose features are the first level's forecasts.

    Parameters
    ----------
    forecasts : DataFrame
        Of all first-level families of the bucket: family, kind, fold_start, as_of_date, horizon_days, q05 ... q95.
    rows : DataFrame
        as_of_date, horizon_days, target_date, z, is_matured.

    Returns
    -------
    Block or None
        Training rows are forecasts of earlier blocks whose targets matured before this one; None where there are none yet.
    """
    fold = block.fold
    # read back from the warehouse the key has other types, and the same rows must have the same fingerprint
    forecasts = forecasts.astype({name: rows[name].dtype for name in KEY})
    is_past = (forecasts["kind"] == "oof") & (forecasts["fold_start"] < fold.start)
    is_own = (forecasts["kind"] == fold.kind) & (forecasts["fold_start"] == fold.start)
    past = _side_by_side(forecasts[is_past]).merge(rows, on=KEY)
    train = past[fold.train_rows(past)]
    if train.empty:
        return None
    test = block.test[[*KEY, "target_date", "z"]].merge(_side_by_side(forecasts[is_own]), on=KEY, how="left")
    features = tuple(name for name in test.columns if name in train.columns and "__" in name)
    train, test = (with_row_hash(part, [*KEY, *features]) for part in (train.reset_index(drop=True), test))
    return replace(block, features=features, train=train, test=test, lookback=None)


def _side_by_side(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One row an as_of_date and horizon, one column a family and quantile."""
    wide = forecasts.pivot(index=KEY, columns="family", values=list(settings.QUANTILE_COLUMNS))
    wide.columns = [column(family, quantile) for quantile, family in wide.columns]
    return wide.reset_index()
