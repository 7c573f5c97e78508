"""Replay: rebuild the project at each past step using only data available at that time.

Everything is below `<ZL_DATA_DIR>/replay/<from>_<to>_<step>…`: a landing folder that ends with the current
step, a warehouse, and a state whose ledger, plan history and health grow as in live operation. The user's own
warehouse and state are not touched. Finished steps are recorded, so a stopped replay continues. An
interrupted step is repeated, which is safe because builds can be repeated.

Limit: landing files hold each bar as it is today, so a replay sees later corrections.
"""

import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from zl_forecast import settings
from zl_forecast.cli.output import format_or_dash, open_console
from zl_forecast.databases import open_warehouse
from zl_forecast.dbt_run import BuildFailed, failures, invoke
from zl_forecast.errors import DatabaseInUse, InvalidArgument, ZlForecastError, printable
from zl_forecast.landing import TABLES, Landing, find_landing
from zl_forecast.landing.folder import SIMULATED_MARKER
from zl_forecast.paths import data_dir, project_dir, seed, state_beside
from zl_forecast.queries import read_value

# the tables of live operation with their inputs; no report page, paths or published snapshot
SELECT = (
    "+zl_forecast_ledger",
    "+zl_forecast_accuracy",
    "+model_health",
    "+model_registry",
    "+run_plan",
    "+run_history",
    "+degradations",
    "+health_history",
    "+bucket_forecast_ledger",
    "+promotions",
)
PERIODS = {"day": "D", "week": "W-SUN", "month": "M"}  # each step is the last session of its period
KNOWN_FROM = {
    "bars_daily": "as_of_date",
    "series": "available_on",
    "policy_events": "available_on",
    "curve_daily": "as_of_date",
}
WARM_UP_SESSIONS = 60  # of ZL, before the first row of a mart
REMEDY = "Run `make replay`."
HISTORY_SESSIONS = WARM_UP_SESSIONS + settings.FIRST_TRAIN_SESSIONS + 252  # walk_forward needs as many


@dataclass(frozen=True)
class Replay:
    """Settings and files of one replay.

    Attributes
    ----------
    start, end : date
        First and last day of the range.
    step : {"day", "week", "month"}
        A key of `PERIODS`.
    buckets : tuple of str
        Buckets that take part; empty for all.
    preset : {"quick", "standard", "full"} or None
        None for the project's setting.
    folder : Path
        Folder of the replay's files.
    """

    start: date
    end: date
    step: str
    buckets: tuple[str, ...]
    preset: str | None
    folder: Path

    @property
    def landing(self) -> Path:
        """Folder of the landing files that end with the current step."""
        return self.folder / "landing"

    @property
    def warehouse(self) -> Path:
        """The replay's own warehouse."""
        return self.folder / "warehouse.duckdb"

    @property
    def log(self) -> Path:
        """File with all output of dbt."""
        return self.folder / "replay.log"


Dbt = Callable[[str, Replay], None]  # runs `build` or `test`; raises BuildFailed


