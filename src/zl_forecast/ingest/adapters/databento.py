"""Databento (CME Globex, dataset GLBX.MDP3): files of batch jobs on disk, and the historical API if there is a key.

Documentation: https://databento.com/docs/api-reference-historical. Files lie in ZL_DATABENTO_DIR, else databento/ of
the data folder; what the API sends is kept there too, in api/, and read in the same way (`bars.databento_files`).

The API is asked for hourly bars of the single contracts that are delivered within MONTHS_AHEAD months, month by month from the
end of the files on, by its own client library. What that costs is asked first and shown; above DATABENTO_MAX_COST_USD nothing
is downloaded. Databento corrects its history without notice: to read corrected days, delete their files.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import databento
import databento_dbn
import pandas as pd
import requests
import tenacity
from databento.common.error import BentoClientError, BentoError, BentoHttpError, BentoWarning

from zl_forecast.errors import LandingError
from zl_forecast.ingest.adapters.base import Request, Rows, SourceSkipped
from zl_forecast.ingest.bars.databento_files import check_whole, covered_until, read_folder
from zl_forecast.ingest.bars.futures import MONTH_CODES, futures
from zl_forecast.ingest.bars.landed import count, input_folder, replace_rows
from zl_forecast.ingest.bars.trade_dates import newest_complete, session_end
from zl_forecast.ingest.client import PublisherUnreachable
from zl_forecast.ingest.keys import read_key, redact
from zl_forecast.ingest.sources import SourceError

DATASET, SCHEMA = "GLBX.MDP3", "ohlcv-1h"
HOST = "https://hist.databento.com"
FIRST_DAY = pd.Timestamp("2010-06-06", tz="UTC")  # of the dataset
MONTHS_AHEAD = 14  # delivery months per request: six months ahead, and the contract after the front at that time
MAX_COST_USD = 5.0
MAX_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
RETRIED_STATUS = {408, 429, 500, 502, 503, 504}
Result = TypeVar("Result")


def pull(request: Request) -> Iterator[Rows]:
    """Download what the API has beyond the files, and read all files.

    Parameters
    ----------
    request : Request
        The key is optional.

    Yields
    ------
    Rows
        Bars, and the curve where there are single contracts.

    Raises
    ------
    SourceError
        A file is damaged or contradicts another.
    SourceSkipped
        There are neither files nor a key.
    """
    folder = input_folder("ZL_DATABENTO_DIR", "databento")
    if request.key:
        with request.isolated("download"):
            download(folder / "api", request, covered_until(folder))
    if not folder.is_dir() or not any(path.is_file() for path in folder.rglob("*")):
        if request.failures:
            return
        raise SourceSkipped(
            f"no files in {folder} and no access key: put batch files there, or set {request.source.key_variable}"
        )
    yield from replace_rows(request, lambda: read_folder(folder, request.progress))


def download(folder: Path, request: Request, covered: pd.Timestamp | None) -> None:
    """Download hourly bars of single contracts, one file per month, up to the newest session that has ended.

    Parameters
    ----------
    folder : Path
        Receives the files, and condition.json.
    request : Request
        With the key.
    covered : Timestamp or None
        End of what is on disk.

    Raises
    ------
    SourceError
        Databento refuses the key or the request, cannot be reached, or the cost is above the limit.
    """
    api = _Api(request)
    available: dict[str, Any] = api.call("the available range", api.client.metadata.get_dataset_range, DATASET)
    newest = pd.Timestamp(available.get("schema", {}).get(SCHEMA, available)["end"])
    newest = newest if newest.tz else newest.tz_localize("UTC")
    ended = newest_complete(min(newest, pd.Timestamp.now("UTC")))
    end = session_end((ended - pd.Timedelta(days=max(0, ended.dayofweek - 4))).date())  # on weekends that of Friday
    start = covered or max(FIRST_DAY, pd.Timestamp(request.history_from, tz="UTC"))
    months = _months(start, end)
    if not months:
        request.progress(f"nothing new since {start:%Y-%m-%d %H:%M} UTC")
        return
    api.accept_cost(months)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(".*"):  # of a process that was killed
            part.unlink()
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be written: {error.strerror}", "Give this user write access to it."
        ) from error
    for number, (first, last) in enumerate(months, start=1):
        size = api.download_month(folder, first, last)
        request.progress(f"{number} of {len(months)} months, {first:%Y-%m-%d} to {last:%Y-%m-%d}: {size / 1e6:.1f} MB")
    first_day, last_day = FIRST_DAY.date(), months[-1][1].date()
    conditions = api.call(
        "the conditions", api.client.metadata.get_dataset_condition, DATASET, start_date=first_day, end_date=last_day
    )
    part = folder / ".condition.part"
    part.write_text(json.dumps(conditions, default=str, indent=1))
    part.replace(folder / "condition.json")


def contracts_between(first: pd.Timestamp, months: int = MONTHS_AHEAD) -> list[str]:
    """List the contracts that are delivered in a month or within a number of months after it.

    Parameters
    ----------
    first : Timestamp
        A day of the first month.
    months : int
        Number of months.

    Returns
    -------
    list of str
        Raw symbols of all futures, whose year has one digit.

    Examples
    --------
    >>> [symbol for symbol in contracts_between(pd.Timestamp("2023-12-01"), 4) if symbol.startswith("ZL")]
    ['ZLZ3', 'ZLF4', 'ZLH4']
    """
    deliveries = [first.tz_localize(None).to_period("M") + number for number in range(months)]
    return [
        f"{future.symbol}{code}{delivery.year % 10}"
        for future in futures().values()
        for delivery in deliveries
        if (code := MONTH_CODES[delivery.month - 1]) in future.months
    ]


class _BadBody(Exception):
    """The API has sent something else than what was asked for, or a part of it."""


class _Api:
    """The client library, with retries, a time limit and errors that say what to do."""

    def __init__(self, request: Request):
        mirror = os.environ.get("ZL_MIRROR_URL", "").rstrip("/")
        gateway = f"{mirror}/{HOST.split('://')[1]}" if mirror else HOST
        self.request, self.key = request, request.key or ""
        self.client = databento.Historical(self.key, gateway=gateway)
        if mirror.startswith("http://"):  # the library turns every gateway into https
            for part in (self.client.metadata, self.client.timeseries):
                part._base_url = part._base_url.replace("https://", "http://", 1)
        self._ends_at = time.monotonic() + request.source.max_seconds

    def accept_cost(self, months: list[tuple[pd.Timestamp, pd.Timestamp]]) -> None:
        """Ask what the months cost, show it, and refuse what is above the limit."""
        limit = _cost_limit()
        cost = 0.0
        for number, (first, last) in enumerate(months, start=1):
            cost += self.call("the cost", self.client.metadata.get_cost, DATASET, **_query(first, last))
            if number % 24 == 0:
                self.request.progress(f"cost of {number} of {len(months)} months: {cost:.2f} USD")
        what = f"{count(len(months), 'month')} of hourly bars, {months[0][0]:%Y-%m-%d} to {months[-1][1]:%Y-%m-%d}"
        self.request.progress(f"{what}: {cost:.2f} USD, limit {limit:.2f} USD")
        if cost > limit:
            raise SourceError(
                f"{what} cost {cost:.2f} USD, above the limit of {limit:.2f} USD, so nothing was downloaded",
                f"To accept it, set DATABENTO_MAX_COST_USD={cost * 1.1:.0f} in the environment or in .env; --from DATE asks for less.",
            )

    def download_month(self, folder: Path, first: pd.Timestamp, last: pd.Timestamp) -> int:
        """Download one file; return its size."""
        fetched = datetime.now(UTC)
        name = f"{first:%Y-%m-%dT%H%M}_{last:%Y-%m-%dT%H%M}_fetched_{fetched:%Y%m%dT%H%M%SZ}.{SCHEMA}.dbn.zst"
        part = folder / f".{name}"

        def get() -> None:
            part.unlink(missing_ok=True)  # the library does not write over a file
            try:
                self.client.timeseries.get_range(DATASET, **_query(first, last), path=part)
                check_whole(part)
            except (BentoHttpError, requests.RequestException):
                raise
            except (BentoError, databento_dbn.DBNError, LandingError, ValueError) as error:
                raise _BadBody(f"the response is cut, or no DBN file ({error})".replace(part.name, "it")) from None

        try:
            self.call(f"bars of {first:%Y-%m}", get)
            size = part.stat().st_size
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)
        return size

    def call(self, what: str, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Call the library; failures that may pass are tried again with back-off."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(MAX_ATTEMPTS)
            | tenacity.stop_after_delay(max(0.0, self._ends_at - time.monotonic())),
            wait=_wait,
            retry=tenacity.retry_if_exception(_may_pass),
            before_sleep=lambda state: self.request.progress(f"{what}: {self._describe(state)}; trying again"),
            reraise=True,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BentoWarning)
            try:
                result = retrying(function, *arguments, **named)
            except (BentoError, _BadBody, requests.RequestException, ValueError) as error:
                raise self._explain(what, error) from None  # without the chain: it may hold the request
        for warning in caught:
            if issubclass(warning.category, BentoWarning):
                self.request.progress(f"{what}: Databento says: {self._clean(str(warning.message))}")
        return result

    def _describe(self, state: tenacity.RetryCallState) -> str:
        return self._clean(str(state.outcome.exception()) if state.outcome else "")

    def _clean(self, text: str) -> str:
        return redact(" ".join(text.split())[:300], [self.key])

    def _explain(self, what: str, error: Exception) -> SourceError:
        problem = f"{what}: {self._clean(str(error))}"
        status = error.http_status if isinstance(error, BentoHttpError) else None
        if status in (401, 403):
            return SourceError(
                problem, f"Check the access key {self.request.source.key_variable} (environment or .env)."
            )
        if status == 402:
            return SourceError(problem, "Databento wants a payment method or more credit: see its portal.")
        if isinstance(error, BentoClientError) and status not in RETRIED_STATUS:
            return SourceError(problem, f"See {self.request.source.documentation}")
        if _may_pass(error):
            return PublisherUnreachable(problem, "Try again later: the months that were downloaded are kept.")
        return SourceError(problem, f"See {self.request.source.documentation}")


def _cost_limit() -> float:
    named = read_key("DATABENTO_MAX_COST_USD")
    try:
        return float(named) if named else MAX_COST_USD
    except ValueError:
        raise SourceError(f"DATABENTO_MAX_COST_USD is {named!r}", "Write a number of US dollars, such as 20.") from None


def _query(first: pd.Timestamp, last: pd.Timestamp) -> dict[str, Any]:
    return {
        "symbols": contracts_between(first),
        "schema": SCHEMA,
        "stype_in": "raw_symbol",
        "start": first,
        "end": last,
    }


def _months(start: pd.Timestamp, end: pd.Timestamp) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Divide a period at the beginnings of months."""
    edges = [start, *pd.date_range(start, end, freq="MS", normalize=True, inclusive="neither"), end]
    edges = [edge for edge in edges if start <= edge <= end]
    return [(first, last) for first, last in zip(edges, edges[1:], strict=False) if first < last]


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, BentoHttpError):
        return error.http_status in RETRIED_STATUS
    return isinstance(error, (_BadBody, requests.ConnectionError, requests.Timeout))


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    headers = getattr(error, "headers", None) or {}
    asked = headers.get("Retry-After", "")
    backed_off = FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1)
    return min(MAX_WAIT_SECONDS, max(float(asked) if asked.isdigit() else 0.0, backed_off))
