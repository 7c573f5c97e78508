"""A bucket's specialist: the tournament over all families and folds, as one table of out-of-fold and live forecasts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import duckdb
import pandas as pd

from zl_forecast import settings
from zl_forecast.errors import TournamentError
from zl_forecast.families import Family, load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.store import fingerprint, read_table, write_table
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.store.tables import TRIED_AGAIN
from zl_forecast.tournament.bucket import BucketContest, code_fingerprint
from zl_forecast.tournament.contest import KEY
from zl_forecast.tournament.runner import NOT_ALLOWED, run
from zl_forecast.tournament.splits import walk_forward
from zl_forecast.tournament.stacking import second_level

PRESETS = ("quick", "standard", "full")
NOT_FEATURES = ("as_of_date", "latest_input_on")


@dataclass(frozen=True)
class Plan:
    """A bucket's row of monitoring.run_plan.

    Attributes
    ----------
    action : str
        reselection, score, nothing, wait, expire or quarantine.
    reason : str
        Reason for the action, for the user.
    live_from : Timestamp, optional
        Start of the live fold; None: the first day of the newest session's month.
    may_train : bool
        Whether models that are not in the store may be fitted.
    """

    action: str = "reselection"
    reason: str = ""
    live_from: pd.Timestamp | None = None
    may_train: bool = True


def _plan_of(bucket: str, run_plan: pd.DataFrame) -> Plan:
    """Read a bucket's row of monitoring.run_plan."""
    row = run_plan.set_index("bucket").loc[bucket]
    return Plan(row["action"], row["reason"], pd.Timestamp(row["live_from"]), bool(row["may_train"]))