def replay(
    start: str,
    end: str,
    step: str = "week",
    buckets: tuple[str, ...] = (),
    preset: str | None = None,
    dbt: Dbt | None = None,
) -> Path:
    """Replay the landing data from `start` to `end`, or continue a stopped replay, and print the report.

    Parameters
    ----------
    start, end : str
        YYYY-MM-DD. An `end` after the newest bar means the newest bar.
    step : {"week", "day", "month"}
        A build for each session, or for the last one of each week or month within the range.
    buckets : tuple of str
        Names in seeds/buckets.csv; empty for all.
    preset : {"quick", "standard", "full"}, optional
        Which families compete; the project's own setting if omitted.
    dbt : callable, optional
        Runs dbt; `run_dbt` if omitted. Tests pass a substitute.

    Returns
    -------
    Path
        The replay's folder, with warehouse.duckdb, report.md, replay.png, replay.log.

    Raises
    ------
    InvalidArgument
        A date, step or bucket does not exist, or the range has no sessions.
    ZlForecastError
        There is too little history before the range, the landing data have changed since the replay started, or
        the replay was stopped.
    BuildFailed
        A build or the data tests failed; the message names the day.
    """
    dbt = dbt or run_dbt
    source = find_landing()
    landing = Landing(source)
    tables = {name: landing.table(name) for name in TABLES}
    bars = tables["bars_daily"]
    sessions = (
        pd.DatetimeIndex(bars.filter(pc.field("symbol") == "ZL")["as_of_date"].to_pandas()).unique().sort_values()
    )
    first_day, last_day = _day("FROM", start), _day("TO", end)
    days = select_days(sessions, first_day, last_day, step)
    _check_buckets(buckets)
    parts = (f"{first_day}_{last_day}_{step}", "-".join(buckets), preset)
    work = Replay(first_day, last_day, step, buckets, preset, data_dir() / "replay" / "_".join(filter(None, parts)))
    marker = source.path / SIMULATED_MARKER if source.data_source == "simulated" else None

    progress = _progress(work)
    _check_same_data(tables, progress["days"], work, source.path, marker)
    todo = [day for day in days if str(day) not in progress["days"]]
    print(
        f"Replaying {len(days)} steps, {days[0]} to {days[-1]}, of {source.path} ({source.data_source}) in {work.folder}"
        + (f"; {len(days) - len(todo)} already done" if len(todo) < len(days) else ""),
        flush=True,
    )
    with _bar(bool(todo)) as bar:
        task = bar.add_task("", total=len(days), completed=len(days) - len(todo))
        for day in todo:
            bar.update(task, description=str(day))
            started_at = time.monotonic()
            digest = write_known_rows(tables, day, work.landing, marker)
            with _naming(day, work):
                dbt("build", work)
            progress["days"][str(day)] = {"seconds": round(time.monotonic() - started_at, 1), "landing": digest}
            progress["is_tested"] = False
            _save(progress, work)
            bar.advance(task)
            took = progress["days"][str(day)]["seconds"]
            bar.console.print(f"{day}  {took:4.0f} s  {_actions(work.warehouse)}")
    failed = _data_tests(dbt, progress, days[-1], work)
    text = report(work.warehouse, {date.fromisoformat(day): done["seconds"] for day, done in progress["days"].items()})
    drawn = draw(work.warehouse, work.folder / "replay.png")
    _write(work.folder / "report.md", text)
    print(f"\n{text}")
    print(
        f"Next: query {work.warehouse} (read-only): forecasts.zl_forecast_accuracy, monitoring.model_health (week by week);"
        f"\n      {state_beside(work.warehouse)}: forecasts.zl_forecast_ledger, monitoring.run_history (every reselection with its reason)."
        f"\n      The same report: {work.folder / 'report.md'}"
        + (f"; the picture: {work.folder / 'replay.png'}" if drawn else "")
    )
    if failed:
        raise failed
    return work.folder


def select_days(sessions: pd.DatetimeIndex, start: date, end: date, step: str) -> list[date]:
    """List the days on which a build is made.

    Parameters
    ----------
    sessions : DatetimeIndex of shape (n_sessions,)
        Days with a ZL bar, ascending.
    start, end : date
        The range, both included. A message is printed if `end` lies after the newest session.
    step : {"day", "week", "month"}
        A key of `PERIODS`. In a last week or month that `end` cuts short, the last session within the range
        counts.

    Returns
    -------
    list of date
        Ascending.

    Raises
    ------
    InvalidArgument
        The step does not exist, or the range has no sessions.
    ZlForecastError
        There are fewer than `HISTORY_SESSIONS` sessions up to the first step.
    """
    if step not in PERIODS:
        raise InvalidArgument(f"STEP '{step}' does not exist. Use {', '.join(PERIODS)}.")
    first, newest = sessions[0].date(), sessions[-1].date()
    if end > newest:
        print(f"TO {end} is after the newest ZL bar: the replay ends on {newest}.", flush=True)
    in_range = sessions[(sessions >= pd.Timestamp(start)) & (sessions <= pd.Timestamp(end))]
    if in_range.empty:
        raise InvalidArgument(
            f"no ZL session between FROM {start} and TO {end}; the landing data cover {first} to {newest}. "
            "Choose dates within that range."
        )
    days = [day.date() for day in in_range.to_series().groupby(in_range.to_period(PERIODS[step])).max()]
    known = int((sessions <= pd.Timestamp(days[0])).sum())
    if known < HISTORY_SESSIONS:
        remedy = (
            f"Choose FROM={sessions[HISTORY_SESSIONS - 1].date()} or later, or add earlier ZL bars."
            if len(sessions) >= HISTORY_SESSIONS
            else f"There are only {len(sessions)} in all: add earlier ZL bars."
        )
        raise ZlForecastError(
            f"only {known} ZL sessions up to the first step, {days[0]} (the data begin on {first}); a forecast needs "
            f"{HISTORY_SESSIONS}: {WARM_UP_SESSIONS} to warm up features, {settings.FIRST_TRAIN_SESSIONS} to train, "
            f"252 to test. {remedy}"
        )
    return days


