"""The landing contract: columns, types and plausibility of each file.

A file that breaks it is named with column and rows. Structure is checked here for every row, since all
buckets share the files. Values are checked here for ZL only: without ZL there is nothing to forecast. Odd
values of other inputs are for the bucket's expectation suite, which quarantines that bucket alone.

A number that is infinite, not a number, or of an impossible size (`HUGE`) counts as no value: one of them in
a window would stop the whole build. Of ZL's close that is refused; a bar of another instrument without a
close is a missing bar, and an observation without a value is none. Their number is printed.
"""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from zl_forecast.errors import LandingError
from zl_forecast.landing.folder import LandingFolder

ZL_RANGE = (10.0, 150.0)  # cents/lb; since 1973 ZL closed between about 14 and 91
ZL_JUMP = 0.25  # log return between two sessions of one contract; the largest of 2010-2021 is 0.093
ZL_STALE_DAYS = 10  # how far ZL's last bar may lie behind the newest bar of any other symbol
HUGE = 1e15  # a number beyond is no price, volume or index; below, squares and their sums stay finite
DUST = 1e-15  # nearer to zero is zero, so that no ratio explodes either
FIRST_DATE = "1800-01-01"  # before that it is a misread year


@dataclass(frozen=True)
class Table:
    """One table of the contract: its columns in order, its key, and what is wrong in a file of it."""

    columns: dict[str, str]
    key: tuple[str, ...]
    not_null: tuple[str, ...]
    order: tuple[str, str] | None = None  # (group, date): dates must not go back within a group of a file
    normal: dict[str, str] = field(default_factory=dict)  # one spelling for names that are written in several
    value: str | None = None  # a row that has none here is as good as absent, once it has passed the checks
    checks: tuple[tuple[str, str, str, str], ...] = field(
        default=()
    )  # (column, condition that is wrong, problem, way out)


TABLES = {
    "bars_daily": Table(
        columns={
            "symbol": "VARCHAR",
            "as_of_date": "DATE",
            "open": "DOUBLE",
            "high": "DOUBLE",
            "low": "DOUBLE",
            "close": "DOUBLE",
            "volume": "BIGINT",
            "contract_id": "VARCHAR",
        },
        key=("symbol", "as_of_date"),
        not_null=("symbol", "as_of_date"),
        order=("symbol", "as_of_date"),
        normal={"symbol": "upper(trim(symbol))"},
        value="close",
        checks=(
            (
                "as_of_date",
                "as_of_date > current_date + 1",
                "trade dates in the future",
                "Remove or correct them.",
            ),
            (
                "as_of_date",
                f"as_of_date < date '{FIRST_DATE}'",
                f"trade dates before {FIRST_DATE[:4]}",
                "Write dates as YYYY-MM-DD, the year with four digits.",
            ),
            (
                "close",
                "symbol = 'ZL' and close is null",
                "ZL bars without a finite close",
                "Every ZL bar needs its settlement or last price: fill it in, or drop the row if there was no session.",
            ),
            (
                "open",
                "symbol = 'ZL' and open is null",
                "ZL bars without a finite open",
                "Every ZL bar needs it: on a roll the session's return counts from its own open.",
            ),
            (
                "close",
                f"symbol = 'ZL' and close not between {ZL_RANGE[0]} and {ZL_RANGE[1]}",
                f"ZL closes outside {ZL_RANGE[0]:g} to {ZL_RANGE[1]:g} cents/lb",
                "ZL cannot be negative and is quoted in cents/lb: if these are USD/lb multiply by 100, "
                "if USD/t divide by 22.0462.",
            ),
            *(
                (
                    column,
                    f"symbol = 'ZL' and {column} <= 0",
                    f"ZL bars whose {column} is zero or negative",
                    f"ZL cannot trade there: correct {column}, or leave it empty where it is not known.",
                )
                for column in ("open", "high", "low")
            ),
            (
                "high",
                "symbol = 'ZL' and (high < low or close > high * 1.0001 or close < low * 0.9999)",
                "ZL bars whose close lies outside low to high",
                "Check that open, high, low and close were not swapped.",
            ),
        ),
    ),
    "series": Table(
        columns={"series_id": "VARCHAR", "obs_date": "DATE", "available_on": "DATE", "value": "DOUBLE"},
        key=("series_id", "obs_date", "available_on"),
        not_null=("series_id", "obs_date", "available_on"),
        order=("series_id", "available_on"),
        normal={"series_id": "trim(series_id)"},
        value="value",
        checks=(
            (
                "available_on",
                "available_on < obs_date",
                "values known before the day that they describe",
                "available_on is the first trade date at whose 17:00 Chicago cut-off the value was public: "
                "correct the lag.",
            ),
        ),
    ),
    "policy_events": Table(
        columns={
            "event_date": "DATE",
            "available_on": "DATE",
            "bucket": "VARCHAR",
            "kind": "VARCHAR",
            "title": "VARCHAR",
            "severity": "DOUBLE",
        },
        key=("event_date", "available_on", "bucket", "title"),
        not_null=("event_date", "available_on", "bucket", "title", "severity"),
        normal={"bucket": "lower(trim(bucket))"},
    ),
}