def enrolled_families(bucket: str, preset: str, buckets: pd.DataFrame, families: pd.DataFrame) -> dict[str, Family]:
    """Select the families that compete in a bucket's tournament.

    Parameters
    ----------
    bucket : str
    preset : str
        quick: the bucket's candidates, LightGBM and the reference; standard: all families of quick and
        standard; full: all families.
    buckets, families : DataFrame
        The seeds of these names.

    Returns
    -------
    dict of str to Family
        By name, in the order of seeds/families.csv.

    Raises
    ------
    TournamentError
        If the preset or bucket is unknown, a candidate has no row, or a family has no module.
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


@dataclass(frozen=True)
class Inputs:
    """What a bucket's tournament reads, as DuckDB relations, which are loaded into data frames only on a cache miss.

    Attributes
    ----------
    bucket : str
    mart : relation
        The bucket's features, one row per session.
    targets : relation
        int_targets__daily: as_of_date, horizon_days, target_date, z_return, is_matured.
    zl : relation
        int_volatility__zl: as_of_date, log_return, ewma_volatility.
    buckets, families : relation
        The seeds of these names.
    preset : str
        See `enrolled_families`.
    """

    bucket: str
    mart: duckdb.DuckDBPyRelation
    targets: duckdb.DuckDBPyRelation
    zl: duckdb.DuckDBPyRelation
    buckets: duckdb.DuckDBPyRelation
    families: duckdb.DuckDBPyRelation
    preset: str

    def enrolled(self) -> dict[str, Family]:
        """Select the families that compete, see `enrolled_families`.

        Returns
        -------
        dict of str to Family
            By name, in the order of seeds/families.csv.
        """
        return enrolled_families(self.bucket, self.preset, self.buckets.df(), self.families.df())

    def key(self, live_from: pd.Timestamp | None) -> str:
        """Return the fingerprint of everything that the bucket's whole table depends on.

        Parameters
        ----------
        live_from : Timestamp, optional
            Start of the live fold, see `walk_forward`.

        Returns
        -------
        str
        """
        own = self.buckets.df().query("bucket == @self.bucket")
        enrolled = self.enrolled()
        limits = self.families.df().set_index("family")["time_limit_seconds"]
        return fingerprint.combine(
            "specialist",
            self.bucket,
            live_from,
            own["channels"].tolist(),
            [(name, code_fingerprint(family), limits[name]) for name, family in enrolled.items()],
            [fingerprint.of_relation(relation) for relation in (self.mart, self.targets, self.zl)],
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )


def run_bucket(
    bucket: str,
    mart: duckdb.DuckDBPyRelation,
    ref: Callable[[str], duckdb.DuckDBPyRelation],
    settings: dict[str, str],
) -> pd.DataFrame:
    """Compute the table of dbt model specialist_<bucket>, see `run_specialist`.

    Parameters
    ----------
    bucket : str
    mart : relation
        The bucket's features, one row per session.
    ref : callable
        `dbt.ref`, for the tables that all buckets read. The model's yml names them as well, because dbt only
        finds refs in the model's own file.
    settings : dict
        `preset`, see `enrolled_families`, and `executor`, see `workers.run`.

    Returns
    -------
    DataFrame
        Columns `runner.COLUMNS`; empty if the variable `buckets` excludes the bucket.
    """
    run_plan = ref("run_plan").df()
    if bucket not in set(run_plan["bucket"]):
        return run([])
    inputs = Inputs(
        bucket,
        mart,
        targets=ref("int_targets__daily"),
        zl=ref("int_volatility__zl"),
        buckets=ref("buckets"),
        families=ref("families"),
        preset=settings["preset"],
    )
    return run_specialist(inputs, _plan_of(bucket, run_plan), settings["executor"])


def run_specialist(inputs: Inputs, plan: Plan = Plan(), executor: str = "local") -> pd.DataFrame:
    """Run one bucket's tournament. Cached fits are reused.

    Parameters
    ----------
    inputs : Inputs
    plan : Plan
        The bucket's row of monitoring.run_plan. A quarantined bucket gets no rows, and the ensemble goes on
        without it; an expired bucket skips the live fold.
    executor : str
        See `workers.run`.

    Returns
    -------
    DataFrame
        Columns `runner.COLUMNS`; quantiles are standardised returns.

    Raises
    ------
    TournamentError
        If a seed names an unknown family or channel, or there is too little history.
    """
    if plan.action == "quarantine":
        print(f"{inputs.bucket}: {plan.reason}", flush=True)
        return run([])
    expired = plan.reason if plan.action == "expire" else ""
    key = inputs.key(plan.live_from)
    if not expired and (table := read_table(key)) is not None:
        return table
    tournament = Tournament.of(inputs, plan.live_from)
    contests = [*tournament.contests[:-1], replace(tournament.contests[-1], skipped=expired)]
    table = run(contests, plan.may_train, executor)
    if tournament.second_level:
        second = [second_level(own, tournament.second_level, table, tournament.rows) for own in contests]
        table = pd.concat([table, run(second, plan.may_train, executor)])
        table = table.sort_values(
            "fold_type", key=lambda fold_type: fold_type == "live", kind="stable", ignore_index=True
        )
    if not expired and not table["status"].isin(TRIED_AGAIN).any() and not table["reason"].eq(NOT_ALLOWED).any():
        write_table(key, table)
    return table


@dataclass(frozen=True)
class Tournament:
    """The competitors and folds of one bucket.

    Attributes
    ----------
    rows : DataFrame
        Features and targets, one row per session and horizon, in order.
    contests : list of BucketContest
        Families that read features; oldest fold first, the live fold last.
    second_level : dict
        Families that read the forecasts of the others, by name.
    """

    rows: pd.DataFrame
    contests: list[BucketContest]
    second_level: dict[str, Family]

    @classmethod
    def of(cls, inputs: Inputs, live_from: pd.Timestamp | None = None) -> Self:
        """Build the tournament from a bucket's tables.

        Parameters
        ----------
        inputs : Inputs
        live_from : Timestamp, optional
            Start of the live fold, see `walk_forward`.

        Returns
        -------
        Tournament

        Raises
        ------
        TournamentError
            If a seed names an unknown family or channel, or there is too little history.
        """
        enrolled = inputs.enrolled()
        mart = inputs.mart.df().sort_values("as_of_date", ignore_index=True)
        rows = _rows(mart, inputs.targets.df())
        first = {name: family for name, family in enrolled.items() if not family.is_second_level}
        lookback = None
        if any(family.reads_lookback for family in first.values()):
            lookback = _lookback(inputs, mart)
        limits = inputs.families.df().set_index("family")["time_limit_seconds"].astype(float).to_dict()
        contests = _contests(inputs.bucket, mart, rows, lookback, live_from, first, limits)
        return cls(rows, contests, {name: family for name, family in enrolled.items() if name not in first})


def _lookback(inputs: Inputs, mart: pd.DataFrame) -> pd.DataFrame:
    """Build the look-back of every session, with its hash."""
    channels = tuple(inputs.buckets.df().set_index("bucket").at[inputs.bucket, "channels"].split())
    if unknown := sorted(set(channels) - set(mart.columns)):
        raise TournamentError(
            f"channels of bucket '{inputs.bucket}' in seeds/buckets.csv name {', '.join(unknown)}, which "
            f"mart_{inputs.bucket}__daily does not have. Name columns of the mart."
        )
    zl = inputs.zl.df().sort_values("as_of_date", ignore_index=True)
    return with_row_hash(lookback_columns(mart, zl, channels))


def _rows(mart: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Join features and targets: one row per session and horizon, in order."""
    wanted = [*KEY, "target_date", "z_return", "is_matured"]
    rows = mart.merge(targets[wanted], on="as_of_date").sort_values(KEY, ignore_index=True)
    rows["horizon_days"] = rows["horizon_days"].astype("int64")
    features = [column for column in mart.columns if column not in NOT_FEATURES]
    rows[features] = rows[features].astype("float64")
    return with_row_hash(rows, [*KEY, *features])


def _contests(
    bucket: str,
    mart: pd.DataFrame,
    rows: pd.DataFrame,
    lookback: pd.DataFrame | None,
    live_from: pd.Timestamp | None,
    families: dict[str, Family],
    limits: dict[str, float],
) -> list[BucketContest]:
    features = tuple(column for column in mart.columns if column not in NOT_FEATURES)
    folds = walk_forward(pd.DatetimeIndex(mart["as_of_date"]), live_from)
    contests = []
    for fold in folds:
        train, test = rows[fold.train_rows(rows)], rows[fold.test_rows(rows)]
        if len(train) < settings.MIN_TRAIN_ROWS:
            raise TournamentError(
                f"{bucket}: {len(train)} matured training rows before {fold.start:%Y-%m-%d}, "
                f"at least {settings.MIN_TRAIN_ROWS} are needed."
            )
        seen = None if lookback is None else lookback[lookback["as_of_date"] < fold.end]
        keep = fold in folds[-2:]  # the live fold gets new rows daily, the newest year's at each reselection
        contests.append(BucketContest(bucket, fold, features, train, test, seen, keep, families, limits))
    return contests
