"""Databento files for tests: DBN encoded by databento_dbn, with rows that the tests invent."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import zstandard
from databento_dbn import Metadata, OHLCVMsg, RType, Schema, SType

SCHEMAS = {
    "1m": (Schema.OHLCV_1M, RType.OHLCV_1M),
    "1h": (Schema.OHLCV_1H, RType.OHLCV_1H),
    "1d": (Schema.OHLCV_1D, RType.OHLCV_1D),
}


def write_dbn(
    path: Path,
    bars: pd.DataFrame,
    *,
    start: str,
    end: str,
    schema: str = "1h",
    stype_in: SType = SType.PARENT,
    symbols: Iterable[str] = ("ZL.FUT",),
) -> Path:
    """Write bars as a DBN file, compressed if the name ends with .zst.

    Parameters
    ----------
    path : Path
        Written here.
    bars : DataFrame
        Columns ts_event (UTC), text (symbol), instrument_id, open, high, low, close and volume.
    start, end : str
        Of the query, UTC; the end is exclusive.
    schema : {"1m", "1h", "1d"}
        Length of the intervals.
    stype_in, symbols
        Of the query.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_dbn(bars, start=start, end=end, schema=schema, stype_in=stype_in, symbols=symbols))
    if path.name.endswith(".zst"):
        path.write_bytes(zstandard.compress(path.read_bytes()))
    return path


def encode_dbn(
    bars: pd.DataFrame, *, start: str, end: str, schema: str, stype_in: SType, symbols: Iterable[str]
) -> bytes:
    """Return the bytes of `write_dbn`, not compressed."""
    kind, rtype = SCHEMAS[schema]
    first, last = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
    header = Metadata(
        dataset="GLBX.MDP3",
        start=first.value,
        end=last.value,
        stype_in=stype_in,
        stype_out=SType.INSTRUMENT_ID,
        schema=kind,
        symbols=list(symbols),
        mappings=_mappings(bars, last),
    )
    records = [
        OHLCVMsg(
            rtype=int(rtype),
            publisher_id=1,
            instrument_id=int(row.instrument_id),
            ts_event=row.ts_event.value,
            **{name: round(getattr(row, name) * 1e9) for name in ("open", "high", "low", "close")},
            volume=int(row.volume),
        )
        for row in bars.sort_values("ts_event", kind="stable").itertuples(index=False)
    ]
    return header.encode() + b"".join(map(bytes, records))


def _mappings(bars: pd.DataFrame, end: pd.Timestamp) -> list[SimpleNamespace]:
    """Map each symbol to its instrument per day of UTC, as long as it stays the same."""
    found: dict[str, list[SimpleNamespace]] = {}
    rows = bars.assign(day=bars["ts_event"].dt.date).sort_values("ts_event", kind="stable")
    for text, part in rows.groupby("text", sort=False):
        days = part.groupby("day")["instrument_id"].last()
        changes = days[days != days.shift()]
        ends = [*changes.index[1:], max(end.date(), date.fromordinal(days.index[-1].toordinal() + 1))]
        found[str(text)] = [
            SimpleNamespace(start_date=day, end_date=until, symbol=str(instrument))
            for (day, instrument), until in zip(changes.items(), ends, strict=True)
        ]
    return [SimpleNamespace(raw_symbol=text, intervals=intervals) for text, intervals in found.items()]


def hours_of(
    day: str, text: str, instrument_id: int, closes: Iterable[float], *, volume: int, first: str
) -> list[dict]:
    """Return hourly rows from `first` (HH:MM Chicago, of `day`) on: one per close, each opening at the close before."""
    opening = pd.Timestamp(f"{day} {first}", tz="America/Chicago").tz_convert("UTC")
    rows, before = [], None
    for number, close in enumerate(closes):
        price = close if before is None else before
        rows.append(
            {
                "ts_event": opening + pd.Timedelta(hours=number),
                "text": text,
                "instrument_id": instrument_id,
                "open": price,
                "high": max(price, close),
                "low": min(price, close),
                "close": close,
                "volume": volume,
            }
        )
        before = close
    return rows
