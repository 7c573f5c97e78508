"""Bars from CSV files of any form, described by a mapping: a TOML file that says what the columns mean.

    files = "zl/*.csv"            # relative to the mapping; a pattern may match several files
    symbol = "ZL"                 # as in seeds/instruments.csv; or "file name" (ZLH24.csv); or a column, see below
    separator = ","
    decimal = "."                 # "," for 45,12
    thousands = ""
    encoding = "utf-8-sig"        # reads UTF-8 with and without a byte order mark
    skip_lines = 0                # before the header
    skip_last_lines = 0           # such as "Downloaded from ..."
    date_format = "%Y-%m-%d"
    time_zone = ""                # of rows that are shorter than a day, such as "UTC": the date column has their start

    [columns]
    date = "Date"
    open = "Open"                 # open, high and low may be left out
    high = "High"
    low = "Low"
    close = "Settle"              # which price is the close of a bar
    settle = "Settle"             # of single contracts, for the curve
    volume = "Volume"
    open_interest = "Previous Day Open Interest"
    symbol = "Symbol"             # ZL, ZL=F, @BO#: a continuous series; ZLH24, ZLH4, BOH2024: single contracts
    contract_id = "Contract"      # of a continuous series: its front

    [factors]                     # price in the file x factor = price in the unit of seeds/instruments.csv
    ZL = 100.0

Single contracts are rolled and give the curve, as those of Databento (`rolls`).
"""

import csv
import re
import tomllib
import warnings
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from zl_forecast.errors import LandingError
from zl_forecast.ingest.bars.futures import Named, contract_month, futures, parse_symbol
from zl_forecast.ingest.bars.landed import Futures, count, join_bars, join_curves, list_days, roll_notes
from zl_forecast.ingest.bars.rolls import BARS, MAX_YEARS_AHEAD, curve_of, roll_contracts
from zl_forecast.ingest.bars.sessions import instruments, split_ghosts
from zl_forecast.ingest.bars.trade_dates import PRICES, newest_complete, to_daily

COLUMNS = ("date", "open", "high", "low", "close", "settle", "volume", "open_interest", "symbol", "contract_id")
NUMBERS = (*PRICES, "settle", "volume", "open_interest")
FILE_NAME = "file name"
MISSING = {"", "-", "--", ".", "n/a", "na", "nan", "null", "none", "#n/a"}
SUFFIXED = re.compile(r"([+-]?[\d.]+)([KMB])", re.IGNORECASE)
SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}
FACTORS = {"USD instead of cents": 100.0, "cents instead of USD": 0.01, "USD/t instead of cents/lb": 1 / 22.0462}
MAX_DAYS_APART = 3.5  # median; daily bars have 1
MIN_BARS = 10  # fewer are too few to say how far apart they are
LAST_LINE_BYTES = 1 << 16
EARLY = pd.Timedelta(hours=1)
UNREADABLE = (ValueError, LookupError, OSError, pd.errors.ParserWarning)  # also another encoding


@dataclass(frozen=True)
class Mapping:
    """What the columns of files mean; see the module.

    Attributes
    ----------
    path : Path
        The TOML file.
    files, symbol, separator, decimal, thousands, encoding, skip_lines, skip_last_lines, date_format, time_zone
        As in the module's example.
    columns : dict of str to str
        Name in the file by meaning.
    factors : dict of str to float
        By symbol.
    """

    path: Path
    files: str
    symbol: str = ""
    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8-sig"
    skip_lines: int = 0
    skip_last_lines: int = 0
    date_format: str = "%Y-%m-%d"
    time_zone: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Parameters
    ----------
    path : Path
        A TOML file.

    Returns
    -------
    Mapping
        Checked.

    Raises
    ------
    LandingError
        It is not TOML, names something unknown, or lacks what is needed.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LandingError(
            str(path), f"is not TOML: {error}", "Text is in quotes; a table begins with [columns]."
        ) from error
    for name in ("columns", "factors"):
        if not isinstance(given.get(name, {}), dict):
            raise LandingError(str(path), f"{name} is {given[name]!r}", f"Write a table: [{name}].")
    if "files" not in given:
        raise LandingError(str(path), "does not name its files", 'Write files = "x.csv" in its first line.')
    known = [entry.name for entry in fields(Mapping) if entry.name != "path"]
    for name, where, allowed in [
        *((name, "", known) for name in given),
        *((name, "[columns] ", list(COLUMNS)) for name in given.get("columns", {})),
        *((name, "[factors] ", list(futures())) for name in given.get("factors", {})),
    ]:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            raise LandingError(
                str(path),
                f"{where}{name} is unknown{f', did you mean {near[0]}?' if near else ''}",
                f"Known are {', '.join(allowed)}.",
            )
    _check_types(path, given)
    mapping = Mapping(path, **given)
    columns = mapping.columns
    for is_wrong, problem, remedy in (
        ("date" not in columns, "[columns] has no date", 'Name the column, such as date = "Date".'),
        (
            not {"close", "settle"} & set(columns),
            "[columns] has neither close nor settle",
            'Name the column that is the close, such as close = "Settle".',
        ),
        (
            not mapping.symbol and "symbol" not in columns,
            "does not say which future the rows are",
            'Write symbol = "ZL", symbol = "file name", or symbol = "..." in [columns].',
        ),
        (
            mapping.symbol not in ("", FILE_NAME) and parse_symbol(mapping.symbol) is None,
            f"symbol {mapping.symbol!r} is unknown",
            f"Known are {', '.join(futures())}.",
        ),
    ):
        if is_wrong:
            raise LandingError(str(path), problem, remedy)
    return mapping


