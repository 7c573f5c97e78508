"""CSV files of your own, in any form: each *.toml in ZL_CSV_DIR, else csv/ of the data folder, describes some of them.

Documentation: `zl_forecast.ingest.bars.mapped_csv` has the mapping, `propose` writes one from a file's first lines. All files are
read each time, so a file that is replaced replaces what it landed. Files that already have the columns of the landing
contract need no mapping: put them into the landing folder.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from zl_forecast.errors import LandingError
from zl_forecast.ingest.adapters.base import Request, Rows, SourceSkipped
from zl_forecast.ingest.bars.landed import replace_rows
from zl_forecast.ingest.bars.mapped_csv import read_mappings
from zl_forecast.ingest.sources import SourceError
from zl_forecast.paths import data_dir


def pull(request: Request) -> Iterator[Rows]:
    """Read the files of all mappings.

    Parameters
    ----------
    request : Request
        What is on file.

    Yields
    ------
    Rows
        Bars, and the curve where there are single contracts.

    Raises
    ------
    SourceError
        A mapping or a file is wrong; nothing is landed.
    SourceSkipped
        There is no mapping.
    """
    folder = mappings_folder()
    mappings = sorted(folder.glob("*.toml"))
    if not mappings:
        raise SourceSkipped(f"no mapping (*.toml) in {folder}")
    try:
        read = read_mappings(mappings, pd.Timestamp.now("UTC"))
    except LandingError as error:
        raise SourceError(error.what, error.remedy) from error
    yield from replace_rows(request, read)


def mappings_folder() -> Path:
    """Return the folder of mappings.

    Returns
    -------
    Path
        ZL_CSV_DIR, else csv/ in the data folder; the second may not exist.

    Raises
    ------
    SourceError
        The first is no folder.
    """
    named = os.environ.get("ZL_CSV_DIR")
    if named and not Path(named).is_dir():
        raise SourceError(f"ZL_CSV_DIR names {named}, which is no folder", "Correct it, or unset it.")
    return Path(named) if named else data_dir() / "csv"
