"""FRED: interest rates, volatility, financial conditions, the dollar and policy uncertainty.

Without a key: https://fred.stlouisfed.org/graph/fredgraph.csv, which has the newest value of each observation. With a
key: the API with all vintages (ALFRED), https://fred.stlouisfed.org/docs/api/fred/series_observations.html.
"""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, Vintages, parsing
from zl_forecast.ingest.publication import available_by_rule
from zl_forecast.ingest.sources import SourceError

GRAPH = "https://fred.stlouisfed.org/graph/fredgraph.csv"
API = "https://api.stlouisfed.org/fred/series"
DATE_COLUMNS = ("observation_date", "date")  # since December 2024, and before
MISSING = ("", ".")
EARLIEST, LATEST = "1776-07-04", "9999-12-31"
MAX_VINTAGES = 1900  # in one request; FRED refuses more than 2,000
MAX_WHOLE_VINTAGES = 100  # of a series whose every vintage has the whole history
PAGE_ROWS = 100_000
PAGE_VINTAGES = 10_000
# available_on may lie some days after the vintage date, so a later pull begins earlier than the newest available_on
OVERLAP_VINTAGE_DAYS = 21


def pull(request: Request) -> Iterator[Observations | Vintages]:
    """Read all series of FRED, one request per series.

    Several series in one request are brought to the lowest frequency among them.

    Parameters
    ----------
    request : Request
        With the key, if there is one.

    Yields
    ------
    Observations or Vintages
        Vintages with a key.
    """
    for series_id in request.series.index:
        with request.isolated(series_id):
            yield _pull_vintages(request, series_id) if request.key else _pull_newest(request, series_id)
    whole = [
        name for name in request.series.index[request.series["revisions"] == "whole"] if name not in request.failures
    ]
    if whole and not request.key:
        request.notes.append(
            f"{', '.join(whole)}: without {request.source.key_variable} the history is its newest estimate, which is not "
            "point in time; vintages are kept from the first pull on"
        )


def _pull_newest(request: Request, series_id: str) -> Observations:
    code = request.series.at[series_id, "publisher_code"]
    query = {"id": code, "cosd": request.window_start(series_id).isoformat()}
    response = request.client.get(GRAPH, query, content="csv", name=series_id)
    return Observations(series_id, parse_graph(response.text(), code), response.fetched_at)


def parse_graph(text: str, code: str) -> pd.Series:
    """Parse fredgraph.csv.

    Parameters
    ----------
    text : str
        Header `DATE` or `observation_date`, then one column per series; missing values are `.` or empty.
    code : str
        Column to read.

    Returns
    -------
    Series of float
        By obs_date, in the order of the file; NaN is no value.

    Raises
    ------
    SourceError
        The header has changed, the column is missing, the text is cut, or a value is not a number.

    Examples
    --------
    >>> parse_graph("DATE,DGS10\\n2024-01-01,.\\n2024-01-02,3.95\\n", "DGS10").tolist()
    [nan, 3.95]
    """
    rows = list(csv.reader(io.StringIO(text)))
    header = [name.strip() for name in rows[0]]
    if header[0].lower() not in DATE_COLUMNS or code not in header:
        raise SourceError(
            f"the header of fredgraph.csv is {','.join(header)[:100]!r}, not observation_date (or DATE) and {code}",
            "The format may have changed: see https://fred.stlouisfed.org/graph/fredgraph.csv.",
        )
    if not text.endswith("\n") or any(len(row) != len(header) for row in rows[1:] if row):
        raise SourceError("fredgraph.csv is cut: its last line is incomplete", "Try again later.")
    column = header.index(code)
    return _values([(row[0], row[column]) for row in rows[1:] if row])