def read_mappings(paths: list[Path], now: pd.Timestamp) -> Futures:
    """Read the files of all mappings.

    Parameters
    ----------
    paths : list of Path
        TOML files.
    now : Timestamp
        With a time zone. A session that has not ended is left out.

    Returns
    -------
    Futures
        Bars, the curve where there are single contracts, and notes.

    Raises
    ------
    LandingError
        With file, line, value and remedy.
    """
    notes: list[str] = []
    parts = []
    for path in paths:
        mapping = load_mapping(path)
        pattern = mapping.files
        if Path(pattern).is_absolute() or not pattern:
            raise LandingError(str(path), f"files is {pattern!r}", f"Write it relative to {path.parent}.")
        files = sorted(file for file in path.parent.glob(pattern) if file.is_file() and file.suffix != ".toml")
        if not files:
            raise LandingError(
                str(path), f"no file matches {pattern}", f"It is relative to {path.parent}: correct files = ..."
            )
        parts += [_read(file, mapping, notes) for file in files]
    rows = pd.concat(parts, ignore_index=True)
    running = rows["as_of_date"] > newest_complete(now)
    if running.any():
        notes.append(
            f"{list_days(set(rows.loc[running, 'as_of_date'].dt.date))}: the session has not ended, so it is left out"
        )
    read = _assemble(_without_repeats(rows[~running]), notes)
    if read.bars.empty and read.curve.empty:
        raise LandingError(
            ", ".join(path.name for path in paths),
            f"no bar of a future that the project reads{''.join(f'; {note}' for note in notes[:3])}",
            f"Known are {', '.join(futures())}.",
        )
    return read


def _check_types(path: Path, given: dict[str, Any]) -> None:
    wanted = {entry.name: type(getattr(Mapping, entry.name, "")) for entry in fields(Mapping)}
    for name, value in given.items():
        if name not in ("columns", "factors") and not isinstance(value, wanted[name]):
            raise LandingError(
                str(path),
                f"{name} is {value!r}",
                "Write it as text in quotes." if wanted[name] is str else "Write a whole number.",
            )
    for table, kind in (("columns", str), ("factors", (int, float))):
        for name, value in given.get(table, {}).items():
            if not isinstance(value, kind) or value == 0:
                raise LandingError(
                    str(path),
                    f"[{table}] {name} is {value!r}",
                    "Write the column's name in quotes." if table == "columns" else "Write a number other than 0.",
                )


def _read(file: Path, mapping: Mapping, notes: list[str]) -> pd.DataFrame:
    """Read one file as rows of one day and one future or contract."""
    raw = _read_text(file, mapping)
    rows = pd.DataFrame({"file": str(file), "line": raw.index})
    for name in NUMBERS:
        rows[name] = _numbers(raw, name, file, mapping).to_numpy() if name in mapping.columns else float("nan")
    rows["close"] = rows["close"] if "close" in mapping.columns else rows["settle"]
    rows["contract_id"] = raw[mapping.columns["contract_id"]].to_numpy() if "contract_id" in mapping.columns else None
    dates = _dates(raw, file, mapping)
    texts = _texts(raw, file, mapping)
    rows = _with_futures(rows, texts, dates, file, notes)
    for symbol, factor in mapping.factors.items():
        own = rows["symbol"] == symbol
        rows.loc[own, [*PRICES, "settle"]] *= factor
    if mapping.time_zone:
        return _daily(rows, notes)
    return rows.rename(columns={"date": "as_of_date"})


