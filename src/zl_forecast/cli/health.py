"""`zl health`: what is not healthy or not known to be, then a count of the rest."""

from collections.abc import Sequence
from typing import Any

import duckdb

from zl_forecast.cli.names import choose
from zl_forecast.cli.output import Column, print_table, say
from zl_forecast.errors import ZlForecastError
from zl_forecast.queries import read_rows

PUBLISHED = "published"
STATES = ("expired", "degraded", "watch", "healthy")  # the worst first
CALIBRATION_STATES = ("failed", "cannot_tell", "ok")
COLUMNS = (
    Column("state", "state"),
    Column("subject", "subject"),
    Column("horizon", "horizon_code"),
    Column("since", "state_since"),
    Column("skill", "pinball_skill", "+z.1%"),
    Column("expected", "expected_skill", "+z.1%"),
    Column("80% cover", "coverage_80", ".0%"),
    Column("statistic", "statistic", ".1f"),
    Column("watch at", "watch_at", ".1f", is_optional=True),
    Column("degraded at", "degraded_at", ".1f", is_optional=True),
    Column("drift", "share_beyond", ".0%", is_optional=True),
)
BAND_COLUMNS = (
    Column("calibration", "calibration_state"),
    Column("horizon", "horizon_code"),
    Column("covered", "coverage", ".0%"),
    Column("independent outcomes", "n_independent", ".0f"),
)


def read_health(con: duckdb.DuckDBPyConnection, subject: str | None, horizons: Sequence[str]) -> dict[str, Any]:
    """Read the newest week of health, the worst first.

    Parameters
    ----------
    con : DuckDBPyConnection
        The published snapshot, with monitoring.model_health and monitoring.coverage_tests.
    subject : str, optional
        A bucket, or `published` for the published forecast; all if omitted.
    horizons : sequence of str
        Codes of the horizons to read.

    Returns
    -------
    dict
        model_health and coverage_tests (rows; of the second the 80 % band of the published forecast).

    Raises
    ------
    ZlForecastError
        The snapshot is older than the tables, or the table is empty.
    InvalidArgument
        The subject does not exist.
    """
    try:
        rows = read_rows(con, "from monitoring.model_health where is_newest")
        bands = read_rows(con, "from monitoring.coverage_tests where calibration_state is not null")
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ZlForecastError(
            "the snapshot is from an older version without these tables. Run `make build` (or `dbt build`)."
        ) from error
    if not rows:
        raise ZlForecastError("monitoring.model_health is empty: nothing was forecast. Run `make build`.")
    subjects = sorted({row["subject"] for row in rows}, key=lambda name: (name != PUBLISHED, name))
    chosen = [choose("subject", subject, subjects)] if subject else subjects
    return {
        "model_health": sorted(
            (row for row in rows if row["subject"] in chosen and row["horizon_code"] in horizons),
            key=lambda row: (_rank(STATES, row["state"]), subjects.index(row["subject"]), row["horizon_days"]),
        ),
        "coverage_tests": sorted(
            (row for row in bands if row["subject"] == PUBLISHED in chosen and row["horizon_code"] in horizons),
            key=lambda row: (_rank(CALIBRATION_STATES, row["calibration_state"]), row["horizon_days"]),
        ),
    }


def _rank(states: Sequence[str], state: str) -> int:
    return states.index(state) if state in states else -1  # a state that this version does not know comes first


def print_health(health: dict[str, Any], shows_all: bool) -> None:
    """Print what needs attention, a count of the rest, and the next step.

    Parameters
    ----------
    health : dict
        As from `read_health`.
    shows_all : bool
        Whether to list healthy subjects as well.
    """
    rows, bands = health["model_health"], health["coverage_tests"]
    if not rows:
        raise ZlForecastError("no health of this subject at these horizons. Run `zl health --all`.")
    newest, source = max(row["week_ending"] for row in rows), rows[0]["data_source"]
    say()
    say(f"Model health, week to {newest}, {source} data: realised skill versus expected skill", "bold")
    unwell = [row for row in rows if row["state"] != "healthy"]
    doubtful = [row for row in bands if row["calibration_state"] != "ok"]
    if shown := rows if shows_all else unwell:
        say()
        print_table(shown, COLUMNS, note="reason")
    if shown := bands if shows_all else doubtful:
        say()
        say("80 % band of the published forecast")
        print_table(shown, BAND_COLUMNS)
        if any(row["calibration_state"] == "cannot_tell" for row in shown):
            say("cannot_tell: too few independent outcomes for a test.", "dim")
    say()
    say(f"{len(rows) - len(unwell)} of {len(rows)} subjects and horizons are healthy{_where_ok(bands)}.")
    if unwell or shows_all:
        say(
            "skill: 1 - pinball loss / reference loss over the last 26 weeks; expected: the same, measured before the fold. statistic: "
            "CUSUM of losses above the expected ones. drift: share of features whose mean of 63 sessions has moved by more than two "
            "standard deviations.",
            "dim",
        )
    say("At 3m and 6m the test detects few breaks within a year, so `healthy` is weak evidence there.", "dim")
    say()
    say(_next_step(unwell, doubtful), "bold")


def _where_ok(bands: Sequence[dict]) -> str:
    ok = [row["horizon_code"] for row in bands if row["calibration_state"] == "ok"]
    return f"; the 80 % band covers as it should at {', '.join(ok)}" if ok else ""


def _next_step(unwell: Sequence[dict], doubtful: Sequence[dict]) -> str:
    bad = {state: [row for row in unwell if row["state"] == state] for state in STATES}
    if bad["expired"]:
        return (
            f"Next: run `make build`, because {_names(bad['expired'])} expired. If this stays, monitoring.gx_results and "
            "monitoring.tournament_results have the reason."
        )
    if bad["degraded"]:
        subject = bad["degraded"][0]["subject"]
        look = "zl leaderboard ensemble" if subject == PUBLISHED else f"zl leaderboard {subject}"
        return f"Next: look at {_names(bad['degraded'])} (`{look}`) and treat its forecasts with caution until reselection."
    if failed := [row["horizon_code"] for row in doubtful if row["calibration_state"] == "failed"]:
        return f"Next: do not rely on the bands at {', '.join(failed)}; monitoring.calibration has their history."
    if bad["watch"]:
        return f"Next: look again next week at {_names(bad['watch'])}."
    if unknown := [row["horizon_code"] for row in doubtful]:
        return (
            f"Next: nothing to do. Whether the bands at {', '.join(unknown)} cover as they should is not known yet. "
            "`zl health --all` lists everything."
        )
    return "Next: nothing to do. `zl health --all` lists everything; the history is in monitoring.model_health."


def _names(rows: Sequence[dict]) -> str:
    return ", ".join(f"{row['subject']} {row['horizon_code']}" for row in rows)
