"""EPA: weekly average prices of separated RINs, from the table that you export.

The prices stand in an application on https://www.epa.gov/fuels-registration-reporting-and-compliance-help/rin-trades-and-price-information
that has no address for a file: its button Export Table saves a CSV file. All files in ZL_EPA_DIR, else epa/ of the data folder, are read;
where they have the same week, the file whose newest week is later wins, then the one that was saved later. EPA refreshes
the table about once per month, and changes values of the past.

A series is the unverified price of one D code, of RINs of the current year. A week that is in two years has a row for each: the
row of the year of its Monday counts.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, SourceSkipped, parsing
from zl_forecast.ingest.bars.landed import input_folder
from zl_forecast.ingest.sources import SourceError

COLUMNS = {  # name here by column of the table
    "Transfer Date by Week": "week",
    "Transfer Year": "transfer_year",
    "RIN Year": "rin_year",
    "Fuel (D Code)": "d_code",
    "QAP Service Type": "qap_service",
    "RIN Price": "price",
}


def pull(request: Request) -> Iterator[Observations]:
    """Read all exported tables.

    Parameters
    ----------
    request : Request
        Its series have D codes as publisher_code.

    Yields
    ------
    Observations
        USD per RIN, dated on the Monday of the week.

    Raises
    ------
    SourceError
        A file is not that table; nothing is landed.
    SourceSkipped
        There is no file.
    """
    folder = input_folder("ZL_EPA_DIR", "epa")
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise SourceSkipped(
            f"no *.csv in {folder}: open {request.source.documentation}, choose RIN Price Data with all transfer years, press "
            "Export Table and put the file there"
        )
    tables = []
    for file in files:
        body, saved_at = file.read_bytes(), file.stat().st_mtime
        request.client.keep(file.name, body, url=file.resolve().as_uri())
        prices = parse_table(body, file.name)
        tables.append((prices["week"].max(), saved_at, file.name, prices))
    prices = pd.concat([table for *_, table in sorted(tables, key=lambda found: found[:3])])
    prices = prices.drop_duplicates(["week", "d_code"], keep="last").set_index("week")
    for series_id, d_code in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            values = prices.loc[prices["d_code"] == d_code, "price"]
            if values.empty:
                raise SourceError(
                    f"{series_id}: no unverified price of {d_code} of the current year in {len(files)} files of {folder}",
                    "Export the table with all transfer years, D codes and QAP service types.",
                )
            yield Observations(str(series_id), values, datetime.now(UTC))


def parse_table(body: bytes, name: str) -> pd.DataFrame:
    """Parse an exported table.

    Parameters
    ----------
    body : bytes
        A header without quotes, then lines such as "1/2/2017","2017","2016","D4","Unverified","$1.04".
    name : str
        File name, for messages.

    Returns
    -------
    DataFrame
        Columns week, d_code and price: unverified prices of RINs of the year of the week's Monday.

    Raises
    ------
    SourceError
        A column is missing, a line is cut, a value cannot be read, or a week has two prices.
    """
    # no UTF-8 is a ValueError, too
    with parsing(f"{name}: a line", "Export the table again, and do not save it in Excel.", (ValueError, csv.Error)):
        lines = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True))
        fields = set(lines[0]) if lines else set()
        if missing := [column for column in COLUMNS if column not in fields]:
            raise SourceError(
                f"{name} is not EPA's table of RIN prices: it lacks {', '.join(missing)}",
                "Choose RIN Price Data before you press Export Table.",
            )
        if any(None in line.values() for line in lines):
            raise SourceError(f"{name} is cut: a line is shorter than the header", "Export the table again.")
        rows = pd.DataFrame(lines)[list(COLUMNS)].rename(columns=COLUMNS).map(str.strip)
        rows["week"] = pd.to_datetime(rows["week"], format="%m/%d/%Y").astype("datetime64[us]")
        years = rows["week"].dt.year
        is_current = (rows["rin_year"].astype(int) == years) & (rows["transfer_year"].astype(int) == years)
        rows = rows[is_current & (rows["qap_service"] == "Unverified") & ~rows["price"].isin(("", "-"))]
        prices = rows.assign(price=rows["price"].str.replace(r"[$,]", "", regex=True).astype(float))
    if (other := prices["week"].dt.dayofweek != 0).any():
        raise SourceError(
            f"{name}: the week of {prices['week'][other].iloc[0]:%Y-%m-%d} does not begin on a Monday",
            "The format has changed.",
        )
    prices = prices[["week", "d_code", "price"]].drop_duplicates()
    if (twice := prices.duplicated(["week", "d_code"])).any():
        first = prices[twice].iloc[0]
        raise SourceError(
            f"{name} has two unverified prices of {first['d_code']} for the week of {first['week']:%Y-%m-%d}",
            "Export the table again, without a selection of parties.",
        )
    return prices
