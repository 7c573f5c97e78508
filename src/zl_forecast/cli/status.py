"""`zl status`: how old the data of each source are, what is missing, and what to do next."""

from dataclasses import asdict
from datetime import UTC
from typing import Any

from zl_forecast.cli.output import Column, in_local_time, print_table, say, short_path
from zl_forecast.freshness import OVERDUE, OWN_FILES, Freshness
from zl_forecast.landing.folder import landing_path
from zl_forecast.thresholds import threshold

SOURCES = (
    Column("source", "source"),
    Column("state", "state"),
    Column("names", "n_subjects", "d"),
    Column("newest", "newest_on"),
    Column("available", "available_on"),
    Column("age, days", "age_days", "d"),
    Column("next value", "next_value"),
    Column("gaps", "n_gaps", "d"),
    Column("last read", "last_read"),
)
SUBJECTS = (
    Column("source", "source"),
    Column("table", "table_name"),
    Column("name", "subject"),
    Column("state", "state"),
    Column("newest", "newest_on"),
    Column("available", "available_on"),
    Column("age, days", "age_days", "d"),
    Column("next value", "next_value"),
    Column("gaps", "n_gaps", "d"),
    Column("newest gap", "newest_gap_on"),
    Column("file", "file_name", is_optional=True),
)


def print_status(freshness: Freshness, shows_all: bool) -> None:
    """Print a table of the sources, and the next step.

    Parameters
    ----------
    freshness : Freshness
        As from `read_freshness`.
    shows_all : bool
        Whether to list series and symbols as well.
    """
    say()
    if not freshness.sources:
        found = "a simulated market" if freshness.data_source == "simulated" else "no landing files"
        say(
            f"{short_path(landing_path().resolve())} holds {found}: there is nothing to be old.", "bold", may_wrap=False
        )
        say("Builds read the simulated market until there are landing files. Next: make ingest build", "bold")
        return
    say(f"Landing folder {freshness.folder}: age of the data against the schedules of their publishers", "bold", False)
    say()
    print_table(
        [_shown(own) | {"note": own.last_error or own.reason} for own in freshness.sources], SOURCES, note="note"
    )
    if shows_all:
        say()
        print_table([_shown(own) for own in freshness.subjects], SUBJECTS)
    say()
    say(
        "age: days since the newest value became public. next value: when it is public, by the publisher's rule or the exchange's "
        f"calendar; due from then on, stale {threshold('late_release_days'):.0f} days later. gaps: absent days of the last year.",
        "dim",
    )
    say(_next_step(freshness), "bold", may_wrap=False)


def _shown(own: Any) -> dict[str, Any]:
    row = asdict(own)
    due_at, pulled_at = row["due_at"], row.get("pulled_at")
    return row | {
        "next_value": due_at and in_local_time(due_at.replace(tzinfo=None)),
        "last_read": pulled_at and in_local_time(pulled_at.astimezone(UTC).replace(tzinfo=None)),
        "state": row["state"].replace("_", " "),
        "n_gaps": row["n_gaps"] if row["newest_on"] else None,
    }


def _next_step(freshness: Freshness) -> str:
    failed = [own.source for own in freshness.sources if own.last_error]
    overdue = freshness.overdue()
    broken = [own.file_name for own in freshness.subjects if own.state == "missing" and own.file_name]
    if broken:
        return f"Next: correct {', '.join(broken)}; zl check has all findings"
    own = [subject for subject in freshness.subjects if subject.source == OWN_FILES and subject.state in OVERDUE]
    if failed and not any(subject.subject == "ZL" for subject in own):  # no build without bars of ZL
        return f"Next: correct what failed (last column), then zl ingest {' '.join(failed)}"
    if own:
        files = sorted({subject.file_name for subject in own if subject.file_name})
        if files:  # ingest skips what a file of your own supplies
            return f"Next: write newer rows to {', '.join(files)}, or remove it there so that make ingest supplies it; then make build"
        return (
            "Next: put bars of ZL into the landing folder, or read them from a publisher: make ingest; then make build"
        )
    if "epa" in (names := [own.source for own in overdue]):
        return f"Next: export the EPA's table again (docs/ingest.md), then zl ingest {' '.join(names)}. Then make build"
    if overdue:
        return f"Next: zl ingest {' '.join(own.source for own in overdue)}; if nothing new arrives, the publisher is late. Then make build"
    if due := [own.source for own in freshness.sources if own.state == "due"]:
        return f"Next: make ingest build, since new values of {', '.join(due)} should be public."
    return "Next: nothing to do; everything that is public by schedule has landed."
