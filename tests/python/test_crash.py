"""After a kill the snapshot is readable, the next build finishes, and nothing is duplicated or partial."""

import os
import random
import shutil
import signal
import subprocess
import time

import pandas as pd
import pytest
from conftest import BUCKETS, BUILD, ONE_BUCKET, UNTESTED, dbt_command, heed_interrupts, query

from zl_forecast.databases import open_warehouse
from zl_forecast.interruption import MESSAGE
from zl_forecast.sample import simulate, write_landing

NEW_MONTH = "2023-06-01"  # needs new models of every family, ensembles and a snapshot
ALL_BUCKETS = "{}"
LEDGER_KEY = ["as_of_date", "horizon_days", "model_version", "data_source"]


def killed(command, landing, data_dir, variables: str, moment: str | float, whole_group: bool) -> bool:
    """Kill a build, with or without its workers; return whether it was still running.

    `moment` is a text that it prints, or the seconds after its start.
    """
    command, settings = dbt_command((*command, "--vars", variables), landing=landing, data_dir=data_dir)
    output, started = data_dir / "killed.txt", time.monotonic()

    def is_due() -> bool:
        return moment in output.read_text() if isinstance(moment, str) else time.monotonic() - started > moment

    with output.open("w") as stream:
        process = subprocess.Popen(command, **settings, stdout=stream, stderr=stream, start_new_session=True)
    while process.poll() is None:
        if is_due():
            if whole_group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def new_month(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landing") / "new_month"
    write_landing(simulate("planted", start="2018-01-02", end=NEW_MONTH), folder)
    return folder


@pytest.mark.parametrize(
    ("command", "variables", "moments"),
    [
        # the last build runs the data tests
        (UNTESTED, ONE_BUCKET, [" so far", "START python table model monitoring.published_snapshot"]),
        pytest.param(BUILD, ALL_BUCKETS, 20, marks=pytest.mark.full),
    ],
    ids=["in a fit and before publication", "20 random moments"],
)
def test_after_repeated_kills_the_next_build_finishes(
    run_dbt, reselected, new_month, tmp_path, command, variables, moments
):
    data_dir = tmp_path / "data"
    shutil.copytree(reselected.data_dir, data_dir, symlinks=True)
    with open_warehouse("", reselected.warehouse) as con:
        before = con.sql("from state.forecasts.zl_forecast_ledger").df()
    if isinstance(moments, int):
        rng = random.Random(moments)
        moments = [rng.uniform(4, 40) for _ in range(moments)]
    hit = 0
    for number, moment in enumerate(moments):
        hit += killed(command, new_month, data_dir, variables, moment, whole_group=number % 2 == 0)
        assert len(query(data_dir / "serving", "from forecasts.zl_forecast")) == 4  # either snapshot, but complete
    assert hit > 0.5 * len(moments)
    finished = run_dbt((*BUILD, "--vars", variables), landing=new_month, data_dir=data_dir)
    assert set(finished.status.values()) <= {"success", "pass", "no-op"}

    forecast = query(data_dir / "serving", "from forecasts.zl_forecast")
    assert forecast["as_of_date"].eq(pd.Timestamp(NEW_MONTH)).all()
    ledger = query(data_dir / "serving", "from forecasts.zl_forecast_ledger")
    assert not ledger.duplicated(LEDGER_KEY).any()
    assert (ledger["as_of_date"] == pd.Timestamp(NEW_MONTH)).sum() == 4
    pd.testing.assert_frame_equal(
        ledger.merge(before[LEDGER_KEY], on=LEDGER_KEY).sort_values(LEDGER_KEY, ignore_index=True),
        before.sort_values(LEDGER_KEY, ignore_index=True),
    )
    registry = query(data_dir / "serving", "from monitoring.model_registry")
    live = registry[registry["status"].isin(["champion", "challenger"])]
    buckets, n_fitted = (BUCKETS, 40) if variables == ALL_BUCKETS else (("crush",), 15)
    assert live["artifact_id"].nunique() > n_fitted
    assert all((data_dir / "artifacts" / name).is_dir() for name in registry["artifact_id"])  # retired or active
    champions = registry[(registry["status"] == "champion")].groupby(["bucket", "horizon_days"]).size()
    assert champions.eq(1).all()
    assert len(champions) == 4 * (len(buckets) + 2)
    history = query(data_dir / "serving", "from monitoring.run_history where trigger = 'new_month'")
    assert history["bucket"].value_counts().eq(1).all()
    assert len(history) == len(buckets)


def test_an_interrupted_dbt_ends_at_the_signal_without_waiting_for_its_models(landing, tmp_path):
    """Checks that dbt installs the handler in its main thread; test_workers.py checks what the handler does."""
    command, settings = dbt_command(("build", "--select", "+int_prices__daily"), landing=landing, data_dir=tmp_path)
    process = subprocess.Popen(
        command,
        **settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    printed = ""
    while " START " not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    process.send_signal(signal.SIGINT)
    printed += process.communicate(timeout=10)[0]
    assert printed.endswith(MESSAGE.decode())
    assert process.returncode == -signal.SIGINT


@pytest.mark.full
def test_an_interrupted_build_gives_the_same_results_as_an_uninterrupted_one(run_dbt, built, new_month, tmp_path):
    tables = []
    for name, kill_after in (("whole", None), ("interrupted", 20)):
        data_dir = tmp_path / name
        shutil.copytree(built.data_dir, data_dir, symlinks=True)
        if kill_after:
            assert killed(BUILD, new_month, data_dir, ALL_BUCKETS, kill_after, whole_group=True)
        run_dbt(BUILD, landing=new_month, data_dir=data_dir)
        tables.append(
            query(data_dir / "serving", "select * exclude (made_at) from forecasts.zl_forecast order by horizon_days")
        )
    pd.testing.assert_frame_equal(*tables)
