"""Check ZL and each bucket's mart, and act on the results.

A failed critical expectation on ZL stops the build. On a bucket it quarantines the bucket. Warnings are
recorded only.
"""

from datetime import date

import duckdb
import numpy as np
import pandas as pd

from zl_forecast.errors import GateError
from zl_forecast.validation import measures
from zl_forecast.validation.data_docs import index_page, keep_results, last_results, run_suite
from zl_forecast.validation.suites import column_name
from zl_forecast.workers import import_ahead

NOT_FEATURES = ("as_of_date", "latest_input_on")
USED_BY_FITS = ("autogluon.tabular", "autogluon.timeseries")
COLUMNS = [
    "bucket",
    "suite",
    "expectation",
    "column_name",
    "severity",
    "is_success",
    "observed_value",
    "unexpected_count",
    "details",
    "as_of_date",
]


def check_mart(mart: pd.DataFrame, bucket: str, sessions: pd.DataFrame, quarantines: pd.DataFrame) -> pd.DataFrame:
    """Check a bucket's mart against expectations/mart_<bucket>__daily.json.

    Parameters
    ----------
    mart : DataFrame
        One row per session, in any order.
    bucket : str
        Name of the bucket.
    sessions : DataFrame
        int_calendar__sessions: session_date, is_future.
    quarantines : DataFrame
        int_landing__quarantines: bucket, symbol, problem; rows of other buckets are ignored.

    Returns
    -------
    DataFrame
        One row per expectation, with the columns of `COLUMNS`; as_of_date is the newest date of the mart.
        The same data give the same rows.

    Raises
    ------
    SuiteError
        The suite cannot be used as written.
    """
    mart = _in_order(mart, "as_of_date")
    own = [name for name in mart if name not in NOT_FEATURES and not name.startswith("base_")]
    measured = measures.calendar(mart, _past(sessions)) | measures.features(mart, own)
    measured |= measures.inputs(quarantines[quarantines["bucket"] == bucket])
    results = _check(mart, f"mart_{bucket}__daily", bucket, measured)
    reason = is_quarantined(results)
    _print_result(bucket, results, f"QUARANTINED: {reason}" if reason else None)
    return results


def check_zl(
    prices: pd.DataFrame,
    targets: pd.DataFrame,
    base: pd.DataFrame,
    sessions: pd.DataFrame,
    exchange: pd.DataFrame,
    max_age_days: int | None = None,
    today: date | None = None,
) -> pd.DataFrame:
    """Check ZL against zl_prices.json, zl_targets.json and zl_base.json in expectations/.

    Parameters
    ----------
    prices : DataFrame
        int_prices__daily; only ZL is read.
    targets, base : DataFrame
        int_targets__daily and int_base__daily, the base block of ZL features in every mart.
    sessions, exchange : DataFrame
        int_calendar__sessions and int_calendar__exchange.
    max_age_days : int, optional
        Maximum age of ZL's newest bar in calendar days; None for any age.
    today : date, optional
        Date at which the age is measured; the current date if omitted.

    Returns
    -------
    DataFrame
        As from `check_mart`, with bucket `zl`.

    Raises
    ------
    GateError
        A critical expectation failed. Results and Data Docs are written first.
    SuiteError
        A suite cannot be used as written.
    """
    past = _past(sessions)
    prices = _in_order(prices[prices["symbol"] == "zl"], "as_of_date")
    targets = _in_order(targets, "as_of_date", "horizon_days")
    base = _in_order(base, "as_of_date")
    trading_days = pd.to_datetime(exchange["session_date"]).sort_values()
    zl = {
        "zl_prices": (prices, measures.zl_prices(prices, trading_days, today or date.today(), max_age_days)),
        "zl_targets": (targets, measures.zl_targets(targets, past)),
        "zl_base": (base, measures.calendar(base, past)),
    }
    checked = [_check(frame, suite, "zl", measured) for suite, (frame, measured) in zl.items()]
    results = pd.concat(checked, ignore_index=True)
    failed = results[_is_failed(results, "critical")]
    _print_result("zl", results, f"FAILED: {_list_failures(failed)}" if len(failed) else None)
    for suite, failures in failed.groupby("suite", sort=False):
        raise GateError(table=suite, failures=[_sentence(row) for row in failures.itertuples()])
    return results


def check_marts(
    marts: dict[str, duckdb.DuckDBPyRelation], sessions: pd.DataFrame, quarantines: pd.DataFrame, after: pd.DataFrame
) -> pd.DataFrame:
    """Check every bucket's mart, after ZL itself.

    Parameters
    ----------
    marts : dict of str to DuckDBPyRelation
        Mart by bucket; one at a time is read into memory.
    sessions, quarantines : DataFrame
        See `check_mart`.
    after : DataFrame
        From `check_zl`. Its presence ensures that buckets are checked only if ZL has passed.

    Returns
    -------
    DataFrame
        The rows of `after` and those of `check_mart` for every bucket.

    Raises
    ------
    SuiteError
        A suite cannot be used as written.
    """
    results = [check_mart(mart.df(), bucket, sessions, quarantines) for bucket, mart in marts.items()]
    return pd.concat([after, *results], ignore_index=True)


def is_quarantined(results: pd.DataFrame) -> str | None:
    """Return the reason why a bucket is quarantined, or None if it is not.

    Parameters
    ----------
    results : DataFrame
        From `check_mart`, or the bucket's rows of the results table.

    Returns
    -------
    str or None
        The failed critical expectations, with observed values.
    """
    failed = results[_is_failed(results, "critical")]
    return _list_failures(failed) if len(failed) else None


