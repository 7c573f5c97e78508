"""The landing check: read all files of a folder, check them against the contract, and list the findings.

Every row of every table is checked for structure, since all buckets share the files. The checks of
all bars of a symbol together are in `zl_forecast.landing.instruments`. A number that is infinite, not
a number, or of an impossible size counts as missing: one of them in a window would stop the whole
build. A missing close of ZL is refused. A bar of another instrument without a close counts as a
missing bar, and an observation without a value as a missing observation.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import LandingError, printable
from zl_forecast.landing.folder import LandingFolder
from zl_forecast.landing.instruments import (
    LISTED,
    ZL_STALE_DAYS,
    Finding,
    check_instruments,
    likely_names,
    name_findings,
)
from zl_forecast.landing.read import read_file
from zl_forecast.landing.tables import FIRST_DATE, TABLES, Table
from zl_forecast.paths import seed
from zl_forecast.queries import read_row, read_value

FILES = pa.schema(
    {
        "file_name": pa.string(),
        "table_name": pa.string(),
        "status": pa.string(),
        "n_rows": pa.int64(),
        "n_subjects": pa.int64(),
        "first_date": pa.date32(),
        "last_date": pa.date32(),
        "reason": pa.string(),
        "folder": pa.string(),
        "data_source": pa.string(),
    }
)
FINDINGS = pa.schema(
    {
        "table_name": pa.string(),
        "severity": pa.string(),
        "subject": pa.string(),
        "column_name": pa.string(),
        "n_rows": pa.int64(),
        "problem": pa.string(),
        "remedy": pa.string(),
        "data_source": pa.string(),
    }
)
SEVERITIES = ("refused", "quarantined", "warning", "info")
MEMORY_LIMIT = "4GB"


@dataclass
class _Checked:
    """One table with the results of its check."""

    rows: pa.Table | None = None
    findings: list[Finding] = field(default_factory=list)
    errors: list[LandingError] = field(default_factory=list)
    files: list[dict] = field(default_factory=list)


class Landing:
    """A landing folder, read and checked once.

    Parameters
    ----------
    folder : LandingFolder
        Where the files are.
    sessions : DataFrame, optional
        Columns calendar and session_date, for all calendars of seeds/instruments.csv. Taken from
        pandas_market_calendars if omitted.

    Examples
    --------
    >>> landing = Landing(find_landing())                                  # doctest: +SKIP
    >>> bars = landing.table("bars_daily").to_pandas()                     # doctest: +SKIP
    """

    def __init__(self, folder: LandingFolder, sessions: pd.DataFrame | None = None):
        self.folder = folder
        self.instruments = pd.read_csv(seed("instruments"))
        self._sessions = sessions
        self._checked: dict[str, _Checked] = {}

    def table(self, name: str) -> pa.Table:
        """Return all files of one landing table as one checked table.

        Parameters
        ----------
        name : {"bars_daily", "series", "policy_events", "curve_daily"}
            Table of the contract, a key of `TABLES`.

        Returns
        -------
        pyarrow.Table
            The contract's columns plus data_source. Empty if an optional table has no file.

        Raises
        ------
        LandingError
            A file cannot be read, lacks a column, or holds a wrong type, a null in a key, a duplicate key
            with different values, dates out of order, an implausible date or impossible ZL bars. Also
            raised if there is no ZL, or if ZL ends long before the other symbols.
        """
        checked = self._check(name)
        if checked.errors:
            raise checked.errors[0]
        return checked.rows

    def findings(self) -> pa.Table:
        """List the findings of the check, most serious first.

        Returns
        -------
        pyarrow.Table
            One row per finding, with the columns of `FINDINGS`. A file that breaks the contract is a
            finding of severity `refused` here; only `table` raises.
        """
        found = [finding for name in TABLES for finding in self._check(name).findings]
        found += [
            Finding(name, "refused", error.file, error.what, error.remedy, error.rows, error.column)
            for name in TABLES
            for error in self._check(name).errors
        ]
        found += [
            Finding("", "warning", printable(name), "not read", f"{reason[0].upper()}{reason[1:]}.")
            for name, reason in self.folder.unread()
        ]
        found.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.table, finding.subject))
        rows = [
            {"table_name": f.table, "n_rows": f.rows, "column_name": f.column, "data_source": self.folder.data_source}
            | asdict(f)
            for f in found
        ]
        return pa.Table.from_pylist([{name: row[name] for name in FINDINGS.names} for row in rows], FINDINGS)

    def files(self) -> pa.Table:
        """List every file of the folder with its status: `read`, `refused` or `not_read`.

        Returns
        -------
        pyarrow.Table
            One row per file, with the columns of `FILES`; counts and dates are null if it could not be read.
        """
        rows = [file for name in TABLES for file in self._check(name).files]
        rows += [
            {"file_name": printable(name), "status": "not_read", "reason": reason}
            for name, reason in self.folder.unread()
        ]
        whole = {"folder": str(self.folder.path.resolve()), "data_source": self.folder.data_source}
        return pa.Table.from_pylist([row | whole for row in rows], FILES)

    def _check(self, name: str) -> _Checked:
        """Read and check one table, when it is first asked for."""
        if name in self._checked:
            return self._checked[name]
        table, checked = TABLES[name], _Checked()
        con = duckdb.connect()
        _create_landing(con, table)
        for file in self.folder.files(name):
            entry = {"file_name": printable(file.name), "table_name": name, "status": "read"}
            try:
                checked.findings += _append(con, name, file, table)
                entry |= _summarise(con, file, table)
                _check_rows(con, file, table)
            except LandingError as error:
                checked.errors.append(error)
                entry |= {"status": "refused", "reason": str(error)}
            except duckdb.Error as error:
                checked.errors.append(_unreadable(file, error))
                entry |= {"status": "refused", "reason": str(checked.errors[-1])}
            checked.files.append(entry)
        if not checked.errors:
            try:
                _check_key(con, table, name)
                self._check_names(con, name, checked)
                if name == "bars_daily":
                    self._check_bars(con, checked)
            except LandingError as error:
                checked.errors.append(error)
        present = f"where {table.value} is not null" if table.value else ""
        checked.rows = con.execute(
            f"select * exclude (_file), $source::varchar as data_source from landing {present}",
            {"source": self.folder.data_source},
        ).to_arrow_table()
        con.close()
        self._checked[name] = checked
        return checked

    def _check_names(self, con: duckdb.DuckDBPyConnection, name: str, checked: _Checked) -> None:
        """Report symbols, series and buckets that the project does not know."""
        known = {
            "bars_daily": set(self.instruments["symbol"]),
            "curve_daily": set(self.instruments["symbol"]),
            "series": set(pd.read_csv(seed("series"))["series_id"]),
            "policy_events": set(" ".join(pd.read_csv(seed("buckets"))["events"].dropna()).split()),
        }[name]
        table = TABLES[name]
        newest = dict(con.execute(f"select {table.subject}, max({table.date}) from landing group by 1").fetchall())
        likely = likely_names(name, newest, known)
        checked.findings += name_findings(name, newest, known, likely)
        if name == "bars_daily":
            _check_zl_is_there(
                con, self._bars_files(), self.folder, [other for other, meant in likely.items() if meant == "ZL"]
            )

    def _bars_files(self) -> str:
        return ", ".join(printable(path.name) for path in self.folder.files("bars_daily")) or "bars_daily*"

    def _check_bars(self, con: duckdb.DuckDBPyConnection, checked: _Checked) -> None:
        sessions = self._sessions
        if sessions is None:
            first, last = read_row(con, "select min(as_of_date) - 10, max(as_of_date) + 10 from landing")
            sessions = exchange_sessions(self.instruments["calendar"].unique(), first, last)
        findings = check_instruments(con, self.instruments, sessions)
        for finding in (finding for finding in findings if finding.severity == "refused"):
            raise LandingError(
                self._bars_files(), f"ZL {finding.problem}", finding.remedy, column=finding.column, rows=finding.rows
            )
        absent = con.execute(
            "select symbol, count(*) from landing where close is null group by symbol order by 1"
        ).fetchall()
        if absent:
            rows = sum(row[1] for row in absent)
            findings.append(
                Finding(
                    "bars_daily",
                    "warning",
                    ", ".join(symbol for symbol, _ in absent),
                    f"{rows} bars without a close count as missing: "
                    + ", ".join(f"{symbol} {count}" for symbol, count in absent[:LISTED]),
                    "Nothing to do if there was no session.",
                    rows,
                    "close",
                )
            )
        checked.findings += findings


def sentences(findings: pa.Table, severities: Collection[str] = SEVERITIES) -> Iterator[str]:
    """Format findings of the given severities as lines for a terminal.

    Parameters
    ----------
    findings : pyarrow.Table
        From `Landing.findings`.
    severities : collection of str
        Members of `SEVERITIES` to include; all by default.

    Yields
    ------
    str
        One line per finding: severity, table and subject, problem, and what to do.
    """
    for row in findings.to_pylist():
        if row["severity"] in severities:
            subject = " ".join(
                name for name in (row["table_name"], row["subject"]) if name and row["severity"] != "refused"
            )
            yield printable(f"{row['severity']}: {f'{subject}: ' if subject else ''}{row['problem']}. {row['remedy']}")


def read_table(name: str, folder: LandingFolder) -> pa.Table:
    """Read and check a single landing table of a folder.

    Parameters
    ----------
    name : {"bars_daily", "series", "policy_events", "curve_daily"}
        Table of the contract, a key of `TABLES`.
    folder : LandingFolder
        Where the files are.

    Returns
    -------
    pyarrow.Table
        As from `Landing.table`, which says what raises `LandingError`.
    """
    return Landing(folder).table(name)


def check_file(name: str, file: Path) -> None:
    """Check the rows of one landing file, before it is put into its folder.

    Parameters
    ----------
    name : {"bars_daily", "series", "policy_events", "curve_daily"}
        Table of the contract, a key of `TABLES`.
    file : Path
        A CSV or Parquet file with a name of that table.

    Raises
    ------
    LandingError
        As from `Landing.table`, without the checks of several files together and of all bars of a symbol together.
    """
    table = TABLES[name]
    with duckdb.connect() as con:
        _create_landing(con, table)
        try:
            _append(con, name, file, table)
            _check_rows(con, file, table)
            _check_key(con, table, name)
        except duckdb.Error as error:
            raise _unreadable(file, error) from error


def _create_landing(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Create the empty table `landing`, with the file that each row comes from."""
    con.execute(f"set threads = 2; set memory_limit = '{MEMORY_LIMIT}'; set timezone = 'UTC'")
    columns = ", ".join(f"null::{kind} as {column}" for column, kind in table.columns.items())
    con.execute(f"create table landing as select {columns}, null::varchar as _file where false")


