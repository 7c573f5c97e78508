"""Read one landing file as a DuckDB table: the contract's columns in their types, with no silent cast or cut.

Python opens the files, so that no character in a path acts as a pattern and a folder named
`year=2021` does not add a column.
"""

import csv
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from zl_forecast.errors import LandingError
from zl_forecast.landing.diagnose import diagnose
from zl_forecast.landing.tables import Table
from zl_forecast.queries import read_row

MAX_NUMBER = 1e15  # no price, volume or index is larger; sums of squares of smaller numbers stay finite
MIN_NUMBER = 1e-15  # smaller numbers count as zero, so that ratios stay finite
MAX_ROWS = 20_000_000  # two thousand symbols for forty years
MAX_BYTES = 2_000_000_000  # uncompressed values
MAX_TEXT = 1_000  # bytes per value; titles of events are the longest
CONTROL = r"\p{Cc}"
CONTROL_OR_FORMAT = r"[\p{Cc}\p{Cf}]"  # invisible marks make equal-looking names differ
TITLE_COLUMNS = ("title", "kind")
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)"
# a date, or a timestamp at midnight in its own time zone
DATE = r"(\d{4}-\d{2}-\d{2})([T ]00:00(:00(\.0+)?)? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)?)?"
TYPE_REMEDIES = {
    "DATE": "Write {column} as DATE, YYYY-MM-DD, the year with four digits. A timestamp is read as its date only if it is midnight "
    "in its own time zone; what becomes public after 17:00 Chicago belongs to the next trade date.",
    "DOUBLE": "Write {column} as DOUBLE, with a decimal point and without separators; leave it empty where there is no value.",
    "BIGINT": "Write {column} as BIGINT, a whole number; leave it empty where there is no value.",
    "VARCHAR": "Write {column} as text.",
}
HALF_WRITTEN = "It may be half written or damaged: write it again to a temporary name and rename it when complete."


def read_file(con: duckdb.DuckDBPyConnection, file: Path, table: Table) -> list[tuple[str, int, str]]:
    """Read one file into the temporary table `typed`, with the columns of the contract.

    Parameters
    ----------
    con : DuckDBPyConnection
        The table `typed` is created or replaced here.
    file : Path
        A CSV or Parquet file.
    table : Table
        The contract.

    Returns
    -------
    list of (column, rows, example)
        Impossible numbers that now count as missing.

    Raises
    ------
    LandingError
        The file cannot be read, lacks a column, holds no rows, or holds a value that is not of its
        column's type.
    """
    is_csv = file.name.lower().endswith(".csv")
    try:
        if file.stat().st_size == 0:
            raise LandingError(file.name, "is empty", "Remove the file, or write it again with its rows.", rows=0)
        raw = _read_csv(file, table) if is_csv else _read_parquet(file, table)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error, MemoryError, ValueError) as error:
        if file.is_symlink() and not file.exists():
            raise LandingError(
                file.name, "is a link to a missing file", "Restore that file, or remove the link."
            ) from error
        if isinstance(error, PermissionError):
            raise LandingError(
                file.name, "is not readable by this user", "Give this user read access (chmod)."
            ) from error
        _raise_diagnosis(file, table, is_csv)
        raise LandingError(
            file.name,
            f"cannot be read as {'csv' if is_csv else 'parquet'}: {' '.join(str(error).split())[:300]}",
            HALF_WRITTEN,
        ) from error
    if raw.num_rows == 0:
        raise LandingError(file.name, "holds no rows", "Remove the file, or write it again with its rows.", rows=0)
    _refuse_odd_text(file, raw)
    raw = pa.table({name: _as_duckdb_type(raw[name]) for name in raw.column_names})
    con.register("raw", raw)
    con.execute("create or replace temp table raw_rows as from raw")
    con.unregister("raw")
    values, impossible = [], []
    for column, kind in table.columns.items():
        value, is_impossible = _typed_value(column, kind, raw.schema.field(column).type)
        if is_impossible:
            rows, example = read_row(
                con, f"select count(*), any_value({column}::varchar) from raw_rows where {is_impossible}"
            )
            if rows:
                impossible.append((column, rows, example))
        _refuse_other_types(con, file, column, kind, value, is_impossible or "false")
        if column in table.normal:
            value = table.normal[column].format(value)
        values.append(f"({value}) as {column}")
    con.execute(f"create or replace temp table typed as select {', '.join(values)} from raw_rows order by rowid")
    con.execute("drop table raw_rows")
    return impossible


