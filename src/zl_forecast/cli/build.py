"""`zl build` and `zl tournament`: dbt with progress by stage; then what it made, and what to do next."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from zl_forecast import build_record
from zl_forecast.cli.output import open_console, say
from zl_forecast.databases import open_snapshot, open_warehouse, snapshot_file
from zl_forecast.errors import LandingError, ZlForecastError
from zl_forecast.paths import data_dir, tournament_warehouse

COMMAND = ("build", "--exclude-resource-type", "unit_test")
BUILDABLE = ("--indirect-selection", "buildable", "--select")
OF_TOURNAMENT = ("+leaderboard", "+feature_attributions", "+forecast_explanations")


def make_forecasts(flags: Sequence[str]) -> int:
    """Build everything and print the forecasts, or only print them if nothing has changed.

    Parameters
    ----------
    flags : sequence of str
        For dbt. With flags, or with PYTHONPATH, where the user's own modules may be, every call builds.

    Returns
    -------
    int
        Exit code.
    """
    started = time.monotonic()
    inputs = None if flags or os.environ.get("PYTHONPATH") else build_record.read_inputs()
    if inputs is not None:
        ended_at, change = build_record.compare_with_record(inputs)
        if not change:
            say(f"Nothing has changed since the last build, at {ended_at[11:16]}: nothing was built.")
            build_record.forget_failure()
            return _print_summary()
        say(f"Building: {change}")
    _warn_of_old_data()
    if build_record.record_outcome(lambda: run_with_progress([*COMMAND, *flags], data_dir())):
        return 1
    if inputs is not None:
        build_record.keep_record(inputs)
    say(f"Build time: {time.monotonic() - started:.0f} s")
    return _print_summary()


def make_plan(flags: Sequence[str]) -> int:
    """Build what the plan needs, train nothing, and print the plan.

    Parameters
    ----------
    flags : sequence of str
        For dbt.

    Returns
    -------
    int
        Exit code.
    """
    if run_with_progress([*COMMAND, *BUILDABLE, "+run_plan", *flags], data_dir()):
        return 1
    from zl_forecast.cli.plan import REMEDY, print_plan, read_plan

    with open_warehouse(REMEDY) as con:
        print_plan(read_plan(con))
    return 0


def make_tournament(bucket: str, preset: str, flags: Sequence[str]) -> int:
    """Run one bucket's tournament in the dbt target `tournament`, and print its leaderboards.

    Its warehouse and state are apart, so published tables and ledgers do not change. The store of fits is shared, so
    that the next build reuses them.

    Parameters
    ----------
    bucket : str
        Bucket of seeds/buckets.csv.
    preset : {"quick", "standard", "full"}
        Which families compete.
    flags : sequence of str
        For dbt.

    Returns
    -------
    int
        Exit code.
    """
    from zl_forecast.cli.leaderboard import autogluon_board, print_families, read_families
    from zl_forecast.cli.names import horizon_codes

    target = ("--target", "tournament", "--target-path", "target/tournament")
    dbt_vars = ("--vars", f"{{buckets: [{bucket}], preset: {preset}}}")
    started = time.monotonic()
    arguments = [*COMMAND, *target, *BUILDABLE, *OF_TOURNAMENT, *dbt_vars, *flags]
    if run_with_progress(arguments, tournament_warehouse().parent):
        return 1
    say(f"Tournament time: {time.monotonic() - started:.0f} s")
    tables = read_families(bucket, horizon_codes(()), (), of_tournament=True)
    print_families(tables, of_tournament=True, autogluon=autogluon_board(bucket, of_tournament=True))
    return 0


def _warn_of_old_data() -> None:
    """Say which sources are stale or missing; the build goes on with what there is."""
    from zl_forecast.freshness import describe_overdue, read_freshness

    try:
        old = describe_overdue(read_freshness())
    except LandingError:  # the build refuses the file, with the reason
        return
    except ZlForecastError as error:
        old = f"The age of the data is not known: {error}"
    if old:
        say(old, "yellow")


def run_with_progress(arguments: Sequence[str], folder: Path) -> list[tuple[str, str]]:
    """Run a dbt command with its progress, and print what failed.

    Parameters
    ----------
    arguments : sequence of str
        dbt's command line, beginning with the command.
    folder : Path
        Folder of the warehouse; keeps how long each node took.

    Returns
    -------
    list of (str, str)
        What failed: name of the node, empty for dbt itself, and message.
    """
    from zl_forecast import dbt_run
    from zl_forecast.cli.progress import DURATIONS, BuildProgress, Durations
    from zl_forecast.interruption import end_on_interrupt

    end_on_interrupt()
    with open_console().status("reading the project"):
        run = dbt_run.prepare(arguments)
    progress = BuildProgress(run.nodes, Durations(folder / DURATIONS), dbt_run.count_planned_fits)
    with progress.shown():
        ended = dbt_run.invoke(run.arguments, progress.follow, run.manifest)
    progress.conclude()
    failures = dbt_run.failures(ended)
    for name, message in failures:
        if not name:  # dbt itself; failures of nodes have been printed
            say(f"FAILED: {message}", "bold red")
    if failures:
        say()
        say(
            f"{len(failures)} failed. Finished fits are kept in the store, and the last published snapshot is unchanged."
        )
        say("Next: correct what failed and run the same command again; logs/dbt.log has every step.", "bold")
    return failures


def _print_summary() -> int:
    from zl_forecast.cli.names import horizon_codes
    from zl_forecast.cli.summary import print_summary, read_summary

    if not snapshot_file().exists():
        say("Nothing has been published yet: these flags leave out the snapshot.")
        say("Next: make build", "bold")
        return 0
    with open_snapshot() as con:
        print_summary(read_summary(con, horizon_codes(())))
    return 0
