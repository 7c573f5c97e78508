"""The output of `zl plan`: what the last build did or, if the plan is newer, what a build would do."""

from dataclasses import dataclass

import duckdb
import pandas as pd

from zl_forecast.errors import ZlForecastError, printable
from zl_forecast.store import artifacts

REMEDY = "Run `make plan`."


@dataclass(frozen=True)
class _State:
    """The plan, and which of its fits the store has.

    Attributes
    ----------
    plan : DataFrame
        monitoring.run_plan.
    finished_at : Timestamp or None
        When a build had carried out this plan (UTC); None if none has.
    fits : DataFrame
        bucket, is_fitted (when it was planned) and is_stored (now) of each fit that the plan needs.
    degraded : str
        Buckets that the next session reselects, with the horizons; empty if there are none.
    """

    plan: pd.DataFrame
    finished_at: pd.Timestamp | None
    fits: pd.DataFrame
    degraded: str


def print_plan(con: duckdb.DuckDBPyConnection) -> None:
    """Print the plan with one row per bucket, and what comes next.

    The plan is in the past tense if a build has carried it out.

    Parameters
    ----------
    con : DuckDBPyConnection
        The warehouse, with the state attached.

    Raises
    ------
    ZlForecastError
        There is no plan yet, or only one from an older version.
    """
    state = _read(con)
    plan, fits = state.plan, state.fits
    as_of, made_at = plan["as_of_date"].max(), plan["planned_at"].max()
    if state.finished_at is None:
        counts, header = plan["n_to_train"], "to train"
        print(f"\nPlan as of {as_of:%Y-%m-%d}, made {made_at:%Y-%m-%d %H:%M} UTC: what `make build` would do\n")
    else:
        trained = fits[~fits["is_fitted"] & fits["is_stored"]].groupby("bucket").size()
        counts, header = plan["bucket"].map(trained).fillna(0).astype(int), "trained"
        print(f"\nDone by the build that ended {state.finished_at:%Y-%m-%d %H:%M} UTC, as of {as_of:%Y-%m-%d}\n")
    print(f"bucket      action        trigger           {header:>8}  reason at planning time")
    for row, count in zip(plan.itertuples(), counts, strict=True):
        trigger = "" if pd.isna(row.trigger) else printable(row.trigger)
        print(
            f"{printable(row.bucket):10}  {printable(row.action):12}  {trigger:16}  {count:8}  {printable(row.reason)}"
        )
    print(f"\n{_next_build(state) if state.finished_at is None else _after_a_build(state)}")


def _read(con: duckdb.DuckDBPyConnection) -> _State:
    try:
        plan = con.sql("from monitoring.run_plan order by bucket").df()
        fits = con.sql("select bucket, artifact_id, is_fitted from tournament.int_plan__fits").df()
    except duckdb.CatalogException as error:
        raise ZlForecastError(f"the warehouse has no plan yet. {REMEDY}") from error
    if plan.empty or "planned_at" not in plan:
        raise ZlForecastError(f"the plan in the warehouse is empty, or from an older version. {REMEDY}")
    written_at = fits["artifact_id"].map(_written_at())
    # a fit that the store refused at planning counts as trained only if it was written since then;
    # the store records whole seconds
    is_new = written_at >= plan["planned_at"].max().floor("s")
    fits["is_stored"] = written_at.notna() & (fits["is_fitted"] | is_new)
    return _State(plan, _finished_at(con, plan["planned_at"].max()), fits, _degraded(con))


def _written_at() -> pd.Series:
    """Return when each artifact was written (UTC), by artifact_id; does not create a missing store."""
    if not (artifacts.artifacts_dir() / artifacts.INDEX).exists():
        return pd.Series(dtype="datetime64[us]")
    written_at = artifacts.entries().set_index("artifact_id")["written_at"]
    return pd.to_datetime(written_at, utc=True).dt.tz_localize(None)


def _finished_at(con: duckdb.DuckDBPyConnection, planned_at: pd.Timestamp) -> pd.Timestamp | None:
    """Return when the build that made this plan ended; None if it has not, or another build ended later."""
    try:
        found = con.execute(
            "select finished_at from monitoring.finished_build where planned_at = ?", [planned_at]
        ).fetchone()
    except duckdb.CatalogException:  # no build has ended yet
        return None
    return pd.Timestamp(found[0]) if found else None


def _degraded(con: duckdb.DuckDBPyConnection) -> str:
    """List the degraded buckets by the rule of int_plan__degraded."""
    try:
        rows = con.sql(
            """
            select health.subject || ' at ' || string_agg(health.horizon_code, ', ' order by health.horizon_days)
            from monitoring.model_health as health
            semi join monitoring.run_plan as plan
                on plan.bucket = health.subject
                and plan.data_source = health.data_source
            anti join state.monitoring.degradations as acted
                on acted.bucket = health.subject
                and acted.horizon_days = health.horizon_days
                and acted.state_since = health.state_since
                and acted.data_source = health.data_source
            where health.is_newest
                and health.state = 'degraded'
            group by health.subject
            order by health.subject
            """
        ).fetchall()
    except duckdb.CatalogException:  # only plans so far, no build
        return ""
    return "; ".join(row[0] for row in rows)


def _next_build(state: _State) -> str:
    n_fits = state.plan["n_to_train"].sum()
    planned = state.fits[~state.fits["is_fitted"]]
    n_trained = planned["is_stored"].sum()
    to_train = f" ({n_fits} {'fit' if n_fits == 1 else 'fits'}" if n_fits else ""
    if to_train:
        to_train += f", {n_trained} of them trained since)" if n_trained else ")"
    return (
        f"Next: `make build`{to_train}. To override: make build DBT_FLAGS=\"--vars 'tournament: never'\" (or always)."
    )


def _after_a_build(state: _State) -> str:
    """Describe the next build, as far as it does not depend on new data."""
    missing = state.fits.loc[~state.fits["is_stored"], "bucket"].value_counts().sort_index()
    listed = ", ".join(f"{printable(bucket)} {count}" for bucket, count in missing.items())
    as_of = state.plan["as_of_date"].max()
    new_month = (as_of + pd.offsets.MonthBegin()).strftime("%B %Y")
    at_once = f"reselects what is degraded ({printable(state.degraded)}) and " if state.degraded else ""
    return "\n".join(
        [
            f"Next: on the same data a build trains the fits missing from the store: {listed}."
            if listed
            else "Next: on the same data a build trains nothing.",
            f"      A new session in the same month {at_once}is forecast with the stored models."
            f" The first session from {new_month} on reselects all buckets.",
            "      `make plan` shows what a build would do with the current landing files, without training.",
        ]
    )