def read_table(name: str, folder: LandingFolder) -> pa.Table:
    """All files of one landing table, checked, with the column data_source.

    Parameters
    ----------
    name : str
        A key of `TABLES`.
    folder : LandingFolder
        Where the files are.

    Returns
    -------
    pyarrow.Table
        The contract's columns plus data_source; empty where an optional table has no file.

    Raises
    ------
    LandingError
        A file cannot be read, lacks a column, holds a wrong type, a null in a key, a contradicted key, a date
        that goes back, or an impossible ZL price; or there is no ZL, or it stopped long before other symbols.
    """
    table = TABLES[name]
    files = folder.files(name)
    con = duckdb.connect()
    con.execute("set threads = 2")
    con.execute("set timezone = 'UTC'")  # a date written as an instant is the same date on every machine
    columns = ", ".join(f"null::{kind} as {column}" for column, kind in table.columns.items())
    con.execute(f"create table landing as select {columns}, null::varchar as _file where false")
    for file in files:
        _append(con, file, table)
    for file in files:
        _check_rows(con, file, table)
    _check_key(con, table, name)
    if name == "bars_daily":
        _check_zl(con, folder)
    present = f"where {table.value} is not null" if table.value else ""
    return con.execute(
        f"select * exclude (_file), $source::varchar as data_source from landing {present}",
        {"source": folder.data_source},
    ).to_arrow_table()


def _append(con: duckdb.DuckDBPyConnection, file: Path, table: Table) -> None:
    """Read one file into `landing`: every column of the contract in its type, nothing silently lost."""
    _read(con, file)
    present = {row[0] for row in con.execute("describe raw").fetchall()}
    missing = [column for column in table.columns if column not in present]
    if missing:
        raise LandingError(
            file=file.name,
            column=", ".join(missing),
            problem="missing",
            way_out=f"The contract's columns are {', '.join(table.columns)}; "
            f"the file has {', '.join(sorted(present))}.",
        )
    if con.execute("select count(*) from raw").fetchone()[0] == 0:
        raise LandingError(
            file=file.name,
            problem="holds no rows",
            rows=0,
            way_out="Remove the file, or write it again with its rows.",
        )
    casts = {}
    for column, kind in table.columns.items():
        impossible = "false"
        if kind in ("DOUBLE", "BIGINT"):
            size = f"abs(try_cast({column} as double))"  # not a number counts as larger than any
            impossible = f"coalesce({size} > {HUGE}, false)"
            _say_impossible(con, file, column, impossible)
        bad, example = con.execute(
            f"select count(*), any_value({column}::varchar) from raw "
            f"where {column} is not null and try_cast({column} as {kind}) is null and not {impossible}"
        ).fetchone()
        if bad:
            raise LandingError(
                file=file.name,
                column=column,
                rows=bad,
                problem=f"not a {kind}, for example {example!r}",
                way_out=f"Write {column} as {kind}; leave it empty where there is no value.",
            )
        casts[column] = f"try_cast({table.normal.get(column, column)} as {kind})"
        if impossible != "false":
            casts[column] = f"case when {impossible} then null when {size} < {DUST} then 0 else {casts[column]} end"
    con.execute(f"insert into landing select {', '.join(casts.values())}, $file from raw", {"file": file.name})


