"""Formats of numbers, dates and names, one for each, so that a value looks the same wherever it is shown."""

import csv
import math
from datetime import date
from functools import cache

from zl_forecast.paths import seed

NBSP = "\u00a0"  # does not break
MINUS = "\u2212"
MISSING = "\u2013"
VERDICTS = {"skill": "skill", "no_skill": "no skill"}
STATES = {"ok": "ok", "failed": "failed", "cannot_tell": "cannot tell"}
PERIODS = {5: "weeks", 20: "months", 60: "three-month periods", 120: "six-month periods"}


def number(value: float | None, decimals: int = 2) -> str:
    """Format a number, such as a price in cents/lb.

    Examples
    --------
    >>> number(1234.5), number(None) == MISSING
    ('1,234.50', True)
    """
    return MISSING if value is None else f"{value:z,.{decimals}f}".replace("-", MINUS)


def significant(value: float | None) -> str:
    """Format a value of any size with three significant digits.

    Examples
    --------
    >>> significant(26.3614), significant(0.04021), significant(1234567.0)
    ('26.4', '0.0402', '1,234,567')
    """
    if not value:
        return MISSING if value is None else "0"
    return number(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def change(value: float | None, decimals: int = 2) -> str:
    """Format a change with its sign.

    Examples
    --------
    >>> change(0.456), change(-1).replace(MINUS, "-"), change(-0.001)
    ('+0.46', '-1.00', '0.00')
    """
    if value is None:
        return MISSING
    text = f"{value:+z,.{decimals}f}"
    return text.removeprefix("+") if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def percent(share: float | None, decimals: int = 0) -> str:
    """Format a share in percent.

    Examples
    --------
    >>> percent(0.1234, 1).replace(NBSP, " ")
    '12.3 %'
    """
    return MISSING if share is None else f"{number(100 * share, decimals)}{NBSP}%"


def skill(share: float | None, decimals: int = 1) -> str:
    """Format a skill in percent, with its sign.

    Examples
    --------
    >>> skill(0.0123).replace(NBSP, " ")
    '+1.2 %'
    """
    return MISSING if share is None else f"{change(100 * share, decimals)}{NBSP}%"


def chance(share: float | None) -> str:
    """Format a probability in percent; never as 0 or 100, which a simulation cannot establish.

    Examples
    --------
    >>> chance(0.001).replace(NBSP, " "), chance(0.5).replace(NBSP, " ")
    ('<1 %', '50 %')
    """
    if share is None:
        return MISSING
    if share < 0.005:
        return f"<1{NBSP}%"
    return f">99{NBSP}%" if share > 0.995 else percent(share)


def count(samples: float | None) -> str:
    """Format a number of samples; small ones may be fractions.

    Examples
    --------
    >>> count(1700), count(9.26)
    ('1,700', '9.3')
    """
    return number(samples, 0 if samples is None or samples >= 10 else 1)


def day(value: date | None) -> str:
    """Format a date.

    Examples
    --------
    >>> day(date(2024, 3, 5)).replace(NBSP, " ")
    '5 Mar 2024'
    """
    return MISSING if value is None else f"{value.day}{NBSP}{value:%b}{NBSP}{value:%Y}"


def weekday(value: date) -> str:
    """Format a date with its weekday.

    Examples
    --------
    >>> weekday(date(2024, 3, 5)).replace(NBSP, " ")
    'Tue 5 Mar 2024'
    """
    return f"{value:%a}{NBSP}{day(value)}"


def verdict(word: str | None) -> str:
    """Return a verdict as shown; other words stay as they are."""
    return MISSING if word is None else VERDICTS.get(word, word)


def state(word: str | None) -> str:
    """Return a calibration state as shown; other words stay as they are."""
    return MISSING if word is None else STATES.get(word, word)


def horizon(days: int) -> str:
    """Return the name of a horizon.

    Examples
    --------
    >>> horizon(60), horizon(7)
    ('3 months', '7 sessions')
    """
    return _labels("horizons", "horizon_days").get(str(days), f"{days} sessions")


def periods(days: int) -> str:
    """Return what a horizon's periods that do not overlap are called.

    Examples
    --------
    >>> periods(5), periods(7)
    ('weeks', 'periods of 7 sessions')
    """
    return PERIODS.get(days, f"periods of {days} sessions")


def bucket(name: str) -> str:
    """Return the label of a bucket or of another input of the ensemble.

    Examples
    --------
    >>> bucket("energy"), bucket("carry")
    ('Energy', 'Futures curve')
    """
    return (_labels("buckets", "bucket") | _labels("drivers", "driver")).get(name, name)


def method(name: str) -> str:
    """Return the label of an ensemble method.

    Examples
    --------
    >>> method("partial_pooling")
    'Partial pooling'
    """
    return _labels("ensemble_methods", "ensemble_method").get(name, name)


def family(name: str) -> str:
    """Return the label of a model family.

    Examples
    --------
    >>> family("lightgbm"), family("reference")
    ('LightGBM', 'Reference')
    """
    return "Reference" if name == "reference" else _labels("families", "family").get(name, name)


@cache
def _labels(name: str, key: str) -> dict[str, str]:
    with seed(name).open(newline="", encoding="utf-8") as file:
        return {row[key]: row["label"] for row in csv.DictReader(file)}


FILTERS = (
    number, significant, change, percent, skill, chance, count, day, weekday, verdict, state, horizon, periods, bucket, method, family,
)  # fmt: skip
