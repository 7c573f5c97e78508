"""A bucket's specialist: its tournament over all families and folds, as one table of out-of-fold and live forecasts."""

from dataclasses import dataclass
from typing import Self

import pandas as pd

from zl_forecast import settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.families import Family, load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.tournament.fit import KEY, Block, Task, finished, fit_and_score, give_up, without_forecasts
from zl_forecast.tournament.splits import walk_forward
from zl_forecast.tournament.stacking import second_level_block

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
    "validation_loss": "float64",
    "status": "object",
    "reason": "object",
    "fingerprint": "object",
}


def enrolled_families(bucket: str, preset: str, buckets: pd.DataFrame, families: pd.DataFrame) -> dict[str, Family]:
    """The families that compete in a bucket's tournament, by name, in the order of seeds/families.csv.

    Parameters
    ----------
    preset : str
        quick: the bucket's candidates, LightGBM and the reference; standard: all families of quick and standard; full: all.
    buckets, families : DataFrame
        The seeds of these names.

    Raises
    ------
    TournamentError
        Unknown preset or bucket, a candidate without a row, or a family without a module.
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
    unknown = [name for name in names if name not in set(families["family"])]
    if unknown:
        raise TournamentError(
            f"{', '.join(unknown)} among the candidates of bucket '{bucket}' in seeds/buckets.csv has no row in "
            f"seeds/families.csv. Registered are {', '.join(families['family'])}."
        )
    return load_families(families[families["family"].isin(names)])


def run_specialist(
    bucket: str,
    *,
    mart: pd.DataFrame,
    targets: pd.DataFrame,
    zl: pd.DataFrame,
    buckets: pd.DataFrame,
    families: pd.DataFrame,
    preset: str,
    executor: str = "local",
    quarantined: str | None = None,
) -> pd.DataFrame:
    """Hold one bucket's tournament. Finished fits are read back from the artifact folder.

    Parameters
    ----------
    mart : DataFrame
        The bucket's features, one row a session.
    targets : DataFrame
        int_targets__daily: as_of_date, horizon_days, target_date, z, is_matured.
    zl : DataFrame
        int_volatility__zl: as_of_date, log_return, sigma.
    buckets, families : DataFrame
        The seeds of these names.
    preset : str
        See `enrolled_families`.
    executor : str
        See `workers.run`.
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
    enrolled = enrolled_families(bucket, preset, buckets, families)
    tournament = Tournament.of(bucket, mart, targets, zl, buckets, families, enrolled)
    forecasts = _hold(tournament.first_level(), executor)
    waiting, ready = tournament.second_level(forecasts)
    reason = "no out-of-fold forecasts had matured before this block"
    skipped = [_labelled(task, without_forecasts(task, "skipped", reason)) for task in waiting]
    second = [_hold(ready, executor)] if ready else []
    return pd.concat([forecasts, *skipped, *second], ignore_index=True)[list(COLUMNS)].astype(COLUMNS)