def write_known_rows(tables: dict[str, pa.Table], day: date, folder: Path, marker: Path | None) -> str:
    """Write landing files with the rows that were public at the cut-off of `day`, each file atomically.

    Parameters
    ----------
    tables : dict of str to pyarrow.Table
        By name in `TABLES`, as from `read_table`.
    day : date
        Rows with a later date in their `KNOWN_FROM` column are left out. A table without rows has no file.
    folder : Path
        Created. Only this function writes into it.
    marker : Path or None
        SIMULATED.json of a simulated market, which is copied.

    Returns
    -------
    str
        SHA-256 of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for name, table in tables.items():
        file = folder / f"{name}.parquet"
        known = table.filter(pc.field(KNOWN_FROM[name]) <= pa.scalar(day)).select(list(TABLES[name].columns))
        if known.num_rows == 0:
            file.unlink(missing_ok=True)
            continue
        # the contract needs ascending dates within a group; the digest needs the same bytes for the same rows
        order = dict.fromkeys((*(TABLES[name].order or ()), *TABLES[name].key))
        rows = known.sort_by([(column, "ascending") for column in order]).combine_chunks().replace_schema_metadata()
        temporary = file.with_suffix(".writing")
        pq.write_table(rows, temporary)
        digest.update(name.encode() + temporary.read_bytes())
        os.replace(temporary, file)
    if marker:
        _write(folder / SIMULATED_MARKER, marker.read_text())
        digest.update(marker.read_bytes())
    else:
        (folder / SIMULATED_MARKER).unlink(missing_ok=True)
    return digest.hexdigest()


def run_dbt(command: str, work: Replay) -> None:
    """Run dbt in this process, on the landing files and into the warehouse of the replay.

    All steps share this process, so libraries and workers are loaded only once. Output goes to `work.log`.

    Parameters
    ----------
    command : {"build", "test"}
        `build` runs no tests, `test` the data tests only.
    work : Replay
        Folders and vars.

    Raises
    ------
    ZlForecastError
        The project cannot be found.
    BuildFailed
        A node failed; the message has the first one's name and error.
    KeyboardInterrupt
        Ctrl-C.
    """
    dbt_vars = {"buckets": list(work.buckets), "preset": work.preset}
    arguments = [command, "--project-dir", str(project_dir()), "--exclude-resource-type", "unit_test"]
    arguments += ["--exclude-resource-type", "test"] if command == "build" else ["--indirect-selection", "buildable"]
    arguments += ["--select", *SELECT, "--vars", json.dumps({name: value for name, value in dbt_vars.items() if value})]
    environment = {
        "ZL_DATA_DIR": str(work.folder),
        "ZL_LANDING_DIR": str(work.landing),
        "DBT_TARGET_PATH": str(work.folder / "target"),
        "DBT_LOG_PATH": str(work.folder / "logs"),
        "DBT_PROFILES_DIR": os.environ.get("DBT_PROFILES_DIR", str(project_dir() / "profiles")),
        "DBT_USE_COLORS": "false",
    }
    with _environment(environment), _output_to(work.log):
        failed = failures(invoke(arguments))
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise BuildFailed(": ".join(filter(None, failed[0])) + others)


def report(warehouse: Path, seconds: dict[date, float]) -> str:
    """Summarise a replay as Markdown.

    Parameters
    ----------
    warehouse : Path
        The replay's own.
    seconds : dict of date to float
        Wall time of each finished step, in seconds.

    Returns
    -------
    str
        Reselections with their triggers, accuracy by horizon, coverage by quarter, fallbacks and health, wall
        time.
    """
    with open_warehouse(REMEDY, warehouse) as con:
        source = _source(con)
        history = _rows(
            con, "state.monitoring.run_history", "where data_source = ? order by as_of_date, bucket", source
        )
        ledger = _rows(
            con, "state.forecasts.zl_forecast_ledger", "where data_source = ? order by as_of_date, horizon_days", source
        )
        due = _rows(con, "forecasts.zl_forecast_accuracy", "order by as_of_date, horizon_days")
        health = _rows(con, "monitoring.model_health", "where is_newest order by subject, horizon_days")
    days = sorted(seconds)
    return "\n".join(
        [
            f"# Replay {days[0]} to {days[-1]}: {len(days)} steps, {printable(source)} data",
            "",
            "## Reselections and their triggers",
            "",
            *_action_lines(history),
            "## Accuracy",
            "",
            "Forecasts of the ledger against the reference of the same day. Targets of neighbouring steps overlap if the "
            "horizon is longer than the step, so there are fewer independent outcomes than rows.",
            "",
            _table(_accuracy(ledger, due)),
            "",
            "## Coverage of the 80 % band by quarter",
            "",
            "By quarter of the forecast date; number of outcomes in brackets.",
            "",
            _table(_coverage_by_quarter(due)),
            "",
            "## Fallbacks and health",
            "",
            *_fallback_lines(ledger),
            *_health_lines(health),
            "## Wall time",
            "",
            *_time_lines(seconds, set(pd.to_datetime(history["as_of_date"]).dt.date) if len(history) else set()),
            "",
        ]
    )


def draw(warehouse: Path, to: Path) -> bool:
    """Draw the cumulative reduction of pinball loss against the reference, as PNG.

    There is one line per horizon in cents/lb over target dates, and a vertical line at each reselection of a
    degraded bucket.

    Parameters
    ----------
    warehouse : Path
        The replay's own.
    to : Path
        File to write, completely or not at all. An older one is deleted if nothing has matured.

    Returns
    -------
    bool
        False, without a file, if nothing has matured yet.
    """
    from matplotlib.figure import Figure

    with open_warehouse(REMEDY, warehouse) as con:
        due = _rows(con, "forecasts.zl_forecast_accuracy", "order by target_date, as_of_date")
        history = _rows(con, "state.monitoring.run_history", "where data_source = ? order by as_of_date", _source(con))
    if due.empty:
        to.unlink(missing_ok=True)
        return False
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for (_, code), own in due.groupby(["horizon_days", "horizon_code"]):
        saved = (own["reference_pinball_cents"] - own["pinball_cents"]).cumsum()
        axes.step(own["target_date"], saved, where="post", label=code)
    for number, day in enumerate(_degraded(history)["as_of_date"].unique() if len(history) else ()):
        axes.axvline(day, color="grey", linestyle=":", label=None if number else "reselection of a degraded bucket")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_title(f"Cumulative pinball loss saved against the reference, {due['data_source'].iloc[0]} data")
    axes.set_ylabel("cents/lb, summed over forecasts; up is better")
    axes.set_xlabel("target date")
    axes.legend()
    temporary = to.with_suffix(".writing")
    figure.savefig(temporary, format="png", dpi=120)
    os.replace(temporary, to)
    return True


def _check_same_data(
    tables: dict[str, pa.Table], done: dict[str, dict], work: Replay, source: Path, marker: Path | None
) -> None:
    """Refuse to continue if the landing data up to the newest finished step have changed. Writes that step's files."""
    if not done:
        return
    newest = max(done)
    if write_known_rows(tables, date.fromisoformat(newest), work.landing, marker) != done[newest]["landing"]:
        raise ZlForecastError(
            f"the landing data in {source} up to {newest} changed since this replay started. "
            f"Restore them, or remove {work.folder} to start again."
        )


