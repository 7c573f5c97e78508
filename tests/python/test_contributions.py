"""Contributions of the inputs to a forecast, against closed forms and exact Shapley values; and the features' names."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm
from test_core import in_this_process
from test_ensembles import QUICK, _market, _registry

from zl_forecast import settings
from zl_forecast.contributions import SESSIONS_BACK, SHOWN, contributions, shapley_values, split_forecast
from zl_forecast.ensembles import Rows
from zl_forecast.ensembles.average import Average
from zl_forecast.ensembles.bayesian_model_averaging import BayesianModelAveraging
from zl_forecast.ensembles.tournament import run_ensembles

PROJECT = Path(__file__).parents[2]
NORMAL = norm.ppf(settings.QUANTILE_LEVELS)
INPUTS = ("carry", "core", "crush", "reference")
THRESHOLDS = pd.read_csv(PROJECT / "seeds" / "thresholds.csv")


def _row(is_present=(True, True, True, True)) -> Rows:
    """One row: the reference is standard normal, the others have centres 3, 0 and -1.5 and half its width."""
    centres = np.array([3.0, 0.0, -1.5, 0.0])
    quantiles = centres[:, None] + np.array([0.5, 0.5, 0.5, 1.0])[:, None] * NORMAL
    present = np.array(is_present)
    quantiles = np.where(present[:, None], quantiles, NORMAL)
    day = np.array(["2024-03-05"], "datetime64[us]")
    return Rows(day, np.array([5]), INPUTS, quantiles[None], present[None], day, np.array([np.nan]))


def _split(method, row, shrinkage_weight=1.0) -> tuple[dict, dict]:
    parts = list(split_forecast(method, row, shrinkage_weight))
    return {name: weight for name, weight, _ in parts}, {name: values for name, _, values in parts}


class _Wider(Average):
    """Twice the average's median, with its bands doubled."""

    def predict(self, rows):
        average = super().predict(rows)
        return 2 * average


def test_fixed_weights_are_found_and_contributions_are_weight_times_distance_from_the_reference():
    weights, values = _split(Average(), _row())
    assert weights == pytest.approx(
        dict.fromkeys(INPUTS[:3], 1 / 3) | {"reference": 0, "calibration": np.nan}, nan_ok=True
    )
    for name in INPUTS[:3]:
        expected = (_row().input(name)[0] - NORMAL) / 3
        assert values[name] == pytest.approx(expected[SHOWN])
    assert values["calibration"] == pytest.approx(0)
    assert sum(values.values()) == pytest.approx(Average().predict(_row())[0, SHOWN])


def test_what_a_method_does_to_the_bands_without_any_input_is_calibration():
    weights, values = _split(_Wider(), _row(), shrinkage_weight=0.5)  # half of twice, half of once
    assert weights["carry"] == pytest.approx(0.5)
    assert values["calibration"] == pytest.approx(0.5 * NORMAL[SHOWN])
    assert values["reference"] == pytest.approx(NORMAL[SHOWN])
    assert sum(values.values()) == pytest.approx(1.5 * Average().predict(_row())[0, SHOWN])


def test_a_missing_input_has_no_row_and_its_weight_is_the_references():
    weights, values = _split(Average(), _row(is_present=(False, True, True, True)))
    assert "carry" not in values
    assert weights["reference"] == pytest.approx(1 / 3)
    assert sum(values.values()) == pytest.approx((2 * 0.5 * NORMAL + NORMAL - 1.5)[SHOWN] / 3)