def _append(con: duckdb.DuckDBPyConnection, name: str, file: Path, table: Table) -> list[Finding]:
    """Read one file into `landing` and return a finding per column with impossible numbers."""
    impossible = read_file(con, file, table)
    con.execute("insert into landing select *, $file from typed", {"file": printable(file.name)})
    return [
        Finding(
            name,
            "warning",
            printable(file.name),
            f"column {column}: {rows} impossible number(s) count as missing, for example {example}",
            "Correct them, or leave them empty.",
            rows,
            column,
        )
        for column, rows, example in impossible
    ]


def _unreadable(file: Path, error: duckdb.Error) -> LandingError:
    return LandingError(
        file.name,
        f"cannot be read: {' '.join(str(error).split())[:300]}",
        f"Memory is limited to {MEMORY_LIMIT} for landing files: write daily rows only, or split the file."
        if isinstance(error, duckdb.OutOfMemoryException)
        else "Write the column in a plain type: text, a number or a date.",
    )


def _summarise(con: duckdb.DuckDBPyConnection, file: Path, table: Table) -> dict:
    rows, subjects, first, last = read_row(
        con,
        f"select count(*), count(distinct {table.subject}), min({table.date}), max({table.date}) from landing where _file = $file",
        {"file": printable(file.name)},
    )
    return {"n_rows": rows, "n_subjects": subjects, "first_date": first, "last_date": last}


