"""`zl plan`: what the last build did or, if the plan is newer, what a build would do."""

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from zl_forecast.cli.output import Column, in_local_time, print_table, say
from zl_forecast.errors import ZlForecastError
from zl_forecast.queries import Row, read_rows
from zl_forecast.store import artifacts

REMEDY = "Run `make plan`."
COLUMNS = (Column("bucket", "bucket"), Column("action", "action"), Column("trigger", "trigger"))


def read_plan(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Read the plan, what has become of it, and when the next reselection is due.

    Parameters
    ----------
    con : DuckDBPyConnection
        The warehouse, with the state attached.

    Returns
    -------
    dict
        run_plan : rows, with n_trained and n_missing (fits trained since planning; fits that the store lacks now).
        finished_at : when a build had carried out this plan (UTC); None if none has.
        degraded : buckets that the next session reselects, with the horizons; empty if there are none.
        next_reselection_from : first day of the month whose first session reselects all buckets.

    Raises
    ------
    ZlForecastError
        There is no plan yet, or only one from an older version.
    """
    try:
        plan = read_rows(con, "from monitoring.run_plan order by bucket")
        fits = con.sql("select bucket, artifact_id, is_fitted from tournament.int_plan__fits").df()
    except duckdb.CatalogException as error:
        raise ZlForecastError(f"the warehouse has no plan yet. {REMEDY}") from error
    if not plan or "planned_at" not in plan[0]:
        raise ZlForecastError(f"the plan in the warehouse is empty, or from an older version. {REMEDY}")
    planned_at = max(row["planned_at"] for row in plan)
    written_at = fits["artifact_id"].map(_written_at())
    # a fit that the store refused at planning counts as trained only if it was written since then;
    # the store records whole seconds
    is_stored = written_at.notna() & (fits["is_fitted"] | (written_at >= planned_at.replace(microsecond=0)))
    n_trained = fits[is_stored & ~fits["is_fitted"]].groupby("bucket").size()
    n_missing = fits[~is_stored].groupby("bucket").size()
    for row in plan:
        row |= {"n_trained": int(n_trained.get(row["bucket"], 0)), "n_missing": int(n_missing.get(row["bucket"], 0))}
    as_of = max(row["as_of_date"] for row in plan)
    return {
        "run_plan": plan,
        "finished_at": _finished_at(con, planned_at),
        "degraded": _degraded(con),
        "next_reselection_from": (as_of.replace(day=1) + timedelta(days=31)).replace(day=1),
    }


def _written_at() -> pd.Series:
    """Return when each artifact was written (UTC), by artifact_id; does not create a missing store."""
    if not (artifacts.artifacts_dir() / artifacts.INDEX).exists():
        return pd.Series(dtype="datetime64[us]")
    written_at = artifacts.entries().set_index("artifact_id")["written_at"]
    return pd.to_datetime(written_at, utc=True).dt.tz_localize(None)


def _finished_at(con: duckdb.DuckDBPyConnection, planned_at: datetime) -> datetime | None:
    """Return when the build that made this plan ended; None if it has not, or another build ended later."""
    try:
        found = con.execute(
            "select finished_at from monitoring.finished_build where planned_at = ?", [planned_at]
        ).fetchone()
    except duckdb.CatalogException:  # no build has ended yet
        return None
    return found[0] if found else None


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


def print_plan(state: dict[str, Any]) -> None:
    """Print the plan with one row per bucket, and what comes next.

    The plan is in the past tense if a build has carried it out.

    Parameters
    ----------
    state : dict
        As from `read_plan`.
    """
    plan, finished_at = state["run_plan"], state["finished_at"]
    as_of, made_at = max(row["as_of_date"] for row in plan), max(row["planned_at"] for row in plan)
    say()
    if finished_at is None:
        count = Column("to train", "n_to_train", "d")
        say(f"Plan as of {as_of}, made {in_local_time(made_at)}: what `make build` would do", "bold")
    else:
        count = Column("trained", "n_trained", "d")
        say(f"Done by the build that ended {in_local_time(finished_at)}, as of {as_of}", "bold")
    say()
    print_table(plan, (*COLUMNS, count), note="reason")
    say()
    for line in _next_build(plan) if finished_at is None else _after_a_build(state):
        say(line)


def _next_build(plan: list[Row]) -> list[str]:
    n_fits, n_trained = (sum(row[name] for row in plan) for name in ("n_to_train", "n_trained"))
    fits = ""
    if n_fits:
        since = f", {n_trained} of them trained since" if n_trained else ""
        fits = f" ({n_fits} {'fit' if n_fits == 1 else 'fits'}{since})"
    return [f"Next: `make build`{fits}. To override: make build DBT_FLAGS=\"--vars 'tournament: never'\" (or always)."]


def _after_a_build(state: dict[str, Any]) -> list[str]:
    """Describe the next build, as far as it does not depend on new data."""
    missing = ", ".join(f"{row['bucket']} {row['n_missing']}" for row in state["run_plan"] if row["n_missing"])
    at_once = f"reselects what is degraded ({state['degraded']}) and " if state["degraded"] else ""
    return [
        f"Next reselection of all buckets: with the first session from {state['next_reselection_from']:%B %Y} on.",
        f"A new session before that {at_once}is forecast with the stored models; on the same data a build trains "
        + (f"the fits missing from the store: {missing}." if missing else "nothing."),
        "Next: `make plan` shows what a build would do with the current landing files, without training.",
    ]
