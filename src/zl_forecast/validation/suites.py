"""Suites are the JSON files in expectations/, one a checked table, in Great Expectations' own format.

Great Expectations only logs an expectation that it cannot build, and goes on: here they are counted.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from zl_forecast.errors import SuiteError
from zl_forecast.imports import ONE_IMPORT_AT_A_TIME

SEVERITIES = ("critical", "warning", "info")


def suites_dir() -> Path:
    """Folder of the suites: expectations/ below the working directory, which dbt sets to the project's."""
    return Path("expectations").resolve()


def great_expectations() -> ModuleType:
    """The package, with its usage statistics off. Its import takes 3 s: not at the start of every build."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    with ONE_IMPORT_AT_A_TIME:
        import great_expectations as package
    return package


def load_suite(name: str, columns: Collection[str]):
    """Read expectations/<name>.json and build it, with nothing dropped.

    Parameters
    ----------
    name : str
        File name without .json.
    columns : collection of str
        Columns of the table to be checked, the gate's own measures (gate_…) included.

    Returns
    -------
    great_expectations.ExpectationSuite

    Raises
    ------
    SuiteError
        The file is missing or not JSON; an expectation has an unknown type, unknown arguments or no severity,
        or names a column that the table lacks.
    """
    gx = great_expectations()
    path = suites_dir() / f"{name}.json"
    where = f"expectations/{path.name}"
    try:
        written = json.loads(path.read_text())
    except FileNotFoundError:
        raise SuiteError(
            f"{where} does not exist in {path.parent.parent}. Every gate needs its suite: "
            f"copy one beside it, and run dbt from the project's folder."
        ) from None
    except ValueError as error:
        raise SuiteError(f"{where} is not JSON: {error}. Correct it there.") from error

    expectations = written.get("expectations", [])
    for expectation in expectations:
        _check_one(expectation, columns, where)
    try:
        suite = gx.ExpectationSuite(**written)
    except Exception as error:
        raise SuiteError(f"{where} is no suite: {error}") from error
    built = [expectation.configuration.type for expectation in suite.expectations]
    dropped = [e["type"] for e in expectations if e["type"] not in built]
    if len(built) != len(expectations):
        what = ", ".join(dict.fromkeys(dropped)) or "one with arguments that its type does not know"
        raise SuiteError(
            f"{where} lists {len(expectations)} expectations, Great Expectations built {len(built)} "
            f"and dropped: {what}. Correct the type or the arguments; the log above has its reason."
        )
    if suite.name != name:
        raise SuiteError(f"{where} calls itself {suite.name!r}. Write {name!r} as its name.")
    return suite


def _check_one(expectation: dict, columns: Collection[str], where: str) -> None:
    """Severity and columns of one expectation as written."""
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
            f"Rename it in the suite, or bring the column back."
        )


def named_columns(expectation: dict) -> list[str]:
    """Columns that one expectation reads; not the schema's list, which may fail by itself."""
    kwargs = expectation.get("kwargs", {})
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return single + list(kwargs.get("column_list", []))


def column_name(expectation: dict) -> str:
    """What the results call the column of an expectation; `table` where it is about the table as a whole."""
    return ", ".join(named_columns(expectation)) or "table"
