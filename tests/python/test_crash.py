"""After a kill the snapshot is readable, the next build finishes, and nothing is duplicated or partial."""

import os
import random
import shutil
import signal
import subprocess

import pandas as pd
import pytest
from conftest import BUCKETS, DbtResult, dbt_command, heed_interrupts, query

from zl_forecast.interruption import MESSAGE
from zl_forecast.sample import simulate, write_landing

NEW_MONTH = "2023-06-01"  # needs new models of every family, ensembles and a snapshot
BUILD = ("build", "--exclude-resource-type", "unit_test")
LEDGER_KEY = ["as_of_date", "horizon_days", "model_version", "data_source"]


def killed(landing, data_dir, after: float, whole_group: bool) -> bool:
    """Kill a build after `after` seconds, with or without its workers; return whether it was still running."""
    command, settings = dbt_command(BUILD, landing=landing, data_dir=data_dir)
    process = subprocess.Popen(
        command, **settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        return True


@pytest.fixture(scope="module")
def new_month(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landing") / "new_month"
    write_landing(simulate("planted", start="2018-01-02", end=NEW_MONTH), folder)
    return folder


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.full)])
def test_after_repeated_kills_the_next_build_finishes(run_dbt, built: DbtResult, new_month, tmp_path, kills):
    data_dir = tmp_path / "data"
    shutil.copytree(built.data_dir, data_dir, symlinks=True)
    before = query(data_dir / "serving", "from forecasts.zl_forecast_ledger")
    rng = random.Random(kills)
    hit = 0
    for number in range(kills):
        hit += killed(new_month, data_dir, after=rng.uniform(4, 40), whole_group=number % 2 == 0)
        assert len(query(data_dir / "serving", "from forecasts.zl_forecast")) == 4  # either snapshot, but complete
    assert hit > 0.5 * kills
    finished = run_dbt(BUILD, landing=new_month, data_dir=data_dir)
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
    assert live["artifact_id"].nunique() > 40
    assert all((data_dir / "artifacts" / name).is_dir() for name in registry["artifact_id"])  # retired or active
    champions = registry[(registry["status"] == "champion")].groupby(["bucket", "horizon_days"]).size()
    assert champions.eq(1).all()
    assert len(champions) == 4 * (len(BUCKETS) + 2)
    history = query(data_dir / "serving", "from monitoring.run_history where trigger = 'new_month'")
    assert history["bucket"].value_counts().eq(1).all()
    assert len(history) == len(BUCKETS)


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
            assert killed(new_month, data_dir, after=kill_after, whole_group=True)
        run_dbt(BUILD, landing=new_month, data_dir=data_dir)
        tables.append(
            query(data_dir / "serving", "select * exclude (made_at) from forecasts.zl_forecast order by horizon_days")
        )
    pd.testing.assert_frame_equal(*tables)
