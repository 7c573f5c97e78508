"""Futures bars from Databento's files on disk: DBN, CSV or JSON lines, plain or compressed, as batch jobs deliver them.

Documentation: https://databento.com/docs/schemas/ohlcv, https://databento.com/docs/standards-and-conventions/symbology
and https://databento.com/docs/examples/algorithmic-trading/batch-downloads. Prices are integers of 1e-9 in the unit of
the exchange, which is that of seeds/instruments.csv. `ts_event` is the start of an interval, in UTC. The close is the
last trade, not the settlement.

Files of single contracts (parent or raw symbols) give bars with a roll of our own and the curve. Files that have only a
continuous symbol (ZL.v.0) give bars; where that symbol rolls back, see `repair_continuous`.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import databento
import databento_dbn
import pandas as pd
import zstandard

from zl_forecast.errors import LandingError
from zl_forecast.ingest.bars.futures import contract_month, futures, parse_symbol, roots
from zl_forecast.ingest.bars.landed import Futures, count, join_bars, join_curves, list_days, roll_notes
from zl_forecast.ingest.bars.rolls import MAX_YEARS_AHEAD, Rolled, curve_of, repair_continuous, roll_contracts
from zl_forecast.ingest.bars.trade_dates import PRICES, complete_dates, join_parts, to_daily, trade_dates
from zl_forecast.paths import seed

SIDECARS = {"manifest.json", "metadata.json", "condition.json", "symbology.json", "symbology.csv"}
ENCODINGS = (".dbn", ".csv", ".json")
INTERVALS = {32: "1s", 33: "1min", 34: "1h", 35: "1D"}  # by rtype
LENGTHS = {"1h": "1h", "1min": "1m", "1s": "1s", "1D": "1d"}
ONE_DAY = pd.Timedelta(days=1)
SCHEMAS = {pd.Timedelta(length): f"ohlcv-{name}" for length, name in LENGTHS.items()}  # the preferred one first
DATES_IN_NAME = re.compile(r"(\d{8})-(\d{8})\.ohlcv-")  # both belong to the file
CONTINUOUS = re.compile(r"(?P<root>[A-Z0-9]+)\.(?P<series>[vnc]\.\d+)")
FRONTS = ("v.0", "n.0", "c.0")  # by volume, open interest, calendar: the first of them in the files is the front
UNDEFINED_PRICE = 2**63 - 1
PRICE_UNIT = 1e-9
CHUNK = 1 << 20
RECORD_BYTES = 56  # of a bar in DBN
MAX_CURVE_AGE = pd.Timedelta(hours=6)  # of a contract's last trade, before the newest trade of the session
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    zstandard.ZstdError,
    databento.BentoError,
    databento_dbn.DBNError,
)
VALUES = [*PRICES, "volume"]
BY = ["symbol", "is_vendor", "contract"]  # the contract is a month for single ones (`_month`), else an instrument
# A daily interval is a day of UTC. That is the trade date only where all trade lies between 00:00 and 24:00 UTC of it. With
# trade from 17:00 or 18:00 Chicago on, a day of UTC ends after the cut-off of its trade date. So the daily intervals
# of the other futures are not read, nor those before these opening hours.
DAILY_SINCE = {"CMEGlobex_Grains": "2013-04-08", "CMEGlobex_Lean_Hog": "2016-03-01"}


@dataclass(frozen=True)
class _Records:
    """Bars of one file; `end` is not part of it. Columns of `rows`: ts_event, instrument_id, text (symbol), VALUES."""

    path: Path
    rows: pd.DataFrame
    interval: pd.Timedelta
    start: pd.Timestamp
    end: pd.Timestamp


@dataclass
class _Collected:
    """What was read so far: bars per contract and trade date, the vendor's fronts, covered time, and what to report."""

    daily: list[pd.DataFrame] = field(default_factory=list)
    fronts: list[pd.DataFrame] = field(default_factory=list)
    spans: list[pd.DataFrame] = field(default_factory=list)
    not_read: Counter = field(default_factory=Counter)
    refused_days: Counter = field(default_factory=Counter)
    conditions: dict[str, set[date]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_folder(folder: Path, report: Callable[[str], None] = lambda line: None) -> Futures:
    """Read all files of bars below a folder.

    Parameters
    ----------
    folder : Path
        Batch jobs as downloaded: files, or folders with files.
    report : callable
        Receives a line per file, so that a user sees progress.

    Returns
    -------
    Futures
        Bars of the futures of seeds/futures.csv, the curve where the files have single contracts, and notes.

    Raises
    ------
    LandingError
        A file is damaged, differs from its manifest, or contradicts another file; or no file has bars of a future.
    """
    collected = _Collected()
    paths = _list_files(folder, collected)
    for directory in sorted({path.parent for path in paths}):
        _check_manifest(directory)
    n_read = 0
    for cluster in _overlapping(paths):
        records = [_read(*file) for file in cluster]
        for interval in sorted({part.interval for part in records}):
            _collect([part for part in records if part.interval == interval], interval, collected)
        n_read += len(cluster)
        report(f"{n_read} of {len(paths)} files read, to {max(part.end for part in records):%Y-%m-%d}")
    if collected.refused_days:
        collected.notes.append(
            f"daily intervals of {', '.join(f'{symbol} ({number:,})' for symbol, number in sorted(collected.refused_days.items()))} "
            "are not read: they are days of UTC, which end after 17:00 Chicago, so their close would be known too early; "
            "download schema ohlcv-1h"
        )
    if not collected.daily:
        raise LandingError(
            str(folder),
            "; ".join(
                [
                    "no file has bars that the project reads",
                    *collected.notes,
                    *([_describe(collected.not_read)] if collected.not_read else []),
                ]
            ),
            "Put Databento's files of schema ohlcv-1h here, with symbols such as ZL.FUT, ZLH4 or ZL.v.0.",
        )
    return _assemble(collected)


def covered_until(folder: Path) -> pd.Timestamp | None:
    """Return the end of the time that files of single contracts cover.

    Parameters
    ----------
    folder : Path
        As for `read_folder`; it may not exist.

    Returns
    -------
    Timestamp or None
        In UTC; None if there is no such file.
    """
    ends = []
    for path in _list_paths(folder)[0] if folder.is_dir() else []:
        if path.name.removesuffix(".zst").endswith(".dbn"):
            is_continuous = str(_open_dbn(path).stype_in) == "continuous"
        else:
            query = (_json(path.parent / "metadata.json") or {}).get("query", {})
            is_continuous = query.get("stype_in") == "continuous"
        if not is_continuous:
            ends.append(_span(path)[1])
    return max(ends, default=None)


def check_whole(path: Path) -> None:
    """Check that a downloaded DBN file is complete.

    Parameters
    ----------
    path : Path
        Of a compressed DBN file.

    Raises
    ------
    LandingError
        It was cut, or is no DBN file.
    """
    _open_dbn(path)


def _list_paths(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files with bars, and the names of those that are something else."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name not in SIDECARS
    )
    paths = [path for path in found if path.name.removesuffix(".zst").endswith(ENCODINGS)]
    return paths, [path.name for path in found if path not in paths]


def _list_files(folder: Path, collected: _Collected) -> list[Path]:
    paths, others = _list_paths(folder)
    if others:
        collected.notes.append(f"{count(len(others), 'file')} not read, not DBN, CSV or JSON: {', '.join(others[:5])}")
    if not paths:
        raise LandingError(
            str(folder),
            "holds no .dbn, .csv or .json file, plain or .zst",
            "Unpack Databento's batch jobs here, or name their folder.",
        )
    return paths


def _check_manifest(directory: Path) -> None:
    """Compare the files of a batch job with the sizes and digests of its manifest."""
    for entry in _entries(directory / "manifest.json", "files", ("filename", "size", "hash")):
        path = directory / entry["filename"]
        if not path.is_file():
            continue  # a user may keep some of the files only
        with path.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        if path.stat().st_size != entry["size"] or digest != entry["hash"]:
            raise LandingError(
                str(path),
                f"differs from manifest.json: {path.stat().st_size:,} bytes instead of {entry['size']:,}, or another digest",
                "The download was cut, or the file was changed: download it again.",
            )


def _overlapping(paths: list[Path]) -> Iterator[list[tuple[Path, pd.Timestamp, pd.Timestamp]]]:
    """Group the files whose time overlaps, so that the rows that they share are counted once; with start and end."""
    files = sorted(((path, *_span(path)) for path in paths), key=lambda file: (file[1], file[2], file[0]))
    cluster, newest = files[:1], files[0][2]
    for file in files[1:]:
        if file[1] >= newest:
            yield cluster
            cluster = []
        cluster.append(file)
        newest = max(newest, file[2])
    yield cluster


def _span(path: Path) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the time that a file covers: from its name, its header, the query of its batch job, or its rows."""
    if match := DATES_IN_NAME.search(path.name):
        return pd.Timestamp(match[1], tz="UTC"), pd.Timestamp(match[2], tz="UTC") + ONE_DAY
    if path.name.removesuffix(".zst").endswith(".dbn"):
        store = _open_dbn(path)
        if store.end is not None:
            return store.start, store.end
    elif query := (_json(path.parent / "metadata.json") or {}).get("query"):
        return pd.Timestamp(query["start"], tz="UTC"), pd.Timestamp(query["end"], tz="UTC")
    rows, _ = _read_rows(path)
    # the newest session may be unfinished, so the file ends before its newest interval
    return rows["ts_event"].min(), rows["ts_event"].max()


def _read(path: Path, start: pd.Timestamp, end: pd.Timestamp) -> _Records:
    rows, rtype = _read_rows(path)
    return _Records(path, rows, pd.Timedelta(INTERVALS[rtype]), start, end)


def _read_rows(path: Path) -> tuple[pd.DataFrame, int]:
    """Read a file; prices as numbers in the unit of the exchange, rows without a close left out."""
    name = path.name.removesuffix(".zst")
    try:
        if name.endswith(".dbn"):
            rows = _open_dbn(path).to_df(price_type="float").reset_index()
        else:
            if path.name.endswith(".zst"):
                _check_whole(path)
            elif _last_byte(path) not in (b"\n", b"\r"):
                raise ValueError("its last line has no end, so a value may be cut")
            text = dict.fromkeys([*VALUES, "ts_event"], str)
            rows = _typed(pd.read_csv(path, dtype=text) if name.endswith(".csv") else _read_json_lines(path))
        rtypes = set(rows["rtype"].unique())
        if "symbol" not in rows or (len(rows) and rows["symbol"].isna().all()):
            rows["symbol"] = _symbols_of(path, rows)
        rows = rows.rename(columns={"symbol": "text"})[["ts_event", "instrument_id", "text", *VALUES]]
    except KeyError as error:
        raise _unreadable(path, ValueError(f"it has no column {error}")) from error
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not rtypes and name.endswith(".dbn"):  # no trade in that time
        rtypes = {_rtype_of(str(_open_dbn(path).schema))}
    if len(rtypes) != 1 or not rtypes <= set(INTERVALS):
        raise LandingError(
            str(path),
            f"holds records of type {sorted(map(str, rtypes))} instead of bars of one interval",
            "Download schema ohlcv-1h, or remove the file.",
        )
    rows = rows[rows["close"].notna() & rows["text"].notna()]
    return rows.astype({"volume": "int64", "instrument_id": "int64"}), int(rtypes.pop())


def _rtype_of(schema: str) -> int | str:
    """Return the record type of a schema such as ohlcv-1h; the schema itself if it is another one."""
    return {SCHEMAS[pd.Timedelta(length)]: rtype for rtype, length in INTERVALS.items()}.get(schema, schema)


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = pd.json_normalize([json.loads(line) for line in _lines(path) if line.strip()])
    return rows.rename(columns=lambda column: column.removeprefix("hd."))


def _open_dbn(path: Path) -> databento.DBNStore:
    try:
        if path.name.endswith(".zst"):
            _check_whole(path)
        store = databento.DBNStore.from_file(path)
        if path.suffix == ".dbn" and (path.stat().st_size - 8 - _header_bytes(path)) % RECORD_BYTES:
            raise ValueError("the file is cut")
        return store
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _header_bytes(path: Path) -> int:
    """Return the length of a DBN header, which is in bytes 4 to 8 of the file and does not count these eight."""
    with path.open("rb") as stream:
        return int.from_bytes(stream.read(8)[4:], "little")


def _unreadable(path: Path, error: Exception) -> LandingError:
    return LandingError(
        str(path),
        f"cannot be read: {' '.join(str(error).split())[:200]}",
        "It may be cut or damaged, or no file of Databento: download it again, or remove it.",
    )


def _check_whole(path: Path) -> None:
    """Refuse a compressed file that was cut: the library reads what is there and says nothing."""
    unfinished, pending = None, b""
    with path.open("rb") as stream:
        while chunk := pending or stream.read(CHUNK):
            unfinished = unfinished or zstandard.ZstdDecompressor().decompressobj()
            unfinished.decompress(chunk)
            pending = unfinished.unused_data if unfinished.eof else b""
            if unfinished.eof:
                unfinished = None
    if unfinished is not None:
        raise ValueError("the compressed file is cut")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read()


def _lines(path: Path) -> Iterator[str]:
    if path.name.endswith(".zst"):
        with zstandard.open(path, "rt", encoding="utf-8") as stream:
            yield from stream
    else:
        with path.open(encoding="utf-8") as stream:
            yield from stream


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Read prices and instants that are text: decimal or in units of 1e-9, ISO or nanoseconds."""
    for column in PRICES:
        text = rows[column].astype(str)
        is_decimal = text.str.contains(".", regex=False) | (rows[column].isna())
        numbers = pd.to_numeric(rows[column])
        if not is_decimal.any():
            numbers = numbers.where(numbers != UNDEFINED_PRICE) * PRICE_UNIT
        rows[column] = numbers.astype(float)
    text = rows["ts_event"].astype(str)
    rows["ts_event"] = pd.to_datetime(text.astype("int64") if text.str.isdigit().all() else text, utc=True)
    rows["volume"] = pd.to_numeric(rows["volume"]).astype("int64")
    return rows


def _symbols_of(path: Path, rows: pd.DataFrame) -> pd.Series:
    """Look up the symbols of instruments in the job's symbology.json, whose intervals end before d1."""
    symbology = _json(path.parent / "symbology.json")
    if symbology is None:
        raise LandingError(
            str(path),
            "has instrument ids without symbols",
            "Put the job's symbology.json beside it, or download it with map_symbols.",
        )
    known = pd.DataFrame(
        [
            (int(interval["s"]), pd.Timestamp(interval["d0"], tz="UTC"), pd.Timestamp(interval["d1"], tz="UTC"), symbol)
            for symbol, intervals in symbology["result"].items()
            for interval in intervals
            if interval["s"]
        ],
        columns=["instrument_id", "d0", "d1", "symbol"],
    )
    known = known[known["instrument_id"].isin(rows["instrument_id"])]
    found = (
        rows[["instrument_id", "ts_event"]]
        .astype({"instrument_id": "int64"})
        .reset_index()
        .merge(known, on="instrument_id")
    )
    found = found[(found["ts_event"] >= found["d0"]) & (found["ts_event"] < found["d1"])]
    return found.groupby("index")["symbol"].first().reindex(rows.index)


def _collect(records: list[_Records], interval: pd.Timedelta, collected: _Collected) -> None:
    """Aggregate the rows of files whose time overlaps to bars per contract and trade date."""
    rows = pd.concat([part.rows.assign(path=part.path.as_posix()) for part in records], ignore_index=True)
    if len(records) > 1:
        rows = _without_repeats(rows)
    rows = _identify(rows, collected)
    rows = _without_missing_days(rows, collected)
    if interval == ONE_DAY:
        rows = _readable_days(rows, collected)
    if rows.empty:
        return
    for part in records:
        covered = rows.loc[rows["path"] == part.path.as_posix(), ["symbol", "is_vendor"]].drop_duplicates()
        collected.spans.append(covered.assign(interval=interval, start=part.start, end=part.end))
    is_hourly = interval < ONE_DAY
    vendors = rows[rows["series"].isin(FRONTS)]
    if len(vendors):
        days = trade_dates(vendors["ts_event"]) if is_hourly else vendors["ts_event"].dt.tz_localize(None)
        newest = vendors.assign(as_of_date=days).sort_values("ts_event", kind="stable")
        by = ["symbol", "series", "as_of_date"]
        collected.fronts.append(newest.groupby(by, as_index=False)[["ts_event", "contract"]].last())
    rows = rows.drop_duplicates([*BY, "ts_event"])  # several continuous symbols may name the same instrument
    if is_hourly:
        daily = to_daily(rows, BY)
    else:
        events = rows["ts_event"]
        daily = rows.assign(as_of_date=events.dt.tz_localize(None), first_event=events, last_event=events)
    collected.daily.append(daily.assign(interval=interval))


def _without_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Count rows that several files have once; refuse those that differ."""
    key = ["text", "ts_event"]
    rows = rows.drop_duplicates([*key, "instrument_id", *VALUES])
    repeated = rows[rows.duplicated(key, keep=False)].sort_values(key, kind="stable")
    if len(repeated):
        first, second = repeated.iloc[0], repeated.iloc[1]
        raise LandingError(
            f"{first['path']} and {second['path']}",
            f"{repeated.groupby(key).ngroups:,} bars differ, first {first['text']} at {first['ts_event']:%Y-%m-%d %H:%M} UTC: close "
            f"{first['close']:g} and {second['close']:g}",
            "Databento corrects history: keep the newer download and remove the older one.",
        )
    return rows


def _identify(rows: pd.DataFrame, collected: _Collected) -> pd.DataFrame:
    """Add symbol, series (of a continuous symbol, else empty) and contract; leave out what is no future of the seed."""
    year = rows["ts_event"].dt.year
    names = rows.assign(year=year).groupby(["text", "year"], as_index=False)["ts_event"].min()
    found = []
    for text, of_year, first in names.itertuples(index=False):
        traded_on = first.date()
        if match := CONTINUOUS.fullmatch(text):
            known = roots().get(match["root"])
            if known and known == match["root"]:
                found.append((text, of_year, known, match["series"], 0))
        elif (named := parse_symbol(text)) and named.month:
            month = contract_month(named, traded_on)
            if month.year <= traded_on.year + MAX_YEARS_AHEAD:
                found.append((text, of_year, named.symbol, "", month.year * 12 + month.month - 1))
    known_names = pd.DataFrame(found, columns=["text", "year", "symbol", "series", "month"])
    collected.not_read.update(set(names["text"]) - set(known_names["text"]))
    rows = rows.assign(year=year).merge(known_names, on=["text", "year"])
    is_vendor = rows["series"] != ""
    contract = rows["instrument_id"].where(is_vendor, rows["month"])
    return rows.assign(is_vendor=is_vendor, contract=contract).drop(columns=["year", "month"])


def _month(contract: pd.Series) -> pd.Series:
    """Return the delivery months that `_identify` numbers from year 0 on."""
    return pd.to_datetime({"year": contract // 12, "month": contract % 12 + 1, "day": 1}).astype("datetime64[us]")


def _without_missing_days(rows: pd.DataFrame, collected: _Collected) -> pd.DataFrame:
    """Leave out days that Databento calls pending or missing, and name those that it calls degraded."""
    keep = pd.Series(True, index=rows.index)
    days_of_utc = rows["ts_event"].dt.normalize()
    for path, part in days_of_utc.groupby(rows["path"]):
        entries = _entries(Path(str(path)).parent / "condition.json", None, ("date", "condition"))
        conditions = {
            pd.Timestamp(entry["date"], tz="UTC"): entry["condition"]
            for entry in entries
            if entry["condition"] != "available"
        }
        condition = part.map(conditions) if conditions else pd.Series(dtype=object)
        for name in ("degraded", "pending", "missing"):
            days = trade_dates(rows.loc[condition.index[condition == name], "ts_event"]).dt.date
            if len(days):
                collected.conditions.setdefault(name, set()).update(days)
        keep[condition.index] = ~condition.isin(["pending", "missing"])
    return rows[keep]


def _readable_days(rows: pd.DataFrame, collected: _Collected) -> pd.DataFrame:
    """Keep daily intervals that are trade dates."""
    calendars = pd.read_csv(seed("instruments"), index_col="symbol")["calendar"]
    since = pd.to_datetime(rows["symbol"].map(calendars).map(DAILY_SINCE), utc=True)
    is_readable = rows["ts_event"] >= since
    refused = rows.loc[~is_readable, "symbol"].value_counts()
    collected.refused_days.update(refused.to_dict())
    return rows[is_readable]


def _assemble(collected: _Collected) -> Futures:
    """Join the bars of all files, and build the continuous series and the curve of each symbol."""
    daily = pd.concat(collected.daily, ignore_index=True)
    intervals = {
        symbol: sorted(set(found), key=list(SCHEMAS).index)
        for symbol, found in daily.groupby("symbol")["interval"].unique().items()
    }
    daily = join_parts(daily[daily["interval"] == daily["symbol"].map(lambda symbol: intervals[symbol][0])], BY)
    spans = pd.concat(collected.spans, ignore_index=True)
    fronts = pd.concat(collected.fronts, ignore_index=True) if collected.fronts else pd.DataFrame(columns=["symbol"])
    calendars = pd.read_csv(seed("instruments"), index_col="symbol")["calendar"]
    notes, bars, curves = list(collected.notes), [], []
    incomplete: dict[date, list[str]] = {}
    late: Counter = Counter()
    for symbol, future in futures().items():
        rows = daily[daily["symbol"] == symbol]
        if rows.empty:
            continue
        if len(intervals[symbol]) > 1:
            notes.append(
                f"{symbol}: the files have intervals of several lengths; those of {SCHEMAS[intervals[symbol][0]]} are read"
            )
        has_single = not rows["is_vendor"].all()
        first_single = rows.loc[~rows["is_vendor"], "as_of_date"].min()
        n_before = rows.loc[rows["as_of_date"] < first_single, "as_of_date"].nunique()
        if n_before:
            notes.append(
                f"{symbol}: single contracts begin on {first_single:%Y-%m-%d}; the continuous symbol has "
                f"{count(n_before, 'session')} before, which are not read, because the two roll by different rules"
            )
        rows = rows[rows["is_vendor"] != has_single]
        covered = spans[
            (spans["symbol"] == symbol)
            & (spans["interval"] == intervals[symbol][0])
            & (spans["is_vendor"] != has_single)
        ]
        complete = complete_dates(
            rows["as_of_date"].unique(),
            zip(covered["start"], covered["end"], strict=True),
            in_utc_day=calendars[symbol] in DAILY_SINCE,
        )
        for day in sorted(set(rows["as_of_date"]) - complete):
            incomplete.setdefault(day.date(), []).append(symbol)
        rows = rows[rows["as_of_date"].isin(complete)]
        weekend = rows["as_of_date"].dt.dayofweek > 4
        if weekend.any():
            notes.append(
                f"{symbol}: trade on weekends is left out: {list_days(set(rows.loc[weekend, 'as_of_date'].dt.date))}"
            )
            rows = rows[~weekend]
        if has_single:
            rows = rows.assign(contract_month=_month(rows["contract"]))
            rolled = roll_contracts(rows, future)
            newest = rows.groupby("as_of_date")["last_event"].transform("max")
            curves.append(curve_of(rows[newest - rows["last_event"] <= MAX_CURVE_AGE], symbol))
        else:
            rolled = _read_continuous(rows, fronts[fronts["symbol"] == symbol], symbol, future.roll_rule, notes, late)
        bars.append(rolled.bars)
        notes += roll_notes(symbol, rolled, is_continuous=not has_single)
    if late.total():
        notes.append(
            f"{count(late.total(), 'bar')} at rolls begin at 00:00 UTC, when a continuous symbol changes its contract, not at 17:00 Chicago: "
            + ", ".join(f"{symbol} {number}" for symbol, number in late.items() if number)
        )
    notes += [
        f"{day}: the files cover a part of the session, which is left out ({count(len(symbols), 'symbol')})"
        for day, symbols in sorted(incomplete.items())
    ]
    used = {"degraded": "used, though trades may be missing", "pending": "left out", "missing": "left out"}
    notes += [
        f"{count(len(days), 'session')} {name} at Databento, {used[name]}: {list_days(days)}"
        for name, days in collected.conditions.items()
    ]
    if collected.not_read:
        notes.append(_describe(collected.not_read))
    return Futures(join_bars(bars), join_curves(curves), notes)


def _read_continuous(
    rows: pd.DataFrame, fronts: pd.DataFrame, symbol: str, roll_rule: str, notes: list[str], late: Counter
) -> Rolled:
    """Read the vendor's front of one symbol, of which the files have no single contracts."""
    series = next((name for name in FRONTS if (fronts["series"] == name).any()), None)
    if series is None:
        notes.append(f"{symbol}: the files have no front contract ({' or '.join(FRONTS)}), so it is not read")
        return Rolled(join_bars([]))
    own = fronts[(fronts["series"] == series) & fronts["as_of_date"].isin(rows["as_of_date"])]
    newest = own.sort_values("ts_event", kind="stable").groupby("as_of_date")["contract"].last()
    # The symbol changes its contract at 00:00 UTC. The hours before are a bar of the contract that was left; it has no close.
    to_the_end = rows["last_event"].dt.tz_localize(None) >= rows["as_of_date"]
    keep_all = roll_rule == "calendar" and series != "c.0"
    rolled = repair_continuous(newest, rows[to_the_end], symbol, keep_all=keep_all)
    late[symbol] = _count_late_rolls(rolled.bars, rows)
    if keep_all:
        n_rolls = int((rolled.bars["contract_id"] != rolled.bars["contract_id"].shift()).sum()) - 1
        notes.append(
            f"{symbol}: {series} changes its contract {count(n_rolls, 'time')} in {len(rolled.bars):,} sessions and is used as it is; "
            f"files of single contracts ({symbol}.FUT) give one roll per month"
        )
    return rolled


def _count_late_rolls(bars: pd.DataFrame, rows: pd.DataFrame) -> int:
    """Count the bars at rolls that lack the first hours of their session."""
    opening = rows.groupby("as_of_date")["first_event"].min()
    begins = rows.assign(contract_id=rows["contract"].astype(str)).set_index(["as_of_date", "contract_id"])[
        "first_event"
    ]
    rolls = bars[bars["contract_id"] != bars["contract_id"].shift()].iloc[1:]
    return sum(
        begins[day, contract] > opening[day]
        for day, contract in zip(rolls["as_of_date"], rolls["contract_id"], strict=True)
    )


def _describe(not_read: Counter) -> str:
    shown = ", ".join(sorted(not_read)[:5])
    return (
        f"{count(len(not_read), 'symbol')} that the project does not read, such as {shown}"
        if not_read
        else "all are empty"
    )


def _entries(path: Path, name: str | None, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the list of a sidecar, or the list `name` in it; none if there is no such file."""
    content = _json(path)
    entries = content.get(name) if isinstance(content, dict) and name else content
    if content is None:
        return []
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and set(keys) <= set(entry) for entry in entries
    ):
        raise LandingError(str(path), f"does not list {', '.join(keys)}", "Download it again, or remove it.")
    return entries


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LandingError(str(path), f"is not JSON: {error}", "Download it again, or remove it.") from error
