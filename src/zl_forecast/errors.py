"""Errors of this package. Each message says what is wrong, the number, and what to do."""

from collections.abc import Sequence


def printable(text: object) -> str:
    r"""Return text from data as one line that a terminal shows without interpreting it.

    Control characters, line breaks included, are escaped. A symbol or a title may hold escape sequences that
    recolour, erase or retitle the reader's terminal, or marks that reverse the direction of writing.

    Parameters
    ----------
    text : object
        Converted with str.

    Returns
    -------
    str
        One line of printable characters.

    Examples
    --------
    >>> printable("ZL\x1b[31m\n")
    'ZL\\x1b[31m\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return the first names, and the number of the others.

    Parameters
    ----------
    names : sequence of str
        What to list.
    most : int
        How many are named.

    Returns
    -------
    str

    Examples
    --------
    >>> listed(["ZL", "ZM", "ZS"], most=2)
    'ZL, ZM and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class ZlForecastError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidArgument(ZlForecastError):
    """A name or value that the user gave does not exist or cannot be used."""


class DatabaseInUse(ZlForecastError):
    """Another process has a DuckDB file open, and the file does not allow a second one."""


class LandingError(ZlForecastError):
    """A landing file breaks the contract, so no build may use it.

    Parameters
    ----------
    file : str
        File, or files, concerned.
    problem : str
        What was found; without a full stop.
    remedy : str
        What to do; full sentences.
    column : str, optional
        Column concerned.
    rows : int, optional
        Rows concerned.

    Examples
    --------
    >>> print(LandingError("a.csv", "no value", "Fill it in.", column="close", rows=2))
    a.csv, column close: no value (2 rows). Fill it in.
    """

    def __init__(self, file: str, problem: str, remedy: str, *, column: str | None = None, rows: int | None = None):
        self.file, self.column, self.rows, self.problem, self.remedy = file, column, rows, problem, remedy
        where = f"{file}, column {column}" if column else file
        count = f" ({rows} {'row' if rows == 1 else 'rows'})" if rows is not None else ""
        self.what = f"{where}: {problem}{count}"
        super().__init__(printable(f"{self.what}. {remedy}"))


class GateError(ZlForecastError):
    """A critical expectation on ZL itself failed, so no forecast may be made from these data.

    Parameters
    ----------
    table : str
        Name of the suite, a file in expectations/ without .json.
    failures : list of str
        One description per failed expectation.
    """

    def __init__(self, *, table: str, failures: list[str]):
        self.table, self.failures = table, failures
        listed = "; ".join(failures)
        super().__init__(
            f"{table} failed {len(failures)} critical expectation(s): {listed}. Correct the landing files and run "
            f"dbt build again; the last published snapshot is unchanged. Details: expectations/{table}.json and Data Docs."
        )


class SuiteError(ZlForecastError):
    """An expectation suite cannot be used as written."""


class TournamentError(ZlForecastError):
    """The tournament cannot be run as configured."""


class CheckError(ZlForecastError):
    """A family or an ensemble method violates the interface, see `check_family` and `check_method`.

    Parameters
    ----------
    subject : str
        Family or method.
    check : str
        Name of the failed check.
    problem : str
        What is wrong; completes the sentence "it ...".
    """

    def __init__(self, subject: str, check: str, problem: str):
        self.subject, self.check, self.problem = subject, check, problem
        super().__init__(f"{subject} fails check {check}: it {problem}")
