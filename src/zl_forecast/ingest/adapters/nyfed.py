"""Federal Reserve Bank of New York: the effective federal funds rate and the secured overnight financing rate.

Each rate is published on the next business day, SOFR at about 8:00 and EFFR at about 9:00 Eastern, and may be revised until
14:30 of that day: https://www.newyorkfed.org/markets/reference-rates/additional-information-about-reference-rates. The
interface: https://markets.newyorkfed.org/static/docs/markets-api.html. That a revised rate may stand beside the first one,
with a revisionIndicator, is not confirmed on a live answer.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.sources import SourceError

API = "https://markets.newyorkfed.org/api/rates/{code}/search.json"
FIELDS = ("effectiveDate", "type", "percentRate")


def pull(request: Request) -> Iterator[Observations]:
    """Read all rates, one request per rate.

    Parameters
    ----------
    request : Request
        Its series have the group and name of a rate as publisher_code: `secured/sofr`.

    Yields
    ------
    Observations
        Percent.
    """
    for series_id, code in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            window = {
                "startDate": request.window_start(str(series_id)).isoformat(),
                "endDate": datetime.now(UTC).date().isoformat(),
            }
            response = request.client.get(API.format(code=code), window, content="json", name=str(series_id))
            rates = parse_rates(response.json(), str(code).rpartition("/")[2].upper())
            yield Observations(str(series_id), rates, response.fetched_at)


def parse_rates(answer: object, rate: str) -> pd.Series:
    """Parse the interface's answer: newest day first.

    Parameters
    ----------
    answer : object
        With a list `refRates`, one object per day.
    rate : str
        Type that all of them must have: EFFR or SOFR.

    Returns
    -------
    Series of float
        Percent by day; of a day with a revised rate only that one.

    Raises
    ------
    SourceError
        The list or a field is missing, the rates are of another type, or a value cannot be read.

    Examples
    --------
    >>> row = {"effectiveDate": "2024-06-06", "type": "SOFR", "percentRate": 5.33, "revisionIndicator": ""}
    >>> parse_rates({"refRates": [row]}, "SOFR").tolist()
    [5.33]
    """
    rows = answer.get("refRates") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise SourceError("the interface's answer has no list refRates", "The format may have changed.")
    if missing := sorted({name for row in rows for name in FIELDS if name not in row}):
        raise SourceError(f"the interface's rates lack {', '.join(missing)}", "The format may have changed.")
    if others := {str(row["type"]) for row in rows} - {rate}:
        raise SourceError(
            f"the interface sent {', '.join(sorted(others))} instead of {rate}",
            "See the raw response for what it sent.",
        )
    revised = {row["effectiveDate"] for row in rows if row.get("revisionIndicator")}
    rows = [row for row in rows if row["effectiveDate"] not in revised or row.get("revisionIndicator")]
    with parsing("a date or rate", errors=(ValueError, TypeError)):
        days = pd.to_datetime([row["effectiveDate"] for row in rows], format="%Y-%m-%d").as_unit("us")
        return pd.Series([float(row["percentRate"]) for row in rows], index=days, dtype=float)
