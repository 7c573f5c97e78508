"""Symbols of futures as vendors write them, and the contracts that they name. Data in seeds/futures.csv."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

import pandas as pd

from zl_forecast.paths import seed

MONTH_CODES = "FGHJKMNQUVXZ"  # January to December
CONTRACT = re.compile(rf"(?P<root>[A-Z0-9]{{1,3}}?)(?P<month>[{MONTH_CODES}])(?P<year>\d\d\d\d|\d\d|\d)")
CONTINUOUS = re.compile(r"(?P<root>[A-Z0-9]{1,3}?)(=F|[ _.]?#F?|1!|00|_?C?1)?")
PREFIXES = re.compile(r"^(@|/|CBOT:|CME:|NYMEX:|COMEX:|CHRIS/CME_)")
SUFFIXES = re.compile(r"\.(CBT|CME|NYM|CMX|F)$")


@dataclass(frozen=True)
class Future:
    """One row of seeds/futures.csv.

    Attributes
    ----------
    symbol : str
        As in bars_daily.
    months : str
        Codes of the delivery months that become the front.
    roll_rule : {"volume", "calendar"}
        How the front is chosen, see `zl_forecast.ingest.bars.rolls`.
    """

    symbol: str
    months: str
    roll_rule: str


@dataclass(frozen=True)
class Named:
    """What a vendor's symbol means.

    Attributes
    ----------
    symbol : str
        As in bars_daily.
    month : int or None
        Delivery month, 1 to 12; None for a continuous series.
    year : str
        Digits of the delivery year as written: one, two or four; empty for a continuous series.
    """

    symbol: str
    month: int | None = None
    year: str = ""


@cache
def futures() -> dict[str, Future]:
    """Return the futures that the project reads.

    Returns
    -------
    dict of str to Future
        By symbol, in the order of seeds/futures.csv.
    """
    rows = pd.read_csv(seed("futures"), dtype=str)
    return {row.symbol: Future(row.symbol, row.months, row.roll_rule) for row in rows.itertuples(index=False)}


@cache
def roots() -> dict[str, str]:
    """Return the symbol by root, for the exchange's roots and those of other vendors.

    Returns
    -------
    dict of str to str
        `ZL` and `BO` are both ZL.
    """
    rows = pd.read_csv(seed("futures"), dtype=str, keep_default_na=False)
    return {root: row.symbol for row in rows.itertuples(index=False) for root in [row.symbol, *row.aliases.split()]}


def parse_symbol(text: str) -> Named | None:
    """Read a vendor's symbol.

    Parameters
    ----------
    text : str
        A contract such as ZLH24, ZLH4, BOH2024 or ZLH24.CBT, or a continuous series such as ZL, ZL=F, @BO#, ZL1! or
        CHRIS/CME_BO1.

    Returns
    -------
    Named or None
        None if it is a spread, an option or a future that seeds/futures.csv does not name.

    Examples
    --------
    >>> parse_symbol("BOH4")
    Named(symbol='ZL', month=3, year='4')
    >>> parse_symbol("@BO#")
    Named(symbol='ZL', month=None, year='')
    >>> parse_symbol("ZLH4-ZLK4") is None
    True
    """
    plain = SUFFIXES.sub("", PREFIXES.sub("", text.strip().upper()))
    known = roots()
    if (match := CONTRACT.fullmatch(plain)) and match["root"] in known:
        return Named(known[match["root"]], MONTH_CODES.index(match["month"]) + 1, match["year"])
    if (match := CONTINUOUS.fullmatch(plain)) and match["root"] in known:
        return Named(known[match["root"]])
    return None


def contract_month(named: Named, traded_on: date) -> date:
    """Return the delivery month of a contract whose year may have one or two digits only.

    Parameters
    ----------
    named : Named
        A contract, from `parse_symbol`.
    traded_on : date
        A day on which it traded: it is delivered in this month or later.

    Returns
    -------
    date
        First day of the delivery month.

    Examples
    --------
    >>> contract_month(parse_symbol("ZLH4"), date(2023, 6, 1))
    datetime.date(2024, 3, 1)
    >>> contract_month(parse_symbol("ZLF0"), date(2019, 11, 1))
    datetime.date(2020, 1, 1)
    """
    if named.month is None:
        raise ValueError(f"{named.symbol} is a continuous series: it has no delivery month")
    if len(named.year) == 4:
        return date(int(named.year), named.month, 1)
    period = 10 ** len(named.year)
    year = traded_on.year + (int(named.year) - traded_on.year) % period
    if (year, named.month) < (traded_on.year, traded_on.month):
        year += period
    return date(year, named.month, 1)


def contract_code(symbol: str, month: date) -> str:
    """Return the contract_id of a contract: root, code of the month, two digits of the year.

    Parameters
    ----------
    symbol : str
        As in bars_daily.
    month : date
        First day of the delivery month.

    Returns
    -------
    str
        The same for all vendors.

    Examples
    --------
    >>> contract_code("ZL", date(2024, 3, 1))
    'ZLH24'
    """
    return f"{symbol}{MONTH_CODES[month.month - 1]}{month.year % 100:02d}"