def _check_rows(con: duckdb.DuckDBPyConnection, file: Path, table: Table) -> None:
    """Check one file for nulls, implausible dates, the contract's own conditions and dates out of order."""
    today = read_value(con, "select current_date")
    checks = [
        (c, f"{c} is null", "no value", f"Every row needs {c}: fill it in or drop the row.") for c in table.not_null
    ]
    for column, days in table.days_ahead.items():
        checks += [
            (
                column,
                f"{column} < date '{FIRST_DATE}'",
                f"dates before {FIRST_DATE[:4]}",
                "Write dates as YYYY-MM-DD, the year with four digits.",
            ),
            (
                column,
                f"{column} > current_date + {days}",
                f"dates in the future, more than {days} {'day' if days == 1 else 'days'} after {today}",
                "Remove or correct them; if they are right, this machine's clock is wrong.",
            ),
        ]
    for column, wrong, problem, remedy in [*checks, *table.checks]:
        rows, example = read_row(
            con,
            f"select count(*), min({column})::varchar from landing where _file = $file and ({wrong})",
            {"file": printable(file.name)},
        )
        if rows:
            shown = f", for example {example}" if example else ""
            raise LandingError(file.name, problem + shown, remedy, column=column, rows=rows)
    if table.order:
        group, date = table.order
        rows, example = read_row(
            con,
            f"""
            with dated_rows as (
                select {group}, {date}, lag({date}) over (partition by {group} order by rowid) as previous
                from landing where _file = $file
            )
            select count(*), any_value({group} || ' ' || {date}) from dated_rows where {date} < previous
            """,
            {"file": printable(file.name)},
        )
        if rows:
            raise LandingError(
                file.name,
                f"dates go back within a {group}, first seen at {example}",
                f"Sort the file by {group} and {date}; if dates were misread (day and month?), correct them.",
                column=date,
                rows=rows,
            )


