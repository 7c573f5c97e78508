"""The dashboard in a real Apache Superset: imported into an empty one, opened in headless Chromium, compared with the tables.

make test-superset
"""

import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, free_port
from PIL import Image

from tests.python.test_page_browser import CHROMIUM, sync
from tests.python.test_superset_assets import CHARTS, DASHBOARD

PYTHON = PROJECT / ".venv-superset" / "bin" / "python"
HORIZON, SIDE = "1w", "buyer"  # of the dashboard's filters

pytestmark = [
    pytest.mark.superset,
    pytest.mark.skipif(not PYTHON.exists(), reason="no environment of Superset: `make test-superset` installs it"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: on Debian `apt-get install chromium` installs it"),
]

# what each chart must show, in its order if that matters; read from the tables independently of the chart
EXPECTED = {
    "forecast": "select horizon_code, target_date, last_price, p10, p50, p90, prob_up, verdict, calibration_state, ensemble_method, "
    "as_of_date, data_source from forecasts.zl_forecast order by horizon_days",
    "changes": "select if(compared_with = 'previous', 'last session', 'a week ago') as comparison, earlier_as_of_date, horizon_code, "
    "last_price_change, p50_change, band_width_change from forecasts.zl_forecast_changes order by compared_with, horizon_days",
    "risk": "select replace(replace(measure, 'cvar_', 'CVaR '), 'var_', 'VaR ') || ' %' as loss, value, value * 600 as usd_per_contract "
    f"from forecasts.zl_risk where measure like '%var%' and horizon_code = '{HORIZON}' and side = '{SIDE}' order by value",
    "verdicts": "select horizon_code, n_rows, pinball_skill, direction_skill, width_skill, coverage_80, p_value, verdict from monitoring.verdicts "
    "where subject = 'published' order by horizon_days",
    "health": "pivot (select subject, 'state_' || horizon_code as horizon, state from monitoring.model_health where is_newest) on horizon "
    "using first(state) order by subject <> 'published', subject",
    "levels": "select a.level_cents, a.value as prob_end, b.value as prob_touch from forecasts.zl_risk a "
    "join forecasts.zl_risk b using (horizon_days, side, level_cents) "
    f"where a.horizon_code = '{HORIZON}' and a.side = '{SIDE}' and a.measure = 'prob_above' and b.measure = 'prob_touch_above'",
    "leaderboard": "select bucket, label, pinball_skill as Skill from monitoring.leaderboard "
    f"where horizon_code = '{HORIZON}' and family <> 'reference'",
    "drivers": "select label, p50_cents as value from forecasts.zl_forecast_drivers "
    f"where horizon_code = '{HORIZON}' and abs(p50_cents) >= 0.005",
    "fan": "select date, max(price) filter (line = 'close') as Close, max(price) filter (line = 'forecast_p50') as Median, "
    """max(price) filter (line = 'forecast_p10') as "80 % range__yhat_lower", max(price) filter (line = 'forecast_p90') as "80 % range__yhat_upper", """
    """max(price) filter (line = 'forecast_p25') as "50 % range__yhat_lower", max(price) filter (line = 'forecast_p75') as "50 % range__yhat_upper" """
    "from forecasts.fan_long where date >= (select as_of_date - interval 1 year from forecasts.zl_forecast limit 1) group by date",
    "calibration": "select 'P' || format('{:02d}', round(100 * nominal)::int) as quantile, observed as Observed, nominal as Ideal, "
    """band_low as "Range of chance__yhat_lower", band_high as "Range of chance__yhat_upper" from monitoring.reliability """
    f"where subject = 'published' and horizon_code = '{HORIZON}'",
    "coverage": """select slice, coverage_80 as "In the 80 % range", 0.8::double as Ideal from monitoring.calibration """
    f"where subject = 'published' and slice_type = 'year' and horizon_code = '{HORIZON}'",
}
ORDERED = ("forecast", "changes", "risk", "verdicts", "health")


@dataclass
class Superset:
    """A running Superset: its address, its data folder, its administrator's password and what the start printed."""

    url: str
    data: Path
    password: str
    said: str


@dataclass
class Shown:
    """The opened dashboard: the page, the rows that each chart got, and the errors of the console."""

    page: object
    rows: dict[str, pd.DataFrame]
    errors: list[str]


def _start(data: Path, port: int, **settings: str) -> tuple[subprocess.Popen, str]:
    """Start Superset, and return it with what it printed until it was ready or had ended."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "ZL_DATA_DIR": str(data),
        "PORT": str(port),
        **settings,
    }
    command = [PYTHON, PROJECT / "examples" / "superset" / "start.py"]
    own = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in own.stdout:
        said.append(line)
        if "Ctrl-C stops it" in line:
            break
    return own, "".join(said)


def _stop(own: subprocess.Popen) -> None:
    """Do what Ctrl-C does."""
    own.send_signal(signal.SIGINT)
    own.communicate(timeout=60)


@pytest.fixture(scope="module")
def superset(serving, tmp_path_factory) -> Iterator[Superset]:
    """Start Superset on a copy of the snapshot, with an empty database of its own."""
    data, port = tmp_path_factory.mktemp("superset"), free_port()
    shutil.copytree(serving, data / "serving", symlinks=True)
    own, said = _start(data, port)
    assert own.poll() is None, said
    yield Superset(f"http://127.0.0.1:{port}", data, re.search(r"password (\S+)", said).group(1), said)
    _stop(own)
    assert own.returncode == 0


@pytest.fixture(scope="module")
def shown(superset) -> Iterator[Shown]:
    """Log in and open the dashboard; it is complete when every chart has got its rows."""
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1400, "height": 2600}
        )  # all charts: those out of sight are not loaded
        page.set_default_timeout(120_000)
        own = Shown(page, {}, [])
        page.on("console", lambda message: own.errors.append(message.text) if message.type == "error" else None)
        page.on("response", lambda response: _keep_rows(response, own.rows))
        page.goto(f"{superset.url}/login/")
        page.fill("#username", "admin")
        page.fill("#password", superset.password)
        page.locator("button[type=submit]").click()
        page.wait_for_url("**/welcome/**")
        _open(own, superset)
        yield own
        browser.close()


def _open(shown: Shown, superset: Superset) -> None:
    shown.rows.clear()
    shown.errors.clear()
    shown.page.goto(f"{superset.url}/superset/dashboard/{DASHBOARD['slug']}/")
    while len(shown.rows) < len(CHARTS):
        shown.page.wait_for_event("response")
    shown.page.wait_for_timeout(3000)  # charts are animated


def _keep_rows(response, rows: dict[str, pd.DataFrame]) -> None:
    """Keep the rows of a chart by the name of its file."""
    if "/api/v1/chart/data" not in response.url or "slice_id" not in response.url:
        return
    (result,) = response.json()["result"]
    params = response.request.post_data_json["form_data"]
    (name,) = (
        name
        for name, chart in CHARTS.items()
        if chart["viz_type"] == params["viz_type"]
        and all(
            params.get(key) == value
            for key, value in chart["params"].items()
            if key in ("metrics", "all_columns", "x_axis")
        )
    )
    rows[name] = pd.DataFrame(result["data"], columns=result["colnames"])


def _query(superset: Superset, sql: str) -> pd.DataFrame:
    with duckdb.connect(str(superset.data / "serving" / "serving.duckdb"), read_only=True) as con:
        return con.sql(sql).df()


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_shows_what_the_tables_hold(superset, shown, name):
    expected = _query(superset, EXPECTED[name])
    got = shown.rows[name]
    if name == "drivers":  # a column per effect
        got = got.melt("label").dropna()
    got = got[list(expected)].copy()
    for column in expected.select_dtypes("datetime"):
        got[column] = pd.to_datetime(got[column], unit="ms")
    if name not in ORDERED:
        got, expected = (rows.sort_values(list(expected), ignore_index=True) for rows in (got, expected))
    assert len(expected)
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-12)


def test_the_forecast_is_displayed_with_two_decimals(superset, shown):
    displayed = shown.page.locator("[data-test-viz-type=table]").first.locator("tbody tr").all_inner_texts()
    rows = _query(superset, "from forecasts.zl_forecast order by horizon_days").to_dict("records")
    assert [re.split(r"\s+", text.strip()) for text in displayed] == [
        [
            row["horizon_code"],
            f"{row['target_date']:%Y-%m-%d}",
            *(f"{row[name]:.2f}" for name in ("last_price", "p10", "p50", "p90")),
            f"{row['prob_up']:.0%}",
            *(row[name] for name in ("verdict", "calibration_state", "ensemble_method")),
            f"{row['as_of_date']:%Y-%m-%d}",
            row["data_source"],
        ]
        for row in rows
    ]


def test_no_chart_shows_an_error(shown):
    assert shown.page.locator("[data-test-viz-type]").count() == len(CHARTS)
    assert shown.page.locator("[role=alert], .ant-alert-error, [data-test=error-container]").count() == 0
    assert "scarf" in " ".join(shown.errors)  # Superset's own statistics, which the configuration forbids
    assert [error for error in shown.errors if "scarf" not in error] == []


def test_the_fan_has_bands_after_the_last_close_and_only_there(superset, shown):
    chart = shown.page.locator("[data-test-viz-type=echarts_timeseries_line] canvas").first
    image = np.asarray(Image.open(io.BytesIO(chart.screenshot())).convert("RGB")).astype(int)
    red, green, blue = image[60:-40].transpose(2, 0, 1)  # without legend and axis
    is_band = (blue - red > 20) & (blue > 180) & (green > 140)
    height = is_band.sum(axis=0)
    dates = pd.to_datetime(shown.rows["fan"].iloc[:, 0], unit="ms")
    close = shown.rows["fan"]["Close"]
    last = (dates[close.notna()].max() - dates.min()) / (dates.max() - dates.min())
    width = is_band.shape[1]
    assert height[: int(width * (last - 0.05))].max() < 5
    assert height[int(width * 0.9) : int(width * 0.95)].min() > 0.3 * is_band.shape[0]


def test_a_new_snapshot_is_shown_without_a_restart(superset, shown):
    serving = superset.data / "serving"
    newer = serving / "snapshots" / "newer"
    shutil.copytree(serving / "current", newer)
    (newer / "serving.duckdb").chmod(0o644)
    with duckdb.connect(str(newer / "serving.duckdb")) as con:
        con.sql("update forecasts.zl_forecast set p50 = p50 + 1")
    before = os.readlink(serving / "current")
    for target in ("snapshots/newer", before):
        (serving / "next").symlink_to(target)
        (serving / "next").replace(serving / "current")
        _open(shown, superset)
        test_a_chart_shows_what_the_tables_hold(superset, shown, "forecast")


def test_sql_of_users_reads_no_other_file(superset, shown):
    answer = shown.page.request.post(
        f"{superset.url}/api/v1/sqllab/execute/",
        data={"database_id": 1, "sql": "select content from read_text('/etc/hostname')", "runAsync": False},
        headers={"X-CSRFToken": shown.page.request.get(f"{superset.url}/api/v1/security/csrf_token/").json()["result"]},
    )
    assert not answer.ok
    assert "Permission Error" in answer.text()


def test_its_files_are_for_their_owner(superset):
    home = superset.data / "superset"
    assert oct(home.stat().st_mode)[-3:] == "700"
    assert superset.password == (home / "password").read_text()
    assert [path.name for path in superset.data.iterdir() if path.name.startswith(".")] == []  # nothing in HOME


def test_a_second_start_changes_nothing(superset):
    tables = ("dbs", "tables", "table_columns", "sql_metrics", "slices", "dashboards", "dashboard_slices", "ab_user")

    def read() -> dict[str, list]:
        with sqlite3.connect(superset.data / "superset" / "superset.db") as con:
            con.execute("update ab_user set last_login = null, login_count = null")
            return {table: con.execute(f"select * from {table} order by 1").fetchall() for table in tables}

    before = read()
    assert len(before["slices"]) == len(CHARTS)
    own, said = _start(superset.data, free_port())
    _stop(own)
    assert "Preparing" not in said
    assert read() == before


def test_a_failed_import_is_reported(superset, tmp_path):
    shutil.copytree(superset.data / "superset", tmp_path / "superset")
    own, said = _start(tmp_path, free_port(), DATABASE="postgresql+psycopg2://zl@127.0.0.1:1/zl")
    own.communicate()
    assert own.returncode == 1
    assert "is not ready" in said
    assert "Connection refused" in said
