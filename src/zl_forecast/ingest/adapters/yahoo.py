"""Yahoo Finance: daily bars of the front months, without a key and without contracts.

Documentation: https://ranaroussi.github.io/yfinance/ (Yahoo has none). The library `yfinance` is used for its transport: Yahoo
refuses ordinary HTTP clients with status 429, by their TLS handshake (ranaroussi/yfinance issue 2422). Known faults of the data:

- no contract: the front month changes without a mark, so rolls and carry are unknown;
- the newest row is the running session. In the evening it has the date of the day that has just ended and replaces its bar,
  so bars are read up to yesterday by the exchange's clock only;
- single prices are misprinted, or 0;
- sessions are missing for days at times (issues 2620, 2635, 2240), and prices may be null. What is landed stays;
- grains and hogs are quoted in cents (currency USX), other futures in dollars.
"""

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import tenacity
import yfinance
from curl_cffi.requests import Session
from curl_cffi.requests.exceptions import RequestException
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

from zl_forecast.ingest.adapters.base import Request, Rows, SourceSkipped
from zl_forecast.ingest.bars.futures import futures
from zl_forecast.ingest.bars.landed import count, join_bars, list_days
from zl_forecast.ingest.bars.sessions import instruments, sessions_of
from zl_forecast.ingest.client import Client, PublisherUnreachable
from zl_forecast.ingest.sources import SourceError
from zl_forecast.paths import data_dir

OVERLAP_DAYS = (
    40  # of the past that is read again: Yahoo replaces the last trade by the settlement, and adds sessions later
)
RECENT_DAYS = 90  # in which missing sessions are named
MAX_ATTEMPTS = 4
FIRST_WAIT_SECONDS = 20.0  # after a refusal, Yahoo wants a pause
CHART = "/v8/finance/chart/"
UNITS = {"USX": "cents", "USD": "dollars"}
NO_CONTRACTS = (
    "bars of Yahoo have no contract_id: rolls are unknown, so the step between two contracts counts as a return, and there is "
    "no carry; for bars with contracts set DATABENTO_API_KEY or bring files of your own"
)


def pull(request: Request) -> Iterator[Rows]:
    """Read the daily bars of every future that no other source supplies.

    Parameters
    ----------
    request : Request
        Its held bars decide how far back to read.

    Yields
    ------
    Rows
        Bars of one symbol after the other.

    Raises
    ------
    SourceSkipped
        Other files supply all symbols.
    """
    wanted = [symbol for symbol in futures() if symbol not in request.taken.get("bars_daily", {})]
    if not wanted:
        raise SourceSkipped("other files supply all symbols")
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # failures are reported here
    yfinance.config.debug.hide_exceptions = False
    cache = data_dir() / "ingest" / "yfinance"
    cache.mkdir(parents=True, exist_ok=True)
    yfinance.set_tz_cache_location(str(cache))
    ends_at = time.monotonic() + request.source.max_seconds
    held = request.held["bars_daily"]
    with _Session(request.client) as session:
        for number, symbol in enumerate(wanted):
            if number and not os.environ.get("ZL_MIRROR_URL"):
                time.sleep(request.source.min_seconds_between_requests)
            on_file = held.loc[held["symbol"] == symbol, "as_of_date"]
            with request.isolated(symbol):
                bars = _read(symbol, on_file, session, request, ends_at)
                request.progress(f"{symbol}: {count(len(bars), 'bar')} to {bars['as_of_date'].max():%Y-%m-%d}")
                yield Rows("bars_daily", bars)
    request.notes.append(NO_CONTRACTS)


class _Session(Session):
    """A session of the library that keeps what Yahoo sends; with ZL_MIRROR_URL it asks that server, as `Client` does."""

    def __init__(self, client: Client):
        super().__init__(impersonate="chrome")
        self._client = client

    def request(self, method: Any, url: str, *arguments: Any, **named: Any) -> Any:
        """Send a request, and keep the response if it is a chart."""
        mirror = os.environ.get("ZL_MIRROR_URL", "").rstrip("/")
        address = f"{mirror}/{url.split('://', 1)[1]}" if mirror else url
        response = super().request(method, address, *arguments, **named)
        if CHART in url:
            self._client.keep(url.rsplit("/", 1)[1], response.content, url=url)
        return response


