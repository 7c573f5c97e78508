"""From an empty folder to forecasts: publishers on loopback, `zl ingest`, `zl build`, and again."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import MARTS, PROJECT, read, repeated
from market_publishers import answers
from publishers import Publishers

from zl_forecast.sample import simulate

GRAPH = "fred.stlouisfed.org/graph/fredgraph.csv"
SOURCES = ("yahoo", "fred", "ecb", "cftc", "worldbank", "policyuncertainty", "gpr")  # of `market_publishers`
YESTERDAY = date.today() - timedelta(days=1)


@pytest.fixture(scope="module")
def market():
    """A market that ends yesterday, five and a half years long."""
    return simulate("planted", start=f"{YESTERDAY - timedelta(days=1990)}", end=f"{YESTERDAY}")


@pytest.fixture(scope="module")
def publishers(market):
    with Publishers(answers(market)) as server:
        yield server


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("live")
    return {"ZL_DATA_DIR": str(root / "data"), "ZL_LANDING_DIR": str(root / "landing")}


def zl(*arguments: str, folders: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a command as its own process."""
    environment = os.environ | folders | {"DBT_PROFILES_DIR": str(PROJECT / "profiles")}
    environment.pop("PYTHONPATH", None)  # with it every `zl build` builds: modules of the user's may be there
    command = [sys.executable, "-m", "zl_forecast.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def landed(publishers, folders) -> Path:
    """The landing folder after the first `zl ingest` of sources that need no key."""
    done = zl("ingest", *SOURCES, folders=folders)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(folders["ZL_LANDING_DIR"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mart(warehouse: Path, bucket: str) -> pd.DataFrame:
    rows = read(warehouse, f"select * from {MARTS[bucket]} order by as_of_date").to_pandas()
    return rows.set_index("as_of_date")


@pytest.fixture(scope="module")
def live_features(landed, features, tmp_path_factory):
    return features(landing=landed, data_dir=tmp_path_factory.mktemp("live_features"))


def test_features_of_landed_bars_equal_those_of_the_market_without_contracts(market, live_features, tmp_path):
    bars = market.bars.assign(contract_id=None)
    (tmp_path / "landing").mkdir()
    bars.to_parquet(tmp_path / "landing" / "bars_daily.parquet", index=False)
    market.series.to_parquet(tmp_path / "landing" / "series.parquet", index=False)
    direct = repeated(live_features, tmp_path / "landing", tmp_path / "direct")
    for bucket in ("energy", "crush"):
        live, expected = mart(live_features.warehouse, bucket), mart(direct, bucket)
        # series, also the VIX of the regime, are dated by the rules of publishers, which are not the sample's
        columns = [
            name for name in live.select_dtypes("number") if not name.startswith(("cftc_", "usda_", "base_regime"))
        ]
        assert len(columns) > 25
        assert live.index.equals(expected.index)
        assert live.index[-1] >= YESTERDAY - timedelta(days=5)
        for name in columns:
            np.testing.assert_allclose(live[name], expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_revised_value_changes_no_feature_before_it_was_seen(
    market, publishers, landed, live_features, folders, tmp_path
):
    on_file = contents(landed)
    revised = market.series.assign(value=lambda rows: rows["value"] + 5 * (rows["series_id"] == "STLFSI4"))
    original = publishers.answers[GRAPH]
    publishers.answers[GRAPH] = answers(dataclasses.replace(market, series=revised))[GRAPH]
    try:
        done = zl("ingest", "fred", folders=folders)
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.copytree(landed, tmp_path / "landing")
    finally:
        publishers.answers[GRAPH] = original
        for name, content in on_file.items():
            (landed / name).write_bytes(content)
    file = tmp_path / "landing" / "series_fred.parquet"
    rows = pd.read_parquet(file)
    captured = rows["available_by"] == "capture"
    assert captured.sum() > 200
    assert set(rows.loc[captured, "series_id"]) == {"STLFSI4"}

    before = mart(live_features.warehouse, "fed")
    after = mart(repeated(live_features, file.parent, tmp_path / "revised"), "fed")
    pd.testing.assert_frame_equal(before, after)  # the newest session ended before the revised values were seen

    seen_on = before.index[-10]  # as if they had been seen ten sessions ago
    rows.loc[captured, "available_on"] = seen_on
    rows = rows[~captured | (pd.to_datetime(rows["obs_date"]) <= pd.Timestamp(seen_on))]
    rows.to_parquet(file, index=False)
    after = mart(repeated(live_features, file.parent, tmp_path / "seen_earlier"), "fed")
    pd.testing.assert_frame_equal(before[: before.index[-11]], after[: before.index[-11]])
    assert after.loc[seen_on, "fred_stlfsi4"] - before.loc[seen_on, "fred_stlfsi4"] > 4  # 5, and one more week


@pytest.mark.full
def test_from_an_empty_folder_to_forecasts_and_a_second_run_that_changes_nothing(landed, publishers, folders):
    built = zl("build", folders=folders)
    assert built.returncode == 0, built.stdout + built.stderr
    print(built.stdout)
    summary = json.loads(zl("summary", "--json", folders=folders).stdout)["zl_forecast"]
    assert [row["horizon_days"] for row in summary] == [5, 20, 60, 120]
    assert all(row["p10"] < row["p50"] < row["p90"] and row["data_source"] == "market" for row in summary)
    before = contents(landed)
    again = zl("ingest", *SOURCES, folders=folders)
    assert again.returncode == 0, again.stdout
    assert again.stdout.count(" unchanged ") == len(SOURCES), again.stdout
    assert contents(landed) == before
    unchanged = zl("build", folders=folders)
    assert unchanged.returncode == 0, unchanged.stdout
    assert "nothing has changed" in unchanged.stdout.lower(), unchanged.stdout
