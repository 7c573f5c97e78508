"""Run one Great Expectations suite on one DataFrame and write Data Docs below the data folder.

A run is named after the newest date of the data and only the newest run is kept, so an unchanged build
leaves the pages unchanged.
"""

import os
import shutil
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from zl_forecast.paths import data_docs_dir, project_dir
from zl_forecast.store import fingerprint
from zl_forecast.validation.suites import great_expectations, load_suite
from zl_forecast.workers import run_in_background

LAST_RESULTS = "last"  # results of the newest run of each suite
SITE = Path("uncommitted/data_docs/local_site")
_CONTEXTS: dict[Path, object] = {}


@dataclass(frozen=True)
class _Check:
    """One suite to be run on one table, whose newest date is `as_of`."""

    frame: pd.DataFrame
    suite: str
    as_of: pd.Timestamp


def run_suite(frame: pd.DataFrame, suite: str, as_of: pd.Timestamp) -> list[dict]:
    """Check a table and write Data Docs, in a separate process.

    Great Expectations takes 3 s to import and 1 s per suite, and dbt's threads share one interpreter. The
    process has one context, so suites run one at a time.

    Parameters
    ----------
    frame : DataFrame
        The table, with the gate_… columns of its measures.
    suite : str
        Name of a file in expectations/, without .json.
    as_of : Timestamp
        Newest date of the table, which names the run; NaT if it is empty.

    Returns
    -------
    list of dict
        One result of Great Expectations per expectation, in the suite's order.

    Raises
    ------
    SuiteError
        The suite cannot be used as written.
    TournamentError
        The process was killed.
    """
    return run_in_background(_run_check, _Check(frame, suite, as_of))


def _run_check(check: _Check) -> list[dict]:
    """Check a table and write Data Docs, in this process.

    If the run fails, the Data Docs folder is deleted and written again: a killed build may have left
    incomplete files there, and the folder holds no input.
    """
    suite = load_suite(check.suite, check.frame.columns)
    try:
        results = _run(check.frame, suite, check.as_of)
    except Exception:
        _CONTEXTS.pop(data_docs_dir(), None)
        shutil.rmtree(data_docs_dir(), ignore_errors=True)
        results = _run(check.frame, suite, check.as_of)
    configurations = [expectation.configuration.to_json_dict() for expectation in suite.expectations]
    order = {_key(configuration): number for number, configuration in enumerate(configurations)}
    return sorted(results, key=lambda result: order[_key(result["expectation_config"])])


def index_page() -> Path:
    """Return the start page of Data Docs.

    Returns
    -------
    Path
        It exists once a suite has been run.
    """
    return data_docs_dir() / SITE / "index.html"


def last_results(suite_name: str, frame: pd.DataFrame, measured: dict) -> Path:
    """Return the file that holds a suite's results if its newest run had exactly these inputs.

    The name depends on table, measures, suite, code and the version of Great Expectations.

    Parameters
    ----------
    suite_name : str
        Name of a file in expectations/, without .json.
    frame : DataFrame
        The table, with the gate_… columns of its measures.
    measured : dict of str to Measure
        The measures, by name.

    Returns
    -------
    Path
        A Parquet file; it does not exist if the suite must be run.
    """
    suite_file = project_dir() / "expectations" / f"{suite_name}.json"
    key = fingerprint.combine(
        fingerprint.of_frame(frame),
        measured,
        suite_file.read_text() if suite_file.exists() else None,
        fingerprint.of_code("zl_forecast.validation.gate", __name__),
        version("great-expectations"),
    )
    return data_docs_dir() / LAST_RESULTS / f"{suite_name}-{key}.parquet"


def keep_results(results: pd.DataFrame, last: Path) -> None:
    """Write the results of a suite's newest run and delete older ones, as Data Docs shows no other run.

    Parameters
    ----------
    results : DataFrame
        One row per expectation, see `gate.COLUMNS`.
    last : Path
        From `last_results`.
    """
    with suppress(FileNotFoundError):  # another thread may be deleting the folder; losing this cache is harmless
        last.parent.mkdir(parents=True, exist_ok=True)
        for older in last.parent.glob(f"{last.stem.rsplit('-', 1)[0]}-*.parquet"):
            older.unlink(missing_ok=True)
        temporary = last.with_suffix(f".{os.getpid()}")
        results.to_parquet(temporary)
        os.replace(temporary, last)


def _run(frame: pd.DataFrame, suite, as_of: pd.Timestamp) -> list[dict]:
    gx = great_expectations()
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.exceptions import DataContextError

    context, name = _context(), suite.name
    for store in (context.checkpoints, context.validation_definitions, context.suites):
        with suppress(DataContextError):  # nothing of that name yet
            store.delete(name)
    for folder in (Path("uncommitted/validations"), SITE / "validations"):
        shutil.rmtree(data_docs_dir() / folder / name, ignore_errors=True)

    batch = (
        context.data_sources.add_or_update_pandas("warehouse")
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("whole table")
    )
    stored = context.suites.add(deepcopy(suite))  # adding writes ids into it
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=stored))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="data_docs")],
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": 5,
                "unexpected_index_column_names": ["as_of_date"],
            },
        )
    )
    run_time = datetime(1970, 1, 1, tzinfo=UTC) if pd.isna(as_of) else as_of.tz_localize(UTC).to_pydatetime()
    run = checkpoint.run(
        batch_parameters={"dataframe": frame},
        run_id=RunIdentifier(run_name=f"{run_time:%Y-%m-%d}", run_time=run_time),
    )
    (validation,) = run.run_results.values()
    return [result.to_json_dict() for result in validation.results]


def _context():
    """Return the file context of the data folder; its index also lists the suites of earlier runs."""
    gx = great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    root = data_docs_dir()
    if root not in _CONTEXTS:
        root.mkdir(parents=True, exist_ok=True)
        context = gx.get_context(mode="file", context_root_dir=root)
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        _CONTEXTS[root] = context
    return _CONTEXTS[root]


def _key(configuration: dict) -> str:
    kwargs = {name: value for name, value in configuration["kwargs"].items() if name != "batch_id"}
    return repr((configuration["type"], configuration["severity"], sorted(kwargs.items())))