def _read(symbol: str, on_file: pd.Series, session: Session, request: Request, ends_at: float) -> pd.DataFrame:
    start = request.history_from
    if len(on_file) and not request.is_full:
        start = max(start, (on_file.max() - pd.Timedelta(days=OVERLAP_DAYS)).date())
    ticker = yfinance.Ticker(f"{symbol}=F", session=session)

    def history() -> pd.DataFrame:
        return ticker.history(start=start, interval="1d", auto_adjust=False, actions=False, keepna=True)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(MAX_ATTEMPTS)
        | tenacity.stop_after_delay(max(0.0, ends_at - time.monotonic())),
        wait=tenacity.wait_exponential(multiplier=FIRST_WAIT_SECONDS, max=120),
        retry=tenacity.retry_if_exception_type((YFRateLimitError, RequestException)),
        before_sleep=lambda state: request.progress(f"{symbol}: {_describe(state)}; trying again"),
        reraise=True,
    )
    try:
        rows = retrying(history)
        currency = ticker.get_history_metadata()["currency"]
        time_zone = ticker.get_history_metadata()["exchangeTimezoneName"]
    except (YFRateLimitError, RequestException) as error:
        raise PublisherUnreachable(
            f"{symbol}: Yahoo answers no request ({' '.join(str(error).split())[:200]})",
            "Try again in an hour or from another address; what was landed before is unchanged.",
        ) from None
    except YFPricesMissingError as error:
        raise SourceError(f"{symbol}: Yahoo has no bars ({error})", "Try again later.") from None
    except (YFException, ValueError, KeyError, TypeError, IndexError) as error:
        raise SourceError(
            f"{symbol}: what Yahoo sent is not understood ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "Try again later. If it stays, Yahoo has changed its format: install a newer yfinance.",
        ) from None
    return _checked(symbol, rows, currency, time_zone, on_file, request)


def _checked(
    symbol: str, rows: pd.DataFrame, currency: str, time_zone: str, on_file: pd.Series, request: Request
) -> pd.DataFrame:
    """Return finished sessions with a price, in the unit of seeds/instruments.csv."""
    bars = pd.DataFrame(
        {
            "symbol": symbol,
            "as_of_date": pd.DatetimeIndex(rows.index.date).astype("datetime64[us]"),
            **{
                name: rows[name.capitalize()].to_numpy() * _factor(symbol, currency)
                for name in ("open", "high", "low", "close")
            },
            "volume": rows["Volume"].astype("Int64").where(rows["Volume"] > 0).to_numpy(),  # 0 is unknown
            "contract_id": None,
        }
    )
    yesterday = _today(time_zone) - pd.Timedelta(days=1)
    bars = bars[bars["as_of_date"] <= yesterday]
    if bars.empty:
        raise SourceError(f"{symbol}: Yahoo has no bar of a finished session", "Try again later.")
    first, last = bars["as_of_date"].min(), bars["as_of_date"].max()
    sessions = sessions_of(symbol, first, yesterday)
    bars = bars[bars["as_of_date"].isin(sessions)]
    prices = ["open", "high", "low", "close"]
    bars = bars.assign(**{name: bars[name].where(bars[name] != 0) for name in prices})  # 0 is no price
    has_price = bars["close"].notna() & bars["open"].notna()
    without_price = bars.loc[~has_price, "as_of_date"].dt.date
    bars = bars[has_price]
    if len(without_price):
        request.notes.append(
            f"{symbol}: {count(len(without_price), 'session')} without prices: {list_days(without_price)}"
        )
    is_misprint = _misprints(bars["close"], instruments().at[symbol, "max_step"])
    if is_misprint.any():
        request.notes.append(
            f"{symbol}: {count(int(is_misprint.sum()), 'bar')} left out, because the price jumps and returns, or has jumped in the newest: "
            f"{list_days(bars.loc[is_misprint, 'as_of_date'].dt.date)}"
        )
        bars = bars[~is_misprint]
    recent = sessions[sessions > yesterday - pd.Timedelta(days=RECENT_DAYS)]
    absent = recent[~recent.isin(bars["as_of_date"]) & ~recent.isin(on_file)]
    if len(absent):
        request.notes.append(f"{symbol}: no bar on {count(len(absent), 'session')}: {list_days(absent.date)}")
    if len(on_file) and last < on_file.max():
        request.notes.append(
            f"{symbol}: Yahoo ends on {last:%Y-%m-%d}; the bars on file end on {on_file.max():%Y-%m-%d} and stay"
        )
    return join_bars([bars])


def _misprints(closes: pd.Series, max_step: float) -> pd.Series:
    """Find closes that are further from both neighbours than a session can move; the newest needs a second session."""
    steps = np.log(closes.where(closes > 0)).diff()
    back = steps.shift(-1)
    jumps, returns = steps.abs() > max_step, (back.abs() > max_step) & (steps * back < 0)
    is_newest = pd.Series(np.arange(len(closes)) == len(closes) - 1, index=closes.index)
    return jumps & (returns | is_newest)


def _today(time_zone: str) -> pd.Timestamp:
    return pd.Timestamp.now(time_zone).tz_localize(None).normalize()


def _factor(symbol: str, currency: str) -> float:
    """Return the factor from Yahoo's currency to the unit of seeds/instruments.csv."""
    if currency not in UNITS:
        raise SourceError(
            f"{symbol}: Yahoo quotes it in {currency}, not in USD or USX (cents)",
            "Another future may have got its name: report it.",
        )
    in_cents = instruments().at[symbol, "unit"].startswith("US cents")
    if in_cents == (currency == "USX"):
        return 1.0
    return 100.0 if in_cents else 0.01


def _describe(state: tenacity.RetryCallState) -> str:
    return " ".join(str(state.outcome.exception() if state.outcome else "").split())[:200]