def _data_tests(dbt: Dbt, progress: dict, day: date, work: Replay) -> BuildFailed | None:
    """Run the data tests once after the last step, and return a failure so that the report comes first."""
    if progress["is_tested"]:
        return None
    print("Running the data tests on the tables of the last step ...", flush=True)
    try:
        with _naming(day, work):
            dbt("test", work)
    except BuildFailed as failed:
        return failed
    _save(progress | {"is_tested": True}, work)
    return None


def _action_lines(history: pd.DataFrame) -> list[str]:
    if history.empty:
        return ["monitoring.run_history has no reselection.", ""]
    counted = history.groupby(["trigger", "action"], dropna=False, sort=True)
    counts = counted.agg(
        count=("bucket", "size"), buckets=("bucket", "nunique"), steps=("as_of_date", "nunique")
    ).reset_index()
    degraded = _degraded(history)
    lines = [_table(counts), ""]
    if degraded.empty:
        return [*lines, "No reselection of a degraded bucket.", ""]
    listed = degraded[["as_of_date", "bucket", "live_from", "reason"]]
    listed = listed.assign(**{name: pd.to_datetime(listed[name]).dt.date for name in ("as_of_date", "live_from")})
    return [*lines, "Reselections of degraded buckets:", "", _table(listed), ""]