def _check_key(con: duckdb.DuckDBPyConnection, table: Table, name: str) -> None:
    """Refuse a key that has different values. An exact repeat, as in overlapping files, is allowed."""
    key = ", ".join(table.key)
    others = [column for column in table.columns if column not in table.key]
    differing = ", ".join(
        f"case when count(distinct coalesce({column}::varchar, 'none')) > 1 "
        f"then '{column} ' || string_agg(distinct coalesce({column}::varchar, 'none'), ' and ') end"
        for column in others
    )
    rows, files, example, values = read_row(
        con,
        f"""
        with repeated_keys as (
            select {key} from landing group by {key} having count(*) > 1
        ),

        contradictions as (
            select {key}, count(*) as n, string_agg(distinct _file, ', ' order by _file) as files,
                concat_ws(', ', {differing}) as differing
            from landing semi join repeated_keys using ({key})
            group by {key} having count(distinct row({", ".join(others)})) > 1
        )
        select coalesce(sum(n), 0)::int, arg_min(files, ({key})), arg_min(concat_ws(' ', {key}), ({key})), arg_min(differing, ({key}))
        from contradictions
        """,
    )
    if rows:
        raise LandingError(
            files or name,
            f"duplicate key with different values, for example {example}: {values}",
            "Keep one row per key. For series, a revised value is a new row with a later available_on.",
            column=key,
            rows=rows,
        )


def _check_zl_is_there(con: duckdb.DuckDBPyConnection, names: str, folder: LandingFolder, others: list[str]) -> None:
    """Refuse bars without ZL, with ZL under another name, or with ZL ending long before other symbols."""
    first_zl, last_zl, newest, symbols = read_row(
        con,
        f"""
        select min(as_of_date) filter (where symbol = 'ZL'), max(as_of_date) filter (where symbol = 'ZL'),
            max(as_of_date), array_to_string(list(distinct symbol order by symbol)[:{LISTED}], ', ')
        from landing
        """,
    )
    if first_zl is None or others:
        there = f"only {symbols}" if symbols else "no bars at all"
        raise LandingError(
            names,
            "no rows of ZL, the instrument to be forecast"
            + (f" ({there})" if first_zl is None else f", after {last_zl}")
            + (f"; {', '.join(others)}: did you mean ZL?" if others else ""),
            f"Add the continuous front series of soybean oil as symbol ZL to a bars_daily file in {folder.path}.",
            column="symbol",
            rows=0,
        )
    if (newest - last_zl).days > ZL_STALE_DAYS:
        raise LandingError(
            names,
            f"ZL is stale: its last bar is {last_zl}, while other symbols reach {newest}",
            "Fetch the missing ZL bars; a forecast from old prices would look like a new one.",
            column="as_of_date",
            rows=(newest - last_zl).days,
        )