def test_sampled_orders_sum_exactly_and_are_close_to_all_orders_where_a_method_is_not_linear():
    method = BayesianModelAveraging()
    method.by_horizon = {5: np.array([0.3, 0.2, 0.1, 0.4])}
    row = _row()
    own, players = row.quantiles[0], np.arange(3)

    def forecast(quantiles):
        many = row.take(np.zeros(len(quantiles), int))
        return method.predict(Rows(**{**vars(many), "quantiles": quantiles}))

    def worth(entered):
        return forecast(np.where(np.isin(np.arange(4), entered)[:, None], own, NORMAL)[None])[0]

    exact = np.zeros((3, len(NORMAL)))
    for order in permutations(range(3)):
        for i, player in enumerate(order):
            exact[player] += (worth(order[: i + 1]) - worth(order[:i])) / 6
    sampled = shapley_values(forecast, own, NORMAL, players)
    assert sampled.sum(axis=0) == pytest.approx(worth([0, 1, 2]) - worth([]))
    assert sampled == pytest.approx(exact, abs=0.03)
    assert np.abs(exact).max() > 0.3
    total = worth([0, 1, 2]) - worth([])
    alone = sum(worth([i]) - worth([]) for i in range(3))
    assert np.abs(total - alone).max() > 0.1  # so that one order alone would not do


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A finished ensemble tournament: its store, and the tables that `contributions` reads but the choice."""
    folder = tmp_path_factory.mktemp("contributions")
    inputs, targets = _market()
    inputs = inputs.merge(targets[["as_of_date", "horizon_days", "target_date", "z_return"]])
    with in_this_process(folder):
        table = run_ensembles(
            inputs[inputs.columns.drop(["target_date", "z_return"])], targets, _registry(QUICK), THRESHOLDS
        )
    until = inputs.loc[inputs["fold_type"] == "live", "trained_until"].max()
    read = inputs[(inputs["fold_type"] == "live") | (inputs["target_date"] >= until)]
    return folder, read, inputs[["input"]].drop_duplicates(), table[table["fold_type"] == "live"]


@pytest.mark.parametrize("method", QUICK)
def test_contributions_rebuild_the_forecast_of_every_method_or_of_its_base_method(live, method):
    folder, inputs, names, methods = live
    base = "average" if method == "conformal" else method
    chosen = methods.loc[methods["competitor"] == method].assign(ensemble_method=method)
    with in_this_process(folder):
        split = contributions(inputs, names, chosen, methods, _registry(QUICK))
    assert set(split["status"]) == {"ok"}
    key = ["as_of_date", "horizon_days"]
    scored = list(settings.SCORED_COLUMNS)
    rebuilt = split.groupby(key)[scored].sum()
    published = methods[methods["competitor"] == base].set_index(key)[scored]
    assert len(rebuilt) == len(SESSIONS_BACK) * 2  # two horizons
    assert rebuilt.index.get_level_values(0).max() == published.index.get_level_values(0).max()
    pd.testing.assert_frame_equal(rebuilt, published.loc[rebuilt.index], atol=1e-9, check_exact=False)


def test_a_fit_that_was_lost_leaves_the_reference_and_says_why(live, tmp_path):
    _, inputs, names, methods = live
    chosen = methods.loc[methods["competitor"] == "weighted_ensemble"].assign(ensemble_method="weighted_ensemble")
    with in_this_process(tmp_path):
        split = contributions(inputs, names, chosen, methods, _registry(QUICK))
    assert set(split["input"]) == {"reference"}
    assert set(split["status"]) == {"failed"}  # so that the store does not keep it
    assert set(split["reason"]) == {"FileNotFoundError: its fit is not in the store"}
    assert split["q50"].tolist() == pytest.approx([0] * len(split))


@pytest.mark.parametrize(
    ("forecast", "reason"),
    [
        (lambda method, rows: 1 / 0, "ZeroDivisionError: division by zero"),
        (
            lambda method, rows: rows.input("reference") / rows.input("good")[:, [3]],
            "ValueError: contributions that are not finite",
        ),
    ],
)
def test_a_method_that_fails_on_other_inputs_is_all_rest(live, monkeypatch, forecast, reason):
    folder, inputs, names, methods = live
    chosen = methods.loc[methods["competitor"] == "weighted_ensemble"].assign(ensemble_method="weighted_ensemble")
    monkeypatch.setattr("zl_forecast.ensembles.weighted_ensemble.WeightedEnsemble.predict", forecast)
    with in_this_process(folder), np.errstate(divide="ignore", invalid="ignore"):
        split = contributions(inputs, names, chosen, methods, _registry(QUICK))
    assert set(split["input"]) == {"reference"}
    assert set(split["status"]) == {"failed"}
    assert set(split["reason"]) == {reason}


def test_every_feature_of_every_mart_has_a_name_and_no_name_is_left_over():
    named = pd.read_csv(PROJECT / "seeds" / "features.csv")
    columns = set()
    for file in (PROJECT / "models" / "marts" / "buckets").glob("mart_*.yml"):
        (mart,) = yaml.safe_load(file.read_text())["models"]
        columns |= {column["name"] for column in mart["columns"]}
    assert set(named["feature"]) - {"horizon_days", "zl_returns"} == columns - {"as_of_date", "latest_input_on"}
    assert not named["label"].str.contains("_").any()
    assert named["label"].str.match(r"[A-Z0-9]").all()
