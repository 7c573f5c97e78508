"""A build reads bars without contract_id, as Yahoo's are: features exist, no roll is seen, and carry is unknown."""

import pandas as pd
import pytest
from conftest import MARTS, read, repeated

from zl_forecast.landing import Landing, LandingFolder


@pytest.fixture(scope="module")
def without_contracts(sample_landing, sample_features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("without_contracts")
    for path in sample_landing.iterdir():
        if path.name.startswith("curve_daily"):
            continue
        (folder / path.name).write_bytes(path.read_bytes())
    (bars,) = folder.glob("bars_daily*")
    rows = pd.read_parquet(bars) if bars.suffix == ".parquet" else pd.read_csv(bars)
    rows = rows.assign(contract_id=None)
    rows.to_parquet(bars.with_suffix(".parquet"))
    return folder, repeated(sample_features, folder, tmp_path_factory.mktemp("built") / "data")


def test_every_mart_has_its_rows(without_contracts, sample_features):
    _, warehouse = without_contracts
    for mart in MARTS.values():
        count = f"select count(*) from {mart}"
        n_rows = read(warehouse, count)[0][0].as_py()
        assert n_rows == read(sample_features.warehouse, count)[0][0].as_py() > 0


def test_no_roll_is_seen_and_the_step_between_contracts_is_a_return(without_contracts, sample_features):
    _, warehouse = without_contracts
    query = (
        "select is_roll, log_return, close from intermediate.int_prices__daily where symbol = 'zl' order by as_of_date"
    )
    blind, seeing = read(warehouse, query).to_pandas(), read(sample_features.warehouse, query).to_pandas()
    assert not blind["is_roll"].any()
    assert seeing["is_roll"].sum() > 5
    differs = (blind["log_return"] - seeing["log_return"]).abs() > 1e-12
    assert differs[seeing["is_roll"]].mean() > 0.9  # an open may equal the close before
    assert not differs[~seeing["is_roll"]].any()


def test_carry_is_unknown(without_contracts, sample_features):
    _, warehouse = without_contracts
    known = "select count(carry) as n_known, count(*) as n_rows from intermediate.int_carry__daily"
    assert read(warehouse, known)["n_known"].to_pylist() == [0]
    seeing = read(sample_features.warehouse, known).to_pylist()[0]
    assert seeing["n_known"] > seeing["n_rows"] / 2


def test_the_check_warns_and_says_what_it_means(without_contracts):
    folder, _ = without_contracts
    found = Landing(LandingFolder(folder, "simulated")).findings().to_pylist()
    (finding,) = [row for row in found if row["column_name"] == "contract_id"]
    assert finding["severity"] == "warning"
    assert "the price step between contracts counts as a return" in finding["problem"]
