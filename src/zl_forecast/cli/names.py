"""Names that users type: buckets, families and horizons. An unknown name lists the known ones."""

import csv
import re
from collections.abc import Iterable
from difflib import get_close_matches

from zl_forecast.errors import InvalidArgument
from zl_forecast.paths import seed

NUMBERS = {"one": "1", "three": "3", "six": "6"}


def known_names(table: str, column: str) -> list[str]:
    """List the names in a seed.

    Parameters
    ----------
    table : str
        File name in seeds/ without .csv.
    column : str
        Column with the names.

    Returns
    -------
    list of str
        In the order of the file.
    """
    with seed(table).open(newline="", encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file)]


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """Return the name if it is known.

    Parameters
    ----------
    what : str
        What is named, for example 'bucket'.
    name : str
        As the user wrote it.
    known : iterable of str
        All names that exist.

    Returns
    -------
    str
        The name.

    Raises
    ------
    InvalidArgument
        The name is unknown; the message has the nearest known name and all of them.

    Examples
    --------
    >>> choose("bucket", "crash", ["crush", "fx"])
    Traceback (most recent call last):
    zl_forecast.errors.InvalidArgument: bucket 'crash' does not exist. Did you mean crush? Known: crush, fx.
    """
    known = list(dict.fromkeys(known))
    if name in known:
        return name
    nearest = get_close_matches(name.lower(), known, n=1)
    guess = f" Did you mean {nearest[0]}?" if nearest else ""
    raise InvalidArgument(f"{what} '{name}' does not exist.{guess} Known: {', '.join(known)}.")


def horizon_codes(names: Iterable[str]) -> list[str]:
    """Translate horizons as users write them into codes.

    Parameters
    ----------
    names : iterable of str
        Codes or words: 1m, 1 month, one month, 3months.

    Returns
    -------
    list of str
        Codes of seeds/horizons.csv; all of them if `names` is empty.

    Raises
    ------
    InvalidArgument
        A horizon does not exist.

    Examples
    --------
    >>> horizon_codes(["one week", "6 Months", "3m"])
    ['1w', '6m', '3m']
    """
    known = known_names("horizons", "horizon_code")
    return [choose("horizon", _code(name), known) for name in names] or known


def _code(name: str) -> str:
    words = re.fullmatch(r"(\d+|one|three|six)[\s_-]*(w|week|m|month)s?", name.strip().lower())
    return f"{NUMBERS.get(words[1], words[1])}{words[2][0]}" if words else name
