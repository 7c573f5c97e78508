"""A bucket's specialist: its tournament over all folds, as one table of out-of-fold and live forecasts."""

import pandas as pd

from zl_forecast import settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.families import FAMILIES
from zl_forecast.tournament.fit import KEY, Task, finished, fit_and_score
from zl_forecast.tournament.splits import walk_forward

PRESETS = ("quick", "standard", "full")
NOT_FEATURES = ("as_of_date", "latest_input_on")
COLUMNS = {
    "bucket": "object",
    "family": "object",
    "kind": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "as_of_date": "datetime64[us]",
    "horizon_days": "int32",
    **dict.fromkeys(settings.QUANTILE_COLUMNS, "float64"),
    "train_rows": "float64",
    "fit_seconds": "float64",
    "score_seconds": "float64",
    "status": "object",
    "reason": "object",
    "fingerprint": "object",
}


def enrolled_families(bucket: str, preset: str, buckets: pd.DataFrame, families: pd.DataFrame) -> tuple[str, ...]:
    """Names of the families that compete in a bucket's tournament.

    Parameters
    ----------
    preset : str
        quick: the bucket's candidates, LightGBM and the reference; standard: all families of quick and standard; full: all.
    buckets, families : DataFrame
        The seeds of these names.

    Raises
    ------
    TournamentError
        Unknown preset or bucket, or a registered family without a module.
    """
    if preset not in PRESETS:
        raise TournamentError(f"preset '{preset}' does not exist. Use one of {', '.join(PRESETS)}.")
    row = buckets.loc[buckets["bucket"] == bucket]
    if row.empty:
        raise TournamentError(f"bucket '{bucket}' has no row in seeds/buckets.csv. Add one.")
    if preset == "quick":
        names = ["reference", "lightgbm", *row["candidates"].iloc[0].split()]
    else:
        upto = PRESETS[: PRESETS.index(preset) + 1]
        names = families.loc[families["from_preset"].isin(upto), "family"].tolist()
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise TournamentError(
            f"{', '.join(unknown)} in the seeds of bucket '{bucket}' has no module in zl_forecast.families. "
            f"Registered are {', '.join(FAMILIES)}."
        )
    return tuple(name for name in FAMILIES if name in names)


def run_specialist(
    bucket: str, mart: pd.DataFrame, targets: pd.DataFrame, families: tuple[str, ...], quarantined: str | None = None
) -> pd.DataFrame:
    """Hold one bucket's tournament. Finished folds are read back from the artifact folder.

    Parameters
    ----------
    mart : DataFrame
        The bucket's features, one row a session.
    targets : DataFrame
        int_targets__daily: as_of_date, horizon_days, target_date, z, is_matured.
    families : tuple of str
        Enrolled families, see `enrolled_families`.
    quarantined : str, optional
        Why the bucket's gate refused the mart; the table is then empty, and the forecast goes on without the bucket.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; quantiles in units of the volatility known at as_of_date.
    """
    if quarantined:
        print(f"{bucket}: quarantined, no tournament. {quarantined}", flush=True)
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    features = tuple(column for column in mart.columns if column not in NOT_FEATURES)
    wanted = [*KEY, "target_date", "z", "is_matured"]
    rows = mart.merge(targets[wanted], on="as_of_date").sort_values(KEY, ignore_index=True)
    rows["horizon_days"] = rows["horizon_days"].astype("int64")
    rows[list(features)] = rows[list(features)].astype("float64")

    if rows["horizon_days"].nunique() < 3:
        raise TournamentError(
            f"seeds/horizons.csv has {rows['horizon_days'].nunique()} horizons; at least 3 are needed, since AutoGluon "
            "recodes a column of fewer values and the families read horizon_days as a number."
        )
    tasks = []
    folds = walk_forward(pd.DatetimeIndex(mart["as_of_date"].sort_values()))
    for fold in folds:
        train, test = rows[fold.train_rows(rows)], rows[fold.test_rows(rows)]
        if len(train) < settings.MIN_TRAIN_ROWS:
            raise TournamentError(
                f"{bucket}: {len(train)} matured training rows before {fold.start:%Y-%m-%d}, {settings.MIN_TRAIN_ROWS} are needed."
            )
        keep = fold in folds[-2:]  # the year's block and the live one still grow
        tasks.append(Task(bucket, fold, families, features, train, test, keep))

    done = {id(task): finished(task) for task in tasks}
    to_fit = [task for task in tasks if done[id(task)] is None]
    for task, forecasts in workers.run(fit_and_score, to_fit, label="tournament"):
        done[id(task)] = forecasts

    frames = []
    for task in tasks:
        frame = done[id(task)].assign(
            bucket=bucket,
            kind=task.fold.kind,
            fold_start=task.fold.start,
            trained_until=task.fold.train_until,
            fingerprint=task.name,
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)].astype(COLUMNS)
