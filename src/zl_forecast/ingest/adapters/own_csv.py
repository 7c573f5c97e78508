"""CSV files of your own, in any form: each *.toml in ZL_CSV_DIR, else csv/ of the data folder, describes some of them.

Documentation: `zl_forecast.ingest.bars.mapped_csv` has the mapping, `propose` writes one from a file's first lines. All files are
read each time, so a file that is replaced replaces what it landed. Files that already have the columns of the landing
contract need no mapping: put them into the landing folder.
"""

from collections.abc import Iterator

import pandas as pd

from zl_forecast.ingest.adapters.base import Request, Rows, SourceSkipped
from zl_forecast.ingest.bars.landed import input_folder, replace_rows
from zl_forecast.ingest.bars.mapped_csv import read_mappings


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
    folder = input_folder("ZL_CSV_DIR", "csv")
    mappings = sorted(folder.glob("*.toml"))
    if not mappings:
        raise SourceSkipped(f"no mapping (*.toml) in {folder}")
    yield from replace_rows(request, lambda: read_mappings(mappings, pd.Timestamp.now("UTC")))
