"""A bucket's specialist: its tournament over all families and folds, as one table of out-of-fold and live forecasts."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import pandas as pd

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.families import Family, load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.fingerprint import with_row_hash
from zl_forecast.tournament.fit import (
    KEY,
    Block,
    Task,
    finished,
    fit_and_score,
    give_up,
    needs_training,
    without_forecasts,
)
from zl_forecast.tournament.splits import walk_forward
from zl_forecast.tournament.stacking import second_level_block

PRESETS = ("quick", "standard", "full")
NOTHING_MATURED = "no out-of-fold forecasts had matured before this block"
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


@dataclass(frozen=True)
class Plan:
    """A bucket's row of monitoring.run_plan.

    Attributes
    ----------
    action : str
        retournament, score, nothing, wait, expire or quarantine.
    live_from : Timestamp, optional
        Start of the live block; None: the newest session's month.
    may_train : bool
        Whether what is not in the store may be fitted.
    table_ids : tuple of str
        Names in the store of the bucket's tables of the history and of the live block.
    """

    action: str = "retournament"
    reason: str = ""
    live_from: pd.Timestamp | None = None
    may_train: bool = True
    table_ids: tuple[str, ...] = ()

    def forbids(self, task: Task, is_finished: bool) -> str | None:
        """Why a task has no forecasts under this plan; None where it may have."""
        if self.action == "expire" and task.block.fold.kind == "live":
            return self.reason
        if self.may_train or is_finished or not needs_training(task, artifacts.look_up(task.fingerprint)):
            return None
        return "not in the store, and var tournament is never"


def plan_of(bucket: str, run_plan: pd.DataFrame) -> Plan:
    """What monitoring.run_plan says of a bucket."""
    row = run_plan.set_index("bucket").loc[bucket]
    live_from = pd.Timestamp(row["live_from"])
    return Plan(
        row["action"], row["reason"], live_from, bool(row["may_train"]), tuple((row["table_ids"] or "").split())
    )


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
    plan: Plan = Plan(),
    executor: str = "local",
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
    plan : Plan
        The bucket's row of monitoring.run_plan. Without a tournament nothing is fitted, and what is not in the store has rows
        with the reason; a quarantined bucket has no rows at all, and the forecast goes on without it.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; quantiles in units of the volatility known at as_of_date.
    """
    if plan.action == "quarantine":
        print(f"{bucket}: {plan.reason}", flush=True)
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    if plan.action == "nothing":
        known = [artifacts.remembered(table_id) for table_id in plan.table_ids]
        if all(part is not None for part in known):
            return pd.concat(known, ignore_index=True)
    enrolled = enrolled_families(bucket, preset, buckets, families)
    tournament = Tournament.of(bucket, mart, targets, zl, buckets, families, enrolled, plan.live_from)
    history, live = tournament.parts()
    past = _held(history, plan, executor)
    return pd.concat([past, _held(live, plan, executor, past)], ignore_index=True)


def _held(part: "Tournament", plan: Plan, executor: str, past: pd.DataFrame | None = None) -> pd.DataFrame:
    """Forecasts of the history or of the live block, first level and second: read back whole, or fit by fit, or fitted.

    Parameters
    ----------
    past : DataFrame, optional
        Forecasts of the history, which the live block's second level learns from.
    """
    if plan.action in ("score", "nothing") and (known := artifacts.remembered(part.fingerprint)) is not None:
        return known
    first = _hold(part.first_level(), plan, executor)
    waiting, ready = part.second_level(first if past is None else pd.concat([past, first], ignore_index=True))
    skipped = [_labelled(task, without_forecasts(task, "skipped", NOTHING_MATURED)) for task in waiting]
    second = [_hold(ready, plan, executor)] if ready else []
    table = pd.concat([first, *skipped, *second], ignore_index=True)[list(COLUMNS)].astype(COLUMNS)
    # what failed for want of means or was not allowed is tried again
    if _is_complete(table) and (past is None or _is_complete(past)):
        artifacts.remember(part.fingerprint, table)
    return table


def _is_complete(table: pd.DataFrame) -> bool:
    return bool((table["status"].eq("ok") | table["reason"].eq(NOTHING_MATURED)).all())


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
    after : str
        Fingerprint of the history that the second level of a live block learns from.
    """

    families: dict[str, Family]
    rows: pd.DataFrame
    blocks: list[Block]
    seconds: dict[str, float]
    after: str = ""

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
        live_from: pd.Timestamp | None = None,
    ) -> Self:
        """The tournament of a bucket's tables; parameters as in `run_specialist` and `walk_forward`."""
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
            lookback = with_row_hash(lookback_columns(mart, zl.sort_values("as_of_date", ignore_index=True), channels))
        limits = families.set_index("family")["time_limit_seconds"].astype(float)
        return cls(enrolled, rows, _blocks(bucket, mart, rows, lookback, live_from), limits.to_dict())

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

    def parts(self) -> tuple[Self, Self]:
        """The history, which changes only with a re-tournament, and the live block, which changes by the day."""
        history = replace(self, blocks=self.blocks[:-1])
        return history, replace(self, blocks=self.blocks[-1:], after=history.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """Of all that the forecasts of these blocks depend on."""
        every = [self._task(block, name) for block in self.blocks for name in self.families]
        return fingerprint.combine(
            "tournament",
            self.after,
            [(task.fingerprint, task.rows_fingerprint, task.seconds) for task in every],
            fingerprint.of_code(__name__),
        )

    def _task(self, block: Block, name: str) -> Task:
        return Task(block, name, self.families[name], self.seconds[name])


def _rows(mart: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Features and targets, one row a session and horizon, in order."""
    wanted = [*KEY, "target_date", "z", "is_matured"]
    rows = mart.merge(targets[wanted], on="as_of_date").sort_values(KEY, ignore_index=True)
    rows["horizon_days"] = rows["horizon_days"].astype("int64")
    features = [column for column in mart.columns if column not in NOT_FEATURES]
    rows[features] = rows[features].astype("float64")
    return with_row_hash(rows, [*KEY, *features])


def _blocks(
    bucket: str,
    mart: pd.DataFrame,
    rows: pd.DataFrame,
    lookback: pd.DataFrame | None,
    live_from: pd.Timestamp | None,
) -> list[Block]:
    features = tuple(column for column in mart.columns if column not in NOT_FEATURES)
    folds = walk_forward(pd.DatetimeIndex(mart["as_of_date"]), live_from)
    blocks = []
    for fold in folds:
        train, test = rows[fold.train_rows(rows)], rows[fold.test_rows(rows)]
        if len(train) < settings.MIN_TRAIN_ROWS:
            raise TournamentError(
                f"{bucket}: {len(train)} matured training rows before {fold.start:%Y-%m-%d}, {settings.MIN_TRAIN_ROWS} are needed."
            )
        seen = None if lookback is None else lookback[lookback["as_of_date"] < fold.end]
        keep = fold in folds[-2:]  # the live block grows by the day, the newest year's with every re-tournament
        blocks.append(Block(bucket, fold, features, train, test, seen, keep))
    return blocks


def _hold(tasks: list[Task], plan: Plan, executor: str) -> pd.DataFrame:
    """Forecasts of all tasks: read back where finished, else fitted by the workers, if the plan lets them be."""
    done = {id(task): finished(task) for task in tasks}
    for task in tasks:
        if reason := plan.forbids(task, is_finished=done[id(task)] is not None):
            done[id(task)] = without_forecasts(task, "skipped", reason)
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