def _read_csv(file: Path, table: Table) -> pa.Table:
    """Read all values as text, an empty one as missing. Only plain CSV is accepted; anything else is an error."""
    _refuse_size(file, rows=0, size=file.stat().st_size)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream, strict=True), [])
    _check_header(file, table, header, is_csv=True)
    odd = []

    def refuse(row: pacsv.InvalidRow) -> str:
        odd.append(row)
        return "skip"

    with file.open("rb") as content:
        raw = pacsv.read_csv(
            content,
            read_options=pacsv.ReadOptions(use_threads=False),
            parse_options=pacsv.ParseOptions(invalid_row_handler=refuse),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(table.columns),
                column_types=dict.fromkeys(table.columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        content.seek(-1, 2)
        has_end = content.read() in (b"\n", b"\r")
    if odd:
        raise ValueError(f"{len(odd)} lines with more or fewer values than the header")
    if not has_end:
        raise LandingError(
            file.name,
            "the last line has no newline, so a value in it may be cut",
            "If the file is whole, end its last line with a newline; if it is half written, write it again.",
            rows=1,
        )
    return raw


def _read_parquet(file: Path, table: Table) -> pa.Table:
    with file.open("rb") as stream, pq.ParquetFile(stream) as parquet:
        _check_header(file, table, parquet.schema_arrow.names, is_csv=False)
        groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
        _refuse_size(file, parquet.metadata.num_rows, sum(group.total_byte_size for group in groups))
        return parquet.read(columns=list(table.columns), use_threads=False)


def _check_header(file: Path, table: Table, header: list[str], is_csv: bool) -> None:
    twice = sorted({name for name in header if header.count(name) > 1 and name in table.columns})
    if twice:
        raise LandingError(file.name, "named twice", "Keep one column of each name.", column=", ".join(twice))
    missing = [column for column in table.columns if column not in header]
    if missing:
        alike = {name.strip().lower(): name for name in map(str, header)}
        if set(missing) <= set(alike):
            raise LandingError(
                file.name,
                f"missing, except with other case or blanks: {', '.join(map(repr, (alike[column] for column in missing)))}",
                "Name the columns in lower case without blanks.",
                column=", ".join(missing),
            )
        _raise_diagnosis(file, table, is_csv)
        raise LandingError(
            file.name,
            "missing",
            f"The contract's columns are {', '.join(table.columns)}; "
            f"the file has {', '.join(sorted(map(str, header)))[:300]}.",
            column=", ".join(missing),
        )


def _raise_diagnosis(file: Path, table: Table, is_csv: bool) -> None:
    """Raise an error that explains what the file is, if its fault is a known one."""
    found = diagnose(file, list(table.columns)) if is_csv and file.exists() else None
    if found:
        raise LandingError(file.name, found.problem, found.remedy, rows=found.rows)


def _refuse_size(file: Path, rows: int, size: int) -> None:
    if rows > MAX_ROWS or size > MAX_BYTES:
        raise LandingError(
            file.name,
            f"holds {f'{rows:,} rows' if rows > MAX_ROWS else f'{size / 1e9:,.1f} GB of values'}; a landing file has at most "
            f"{MAX_ROWS:,} rows and {MAX_BYTES / 1e9:.0f} GB",
            "Landing files are daily: write one row per symbol (or series) and day, without the instruments that no "
            "feature reads.",
        )


def _refuse_odd_text(file: Path, raw: pa.Table) -> None:
    """Refuse text that is too long for a name or holds control characters.

    Such text is often the rest of a line, or of a file, after a quote that is not closed.
    """
    for column in raw.column_names:
        values = raw[column]
        if pa.types.is_dictionary(values.type):
            values = pa.chunked_array([chunk.dictionary for chunk in values.chunks])
        if not (_is_text(values.type) or pa.types.is_binary(values.type)):
            continue
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > MAX_TEXT:
            raise LandingError(
                file.name,
                f"holds a text of {longest:,} bytes; the longest allowed has {MAX_TEXT:,}",
                "Shorten it; if a quote is not closed, close it.",
                column=column,
            )
        if _is_text(values.type):
            odd = pc.match_substring_regex(values, CONTROL if column in TITLE_COLUMNS else CONTROL_OR_FORMAT)
            if rows := pc.sum(odd).as_py():
                raise LandingError(
                    file.name,
                    f"holds control characters, for example {pc.filter(values, odd)[0].as_py()!r}",
                    "Remove them; if a quote is not closed, close it.",
                    column=column,
                    rows=rows,
                )


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _as_duckdb_type(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert values to a type that DuckDB has: timestamps to local time of their own zone, numbers to doubles."""
    if pa.types.is_timestamp(values.type) and values.type.tz:
        zone = "UTC" if values.type.tz == "Z" else values.type.tz
        return pc.local_timestamp(values.cast(pa.timestamp(values.type.unit, zone)))
    if pa.types.is_float16(values.type) or pa.types.is_decimal256(values.type):
        return values.cast(pa.float64())
    if pa.types.is_string_view(values.type):
        return values.cast(pa.string())
    return values


def _typed_value(column: str, kind: str, found: pa.DataType) -> tuple[str, str]:
    """Return SQL of a column's typed value, null if it is of another type, and of the test for impossible numbers."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if kind == "VARCHAR":
        return f"nullif(trim({column}::varchar), '')", ""
    is_text = _is_text(found)
    text = f"trim({column}::varchar)"
    if kind == "DATE":
        if pa.types.is_date(found):
            return f"{column}::date", ""
        if pa.types.is_timestamp(found):
            instant = f"{column}::timestamp"
            return f"case when {instant} = date_trunc('day', {instant}) then {instant}::date end", ""
        if is_text:
            return f"try_cast(nullif(regexp_extract({text}, '^{DATE}$', 1), '') as date)", ""
        return "null::date", ""
    is_number = pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found)
    if is_text:
        number = f"case when regexp_full_match(lower({text}), '{NUMBER}') then try_cast({text} as double) end"
    else:
        number = f"try_cast({column} as double)" if is_number or pa.types.is_null(found) else "null::double"
    is_impossible = f"coalesce(abs({number}) > {MAX_NUMBER}, false)"  # NaN compares as larger than any number
    possible = f"case when {is_impossible} then null when abs({number}) < {MIN_NUMBER} then 0 else {number} end"
    if kind == "BIGINT":
        return (
            f"case when not {is_impossible} and {number} = round({number}) then ({number})::bigint end",
            is_impossible,
        )
    return possible, is_impossible


def _refuse_other_types(
    con: duckdb.DuckDBPyConnection, file: Path, column: str, kind: str, value: str, is_impossible: str
) -> None:
    bad, first, example = read_row(
        con,
        f"select count(*), min(rowid) + 1, arg_min({column}::varchar, rowid) from raw_rows "
        f"where nullif(trim({column}::varchar), '') is not null and ({value}) is null and not {is_impossible}",
    )
    if bad:
        raise LandingError(
            file.name,
            f"not a {kind}, for example {example!r} in row {first}",
            TYPE_REMEDIES[kind].format(column=column),
            column=column,
            rows=bad,
        )