def _degraded(history: pd.DataFrame) -> pd.DataFrame:
    return history[history["trigger"] == "degraded"]


def _accuracy(ledger: pd.DataFrame, due: pd.DataFrame) -> pd.DataFrame:
    made = ledger.groupby(["horizon_days", "horizon_code"]).size().rename("made").reset_index()
    scored = due.groupby("horizon_days").agg(
        matured=("pinball_cents", "size"),
        pinball=("pinball_cents", "sum"),
        reference=("reference_pinball_cents", "sum"),
        inside_80=("is_inside_80", "mean"),
        inside_90=("is_inside_90", "mean"),
    )
    both = made.merge(scored.reset_index(), on="horizon_days", how="left")
    both["skill"] = 1 - both["pinball"] / both["reference"]
    return pd.DataFrame(
        {
            "horizon": both["horizon_code"],
            "made": both["made"],
            "matured": both["matured"].fillna(0).astype(int),
            "pinball skill": [format_or_dash(value, "+z.1%") for value in both["skill"]],
            "80 % coverage": [format_or_dash(value, ".0%") for value in both["inside_80"]],
            "90 % coverage": [format_or_dash(value, ".0%") for value in both["inside_90"]],
        }
    )


def _coverage_by_quarter(due: pd.DataFrame) -> pd.DataFrame:
    if due.empty:
        return pd.DataFrame()
    quarter = pd.to_datetime(due["as_of_date"]).dt.to_period("Q").astype(str).rename("quarter")
    inside = due["is_inside_80"].astype(float).groupby([quarter, due["horizon_days"]])
    cells = inside.agg(lambda own: f"{own.mean():.0%} ({len(own)})").unstack().fillna("-")
    codes = due.drop_duplicates("horizon_days").set_index("horizon_days")["horizon_code"]
    return cells.rename(columns=codes).rename_axis(columns=None).reset_index()


def _fallback_lines(ledger: pd.DataFrame) -> list[str]:
    if "fallback_reason" not in ledger:
        return ["The ledger of this version does not record fallbacks.", ""]
    fallen = ledger[ledger["fallback_reason"].notna()]
    if fallen.empty:
        return [f"Fallback to the reference: never in {len(ledger)} forecasts.", ""]
    counts = fallen.groupby("horizon_code", sort=False).agg(
        forecasts=("as_of_date", "size"), first=("as_of_date", "min"), last=("as_of_date", "max")
    )
    counts = counts.assign(**{name: pd.to_datetime(counts[name]).dt.date for name in ("first", "last")}).reset_index()
    return [f"Fallback to the reference in {len(fallen)} of {len(ledger)} forecasts:", "", _table(counts), ""]


def _health_lines(health: pd.DataFrame) -> list[str]:
    if health.empty:
        return ["No health has been recorded.", ""]
    counts = ", ".join(f"{count} {state}" for state, count in health["state"].value_counts().items())
    unwell = health.loc[health["state"] != "healthy", ["subject", "horizon_code", "state", "reason"]]
    lines = [f"Health at the end, over {len(health)} subjects and horizons: {counts}.", ""]
    return [*lines, _table(unwell), ""] if len(unwell) else lines


