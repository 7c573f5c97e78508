"""Model health: the sequential test in NumPy, and the output of `zl health`.

SQL computes model health (models/intermediate/health, models/marts/monitoring/model_health.sql). This second
implementation of the test simulates thousands of histories to set the thresholds, and checks the SQL.
"""

import duckdb
import numpy as np
import pandas as pd

from zl_forecast.errors import ZlForecastError, printable


def page_cusum(x: np.ndarray, allowance: float) -> np.ndarray:
    """Compute Page's one-sided CUSUM, which rises when the mean of x exceeds the allowance.

    With C_t the running sum of x - allowance, it is C_t - min(0, C_1 ... C_t). It is never negative. It falls by the
    allowance in a period with x = 0, and rises by x - allowance in a period with a larger x.
    Source: Page (1954), Biometrika 41, 100-115.

    Parameters
    ----------
    x : array of shape (..., n_periods)
        Standardised excess loss, oldest first; zero in a period that performs as expected. NaN is skipped.
    allowance : float
        Mean excess that is tolerated, in the unit of x.

    Returns
    -------
    array of shape (..., n_periods)
        In the unit of x.

    Examples
    --------
    >>> page_cusum(np.array([0.0, 1.5, 1.5, np.nan, 0.0]), allowance=0.5).tolist()
    [0.0, 1.0, 2.0, 2.0, 1.5]
    """
    total = np.cumsum(np.where(np.isnan(x), 0.0, x - allowance), axis=-1)
    return total - np.minimum(np.minimum.accumulate(total, axis=-1), 0.0)


def print_health(con: duckdb.DuckDBPyConnection) -> None:
    """Print state, skill against expected skill, coverage and drift per subject and horizon, and the next step.

    The newest week of monitoring.model_health is shown, and whether the published bands cover as they should.

    Parameters
    ----------
    con : DuckDBPyConnection
        The published snapshot, with monitoring.model_health and monitoring.coverage_tests.

    Raises
    ------
    ZlForecastError
        If the snapshot is older than the table, or the table is empty.
    """
    try:
        rows = con.sql(
            "from monitoring.model_health where is_newest order by subject = 'published', subject, horizon_days"
        ).df()
        bands = con.sql(
            "from monitoring.coverage_tests where subject = 'published' and calibration_state is not null order by horizon_days"
        ).df()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ZlForecastError(
            "the snapshot is from an older version without these tables. Run `make build` (or `dbt build`)."
        ) from error
    if rows.empty:
        raise ZlForecastError("monitoring.model_health is empty: nothing was forecast. Run `make build`.")
    newest, source = rows["week_ending"].max(), rows["data_source"].iloc[0]
    print(
        f"\nModel health, week to {newest:%Y-%m-%d}, {printable(source)} data: realised skill versus expected skill\n"
    )
    print(
        "subject     horizon  state     since       skill / expected  80% coverage  statistic (watch, degraded)  drift  reason"
    )
    for row in rows.itertuples():
        statistic = f"{format_or_dash(row.statistic, '.1f')} ({format_or_dash(row.watch_at, '.1f')}, {format_or_dash(row.degraded_at, '.1f')})"
        print(
            f"{printable(row.subject):11} {printable(row.horizon_code):7}  {printable(row.state):8}  {row.state_since:%Y-%m-%d}  "
            f"{format_or_dash(row.pinball_skill, '+z.1%'):>6} / {format_or_dash(row.expected_skill, '+z.1%'):<6}  "
            f"{format_or_dash(row.coverage_80, '.0%'):>12}  {statistic:>27}  {format_or_dash(row.share_beyond, '.0%'):>5}  {printable(row.reason)}"
        )
    print(
        "\nskill: 1 - pinball loss / reference loss over the last 26 weeks; expected: the same, measured before the fold."
        "\nstatistic: CUSUM of losses above the expected ones. drift: share of features whose mean of 63 sessions has moved "
        "by more than two standard deviations.\nAt 3m and 6m the test detects few breaks within a year, so `healthy` is "
        "weak evidence there.\n"
    )
    for row in bands.itertuples():
        print(
            f"80% band of the published forecast, {printable(row.horizon_code)}: {printable(row.calibration_state)}, covered "
            f"{row.coverage:.0%} of outcomes worth {row.n_independent:.0f} independent ones{_power(row.calibration_state)}"
        )
    print()
    print(printable(_next_step(rows, bands)))


def _power(state: str) -> str:
    return ", too few for a test" if state == "cannot_tell" else ""


def _next_step(rows: pd.DataFrame, bands: pd.DataFrame) -> str:
    bad = {state: rows[rows["state"] == state] for state in ("expired", "degraded", "watch")}
    if len(bad["expired"]):
        return (
            f"Next: run `make build`, because {_names(bad['expired'])} expired. If this stays, monitoring.gx_results and "
            "monitoring.tournament_results have the reason."
        )
    if len(bad["degraded"]):
        subject = bad["degraded"]["subject"].iloc[0]
        look = "zl leaderboard ensemble" if subject == "published" else f"zl leaderboard {subject}"
        return f"Next: look at {_names(bad['degraded'])} (`{look}`) and treat its forecasts with caution until reselection."
    if len(bad["watch"]):
        return f"Next: look again next week at {_names(bad['watch'])}."
    if len(failed := bands[bands["calibration_state"] == "failed"]):
        return f"Next: do not rely on the bands at {', '.join(failed['horizon_code'])}; monitoring.calibration has their history."
    if len(unknown := bands[bands["calibration_state"] == "cannot_tell"]):
        return (
            f"Next: nothing to do. Whether the bands at {', '.join(unknown['horizon_code'])} cover as they should is not known "
            "yet. The history is in monitoring.model_health."
        )
    return "Next: nothing to do. The history is in monitoring.model_health."


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row.subject} {row.horizon_code}" for row in rows.itertuples())


def format_or_dash(value: float | None, form: str) -> str:
    """Format a number, or return a dash if it is missing.

    Parameters
    ----------
    value : float, optional
        None or NaN gives the dash.
    form : str
        Format specification, for example '.1f'.

    Returns
    -------
    str

    Examples
    --------
    >>> format_or_dash(0.125, "+.1%"), format_or_dash(None, ".1f")
    ('+12.5%', '-')
    """
    return "-" if pd.isna(value) else format(value, form)