def _read_text(file: Path, mapping: Mapping) -> pd.DataFrame:
    """Read all values as text; the index is the line of the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more values than the header has
            raw = pd.read_csv(
                file,
                sep=mapping.separator,
                dtype=str,
                keep_default_na=False,
                encoding=mapping.encoding,
                skiprows=mapping.skip_lines,
                skip_blank_lines=False,
                index_col=False,
            )
    except UNREADABLE as error:
        raise LandingError(
            str(file),
            f"cannot be read as CSV: {' '.join(str(error).split())[:200]}",
            f"Correct separator, encoding or skip_lines in {mapping.path.name}, or the file.",
        ) from error
    if _is_cut(file, mapping, len(raw.columns)):
        raise LandingError(
            f"{file}, line {len(raw) + 1 + mapping.skip_lines}",
            "the last line has fewer values than the header and no end, so the file is cut",
            "Download it again; if it is whole, end its last line with a newline.",
        )
    raw.columns = raw.columns.str.strip()
    missing = [f"{meaning} = {name!r}" for meaning, name in mapping.columns.items() if name not in raw.columns]
    if missing:
        raise LandingError(
            str(file),
            f"has no column for {', '.join(missing)}; it has {', '.join(map(repr, raw.columns[:12]))}",
            f"Correct [columns], separator or skip_lines in {mapping.path.name}.",
        )
    raw.index = raw.index + 2 + mapping.skip_lines
    raw = raw.fillna("")
    raw = raw[(raw.map(str.strip) != "").any(axis=1)]
    raw = raw.iloc[: max(0, len(raw) - mapping.skip_last_lines)]
    if raw.empty:
        raise LandingError(
            str(file), "holds no rows", f"Remove it, or correct skip_lines in {mapping.path.name}.", rows=0
        )
    return raw


def _is_cut(file: Path, mapping: Mapping, n_columns: int) -> bool:
    """Whether the last line has no end and fewer values than the header."""
    if mapping.encoding.startswith("utf-16"):
        return False
    with file.open("rb") as stream:
        stream.seek(-min(LAST_LINE_BYTES, file.stat().st_size), 2)
        last = stream.read().decode(mapping.encoding, errors="replace").rpartition("\n")[2]
    return bool(last) and len(next(csv.reader([last], delimiter=mapping.separator))) < n_columns


def _error(file: Path, raw: pd.DataFrame, wrong: pd.Series, column: str, problem: str, remedy: str) -> LandingError:
    line = wrong.index[wrong][0]
    return LandingError(
        f"{file}, line {line}", f"{raw.at[line, column]!r} {problem}", remedy, column=column, rows=int(wrong.sum())
    )


def _numbers(raw: pd.DataFrame, meaning: str, file: Path, mapping: Mapping) -> pd.Series:
    column = mapping.columns[meaning]
    text = raw[column].str.strip().str.replace("\u00a0", "")
    if mapping.thousands:
        text = text.str.replace(mapping.thousands, "", regex=False)
    if mapping.decimal != ".":
        # a point would be read as a decimal point: 1.234,5 needs thousands = "."
        text = text.where(~text.str.contains(".", regex=False), "?").str.replace(mapping.decimal, ".", regex=False)
    text = text.str.removeprefix("$")
    parts = text.str.extract(f"^{SUFFIXED.pattern}$", flags=re.IGNORECASE)
    factor = parts[1].str.upper().map(SUFFIXES)
    numbers = pd.to_numeric(text.where(factor.isna(), parts[0]), errors="coerce") * factor.fillna(1.0)
    wrong = (numbers.isna() | numbers.abs().eq(float("inf"))) & ~raw[column].str.strip().str.lower().isin(MISSING)
    if wrong.any():
        raise _error(
            file,
            raw,
            wrong,
            column,
            "is not a number",
            f"Set decimal or thousands in {mapping.path.name}; fractions such as 452'4 are to be written as decimals.",
        )
    return numbers


def _dates(raw: pd.DataFrame, file: Path, mapping: Mapping) -> pd.Series:
    column = mapping.columns["date"]
    dates = pd.to_datetime(raw[column].str.strip(), format=mapping.date_format, errors="coerce")
    wrong = dates.isna()
    if wrong.any():
        raise _error(
            file,
            raw,
            wrong,
            column,
            f"is not a date of the form {mapping.date_format}",
            f"Correct date_format in {mapping.path.name} (%d day, %m month, %Y year, %b Jan); skip_last_lines leaves out a footer.",
        )
    if mapping.time_zone:
        try:
            return dates.dt.tz_localize(mapping.time_zone, ambiguous="raise", nonexistent="raise").dt.tz_convert("UTC")
        except (ValueError, KeyError) as error:  # an unknown zone is a KeyError
            raise LandingError(
                str(file),
                f"times cannot be read as times of {mapping.time_zone}: {error}",
                f"Correct time_zone in {mapping.path.name}, such as UTC or America/Chicago.",
                column=column,
            ) from error
    has_time = dates != dates.dt.normalize()
    if has_time.any():
        raise _error(
            file,
            raw,
            has_time,
            column,
            "has a time",
            f"If rows are shorter than a day, set time_zone in {mapping.path.name}; if not, write dates.",
        )
    return dates


def _texts(raw: pd.DataFrame, file: Path, mapping: Mapping) -> pd.Series:
    """Return the symbol of each row as written."""
    if "symbol" in mapping.columns:
        return raw[mapping.columns["symbol"]].str.strip()
    if mapping.symbol != FILE_NAME:
        return pd.Series(mapping.symbol, index=raw.index)
    candidates = [text for text in [file.stem, *re.split(r"[^A-Za-z0-9=@#!]+", file.stem)] if parse_symbol(text)]
    if not candidates:
        raise LandingError(
            str(file),
            "its name holds no known future or contract",
            f"Name it like ZLH24.csv, or write symbol = ... in {mapping.path.name}.",
        )
    return pd.Series(candidates[0], index=raw.index)


def _with_futures(rows: pd.DataFrame, texts: pd.Series, dates: pd.Series, file: Path, notes: list[str]) -> pd.DataFrame:
    """Add symbol, delivery month and date; leave out symbols that the project does not read."""
    rows = rows.assign(text=texts.to_numpy(), date=dates.to_numpy() if dates.dt.tz is None else dates.array)
    rows["year"] = rows["date"].dt.year
    found: list[tuple[str, int, str, pd.Timestamp]] = []
    unread = set()
    for text, year, first in rows.groupby(["text", "year"], as_index=False)["date"].min().itertuples(index=False):
        named: Named | None = parse_symbol(text)
        if named is None:
            unread.add(text)
        elif named.month is None:
            found.append((text, year, named.symbol, pd.NaT))
        else:
            month = contract_month(named, first.date())
            if month.year <= first.year + MAX_YEARS_AHEAD:
                found.append((text, year, named.symbol, pd.Timestamp(month)))
            else:
                notes.append(f"{file.name}: {text} has rows after its delivery in {year}, which are left out")
    if unread:
        shown = ", ".join(sorted(unread)[:5])
        notes.append(f"{file.name}: {count(len(unread), 'symbol')} that the project does not read, such as {shown}")
    names = pd.DataFrame(found, columns=["text", "year", "symbol", "contract_month"])
    names["contract_month"] = pd.to_datetime(names["contract_month"])
    return rows.merge(names, on=["text", "year"]).drop(columns=["year", "text"])


def _daily(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Aggregate rows that are shorter than a day to trade dates; leave out a newest session that ends early."""
    rows = rows.assign(contract=rows["contract_month"].astype(object).where(rows["contract_month"].notna(), ""))
    by = ["file", "symbol", "contract"]
    daily = to_daily(rows.rename(columns={"date": "ts_event"}).dropna(subset=["close"]), by)
    clock = daily["last_event"].dt.tz_convert("America/Chicago").dt.tz_localize(None) - daily["as_of_date"]
    usual = clock.groupby([daily[name] for name in by]).transform(lambda times: times.iloc[-11:-1].median())
    is_newest = daily["as_of_date"] == daily.groupby(by)["as_of_date"].transform("max")
    is_cut = is_newest & (clock < usual - EARLY)
    if is_cut.any():
        notes.append(
            f"{list_days(set(daily.loc[is_cut, 'as_of_date'].dt.date))}: the rows end early, so the session is left out"
        )
    daily = daily[~is_cut]
    return daily.assign(
        line=0,
        settle=float("nan"),
        open_interest=float("nan"),
        contract_id=None,
        contract_month=pd.to_datetime(daily["contract"].replace("", None)),
    ).drop(columns=["contract", "first_event", "last_event"])