def _time_lines(seconds: dict[date, float], reselections: set[date]) -> list[str]:
    first, *later = sorted(seconds)
    with_reselection = [seconds[day] for day in later if day in reselections]
    without = [seconds[day] for day in later if day not in reselections]
    lines = [
        f"- {len(seconds)} steps in {sum(seconds.values()) / 60:.1f} minutes, without interrupted attempts",
        f"- the first step, which fits the whole history: {seconds[first]:.0f} s",
    ]
    if later:
        lines.append(
            f"- median of the {len(later)} later steps: {statistics.median(seconds[day] for day in later):.0f} s"
        )
    for name, own in (("with", with_reselection), ("without", without)):
        if own:
            lines.append(f"- median of the {len(own)} of them {name} a reselection: {statistics.median(own):.0f} s")
    return lines


def _table(frame: pd.DataFrame) -> str:
    """Format a Markdown table that is readable as plain text, too."""
    if frame.empty:
        return "Nothing has matured yet."
    cells = [
        [printable(cell).replace("|", "\\|") for cell in row] for row in [frame.columns, *frame.to_numpy(dtype=object)]
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _source(con: duckdb.DuckDBPyConnection) -> str:
    """Return the market of the newest forecast; append-only tables also keep rows of an earlier market."""
    return read_value(con, "select arg_max(data_source, made_at) from state.forecasts.zl_forecast_ledger")


def _rows(con: duckdb.DuckDBPyConnection, table: str, rest: str, *values: str) -> pd.DataFrame:
    """Read rows of a table; return an empty frame if this version has no such table."""
    try:
        return con.execute(f"from {table} {rest}", values).df()
    except duckdb.CatalogException:
        return pd.DataFrame()


def _actions(warehouse: Path) -> str:
    """Describe what the last step did."""
    try:
        with open_warehouse(REMEDY, warehouse) as con:
            plan = _rows(con, "monitoring.run_plan", "")
    except DatabaseInUse:  # another process runs the same replay
        raise
    except ZlForecastError:  # nothing has been built yet
        return "-"
    if plan.empty:
        return "built"
    words = plan["action"] + ("(" + plan["trigger"] + ")").fillna("")
    return " ".join(f"{count} {word}" for word, count in words.value_counts().items())


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(
            f"{name} '{text}' is not a date. Write it as YYYY-MM-DD, for example {name}=2019-01-01."
        ) from error


def _check_buckets(buckets: tuple[str, ...]) -> None:
    known = list(pd.read_csv(seed("buckets"))["bucket"])
    unknown = [bucket for bucket in buckets if bucket not in known]
    if unknown:
        raise InvalidArgument(
            f"bucket '{unknown[0]}' does not exist. Choose from {', '.join(known)}, separated by commas."
        )


def _progress(work: Replay) -> dict:
    """Read the record: `days` (seconds and landing fingerprint per day), and whether the last one was tested."""
    file = work.folder / "progress.json"
    return json.loads(file.read_text()) if file.exists() else {"days": {}, "is_tested": False}


def _save(progress: dict, work: Replay) -> None:
    _write(work.folder / "progress.json", json.dumps(progress, indent=1))


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(file.name + ".writing")
    temporary.write_text(text)
    os.replace(temporary, file)


@contextmanager
def _bar(is_shown: bool) -> Iterator[Progress]:
    """Show a bar on a terminal, through a descriptor of its own, because the output of dbt goes to a file."""
    console = open_console()
    if is_shown and console.is_terminal:
        console.file = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        yield bar


@contextmanager
def _naming(day: date, work: Replay) -> Iterator[None]:
    """Add the day, the log and how to continue to errors."""
    try:
        yield
    except BuildFailed as error:
        raise BuildFailed(
            f"step {day} failed: {error}\n    dbt output: {work.log}. Fix the cause, then run the same command to continue."
        ) from error
    except KeyboardInterrupt:
        raise ZlForecastError(f"stopped at {day}; run the same command to continue.") from None


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Redirect output to a file by descriptor, because workers inherit descriptors."""
    streams = {1: sys.stdout, 2: sys.stderr}
    for stream in streams.values():
        stream.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in streams}
    with log.open("ab") as file:
        for descriptor in streams:
            os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        for descriptor, stream in streams.items():
            stream.flush()
            os.dup2(kept[descriptor], descriptor)
            os.close(kept[descriptor])