def _check(frame: pd.DataFrame, suite_name: str, bucket: str, measured: dict[str, measures.Measure]) -> pd.DataFrame:
    """Run one suite on a table with its measures as columns, and return the results as rows."""
    as_of = frame["as_of_date"].max() if len(frame) else pd.NaT
    frame = frame.assign(**{f"gate_{name}": measure.value for name, measure in measured.items()})
    last = last_results(suite_name, frame, measured)
    if last.exists():  # Data Docs already shows this run
        return pd.read_parquet(last)
    import_ahead(*USED_BY_FITS)  # new data are fitted next
    rows = [_row(result, frame, measured) for result in run_suite(frame, suite_name, as_of)]
    results = pd.DataFrame(rows).assign(bucket=bucket, suite=suite_name, as_of_date=as_of)[COLUMNS]
    results = results.astype({"unexpected_count": "Int64", "observed_value": "string", "details": "string"})
    keep_results(results, last)
    return results


def _row(result: dict, frame: pd.DataFrame, measured: dict[str, measures.Measure]) -> dict:
    """Convert one result of Great Expectations to a row of the results table."""
    configuration, found = result["expectation_config"], result["result"]
    column = column_name(configuration)
    details, observed = [_bounds(configuration["kwargs"])], _observed(found, frame, column)
    if column.startswith("gate_"):
        measure = measured[column.removeprefix("gate_")]
        details.append(measure.details)
        observed = _short(measure.value)  # from the measure, since an empty table has no row
    if problem := _exception(result["exception_info"]):
        details.append(f"could not be checked: {problem}")
    elif not result["success"]:
        details.append(_examples(found, column))
    return {
        "expectation": configuration["type"],
        "column_name": column,
        "severity": configuration["severity"],
        "is_success": bool(result["success"]),
        "observed_value": observed,
        "unexpected_count": found.get("unexpected_count"),
        "details": "; ".join(part for part in details if part),
    }


def _bounds(kwargs: dict) -> str:
    """Format the bounds of an expectation."""
    low, high, mostly = kwargs.get("min_value"), kwargs.get("max_value"), kwargs.get("mostly")
    if low is not None and high is not None:
        words = f"expected {low:g} to {high:g}"
    elif low is not None:
        words = f"at least {low:g}"
    elif high is not None:
        words = f"at most {high:g}"
    else:
        words = ""
    return words if mostly in (None, 1) else f"{words} in {mostly:.0%} of rows".strip()


def _exception(info: dict) -> str | None:
    """Return the first line of a Great Expectations error; it reports one error in total, or one per metric."""
    found = [info] if "exception_message" in info else list(info.values())
    messages = [each["exception_message"] for each in found if isinstance(each, dict) and each.get("exception_message")]
    return messages[0].splitlines()[0] if messages else None


def _examples(found: dict, column: str) -> str:
    """Describe what failed: for a schema the columns, for rows their number and the first few."""
    if "details" in found:
        return str(found["details"].get("mismatched", found["details"]))
    if not found.get("unexpected_count"):
        return ""
    examples = found.get("partial_unexpected_index_list", [])[:3]
    shown = ", ".join(f"{_short(each.get(column, 'row'))} on {str(each['as_of_date'])[:10]}" for each in examples)
    return f"{found['unexpected_count']} of {found['element_count']} rows" + (f", e.g. {shown}" if shown else "")


def _observed(found: dict, frame: pd.DataFrame, column: str) -> str | None:
    """Return the observed value if there is one, else the range of the column."""
    if "observed_value" in found:
        observed = found["observed_value"]
        return f"{len(observed)} columns" if isinstance(observed, list) and column == "table" else _short(observed)
    if column in frame and len(values := frame[column].dropna()) and pd.api.types.is_numeric_dtype(values):
        return f"{_short(values.min())} to {_short(values.max())}"
    return None


def _short(value) -> str:
    return f"{value:.6g}" if isinstance(value, int | float | np.number) else str(value)


def _is_failed(results: pd.DataFrame, severity: str) -> pd.Series:
    return ~results["is_success"].astype(bool) & (results["severity"] == severity)


def _list_failures(failed: pd.DataFrame, most: int = 5) -> str:
    more = f"; and {len(failed) - most} more" if len(failed) > most else ""
    return "; ".join(_sentence(row) for row in failed.head(most).itertuples()) + more


def _sentence(row) -> str:
    seen = "" if pd.isna(row.observed_value) else f" {row.observed_value}"
    return f"{row.column_name}{seen} ({row.expectation}: {row.details})"


def _print_result(bucket: str, results: pd.DataFrame, stopped: str | None) -> None:
    """Print one line per checked table in which an expectation failed."""
    warned = results.loc[_is_failed(results, "warning"), "column_name"]
    if stopped or len(warned):
        found = stopped or f"{len(warned)} warned: {', '.join(warned)}"
        print(f"gate {bucket}: {len(results)} expectations, {found}", flush=True)
    if stopped:
        print(f"gate {bucket}: see {index_page()}", flush=True)


def _past(sessions: pd.DataFrame) -> pd.Series:
    past = sessions.loc[~sessions["is_future"].astype(bool), "session_date"]
    return pd.to_datetime(past).sort_values(ignore_index=True)


def _in_order(frame: pd.DataFrame, *key: str) -> pd.DataFrame:
    """Sort rows by key; convert dates to datetimes and empty columns to missing numbers, whatever their type."""
    frame = frame.sort_values(list(key), ignore_index=True)
    for name in frame:
        column = frame[name]
        if name.endswith(("_date", "_on")):
            frame[name] = pd.to_datetime(column)
        elif column.isna().all() or (pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)):
            frame[name] = pd.to_numeric(column).astype("float64")
    return frame