def _without_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Count rows that several files have once; refuse those that differ."""
    key = ["symbol", "contract_month", "as_of_date"]
    rows = rows.drop_duplicates([*key, *NUMBERS, "contract_id"])
    repeated = rows[rows.duplicated(key, keep=False)].sort_values([*key, "file", "line"])
    if len(repeated):
        first, second = repeated.iloc[0], repeated.iloc[1]
        raise LandingError(
            f"{first['file']}, line {first['line']}, and {second['file']}, line {second['line']}",
            f"two different bars of {first['symbol']} on {first['as_of_date']:%Y-%m-%d}: close {first['close']:g} and {second['close']:g}",
            "Keep one of them; a file of single contracts needs the contract in its symbol (ZLH24).",
            rows=len(repeated),
        )
    return rows


def _assemble(rows: pd.DataFrame, notes: list[str]) -> Futures:
    bars, curves = [], []
    for symbol, own in rows.groupby("symbol", sort=False):
        single = own[own["contract_month"].notna()]
        if len(single) and len(single) < len(own):
            raise LandingError(
                _files_of(own),
                f"{symbol} has single contracts and a continuous series",
                "Keep one of the two.",
            )
        name = str(symbol)
        kept = []
        for _, part in own.groupby("contract_month", dropna=False):
            part, ghosts = split_ghosts(part.sort_values("as_of_date"), name)
            if ghosts:
                notes.append(
                    f"{name}: {count(len(ghosts), 'bar')} on days without a session, flat and without volume, left out: "
                    f"{list_days([day.date() for day in ghosts])}"
                )
            kept.append(part)
        own = pd.concat(kept)
        absent = own["close"].isna()
        if absent.any():
            notes.append(f"{name}: {count(int(absent.sum()), 'row')} without a close left out")
            own = own[~absent]
        _check_spacing(own, name)
        _check_unit(own, name)
        if own["open"].isna().any():
            notes.append(
                f"{name}: {count(int(own['open'].isna().sum()), 'bar')} without an open, for which the close is used: if it is at a roll, the "
                "session's return is then 0"
            )
            own = own.assign(open=own["open"].fillna(own["close"]))
        own = own.assign(volume=own["volume"].round())
        if len(single):
            by = next((column for column in ("volume", "open_interest") if own[column].notna().any()), None)
            if by is None:
                raise LandingError(
                    _files_of(own),
                    f"{name} has single contracts without volume and open interest, so the front cannot be chosen",
                    "Name one of these columns in [columns].",
                )
            rolled = roll_contracts(own, futures()[name], by=by)
            notes += roll_notes(name, rolled, is_continuous=False)
            bars.append(rolled.bars)
            curves.append(curve_of(own.assign(open_interest=own["open_interest"].round()), name))
        else:
            bars.append(own[BARS])
    return Futures(join_bars(bars), join_curves(curves), notes)


def _files_of(rows: pd.DataFrame) -> str:
    return ", ".join(sorted(rows["file"].unique())[:3])


def _check_spacing(rows: pd.DataFrame, symbol: str) -> None:
    days = rows["as_of_date"].drop_duplicates().sort_values()
    if len(days) > MIN_BARS and (apart := days.diff().dt.days.median()) > MAX_DAYS_APART:
        raise LandingError(
            _files_of(rows),
            f"the bars of {symbol} are {apart:.0f} days apart",
            "Weekly or monthly bars cannot be used: download daily ones.",
        )


def _check_unit(rows: pd.DataFrame, symbol: str) -> None:
    """Refuse prices that are in another unit, and suggest the factor."""
    unit, low, high = (instruments().at[symbol, name] for name in ("unit", "min_price", "max_price"))
    median = rows["close"].median()
    if not low <= median <= high:
        suggested = [
            f"{symbol} = {factor:.6g} ({what})" for what, factor in FACTORS.items() if low <= median * factor <= high
        ]
        raise LandingError(
            _files_of(rows),
            f"{symbol} is in {unit}, between {low:g} and {high:g}, but its closes are around {median:g}",
            f"Write in [factors] {' or '.join(suggested)}." if suggested else f"Write {symbol} = ... in [factors].",
            column="close",
        )
