"""Expectation suites: JSON files in expectations/, one per checked table, in the format of Great Expectations.

Great Expectations only logs an expectation that it cannot build, and continues. Here expectations are
counted, so that none is lost.
"""

import json
import os
from collections.abc import Collection
from types import ModuleType

from zl_forecast.errors import SuiteError
from zl_forecast.imports import ONE_IMPORT_AT_A_TIME
from zl_forecast.paths import project_dir

SEVERITIES = ("critical", "warning", "info")


def great_expectations() -> ModuleType:
    """Import Great Expectations, with its usage statistics off.

    The import takes 3 s, so it is not made at the start of every build.

    Returns
    -------
    module
        The package great_expectations.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    with ONE_IMPORT_AT_A_TIME:
        import great_expectations as package
    return package


def load_suite(name: str, columns: Collection[str]):
    """Read expectations/<name>.json and build the suite without losing an expectation.

    Parameters
    ----------
    name : str
        File name without .json.
    columns : collection of str
        Columns of the table to be checked, with its measures (gate_…).

    Returns
    -------
    great_expectations.ExpectationSuite
        With one expectation per entry of the file.

    Raises
    ------
    SuiteError
        The file is missing or not JSON; an expectation has an unknown type, unknown arguments or no severity,
        or names a column that the table does not have.
    """
    gx = great_expectations()
    path = project_dir() / "expectations" / f"{name}.json"
    where = f"expectations/{path.name}"
    try:
        written = json.loads(path.read_text())
    except FileNotFoundError:
        raise SuiteError(
            f"{where} does not exist in {path.parent.parent}. Every checked table needs a suite: copy an existing one."
        ) from None
    except ValueError as error:
        raise SuiteError(f"{where} is not valid JSON: {error}. Correct the file.") from error

    expectations = written.get("expectations", [])
    for expectation in expectations:
        _check_one(expectation, columns, where)
    try:
        suite = gx.ExpectationSuite(**written)
    except Exception as error:
        raise SuiteError(f"{where} is not a valid expectation suite: {error}") from error
    built = [expectation.configuration.type for expectation in suite.expectations]
    dropped = [e["type"] for e in expectations if e["type"] not in built]
    if len(built) != len(expectations):
        what = ", ".join(dict.fromkeys(dropped)) or "one with unknown arguments"
        raise SuiteError(
            f"{where} lists {len(expectations)} expectations, Great Expectations built {len(built)} "
            f"and dropped: {what}. Correct the type or the arguments; the log above has the reason."
        )
    if suite.name != name:
        raise SuiteError(f"{where}: name is {suite.name!r}, expected {name!r}.")
    return suite


def _check_one(expectation: dict, columns: Collection[str], where: str) -> None:
    """Check severity and columns of one expectation of the file."""
    kind = expectation.get("type", "an expectation without type")
    if expectation.get("severity") not in SEVERITIES:
        raise SuiteError(
            f"{where}: {kind} on {column_name(expectation)} has severity {expectation.get('severity')!r}. "
            f"Write one of {', '.join(SEVERITIES)}: critical quarantines a bucket, or stops the build (ZL)."
        )
    missing = [column for column in named_columns(expectation) if column not in columns]
    if missing:
        raise SuiteError(
            f"{where}: {kind} names {', '.join(missing)}, which the table does not have. "
            f"Correct the name in the suite, or restore the column."
        )


def named_columns(expectation: dict) -> list[str]:
    """List the columns that one expectation reads.

    Parameters
    ----------
    expectation : dict
        As written in the suite, with kwargs.

    Returns
    -------
    list of str
        Empty for an expectation on the whole table. Columns that a schema expectation lists are not
        included: they may be missing, which is what it tests.

    Examples
    --------
    >>> named_columns({"kwargs": {"column_A": "high", "column_B": "low"}})
    ['high', 'low']
    """
    kwargs = expectation.get("kwargs", {})
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return single + list(kwargs.get("column_list", []))


def column_name(expectation: dict) -> str:
    """Return the name of an expectation's column in the results.

    Parameters
    ----------
    expectation : dict
        As written in the suite, with kwargs.

    Returns
    -------
    str
        Several names are separated by commas; `table` for an expectation on the whole table.

    Examples
    --------
    >>> column_name({"kwargs": {"min_value": 1}})
    'table'
    """
    return ", ".join(named_columns(expectation)) or "table"