def _pull_vintages(request: Request, series_id: str) -> Vintages:
    rule = request.series.loc[series_id]
    held = request.held["series"]
    own = held[(held["series_id"] == series_id) & (held["available_by"] == "publisher")]
    is_first = request.is_full or not len(own)
    if is_first:
        dates, _ = _paged(request, "vintagedates", rule["publisher_code"], {}, "vintage_dates", PAGE_VINTAGES)
        dates = sorted(dates)
        if not dates:
            raise SourceError(f"{series_id}: ALFRED has no vintages", "Unset the key to read its newest values.")
        most = MAX_WHOLE_VINTAGES if rule["revisions"] == "whole" else MAX_VINTAGES
        starts = [EARLIEST, *dates[most::most]]
        first_vintage = pd.Timestamp(dates[0])
        observation_start = request.history_from
    else:
        starts = [(own["available_on"].max() - pd.Timedelta(days=OVERLAP_VINTAGE_DAYS)).date().isoformat()]
        first_vintage = None
        observation_start = request.window_start(series_id)
    ends = [(date.fromisoformat(start) - timedelta(days=1)).isoformat() for start in starts[1:]] + [LATEST]
    parts = []
    for start, end in zip(starts, ends, strict=True):
        if len(starts) > 1:
            request.progress(f"{series_id}: vintages from {start}")
        window = {"realtime_start": start, "realtime_end": end, "observation_start": observation_start.isoformat()}
        rows, fetched_at = _paged(request, "observations", rule["publisher_code"], window, "observations", PAGE_ROWS)
        parts.append(pd.DataFrame(rows, columns=["date", "realtime_start", "value"]))
    return Vintages(series_id, _vintage_rows(pd.concat(parts), rule, first_vintage), fetched_at)


def _vintage_rows(answers: pd.DataFrame, rule: pd.Series, first_vintage: pd.Timestamp | None) -> pd.DataFrame:
    """Return one row per observation and value, with the first day at whose cut-off it was public."""
    rows = pd.DataFrame(
        {
            "obs_date": pd.to_datetime(answers["date"]).astype("datetime64[us]").to_numpy(),
            "released": pd.to_datetime(answers["realtime_start"]).astype("datetime64[us]").to_numpy(),
            "value": _values(list(zip(answers["date"], answers["value"], strict=True))).to_numpy(),
        }
    ).dropna(subset="value")
    rows = rows.sort_values(["obs_date", "released"], ignore_index=True)
    # a window's edge repeats the value with the first day of the window
    is_repeated = (rows["obs_date"] == rows["obs_date"].shift()) & (rows["value"] == rows["value"].shift())
    rows = rows[~is_repeated].reset_index(drop=True)
    due = available_by_rule(rows["obs_date"], rule)
    # a vintage date is a day without a time, so a release after the cut-off would seem public too early
    rows["available_on"] = due.where(due > rows["released"], rows["released"])
    rows["available_by"] = "publisher"
    if first_vintage is not None and rule["revisions"] != "whole":
        is_older = rows["released"] <= first_vintage  # than ALFRED's archive of this series
        rows.loc[is_older, "available_on"] = due[is_older]
        rows.loc[is_older, "available_by"] = "rule"
    rows = rows.drop_duplicates(["obs_date", "available_on"], keep="last")
    return rows[["obs_date", "available_on", "value", "available_by"]]


def _paged(
    request: Request, endpoint: str, code: str, window: dict[str, str], name: str, page_rows: int
) -> tuple[list, datetime]:
    """Read all pages of an answer; return its items and when the last page was fetched."""
    found: list = []
    while True:
        query = {
            "series_id": code,
            "api_key": request.key or "",
            "file_type": "json",
            "limit": str(page_rows),
            "offset": str(len(found)),
            "sort_order": "asc",
            **window,
        }
        response = request.client.get(f"{API}/{endpoint}", query, content="json", name=f"{code} {endpoint}")
        answer = response.json()
        if not isinstance(answer, dict) or not isinstance(answer.get(name), list) or "count" not in answer:
            raise SourceError(
                f"{code}: the API's answer has no list {name}",
                f"The format may have changed: {request.source.documentation}",
            )
        if int(answer.get("offset", len(found))) != len(found):
            raise SourceError(f"{code}: the API sent another page than the one asked for", "Try again later.")
        found += answer[name]
        if len(found) >= int(answer["count"]):
            return found, response.fetched_at
        if not answer[name]:
            raise SourceError(
                f"{code}: the API sent {len(found)} of {answer['count']} {name.replace('_', ' ')}", "Try again later."
            )


def _values(pairs: list[tuple[str, str]]) -> pd.Series:
    """Return values by date; raise an error that names the first text that is neither a number nor a missing value."""
    with parsing("a date or value"):
        days = pd.to_datetime([day for day, _ in pairs], format="%Y-%m-%d").as_unit("us")
        numbers = [np.nan if text.strip() in MISSING else float(text) for _, text in pairs]
    return pd.Series(numbers, index=days, dtype=float)
