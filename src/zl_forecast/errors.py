"""Errors of this package. Each names the thing, the number and the way out."""


def printable(text: object) -> str:
    r"""Text from data as one line that a terminal can only show: control characters, line breaks included, are escaped.

    A symbol or a title may hold escape sequences that recolour, erase or retitle the terminal of whoever reads it, and marks
    that turn the direction of writing round.

    >>> printable("ZL\x1b[31m\n")
    'ZL\\x1b[31m\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class ZlForecastError(Exception):
    """Base of all errors that this package raises on purpose."""


class DatabaseInUse(ZlForecastError):
    """Another process has a DuckDB file open, and the file admits no second one."""


class LandingError(ZlForecastError):
    """A landing file breaks the contract; nothing downstream may run on it."""

    def __init__(self, *, file: str, problem: str, way_out: str, column: str | None = None, rows: int | None = None):
        self.file, self.column, self.rows, self.problem, self.way_out = file, column, rows, problem, way_out
        where = f"{file}, column {column}" if column else file
        count = f" ({rows} {'row' if rows == 1 else 'rows'})" if rows is not None else ""
        self.what = f"{where}: {problem}{count}"
        super().__init__(printable(f"{self.what}. {way_out}"))


class GateError(ZlForecastError):
    """A critical expectation on ZL itself failed: no forecast may be made from these data."""

    def __init__(self, *, table: str, failures: list[str]):
        self.table, self.failures = table, failures
        listed = "; ".join(failures)
        super().__init__(
            f"{table} failed {len(failures)} critical expectation(s): {listed}. Correct the landing files and run "
            f"dbt build again; the last published snapshot stays as it is. Details: expectations/{table}.json and Data Docs."
        )


class SuiteError(ZlForecastError):
    """An expectation suite cannot be used as written."""


class TournamentError(ZlForecastError):
    """The tournament cannot be held as configured."""


class CheckError(ZlForecastError):
    """A family or an ensemble method does not do what every one owes, see `check_family` and `check_method`."""

    def __init__(self, subject: str, check: str, problem: str):
        self.subject, self.check, self.problem = subject, check, problem
        super().__init__(f"{subject} fails check {check}: it {problem}")
