"""Attributions of the active models, read from their artifacts."""

import pandas as pd

from zl_forecast.store import artifacts
from zl_forecast.tournament.bucket import ATTRIBUTIONS

COLUMNS = {
    "bucket": "string",
    "family": "string",
    "horizon_days": "int32",
    "method": "string",
    "feature": "string",
    "median_importance": "float64",
    "width_importance": "float64",
    "median_latest": "float64",
    "width_latest": "float64",
    "feature_value": "float64",
    "as_of_date": "datetime64[us]",
    "artifact_id": "string",
}


def collect(live: pd.DataFrame) -> pd.DataFrame:
    """Collect the attributions of all live fits, see `explain.attributions`.

    Parameters
    ----------
    live : DataFrame
        bucket, family and artifact_id of the live fits. A failed fit has no attributions.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per bucket, family, method, horizon_days and feature. Attributions are in
        standardised returns, feature_value is in the feature's unit.
    """
    frames = []
    for bucket, family, artifact_id in (
        live[["bucket", "family", "artifact_id"]].drop_duplicates().itertuples(index=False)
    ):
        folder = artifacts.find(artifact_id)
        if folder is not None and (folder / ATTRIBUTIONS).exists():
            own = pd.read_parquet(folder / ATTRIBUTIONS)
            frames.append(own.assign(bucket=bucket, family=family, artifact_id=artifact_id)[list(COLUMNS)])
    collected = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    return collected.astype(COLUMNS)