@dataclass(frozen=True)
class Tournament:
    """Who competes in one bucket, and on which blocks of rows.

    Attributes
    ----------
    rows : DataFrame
        Features and targets, one row a session and horizon, in order.
    blocks : list of Block
        Oldest first, the live one last.
    seconds : dict
        Limit of a fit, by family.
    """

    families: dict[str, Family]
    rows: pd.DataFrame
    blocks: list[Block]
    seconds: dict[str, float]

    @classmethod
    def of(
        cls,
        bucket: str,
        mart: pd.DataFrame,
        targets: pd.DataFrame,
        zl: pd.DataFrame,
        buckets: pd.DataFrame,
        families: pd.DataFrame,
        enrolled: dict[str, Family],
    ) -> Self:
        """The tournament of a bucket's tables; parameters as in `run_specialist`."""
        mart = mart.sort_values("as_of_date", ignore_index=True)
        rows = _rows(mart, targets)
        lookback = None
        if any(family.reads_lookback for family in enrolled.values()):
            channels = tuple(buckets.loc[buckets["bucket"] == bucket, "channels"].iloc[0].split())
            unknown = sorted(set(channels) - set(mart.columns))
            if unknown:
                raise TournamentError(
                    f"channels of bucket '{bucket}' in seeds/buckets.csv name {', '.join(unknown)}, which "
                    f"mart_{bucket}__daily does not have. Name columns of the mart."
                )
            lookback = lookback_columns(mart, zl.sort_values("as_of_date", ignore_index=True), channels)
        limits = families.set_index("family")["time_limit_seconds"].astype(float)
        return cls(enrolled, rows, _blocks(bucket, mart, rows, lookback), limits.to_dict())

    def first_level(self) -> list[Task]:
        """A task for every block and every family that reads features."""
        return [
            self._task(block, name)
            for block in self.blocks
            for name, family in self.families.items()
            if not family.is_second_level
        ]

    def second_level(self, forecasts: pd.DataFrame) -> tuple[list[Task], list[Task]]:
        """Tasks of the families that read the first level's forecasts: those still without rows to learn from, and the others."""
        waiting, ready = [], []
        for name in (name for name, family in self.families.items() if family.is_second_level):
            for block in self.blocks:
                second = second_level_block(block, forecasts, self.rows)
                (waiting if second is None else ready).append(self._task(second or block, name))
        return waiting, ready

    def _task(self, block: Block, name: str) -> Task:
        return Task(block, name, self.families[name], self.seconds[name])


def _rows(mart: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Features and targets, one row a session and horizon, in order."""
    wanted = [*KEY, "target_date", "z", "is_matured"]
    rows = mart.merge(targets[wanted], on="as_of_date").sort_values(KEY, ignore_index=True)
    rows["horizon_days"] = rows["horizon_days"].astype("int64")
    features = [column for column in mart.columns if column not in NOT_FEATURES]
    rows[features] = rows[features].astype("float64")
    return rows


def _blocks(bucket: str, mart: pd.DataFrame, rows: pd.DataFrame, lookback: pd.DataFrame | None) -> list[Block]:
    features = tuple(column for column in mart.columns if column not in NOT_FEATURES)
    folds = walk_forward(pd.DatetimeIndex(mart["as_of_date"]))
    blocks = []
    for fold in folds:
        train, test = rows[fold.train_rows(rows)], rows[fold.test_rows(rows)]
        if len(train) < settings.MIN_TRAIN_ROWS:
            raise TournamentError(
                f"{bucket}: {len(train)} matured training rows before {fold.start:%Y-%m-%d}, {settings.MIN_TRAIN_ROWS} are needed."
            )
        seen = None if lookback is None else lookback[lookback["as_of_date"] < fold.end]
        keep = fold in folds[-2:]  # the year's block and the live one still grow
        blocks.append(Block(bucket, fold, features, train, test, seen, keep))
    return blocks


def _hold(tasks: list[Task], executor: str) -> pd.DataFrame:
    """Forecasts of all tasks: read back where finished, else fitted by the workers."""
    done = {id(task): finished(task) for task in tasks}
    to_fit = [task for task in tasks if done[id(task)] is None]
    for task, forecasts in workers.run(fit_and_score, to_fit, lambda task: task.seconds, executor):
        if isinstance(forecasts, workers.Lost):
            if forecasts.status == "timed_out":
                give_up(task, forecasts.reason)
            forecasts = without_forecasts(task, forecasts.status, forecasts.reason)
        done[id(task)] = forecasts
    return pd.concat([_labelled(task, done[id(task)]) for task in tasks], ignore_index=True)


def _labelled(task: Task, forecasts: pd.DataFrame) -> pd.DataFrame:
    fold = task.block.fold
    return forecasts.assign(
        bucket=task.block.bucket,
        kind=fold.kind,
        fold_start=fold.start,
        trained_until=fold.train_until,
        fingerprint=task.fingerprint,
    )
