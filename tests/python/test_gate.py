"""The gate: good data pass, each type of fault is detected with the right severity, suites are complete."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from zl_forecast.errors import GateError, SuiteError
from zl_forecast.paths import data_docs_dir
from zl_forecast.validation import check_mart, check_marts, check_zl, is_quarantined
from zl_forecast.validation.data_docs import index_page
from zl_forecast.validation.suites import load_suite, named_columns

PROJECT = Path(__file__).parents[2]
SUITES = sorted(path.stem for path in (PROJECT / "expectations").glob("*.json"))
MARTS = [name for name in SUITES if name.startswith("mart_")]
N_ROWS = 640
NO_QUARANTINES = pd.DataFrame({"bucket": [], "symbol": [], "problem": []}, dtype=str)
RANGE, HIGHEST = "expect_column_values_to_be_between", "expect_column_max_to_be_between"


@pytest.fixture(autouse=True, scope="module")
def _project(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.setenv("ZL_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setattr("zl_forecast.validation.gate.import_ahead", lambda *packages: None)  # nothing is fitted here
        yield


def written(suite: str) -> dict:
    return json.loads((PROJECT / "expectations" / f"{suite}.json").read_text())


def columns_of(suite: str) -> list[str]:
    return next(e["kwargs"]["column_set"] for e in written(suite)["expectations"] if "column_set" in e["kwargs"])


@pytest.fixture(scope="module")
def exchange() -> pd.DataFrame:
    return pd.DataFrame({"session_date": pd.bdate_range("2020-01-01", periods=N_ROWS + 60 + 300)})


@pytest.fixture(scope="module")
def sessions(exchange) -> pd.DataFrame:
    """Sessions: 60 before the first row of a mart, those of the rows, and 130 after them."""
    known = exchange.head(N_ROWS + 60 + 130)
    return known.assign(session_number=range(1, len(known) + 1), is_future=np.arange(len(known)) >= N_ROWS + 60)


def plausible(suite: str, dates: pd.Series) -> pd.DataFrame:
    """Draw noise from the middle tenth of each range of the suite: values that it must accept."""
    rng = np.random.default_rng(7)
    frame = {name: rng.normal(size=len(dates)) for name in columns_of(suite) if not name.startswith("gate_")}
    for expectation in written(suite)["expectations"]:
        if expectation["type"] == RANGE:
            low, high = expectation["kwargs"]["min_value"], expectation["kwargs"].get("max_value", np.inf)
            frame[expectation["kwargs"]["column"]] = low + (high - low) * (0.5 + rng.uniform(-0.05, 0.05, len(dates)))
    known = {name: dates for name in ("as_of_date", "latest_input_on", "latest_bar_on") if name in frame}
    return pd.DataFrame(frame | known)


@pytest.fixture
def mart(sessions):
    """Return a function that builds a valid mart of a bucket."""
    dates = sessions.loc[~sessions["is_future"], "session_date"].tail(N_ROWS).reset_index(drop=True)
    return lambda bucket: plausible(f"mart_{bucket}__daily", dates)


@pytest.fixture
def zl(sessions, exchange) -> dict:
    """Valid arguments of `check_zl`: 700 bars around 45 cents/lb."""
    days = sessions.loc[~sessions["is_future"], "session_date"].reset_index(drop=True)
    returns = np.random.default_rng(11).normal(0, 0.013, len(days))
    close = 45 * np.exp(np.cumsum(returns - returns.mean()))
    prices = pd.DataFrame(
        {
            "symbol": "zl",
            "as_of_date": days,
            "open": close * 0.999,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": 40_000,
            "contract_id": "ZLZ0",
            "is_roll": False,
            "log_return": np.r_[np.nan, np.diff(np.log(close))],
            "log_index": np.log(close / close[0]),
            "data_source": "simulated",
        }
    )
    rows = np.arange(60, len(days))
    origins = [
        pd.DataFrame(
            {
                "as_of_date": days.iloc[rows],
                "horizon_days": horizon,
                "horizon_code": f"{horizon}d",
                "target_date": sessions["session_date"].iloc[rows + horizon].to_numpy(),
                "last_price": close[rows],
                "ewma_volatility": 0.013,
                "horizon_volatility": 0.013 * horizon**0.5,
                "is_matured": rows + horizon < len(days),
                "realised_price": np.r_[close, np.full(130, np.nan)][rows + horizon],
                "data_source": "simulated",
            }
        )
        for horizon in (5, 120)
    ]
    targets = pd.concat(origins).assign(realised_log_return=lambda t: np.log(t["realised_price"] / t["last_price"]))
    return {
        "prices": prices,
        "targets": targets.assign(z_return=targets["realised_log_return"] / targets["horizon_volatility"]),
        "base": plausible("zl_base", days.iloc[rows].reset_index(drop=True)),
        "sessions": sessions,
        "exchange": exchange,
    }


def failures(results: pd.DataFrame) -> set[tuple[str, str, str]]:
    failed = results[~results["is_success"]]
    return set(zip(failed["column_name"], failed["expectation"], failed["severity"], strict=True))


# ---------- buckets


@pytest.mark.parametrize("suite", MARTS)
def test_a_good_mart_in_any_row_order_passes_all_expectations(suite, mart, sessions, capsys):
    bucket = suite.removeprefix("mart_").removesuffix("__daily")
    results = check_mart(mart(bucket).sample(frac=1, random_state=3), bucket, sessions, NO_QUARANTINES)
    assert failures(results) == set()
    assert is_quarantined(results) is None
    assert "gate" not in capsys.readouterr().out
    assert results["as_of_date"].eq(sessions.loc[~sessions["is_future"], "session_date"].max()).all()


def heating_oil_in_cents(m):
    m["nymex_boho_usd_per_gal"] -= 250
    return m


def one_infinity(m):
    m.loc[m.index[-1], "nymex_ho_momentum_21"] = np.inf
    return m


def words_in_a_feature(m):
    return m.assign(nymex_rb_momentum_21=m["nymex_rb_momentum_21"].astype(str))


def a_column_nobody_checks(m):
    return m.assign(new_feature=1.0)


def vix_of_2000(m):
    m.loc[m.index[-1], "volatility_vix_log"] = np.log(2000)
    return m


def a_date_twice(m):
    return pd.concat([m, m.iloc[[100]]])


def a_date_missing(m):
    return m.drop(index=m.index[300])


def a_stale_newest_row(m):
    return m.iloc[:-3]


def a_sunday(m):
    m.loc[m.index[50], "as_of_date"] = pd.Timestamp("2020-08-16")
    return m


def a_late_start(m):
    return m.iloc[200:]


def no_rows(m):
    return m.iloc[:0]


def no_inputs_today(m):
    features = [name for name in m if not name.startswith(("as_of", "latest", "base_", "policy_", "rfs_"))]
    m.loc[m.index[-1], features] = np.nan
    return m


@pytest.mark.parametrize(
    ("bucket", "faults"),
    [
        (
            "biofuel",
            {
                heating_oil_in_cents: ("nymex_boho_usd_per_gal", RANGE),
                one_infinity: ("nymex_ho_momentum_21", RANGE),
                words_in_a_feature: ("gate_not_numbers", HIGHEST),
                a_column_nobody_checks: ("table", "expect_table_columns_to_match_set"),
            },
        ),
        ("volatility", {vix_of_2000: ("volatility_vix_log", RANGE)}),
        (
            "biofuel",
            {
                a_date_twice: ("as_of_date", "expect_column_values_to_be_unique"),
                a_sunday: ("gate_unknown_dates", HIGHEST),
            },
        ),
        (
            "biofuel",
            {
                a_date_missing: ("gate_missing_sessions", HIGHEST),
                a_stale_newest_row: ("gate_sessions_behind", HIGHEST),
                a_late_start: ("gate_warm_up_sessions", HIGHEST),
            },
        ),
        ("biofuel", {no_rows: ("gate_sessions_behind", HIGHEST)}),
        ("biofuel", {no_inputs_today: ("gate_newest_null_share", HIGHEST)}),
    ],
    ids=lambda value: "+".join(fault.__name__ for fault in value) if isinstance(value, dict) else value,
)
def test_faults_quarantine_the_bucket_and_are_named(bucket, faults, mart, sessions, capsys):
    spoilt = mart(bucket)
    for fault in faults:
        spoilt = fault(spoilt)
    results = check_mart(spoilt, bucket, sessions, NO_QUARANTINES)
    assert {(*where, "critical") for where in faults.values()} <= failures(results)
    reason = is_quarantined(results)
    assert next(iter(faults.values()))[1] in reason
    assert f"gate {bucket}: {len(results)} expectations, QUARANTINED: {reason}" in capsys.readouterr().out


def test_a_quarantined_symbol_quarantines_only_the_buckets_that_read_it(mart, sessions):
    corn = pd.DataFrame(
        {
            "bucket": ["biofuel", "tariff"],
            "symbol": "ZC",
            "problem": "closes outside 100 to 2000 US cents/bu in 128 bars",
        }
    )
    for bucket in ("biofuel", "tariff"):
        reason = is_quarantined(check_mart(mart(bucket), bucket, sessions, corn))
        assert "gate_quarantined_symbols 1" in reason
        assert "ZC closes outside 100 to 2000 US cents/bu" in reason
    assert is_quarantined(check_mart(mart("energy"), "energy", sessions, corn)) is None


def test_each_mart_is_checked_by_its_own_suite_after_zl_and_only_a_bad_one_is_quarantined(mart, sessions):
    marts = {"biofuel": heating_oil_in_cents(mart("biofuel")), "energy": mart("energy")}
    zl = pd.DataFrame({"bucket": ["zl"], "suite": ["zl_base"], "severity": ["critical"], "is_success": [True]})
    results = check_marts({name: duckdb.from_df(own) for name, own in marts.items()}, sessions, NO_QUARANTINES, zl)
    suites = results[["bucket", "suite"]].drop_duplicates().to_numpy().tolist()
    assert suites == [["zl", "zl_base"], *([name, f"mart_{name}__daily"] for name in marts)]
    failed = results[~results["is_success"].astype(bool) & (results["severity"] == "critical")]
    assert set(failed["bucket"]) == {"biofuel"}


def test_unusual_optional_series_warn_and_do_not_stop_the_build(mart, sessions):
    odd = mart("biofuel")
    odd.loc[odd.index[-1], "epa_d6_usd_per_rin"] = np.nan
    odd["usda_sbo_biofuel_share"] = None
    odd.loc[odd.index[-12:], "epa_d4_d6_spread"] = 1.0
    odd.loc[odd.index[-25:], "epa_d4_usd_per_rin"] += 1.5  # 9 trailing standard deviations
    results = check_mart(odd, "biofuel", sessions, NO_QUARANTINES)
    named = {
        "gate_newest_null_share": "epa_d6_usd_per_rin",
        "gate_largest_null_share": "usda_sbo_biofuel_share",
        "gate_frozen_features": "epa_d4_d6_spread",
        "gate_largest_drift": "epa_d4_usd_per_rin",
    }
    assert failures(results) == {(measure, HIGHEST, "warning") for measure in named}
    for measure, feature in named.items():
        assert results.loc[results["column_name"] == measure, "details"].str.contains(feature).all()
    assert is_quarantined(results) is None


def test_a_bucket_without_any_input_is_quarantined_for_any_type_of_nulls(mart, sessions):
    blank = mart("crush")
    features = [name for name in blank if not name.startswith(("as_of", "latest", "base_"))]
    for number, name in enumerate(features):
        blank[name] = pd.Series([None] * len(blank), dtype=["float64", "object", "Int32"][number % 3])
    results = check_mart(blank, "crush", sessions, NO_QUARANTINES)
    reason = is_quarantined(results)
    assert "gate_null_share" in reason
    assert "gate_not_numbers" not in reason
    assert not results["details"].str.contains("could not be checked").any()


def test_the_same_data_give_the_same_results_even_from_two_threads(mart, sessions):
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(
            lambda bucket: check_mart(mart(bucket), bucket, sessions, NO_QUARANTINES), ["crush", "fed"]
        )
    again = check_mart(mart("crush"), "crush", sessions, NO_QUARANTINES)
    pd.testing.assert_frame_equal(first, again)
    expected = [e["type"] for e in written("mart_crush__daily")["expectations"]]
    assert list(first["expectation"]) == expected
    assert set(second["bucket"]) == {"fed"}


# ---------- ZL


def test_good_zl_passes_all_expectations_at_any_age_unless_a_limit_is_set(zl):
    assert failures(check_zl(**zl, today=date(2030, 1, 1))) == set()


def spoil(frame: str, column: str, value, rows):
    def fault(zl):
        zl[frame] = zl[frame].astype({column: "float64"})
        zl[frame].iloc[rows, zl[frame].columns.get_loc(column)] = value

    return fault


def drop(frame: str, rows):
    def fault(zl):
        zl[frame] = zl[frame].drop(index=zl[frame].index[rows])

    return fault


def repeat(frame: str):
    def fault(zl):
        zl[frame] = pd.concat([zl[frame], zl[frame].tail(1)], ignore_index=True)

    return fault


@pytest.mark.parametrize(
    ("suite", "faults"),
    [
        (
            "zl_prices",
            {
                "close": spoil("prices", "close", -3.0, [1]),
                "high, low": spoil("prices", "high", 20.0, [2]),
                "log_return": spoil("prices", "log_return", 0.6, [3]),
                "volume": spoil("prices", "volume", -1, [4]),
                "gate_days_overdue": lambda zl: zl.update(max_age_days=30, today=date(2030, 1, 1)),
                "gate_unchanged_closes": spoil("prices", "close", 45.0, slice(-15, None)),
                "gate_longest_gap_days": drop("prices", slice(300, 312)),
                "gate_absent_share_252": drop("prices", slice(-200, None, 10)),
            },
        ),
        ("zl_prices", {"table": drop("prices", slice(None))}),
        (
            "zl_targets",
            {
                "ewma_volatility": spoil("targets", "ewma_volatility", np.inf, [-1]),
                "z_return": spoil("targets", "z_return", 99.0, [0]),
                "gate_matured_without_z": spoil("targets", "z_return", np.nan, [1]),
                "gate_row_surplus": repeat("targets"),
                "as_of_date, horizon_days": repeat("targets"),
            },
        ),
        ("zl_base", {"base_zl_momentum_21": spoil("base", "base_zl_momentum_21", np.inf, [-1])}),
    ],
)
def test_faults_in_zl_stop_the_build_and_are_named(suite, faults, zl, capsys):
    for fault in faults.values():
        fault(zl)
    with pytest.raises(GateError, match=rf"^{suite} failed \d+ critical") as error:
        check_zl(**zl)
    assert error.value.table == suite
    for column in faults:
        assert any(failure.startswith(f"{column} ") and "(expect_" in failure for failure in error.value.failures)
    assert "FAILED: " in capsys.readouterr().out
    assert suite in index_page().read_text()


# ---------- Data Docs


def test_data_docs_list_every_suite_keep_the_newest_run_only_and_survive_a_crash(mart, sessions):
    check_mart(mart("crush"), "crush", sessions, NO_QUARANTINES)
    check_mart(mart("fed"), "fed", sessions, NO_QUARANTINES)
    assert all(suite in index_page().read_text() for suite in ("mart_crush__daily", "mart_fed__daily"))
    earlier = mart("fed").iloc[:-1]
    check_mart(earlier, "fed", sessions.drop(index=sessions.index[N_ROWS + 59]), NO_QUARANTINES)
    runs = list((data_docs_dir() / "uncommitted/validations/mart_fed__daily").glob("*"))
    assert [run.name for run in runs] == [f"{earlier['as_of_date'].max():%Y-%m-%d}"]
    (data_docs_dir() / "expectations/mart_crush__daily.json").write_text('{"name": "half wri')
    assert is_quarantined(check_mart(mart("crush"), "crush", sessions, NO_QUARANTINES)) is None


# ---------- suites


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_loads_all_expectations_and_bounds_every_number(suite):
    columns = columns_of(suite)
    measured = [
        column for e in written(suite)["expectations"] for column in named_columns(e) if column.startswith("gate_")
    ]
    assert len(load_suite(suite, {*columns, *measured}).expectations) == len(written(suite)["expectations"])
    if suite in MARTS:
        bounded = {e["kwargs"]["column"] for e in written(suite)["expectations"] if e["type"] == RANGE}
        features = {c for c in columns if not c.startswith(("base_", "gate_"))} - {
            "as_of_date",
            "latest_input_on",
        }
        assert bounded == features


@pytest.mark.parametrize("suite", MARTS)
def test_a_suite_lists_the_columns_of_its_mart(suite):
    described = PROJECT / f"models/marts/buckets/{suite}.yml"
    if not described.exists():
        pytest.skip(f"{described.name} does not exist: the gate itself compares the columns at run time")
    (model,) = yaml.safe_load(described.read_text())["models"]
    assert {c for c in columns_of(suite) if not c.startswith("gate_")} == {c["name"] for c in model["columns"]}


@pytest.mark.parametrize(
    ("expectations", "message"),
    [
        (
            [{"type": "expect_magic", "kwargs": {}, "severity": "critical"}],
            "built 0 and dropped: expect_magic",
        ),
        (
            [{"type": RANGE, "kwargs": {"column": "gone"}, "severity": "critical"}],
            "names gone, which the table does not have",
        ),
        ([{"type": RANGE, "kwargs": {"column": "here"}}], "severity None"),
        (
            [{"type": RANGE, "kwargs": {"column": "here", "minimum": 1}, "severity": "critical"}],
            "dropped|not a valid expectation suite",
        ),
    ],
)
def test_an_invalid_suite_is_refused(expectations, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dbt_project.yml").touch()
    Path("expectations").mkdir()
    Path("expectations/odd.json").write_text(json.dumps({"name": "odd", "expectations": expectations}))
    with pytest.raises(SuiteError, match=message):
        load_suite("odd", ["here"])


def test_a_missing_suite_is_named():
    with pytest.raises(SuiteError, match=r"expectations/mart_weather__daily\.json does not exist"):
        load_suite("mart_weather__daily", [])
