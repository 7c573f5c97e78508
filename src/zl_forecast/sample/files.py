"""Writing a simulated market as landing files."""

import json
import os
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zl_forecast.errors import LandingError
from zl_forecast.sample.market import SIMULATOR_VERSION, WORLDS, Market

MARKER = "SIMULATED.json"
BARS = "bars_daily.parquet"
SERIES = "series.parquet"
EVENTS = "policy_events.csv"
CURVE = "curve_daily.parquet"
FILES = (BARS, SERIES, EVENTS, CURVE, MARKER)


def write_landing(market: Market, folder: Path) -> None:
    """Write the landing files of a simulated market and the marker SIMULATED.json, all at once.

    Does nothing if the folder holds the same market. Another simulated market is replaced.

    Parameters
    ----------
    market : Market
        From `simulate`.
    folder : Path
        Created with its parents.

    Raises
    ------
    LandingError
        The folder holds a file that this function does not write. It may be real data, so nothing is
        changed.
    """
    folder = Path(folder)
    marker = {
        "world": market.world,
        "seed": market.seed,
        "start": market.start,
        "end": market.end,
        "simulator_version": SIMULATOR_VERSION,
        "description": f"Simulated market, not market data: {WORLDS[market.world]}.",
    }
    present = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if present and (MARKER not in present or present - set(FILES)):
        foreign = sorted(present - set(FILES)) or sorted(present)
        raise LandingError(
            str(folder),
            f"holds {len(foreign)} file(s) that are not a simulated market's, first {foreign[0]}",
            "Write the simulated market to a separate folder.",
        )
    if present == set(FILES) and json.loads((folder / MARKER).read_text()) == marker:
        return

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        new = Path(beside) / "new"
        new.mkdir()
        _write_parquet(market.bars, new / BARS)
        _write_parquet(market.series, new / SERIES)
        _write_parquet(market.curve, new / CURVE)
        market.policy_events.to_csv(new / EVENTS, index=False, date_format="%Y-%m-%d")
        (new / MARKER).write_text(json.dumps(marker, indent=2) + "\n")
        if folder.exists():
            os.rename(folder, Path(beside) / "old")  # deleted with the temporary folder
        os.rename(new, folder)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write Parquet with DATE columns instead of timestamps."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    types = [pa.date32() if pa.types.is_timestamp(kind) else kind for kind in arrow.schema.types]
    pq.write_table(arrow.cast(pa.schema(list(zip(arrow.schema.names, types, strict=True)))), path)
