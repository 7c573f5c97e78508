"""The front contract of each session: it only moves forward, and is chosen by what was known the evening before.

`front_by_volume` and `_front_by_calendar` choose among single contracts. `repair_continuous` reads a vendor's
continuous series, which may go back to a contract that it has left: Databento's series by volume does so for a
session or two after holidays, when the volume of a short session decides.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import date
from statistics import median

import pandas as pd

from zl_forecast.ingest.bars.futures import MONTH_CODES, Future, contract_code

RETURN_SESSIONS = 10  # a contract that comes back within so many sessions was left by mistake, or returns by mistake
VOLUME_SESSIONS = 10  # whose median volume a new front is compared with
MIN_VOLUME_SHARE = 0.2  # of that median; the wrong contracts of real files have 0.001 to 0.15
MAX_LEFT_OUT = 3  # sessions in a row
MAX_YEARS_AHEAD = 6  # of a delivery month that is read
BARS = ["symbol", "as_of_date", "open", "high", "low", "close", "volume", "contract_id"]
CURVE = ["symbol", "as_of_date", "contract_month", "settle", "open_interest"]


@dataclass
class Rolled:
    """Continuous bars of one symbol.

    Attributes
    ----------
    bars : DataFrame
        Columns of bars_daily, ascending.
    left_out : list of date
        Sessions without a bar though the symbol traded.
    replaced : list of date
        Sessions on which the vendor's series went back and the bar of the right contract was in the files.
    """

    bars: pd.DataFrame
    left_out: list[date] = field(default_factory=list)
    replaced: list[date] = field(default_factory=list)


def front_by_volume(volumes: pd.DataFrame, months: str) -> pd.Series:
    """Choose the front of each session: the later contract that traded more in the session before.

    Parameters
    ----------
    volumes : DataFrame
        Traded volume; index session, columns first day of the delivery month, both ascending. Missing is no trade.
    months : str
        Codes of the delivery months that may become the front.

    Returns
    -------
    Series
        Delivery month by session, from the second session on: volume of the first is not known before it ends.

    Examples
    --------
    >>> march, may = pd.Timestamp("2024-03-01"), pd.Timestamp("2024-05-01")
    >>> days = pd.to_datetime(["2024-02-12", "2024-02-13", "2024-02-14", "2024-02-15"])
    >>> volumes = pd.DataFrame({march: [9, 4, 8, 8], may: [5, 6, 7, 9]}, index=days)
    >>> front_by_volume(volumes, "HK").dt.month.tolist()
    [3, 5, 5]
    """
    allowed = [month for month in volumes.columns if MONTH_CODES[month.month - 1] in months]
    known = volumes[allowed].astype(float).fillna(0.0)
    fronts, front = {}, None
    for day, before in zip(known.index[1:], known.to_numpy()[:-1], strict=True):
        later = [
            (-volume, month)
            for volume, month in zip(before, allowed, strict=True)
            if volume > 0 and (front is None or month >= front)
        ]
        if later:
            best_volume, best = min(later)  # of equal volumes the nearest month
            if front is None or -best_volume > before[allowed.index(front)]:
                front = best
        if front is not None:
            fronts[day] = front
    return pd.Series(fronts, dtype="datetime64[us]")


def _front_by_calendar(volumes: pd.DataFrame, months: str) -> pd.Series:
    """Choose the front of each session, as `front_by_volume`: the nearest delivery month."""
    allowed = [month for month in volumes.columns if MONTH_CODES[month.month - 1] in months]
    fronts = {
        day: min((month for month in allowed if month >= day.replace(day=1)), default=None) for day in volumes.index
    }
    return pd.Series({day: month for day, month in fronts.items() if month is not None}, dtype="datetime64[us]")


def roll_contracts(contracts: pd.DataFrame, future: Future, *, by: str = "volume") -> Rolled:
    """Join the contracts of one symbol to a continuous series.

    Parameters
    ----------
    contracts : DataFrame
        Columns contract_month, as_of_date, open, high, low, close and volume: one row per contract and session.
    future : Future
        Its row of seeds/futures.csv.
    by : {"volume", "open_interest"}
        Column by which roll_rule `volume` chooses.

    Returns
    -------
    Rolled
        Bars with contract_id such as ZLH24. A session on which the front did not trade has no bar.
    """
    volumes = contracts.pivot(index="as_of_date", columns="contract_month", values=by).sort_index().sort_index(axis=1)
    choose = _front_by_calendar if future.roll_rule == "calendar" else front_by_volume
    fronts = choose(volumes, future.months).rename("contract_month").rename_axis("as_of_date").reset_index()
    bars = fronts.merge(contracts, on=["as_of_date", "contract_month"])
    bars = bars.assign(
        symbol=future.symbol, contract_id=[contract_code(future.symbol, month) for month in bars["contract_month"]]
    )
    absent = sorted(set(volumes.index) - set(bars["as_of_date"]))
    return Rolled(bars[BARS].sort_values("as_of_date", ignore_index=True), [day.date() for day in absent])


def curve_of(contracts: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """Return the curve of one symbol: the price of each contract that traded.

    Parameters
    ----------
    contracts : DataFrame
        As for `roll_contracts`; a column settle is used if there is one, else close, and open_interest if there is one.
    symbol : str
        As in bars_daily.

    Returns
    -------
    DataFrame
        Columns of curve_daily, ascending. Contracts whose delivery month has passed are left out.
    """
    rows = contracts.assign(
        symbol=symbol,
        settle=contracts["settle"].fillna(contracts["close"]) if "settle" in contracts else contracts["close"],
        open_interest=contracts.get("open_interest", pd.NA),
    )
    month_of = rows["as_of_date"].dt.to_period("M").dt.to_timestamp()
    rows = rows[(rows["contract_month"] >= month_of) & rows["settle"].notna()]
    return (
        rows[CURVE].sort_values(["as_of_date", "contract_month"], ignore_index=True).astype({"open_interest": "Int64"})
    )


def repair_continuous(fronts: pd.Series, bars: pd.DataFrame, symbol: str, *, keep_all: bool = False) -> Rolled:
    """Read a vendor's continuous series, without rolls that go back and without jumps to a contract that hardly trades.

    Only earlier sessions and the session itself decide about it, so a bar does not change when later ones arrive.

    Parameters
    ----------
    fronts : Series
        Contract by session as the vendor's series has it, ascending.
    bars : DataFrame
        Columns contract, as_of_date, open, high, low, close and volume. It may have bars of contracts that are not
        the front.
    symbol : str
        As in bars_daily.
    keep_all : bool
        True for futures whose volume jumps between delivery months all the time: nothing is repaired.

    Returns
    -------
    Rolled
        Bars with the vendor's contract as contract_id. Where the series goes back or jumps, the bar of the contract in
        front so far is used if `bars` has it; otherwise the session is left out. If that lasts for more than
        MAX_LEFT_OUT sessions, the vendor's contract counts as the front.

    Examples
    --------
    >>> days = pd.bdate_range("2024-02-15", periods=4)
    >>> prices = pd.DataFrame({"contract": [1, 2, 1, 2], "as_of_date": days, "volume": 1,
    ...     **dict.fromkeys(["open", "high", "low", "close"], 40.0)})
    >>> rolled = repair_continuous(pd.Series([1, 2, 1, 2], index=days), prices, "ZL")
    >>> rolled.bars["contract_id"].tolist(), rolled.left_out
    (['1', '2', '2'], [datetime.date(2024, 2, 19)])
    """
    volume_of = bars.set_index(["as_of_date", "contract"])["volume"]
    chosen: list = []
    left_on: dict = {}  # number of the session on which a contract was left
    recent: deque = deque(maxlen=VOLUME_SESSIONS)
    front, n_repaired = None, 0
    for number, (day, contract) in enumerate(fronts.items()):
        volume = volume_of.get((day, contract), 0)
        came_back = number - left_on.get(contract, -RETURN_SESSIONS - 1) <= RETURN_SESSIONS
        is_thin = len(recent) == VOLUME_SESSIONS and volume < MIN_VOLUME_SHARE * median(recent)
        if contract == front or keep_all or n_repaired == MAX_LEFT_OUT or not (came_back or is_thin):
            if contract != front and not came_back:  # a return that lasts means that the roll before was the mistake
                left_on[front] = number
            front, n_repaired = contract, 0
            recent.append(volume)
        else:
            n_repaired += 1
        chosen.append(front)
    wanted = pd.DataFrame({"as_of_date": fronts.index, "contract": chosen, "vendor_contract": fronts.to_numpy()})
    found = wanted.merge(bars, on=["as_of_date", "contract"])
    absent = sorted(set(wanted["as_of_date"]) - set(found["as_of_date"]))
    replaced = found.loc[found["contract"] != found["vendor_contract"], "as_of_date"]
    result = found.assign(symbol=symbol, contract_id=found["contract"].astype(str))
    return Rolled(
        result[BARS].sort_values("as_of_date", ignore_index=True),
        [day.date() for day in absent],
        [day.date() for day in replaced],
    )