def _read(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """One file as it is, into `raw`. CSV has one dialect and no guessing: what does not fit is an error."""
    csv = (
        "read_csv($file, header = true, all_varchar = true, "
        "delim = ',', quote = '\"', escape = '\"', comment = '', skip = 0)"
    )
    reader = csv if file.suffix == ".csv" else "read_parquet($file)"
    try:
        if file.stat().st_size == 0:
            raise LandingError(
                file=file.name,
                problem="is empty",
                rows=0,
                way_out="Remove the file, or write it again with its rows.",
            )
        con.execute(f"create or replace temp table raw as from {reader}", {"file": str(file)})
        cut = file.suffix == ".csv" and not _ends_with_newline(file)
    except (duckdb.Error, OSError) as error:
        raise LandingError(
            file=file.name,
            problem=f"cannot be read as {file.suffix[1:]}: {' '.join(str(error).split())[:300]}",
            way_out="It may be half written or damaged: write it again to a temporary name "
            "and rename it when complete.",
        ) from error
    if cut:
        raise LandingError(
            file=file.name,
            problem="the last line has no end, so a value in it may be cut",
            rows=1,
            way_out="If the file is whole, end its last line with a newline; if it is half written, write it again.",
        )


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() in (b"\n", b"\r")


def _say_impossible(con: duckdb.DuckDBPyConnection, file: Path, column: str, impossible: str) -> None:
    rows, example = con.execute(f"select count(*), any_value({column}::varchar) from raw where {impossible}").fetchone()
    if rows:
        print(
            f"{file.name}, column {column}: {rows} impossible number(s) count as missing, for example {example}",
            flush=True,
        )


def _check_rows(con: duckdb.DuckDBPyConnection, file: Path, table: Table) -> None:
    """Nulls, then the contract's own checks, then dates that go back, within one file."""
    nulls = [
        (c, f"{c} is null", "no value", f"Every row needs {c}: fill it in or drop the row.") for c in table.not_null
    ]
    for column, wrong, problem, way_out in [*nulls, *table.checks]:
        rows = con.execute(
            f"select count(*) from landing where _file = $file and ({wrong})", {"file": file.name}
        ).fetchone()[0]
        if rows:
            raise LandingError(file=file.name, column=column, rows=rows, problem=problem, way_out=way_out)
    if table.order:
        group, date = table.order
        rows, example = con.execute(
            f"""
            with ordered as (
                select {group}, {date}, lag({date}) over (partition by {group} order by rowid) as previous
                from landing where _file = $file
            )
            select count(*), any_value({group} || ' ' || {date}) from ordered where {date} < previous
            """,
            {"file": file.name},
        ).fetchone()
        if rows:
            raise LandingError(
                file=file.name,
                column=date,
                rows=rows,
                problem=f"dates go back within a {group}, first seen at {example}",
                way_out=f"Sort the file by {group} and {date}; if dates were misread (day and month?), correct them.",
            )


def _check_key(con: duckdb.DuckDBPyConnection, table: Table, name: str) -> None:
    """One key, one content: an exact repeat (overlapping files) is harmless, a contradiction is not."""
    key = ", ".join(table.key)
    others = ", ".join(column for column in table.columns if column not in table.key)
    rows, files, example = con.execute(
        f"""
        with repeated as (
            select {key} from landing group by {key} having count(*) > 1
        ),

        contradictions as (
            select {key}, count(*) as n, string_agg(distinct _file, ', ' order by _file) as files
            from landing semi join repeated using ({key})
            group by {key} having count(distinct ({others})) > 1
        )
        select coalesce(sum(n), 0)::int, any_value(files), any_value(concat_ws(' ', {key}))
        from contradictions
        """
    ).fetchone()
    if rows:
        raise LandingError(
            file=files or name,
            column=key,
            rows=rows,
            problem=f"duplicate key with different values, for example {example}",
            way_out="Keep one row a key. For series, a revised value is a new row with a later available_on.",
        )


def _check_zl(con: duckdb.DuckDBPyConnection, folder: LandingFolder) -> None:
    """ZL is there, does not jump impossibly, and did not stop before the rest."""
    names = ", ".join(path.name for path in folder.files("bars_daily"))
    first_zl, last_zl, newest = con.execute(
        """
        select min(as_of_date) filter (where symbol = 'ZL'), max(as_of_date) filter (where symbol = 'ZL'),
            max(as_of_date) from landing
        """
    ).fetchone()
    if first_zl is None:
        raise LandingError(
            file=names,
            column="symbol",
            problem="no rows of ZL, the instrument to be forecast",
            rows=0,
            way_out="Add the continuous front series of soybean oil as symbol ZL to a bars_daily file in "
            f"{folder.path}.",
        )
    if (newest - last_zl).days > ZL_STALE_DAYS:
        raise LandingError(
            file=names,
            column="as_of_date",
            problem=f"ZL is stale: its last bar is {last_zl}, while other symbols reach {newest}",
            rows=(newest - last_zl).days,
            way_out="Fetch the missing ZL bars; a forecast from old prices would look like a new one.",
        )
    rows, example = con.execute(
        """
        with steps as (
            select
                as_of_date, contract_id, close,
                lag(close) over d as previous, lag(contract_id) over d as previous_contract
            from landing where symbol = 'ZL' window d as (order by as_of_date)
        )
        select count(*), min(as_of_date)::varchar from steps
        where contract_id is not distinct from previous_contract and abs(ln(close / previous)) > $jump
        """,
        {"jump": ZL_JUMP},
    ).fetchone()
    if rows:
        raise LandingError(
            file=names,
            column="close",
            rows=rows,
            problem=f"ZL moves by more than {ZL_JUMP:.0%} between sessions of one contract, first on {example}",
            way_out="A misprint or a change of unit inside the file: correct those rows.",
        )
