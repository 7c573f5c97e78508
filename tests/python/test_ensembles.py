"""The ensemble methods, shrinkage towards the average, and folds without look-ahead."""

import json
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from test_core import Jobs, in_this_process

from zl_forecast import settings
from zl_forecast.ensembles import EnsembleMethod, Rows
from zl_forecast.ensembles.average import Average, average_weights
from zl_forecast.ensembles.partial_pooling import PartialPooling
from zl_forecast.ensembles.reference_alone import ReferenceAlone
from zl_forecast.ensembles.shrinkage import PRIOR_WEIGHT, estimate_shrinkage_weight
from zl_forecast.ensembles.stacking import Stacking
from zl_forecast.ensembles.tournament import KEY, QUANTILES, matured_losses, run_ensembles
from zl_forecast.ensembles.weighted_ensemble import WeightedEnsemble
from zl_forecast.errors import TournamentError
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.store import fingerprint

NORMAL = stats.norm.ppf(settings.QUANTILE_LEVELS)
SCORED = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
HORIZONS = (5, 20)
PROJECT = Path(__file__).parents[2]
QUICK = ("reference_alone", "average", "weighted_ensemble", "dynamic_model_averaging", "conformal")
THRESHOLDS = pd.read_csv(PROJECT / "seeds" / "thresholds.csv")
FITTED_ONCE = ("reference_alone", "average", "weighted_ensemble")
FITTED = ("weighted_ensemble", "dynamic_model_averaging")  # the methods here that need matured rows


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # as in a worker


def _loss(z_return: np.ndarray, quantiles: np.ndarray) -> float:
    return pinball(z_return, quantiles[:, SCORED]).mean()


def _rows(n: int, seed: int, **centre_of) -> Rows:
    """Simulate independent rows: z_return is two signals plus noise; inputs are normal around their own centres."""
    rng = np.random.default_rng(seed)
    first, second, noise = rng.standard_normal((3, n))
    z_return = first + second + 0.5 * noise
    centres = {"reference": 0 * z_return, **{name: centre(first, second) for name, centre in centre_of.items()}}
    inputs = tuple(sorted(centres))
    spread = {"reference": 1.5}
    quantiles = np.stack([centres[i][:, None] + spread.get(i, 0.5) * NORMAL for i in inputs], axis=1)
    days = pd.bdate_range("2000-01-03", periods=n + 5).to_numpy()
    present = np.ones((n, len(inputs)), bool)
    return Rows(days[:n], np.full(n, 5), inputs, quantiles, present, days[5:], z_return)


# ---------- methods


def test_the_reference_alone_is_the_reference():
    rows = _rows(50, 1, a=lambda f, s: f)
    np.testing.assert_array_equal(ReferenceAlone().fit(rows).predict(rows), rows.input("reference"))


def test_the_average_weighs_buckets_and_core_alike_against_carry_and_ignores_the_reference():
    rows = _rows(1, 1, carry=lambda f, s: f, core=lambda f, s: f, crush=lambda f, s: f)
    by_input = {"carry": 3.0, "core": 0.0, "crush": 30.0, "reference": 999.0}
    quantiles = np.stack([by_input[name] + np.arange(7.0) for name in rows.inputs])[None]
    rows = replace(rows, quantiles=quantiles)
    average = Average().fit(rows)
    assert average.predict(rows)[0] == pytest.approx(11 + np.arange(7.0))  # 2/3 of 15 and 1/3 of 3
    assert average.weights(rows)[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_without_a_group_or_without_carry_the_average_is_the_rest():
    assert average_weights(("a", "b", "reference")).tolist() == [0.5, 0.5, 0]
    assert average_weights(("carry", "reference")).tolist() == [1, 0]
    assert average_weights(("reference",)).tolist() == [1]


def _pooled(horizon: int, n: int, seed: int = 5, **inputs) -> tuple[PartialPooling, Rows]:
    rows = replace(_rows(n, seed, **inputs), horizon_days=np.full(n, horizon))
    return PartialPooling().fit(rows), rows


def test_partial_pooling_starts_from_the_average_and_follows_evidence():
    inputs = {"useful": lambda f, s: f + s, "useless": lambda f, s: np.roll(f, 7)}
    few, rows = _pooled(120, 240, **inputs)  # two independent samples
    many, _ = _pooled(5, 5000, **inputs)  # a thousand
    weights = [dict(zip(rows.inputs, own._weights[h], strict=True)) for own, h in ((few, 120), (many, 5))]
    assert weights[0]["useful"] == pytest.approx(0.5, abs=0.15)
    assert weights[0]["useless"] == pytest.approx(0.5, abs=0.15)
    assert weights[1]["useful"] == pytest.approx(1, abs=0.05)
    assert weights[1]["useless"] == pytest.approx(0, abs=0.05)
    assert weights[0]["reference"] == weights[1]["reference"] == 0


def test_a_horizon_without_evidence_of_its_own_borrows_from_the_others():
    short = replace(_rows(3000, 6, useful=lambda f, s: f + s, useless=lambda f, s: np.roll(f, 7)))
    long = replace(short, horizon_days=np.full(3000, 120)).take(slice(0, 120))
    both = Rows(
        **{
            field.name: short.inputs
            if field.name == "inputs"
            else np.concatenate([getattr(short, field.name), getattr(long, field.name)])
            for field in fields(Rows)
        }
    )
    alone, pooled = PartialPooling().fit(long), PartialPooling().fit(both)
    useful = short.inputs.index("useful")
    assert pooled._weights[120][useful] > alone._weights[120][useful] + 0.2


def test_partial_pooling_narrows_bands_that_are_too_wide():
    rows = _rows(4000, 5, useful=lambda f, s: f + s)
    median = rows.quantiles[:, :, [3]]
    rows = replace(rows, quantiles=median + 3 * (rows.quantiles - median))
    for forecast, covered in ((Average().fit(rows), 1.0), (PartialPooling().fit(rows), 0.8)):
        quantiles = forecast.predict(rows)
        inside = (rows.z_return >= quantiles[:, 1]) & (rows.z_return <= quantiles[:, 5])
        assert inside.mean() == pytest.approx(covered, abs=0.02)


def _weights(rows: Rows, horizon: int = 5) -> dict[str, float]:
    """Return the weights of the greedy selection at one horizon of the rows."""
    own = rows.take(rows.horizon_days == horizon)
    return dict(zip(rows.inputs, WeightedEnsemble().fit(rows).weights(own)[0], strict=True))


def test_weighted_ensemble_gives_all_weight_to_the_perfect_input():
    weights = _weights(_rows(400, 2, perfect=lambda f, s: f + s, useless=lambda f, s: np.roll(f + s, 1)))
    assert weights["perfect"] > 0.9
    assert sum(weights.values()) == pytest.approx(1)


def test_weighted_ensemble_recovers_a_half_and_half_mixture():
    centres = {"first": lambda f, s: 2 * f, "second": lambda f, s: 2 * s}  # their mean is the signal
    rows, new = _rows(600, 3, **centres), _rows(600, 4, **centres)
    weights = _weights(rows)
    assert weights["first"] == pytest.approx(0.5, abs=0.1)
    assert weights["second"] == pytest.approx(0.5, abs=0.1)
    combined = WeightedEnsemble().fit(rows).predict(new)
    assert _loss(new.z_return, combined) < 0.7 * min(_loss(new.z_return, new.input(name)) for name in new.inputs)


def test_weighted_ensemble_has_separate_weights_per_horizon():
    rows, other = (_rows(300, seed, good=lambda f, s: f + s, bad=lambda f, s: -f) for seed in (5, 6))
    # at the other horizon 'bad' carries the good forecasts
    other = replace(other, quantiles=other.quantiles[:, [1, 0, 2]], horizon_days=np.full(300, 20))
    both = Rows(
        **{
            field.name: rows.inputs
            if field.name == "inputs"
            else np.concatenate([getattr(rows, field.name), getattr(other, field.name)])
            for field in fields(Rows)
        }
    )
    assert _weights(both, 5)["good"] > 0.9
    assert _weights(both, 20)["bad"] > 0.9


def test_weighted_ensemble_can_use_more_than_two_inputs():
    thirds = {
        name: (lambda f, s, i=i: (3 if i == 0 else 0) * f + (3 if i == 1 else 0) * s) for i, name in enumerate("abc")
    }
    weights = _weights(_rows(600, 14, **thirds))  # the mean of a, b and c is the signal
    assert len([w for w in weights.values() if w > 0.1]) >= 3


def test_stacking_beats_two_inputs_with_half_of_the_signal_each_before_and_after_loading(tmp_path):
    centres = {"first": lambda f, s: f, "second": lambda f, s: s}
    rows, new = _rows(3000, 8, **centres), _rows(1000, 9, **centres)
    method = Stacking().fit(rows)
    stacked = np.sort(method.predict(new), axis=1)
    assert stacked.shape == (1000, len(QUANTILES))
    method.save(tmp_path)
    np.testing.assert_array_equal(np.sort(Stacking.load(tmp_path).predict(new), axis=1), stacked)
    assert _loss(new.z_return, stacked) < min(_loss(new.z_return, new.input(name)) for name in new.inputs)


# ---------- shrinkage towards the average


def _shares(n_samples: int, horizon: int = 20) -> float:
    rng = np.random.default_rng(10)
    z_return = np.repeat(rng.standard_normal(n_samples), horizon)
    combined = z_return[:, None] + 0.1 * NORMAL
    return estimate_shrinkage_weight(z_return, combined, np.tile(NORMAL, (len(z_return), 1)), horizon)


def test_without_matured_rows_the_shrinkage_weight_is_one_half():
    nothing = np.empty((0, len(QUANTILES)))
    assert estimate_shrinkage_weight(np.array([]), nothing, nothing, 20) == PRIOR_WEIGHT == 0.5


def test_the_shrinkage_weight_of_a_perfect_combination_grows_with_evidence_and_stays_below_one():
    shares = [_shares(count) for count in (2, 4, 20, 400)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx((2 + settings.PRIOR_SAMPLES / 2) / (2 + settings.PRIOR_SAMPLES))
    assert shares[-1] < 1


def test_overlapping_rows_count_once_per_horizon():
    z_return = np.random.default_rng(11).standard_normal(120)
    combined, reference = z_return[:, None] + 0.1 * NORMAL, np.tile(NORMAL, (120, 1))
    prior = settings.PRIOR_SAMPLES
    assert estimate_shrinkage_weight(z_return, combined, reference, 120) == pytest.approx((1 + prior / 2) / (1 + prior))
    assert estimate_shrinkage_weight(z_return, combined, reference, 1) == pytest.approx(
        (120 + prior / 2) / (120 + prior)
    )


def test_worse_and_equal_combinations_keep_only_the_weight_of_the_prior():
    z_return = np.random.default_rng(12).standard_normal(500)
    reference = np.tile(NORMAL, (500, 1))
    left = settings.PRIOR_SAMPLES / 2 / (100 + settings.PRIOR_SAMPLES)
    assert estimate_shrinkage_weight(z_return, -3 * z_return[:, None] + NORMAL, reference, 5) == pytest.approx(left)
    assert estimate_shrinkage_weight(z_return, reference.copy(), reference, 5) == pytest.approx(left)


# ---------- the tournament


GAP = "2019-06-13"
STARTS = [pd.Timestamp(day) for day in ("2018-01-01", "2018-07-01", "2019-01-01", "2019-06-01")]  # the last is live
END = "2019-06-18"


def _market(seed: int = 13) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate a good, a bad and the reference input over three half-year folds and a live month, with targets."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2017-11-01", END)
    beyond = days.append(pd.bdate_range(days[-1], periods=max(HORIZONS) + 1)[1:])
    targets, inputs = [], []
    for horizon in HORIZONS:
        signal, noise = rng.standard_normal((2, len(days)))
        is_matured = np.arange(len(days)) < len(days) - horizon
        frame = pd.DataFrame(
            {"as_of_date": days, "horizon_days": horizon, "target_date": beyond[horizon : horizon + len(days)]}
        )
        targets.append(
            frame.assign(
                z_return=np.where(is_matured, signal + 0.5 * noise, np.nan),
                is_matured=is_matured,
                horizon_volatility=0.02,
            )
        )
        for start, end in zip(STARTS, [*STARTS[1:], pd.Timestamp("2020-01-01")], strict=True):
            fold_type, tested = "live" if start == STARTS[-1] else "oof", (days >= start) & (days < end)
            until = days[days < start][-settings.EMBARGO_SESSIONS]
            for name, centre, spread in (("reference", 0 * signal, 1.1), ("good", signal, 0.5), ("bad", -signal, 0.5)):
                part = frame.loc[tested, KEY].assign(
                    input=name, fold_type=fold_type, fold_start=start, trained_until=until
                )
                part[QUANTILES] = centre[tested, None] + spread * NORMAL
                inputs.append(part)
    return pd.concat(inputs, ignore_index=True), pd.concat(targets, ignore_index=True)


# a class that cannot be pickled and has state
FACTORY = """
from zl_forecast.ensembles.weighted_ensemble import WeightedEnsemble


def make(shift):
    class Shifted(WeightedEnsemble):
        def predict(self, rows):
            return super().predict(rows) + shift

    return Shifted
"""


class _Failing(EnsembleMethod):
    def fit(self, rows):
        raise ValueError("no convergence")

    def predict(self, rows):
        raise NotImplementedError


class _Unbuildable(Average):
    def __init__(self):
        raise ValueError("no licence")


class _Narrow(Average):
    def predict(self, rows):
        return rows.quantiles.mean(axis=1)[:, :3]


class _Confused(Average):
    def weights(self, rows):
        return np.full((len(rows), 9), 0.1)


class _Undecided(Average):
    def weights(self, rows):
        return np.full((len(rows), len(rows.inputs)), np.nan)


class _Gapped(Average):
    def predict(self, rows):
        return np.where((rows.as_of_date == np.datetime64(GAP))[:, None], [np.nan] * 6 + [1.0], super().predict(rows))


class _Unfinished(EnsembleMethod):
    def predict(self, rows):
        return rows.quantiles.mean(axis=1)


BREAKERS = {
    _Failing: "ValueError: no convergence",
    _Unbuildable: "ValueError: no licence",
    _Narrow: r"ValueError: quantiles of shape \(\d+, 3\), not \(\d+, 7\)",
    _Confused: r"ValueError: weights of shape \(\d+, 9\), not \(\d+, 3\)",
    _Undecided: r"ValueError: \d+ rows of weights are not finite",
    _Unfinished: "TypeError: Can't instantiate abstract class _Unfinished",
}


class _Starving(Average):
    """A method that runs out of memory at first."""

    has_memory = False

    def predict(self, rows):
        if not self.has_memory:
            raise MemoryError("no room for 3 GB")
        return super().predict(rows)


class _Witness(Average):
    """Records the rows that it gets."""

    learns_daily = True
    seen: list = []  # noqa: RUF012  one list for all folds

    def fit(self, rows):
        self._known = [rows]
        return self

    def update(self, rows):
        self._known.append(rows)

    def predict(self, rows):
        type(self).seen.append((rows, list(self._known)))
        return super().predict(rows)


def _outside(monkeypatch, method: type[EnsembleMethod], name: str = "mine") -> pd.DataFrame:
    """Return a registry of two controls and a method from a module outside the package."""
    module = ModuleType(f"outside_{name}")
    module.METHOD = method
    monkeypatch.setitem(sys.modules, f"outside_{name}", module)
    row = pd.DataFrame({"ensemble_method": [name], "module": [f"outside_{name}"], "base_method": [None]})
    return pd.concat([_registry(["reference_alone", "average"]), row], ignore_index=True)


def _registry(methods) -> pd.DataFrame:
    seed = pd.read_csv(PROJECT / "seeds" / "ensemble_methods.csv").set_index("ensemble_method")
    return seed.loc[list(methods)].reset_index()


def _run(inputs, targets, folder, methods=QUICK) -> tuple[pd.DataFrame, Jobs]:
    registry = methods if isinstance(methods, pd.DataFrame) else _registry(methods)
    with in_this_process(folder) as jobs:
        return run_ensembles(inputs, targets, registry, THRESHOLDS), jobs


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ensembles")


@pytest.fixture(scope="module")
def forecasts(market, folder):
    return _run(*market, folder)[0]


def _fold(forecasts: pd.DataFrame, number: int, method: str | None = None) -> pd.DataFrame:
    """Select the rows of a fold by its number in `STARTS`."""
    rows = forecasts[forecasts["fold_start"] == STARTS[number]]
    return (rows if method is None else rows[rows["competitor"] == method]).reset_index(drop=True)


def test_every_method_forecasts_every_row_of_every_fold_once(market, forecasts):
    rows = market[0][market[0]["input"] == "reference"]
    assert not forecasts.duplicated(["competitor", "fold_type", *KEY]).any()
    assert (forecasts.groupby("competitor").size() == len(rows)).all()


def test_final_quantiles_ascend(forecasts):
    done = forecasts[forecasts["status"] == "ok"]
    assert (np.diff(done[QUANTILES], axis=1) >= 0).all()


def test_each_forecast_has_the_evidence_on_its_method_from_before_the_fold(market, forecasts):
    _, targets = market
    last = forecasts[(forecasts["fold_start"] == STARTS[-1]) & (forecasts["horizon_days"] == 5)]
    until = last["trained_until"].iloc[0]
    past = matured_losses(forecasts, targets, first_scored=2)
    past = past[(past["horizon_days"] == 5) & (past["target_date"] < until)]
    by_hand = past.pivot(index="as_of_date", columns="competitor", values="pinball_pct").dropna()
    shown = last.drop_duplicates("competitor").set_index("competitor")
    assert set(shown["n_compared"]) == {len(by_hand)} != {0}
    for name in FITTED:
        test = diebold_mariano(by_hand[name], by_hand["reference_alone"], overlap=5)
        assert shown.loc[name, "dm_statistic"] == pytest.approx(test.statistic)
    assert forecasts.loc[forecasts["fold_start"] <= STARTS[1], "n_compared"].isna().all()  # no evidence yet


def test_too_few_matured_rows_skip_a_method_in_the_first_fold_only(forecasts):
    for method in FITTED:
        own = forecasts[forecasts["competitor"] == method]
        first = own["fold_start"] == STARTS[0]
        assert set(own.loc[first, "status"]) == {"skipped"}
        assert own.loc[first, "reason"].str.contains("0 matured rows at this horizon, at least 100 are needed").all()
        assert own.loc[first, QUANTILES].isna().all(axis=None)
        assert set(own.loc[~first, "status"]) == {"ok"}


def test_the_shrinkage_weight_is_one_half_in_the_first_fold_and_estimated_in_later_ones(forecasts):
    assert (_fold(forecasts, 0, "weighted_ensemble")["shrinkage_weight"] == PRIOR_WEIGHT).all()
    assert (_fold(forecasts, 2, "weighted_ensemble")["shrinkage_weight"] > 0.6).all()
    for method in ("average", "reference_alone", "conformal"):
        assert (forecasts.loc[forecasts["competitor"] == method, "shrinkage_weight"] == 1).all()


def test_final_quantiles_are_the_combination_shrunk_towards_the_average(market, forecasts):
    inputs, _ = market
    own, average = (_fold(forecasts, 2, name).set_index(KEY).sort_index() for name in ("weighted_ensemble", "average"))
    wide = inputs[inputs["fold_type"] == "oof"].pivot_table(index=KEY, columns="input", values="q90").loc[own.index]
    weights = pd.DataFrame(own["weights"].map(json.loads).tolist(), index=own.index).fillna(0.0)
    combined = (weights * wide[weights.columns]).sum(axis=1)
    np.testing.assert_allclose(average["q90"], wide[["bad", "good"]].mean(axis=1))
    shrunk = own["shrinkage_weight"] * combined + (1 - own["shrinkage_weight"]) * average["q90"]
    np.testing.assert_allclose(own["q90"], shrunk, atol=1e-3)  # weights are reported with four decimals


def test_weights_are_reported_per_session_and_change_for_methods_that_learn_daily(forecasts):
    for method, learns_daily in (("weighted_ensemble", False), ("dynamic_model_averaging", True)):
        fold = _fold(forecasts, 2, method)
        weights = fold.loc[fold["horizon_days"] == 5, "weights"].map(json.loads)
        assert weights.map(lambda weights: sum(weights.values())).to_numpy() == pytest.approx(1, abs=0.002)
        assert (weights.map(str).nunique() > 1) == learns_daily
    assert set(_fold(forecasts, 2, "conformal")["weights"]) == {"{}"}


def test_a_second_level_method_starts_from_its_base_methods_final_forecasts(forecasts):
    first = [
        _fold(forecasts, 0, method).query("as_of_date < '2018-01-08'")[QUANTILES] for method in ("average", "conformal")
    ]
    np.testing.assert_allclose(first[0], first[1])  # no outcome is known in the first week
    later = [_fold(forecasts, 2, method)[QUANTILES] for method in ("average", "conformal")]
    assert np.abs(later[0].to_numpy() - later[1].to_numpy()).max() > 0.01


def test_a_method_is_skipped_if_its_base_method_is(market, tmp_path):
    methods = ("reference_alone", "average", "quantile_regression_averaging", "conformal_qra")
    result, _ = _run(*market, tmp_path, methods)
    own = result[result["competitor"] == "conformal_qra"]
    first = own["fold_start"] == STARTS[0]
    assert set(own.loc[first, "reason"]) == {"quantile_regression_averaging has no forecast for this row"}
    assert set(own.loc[first, "status"]) == {"skipped"}
    assert set(own.loc[~first, "status"]) == {"ok"}
    assert not own.duplicated(["fold_type", *KEY]).any()


CUT = pd.Timestamp("2019-04-01")


@pytest.fixture(scope="module")
def before_and_after(market, tmp_path_factory):
    """Run all methods of the seed with the original outcomes and with those from CUT on replaced."""
    inputs, targets = market
    perturbed = targets.copy()
    late = perturbed["target_date"] >= CUT
    perturbed.loc[late, "z_return"] = -4 * perturbed.loc[late, "z_return"] + 2
    registry = pd.read_csv(PROJECT / "seeds" / "ensemble_methods.csv")
    return [_run(inputs, known, tmp_path_factory.mktemp("perturbed"), registry)[0] for known in (targets, perturbed)]


@pytest.mark.parametrize("method", pd.read_csv(PROJECT / "seeds/ensemble_methods.csv")["ensemble_method"])
def test_no_forecast_depends_on_an_outcome_after_its_origin(before_and_after, method):
    before, after = (
        table[table["competitor"] == method].sort_values(["fold_type", *KEY], ignore_index=True)
        for table in before_and_after
    )
    columns = ["fold_type", *KEY, *QUANTILES, "shrinkage_weight", "weights", "status", "n_compared", "dm_p_value"]
    # the live fold begins in June and may use all outcomes before it
    blind = (before["as_of_date"] < CUT) & (before["fold_type"] == "oof")
    pd.testing.assert_frame_equal(before.loc[blind, columns], after.loc[blind, columns], check_exact=True)
    if method not in ("reference_alone", "average"):  # they learn nothing
        live = before["fold_type"] == "live"
        assert not before.loc[live, QUANTILES].equals(after.loc[live, QUANTILES])  # the change has an effect later


@pytest.fixture(scope="module")
def fitted_once(forecasts):
    """Run the methods that do not learn within a fold."""
    return forecasts[forecasts["competitor"].isin(FITTED_ONCE)]


def test_rows_not_matured_before_a_folds_fit_do_not_change_it(market, fitted_once, tmp_path):
    inputs, targets = market
    perturbed = targets.copy()
    late = perturbed["target_date"] >= _fold(fitted_once, 2)["trained_until"].iloc[0]
    perturbed.loc[late, "z_return"] = -4 * perturbed.loc[late, "z_return"] + 2
    again, _ = _run(inputs, perturbed, tmp_path, FITTED_ONCE)
    pd.testing.assert_frame_equal(_comparable(_fold(fitted_once, 2)), _comparable(_fold(again, 2)), check_exact=True)
    assert not _comparable(_fold(fitted_once, 3)).equals(
        _comparable(_fold(again, 3))
    )  # the change has an effect where it should


def test_the_newest_matured_rows_change_the_fold(market, fitted_once, tmp_path):
    inputs, targets = market
    until = _fold(fitted_once, 2)["trained_until"].iloc[0]
    perturbed = targets.copy()
    newest = perturbed["target_date"].between(until - pd.DateOffset(days=60), until, inclusive="left")
    perturbed.loc[newest, "z_return"] = -4 * perturbed.loc[newest, "z_return"] + 2
    again, _ = _run(inputs, perturbed, tmp_path, FITTED_ONCE)
    assert not _comparable(_fold(fitted_once, 2)).equals(_comparable(_fold(again, 2)))


def _comparable(fold: pd.DataFrame) -> pd.DataFrame:
    # adjusted for the number of methods
    return fold.drop(columns=["fit_seconds", "score_seconds", "artifact_id", "benchmark_p_value_holm"])


def test_a_second_call_computes_nothing_and_returns_the_same(market, forecasts, folder):
    again, jobs = _run(*market, folder)
    assert jobs == []
    pd.testing.assert_frame_equal(again, forecasts)


@pytest.fixture(scope="module")
def good_as_reference(market, tmp_path_factory):
    """Run the tournament with `good` equal to the reference in the live fold."""
    inputs, targets = market
    inputs = inputs.copy()
    lost = ((inputs["input"] == "good") & (inputs["fold_type"] == "live")).to_numpy()
    inputs.loc[lost, QUANTILES] = np.tile(1.1 * NORMAL, (lost.sum(), 1))
    return _run(inputs, targets, tmp_path_factory.mktemp("good_as_reference"), FITTED_ONCE)[0]


@pytest.mark.parametrize("what", ["missing", "nan", "infinite", "without width"])
def test_the_reference_replaces_a_missing_input_and_the_reason_reports_it(market, good_as_reference, tmp_path, what):
    inputs, targets = market
    lost = ((inputs["input"] == "good") & (inputs["fold_type"] == "live")).to_numpy()
    broken = inputs.copy()
    if what == "missing":
        broken = inputs[~lost]
    else:
        broken.loc[lost, QUANTILES] = {"nan": np.nan, "infinite": np.inf, "without width": 0.7}[what]
    without, _ = _run(broken, targets, tmp_path, FITTED_ONCE)
    columns = ["competitor", "fold_type", *KEY, *QUANTILES]
    pd.testing.assert_frame_equal(without[columns], good_as_reference[columns])
    live = _fold(without, 3, "weighted_ensemble")
    assert np.isfinite(live[QUANTILES]).all(axis=None)
    assert set(live["reason"]) == {
        f"the reference replaces missing forecasts of good ({len(live)} of {len(live)} rows)"
    }
    assert set(live["inputs"]) == {"bad reference"}
    weights = live["weights"].map(json.loads)
    assert not weights.map(lambda weights: "good" in weights).any()
    assert weights.map(lambda weights: sum(weights.values())).to_numpy() == pytest.approx(1, abs=0.002)
    assert (_fold(without, 3, "average")["weights"] == '{"bad": 0.5, "reference": 0.5}').all()


def test_a_constant_input_is_used_like_any_other(market, tmp_path):
    inputs, targets = market
    constant = inputs.copy()
    rows = (constant["input"] == "bad").to_numpy()
    constant.loc[rows, QUANTILES] = np.tile(0.3 + 0.2 * NORMAL, (rows.sum(), 1))
    result, _ = _run(constant, targets, tmp_path)
    later = result[result["fold_start"] > STARTS[0]]
    assert set(later["status"]) == {"ok"}
    assert np.isfinite(later[QUANTILES]).all(axis=None)


@pytest.mark.parametrize("method", BREAKERS)
def test_a_method_that_violates_the_interface_fails_with_a_reason_and_the_others_continue(
    monkeypatch, market, tmp_path, method
):
    result, _ = _run(*market, tmp_path, _outside(monkeypatch, method))
    failed = result[(result["competitor"] == "mine") & (result["fold_start"] > STARTS[0])]
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains(BREAKERS[method]).all()
    assert failed[QUANTILES].isna().all(axis=None)
    assert set(failed["weights"]) == {"{}"}
    others = result[result["competitor"] != "mine"]
    assert set(others["status"]) == {"ok"}
    assert others[QUANTILES].notna().all(axis=None)


def test_a_forecast_that_is_not_finite_fails_only_in_its_own_row(monkeypatch, market, tmp_path):
    result, _ = _run(*market, tmp_path, _outside(monkeypatch, _Gapped))
    own = result[(result["competitor"] == "mine") & (result["fold_start"] > STARTS[0])]
    failed = own[own["status"] == "failed"]
    assert failed["as_of_date"].eq(GAP).all()
    assert sorted(failed["horizon_days"]) == list(HORIZONS)
    assert set(failed["reason"]) == {"its forecast is not finite"}
    assert failed[QUANTILES].isna().all(axis=None)
    rest = own.drop(failed.index)
    assert set(rest["status"]) == {"ok"}
    assert rest[QUANTILES].notna().all(axis=None)


def test_a_method_that_ran_out_of_memory_is_retried(monkeypatch, market, tmp_path):
    registry = _outside(monkeypatch, _Starving)
    failed, _ = _run(*market, tmp_path, registry)
    own = failed[failed["competitor"] == "mine"]
    assert set(own.loc[own["fold_start"] > STARTS[0], "reason"]) == {"MemoryError: no room for 3 GB"}
    monkeypatch.setattr(_Starving, "has_memory", True)
    result, _ = _run(*market, tmp_path, registry)
    assert "failed" not in set(result["status"])


def test_a_method_gets_every_outcome_once_when_it_is_known_and_none_of_the_rows_it_forecasts(
    monkeypatch, market, tmp_path
):
    monkeypatch.setattr(_Witness, "seen", [])
    inputs, targets = market
    _run(inputs, targets, tmp_path, _outside(monkeypatch, _Witness))
    history = inputs.loc[(inputs["fold_type"] == "oof") & (inputs["input"] == "reference"), KEY].merge(targets, on=KEY)
    assert len(_Witness.seen) > 370
    for rows, known in _Witness.seen[::25]:
        assert np.isnan(rows.z_return).all()
        assert not rows.quantiles.flags.writeable
        day = pd.Timestamp(rows.as_of_date[0])
        due = history[(history["target_date"] <= day) & history["is_matured"]]
        shown = pd.concat(
            [pd.DataFrame({"as_of_date": part.as_of_date, "horizon_days": part.horizon_days}) for part in known]
        )
        assert not shown.duplicated().any()
        assert len(shown) == len(due)
        assert len(shown.merge(due, on=KEY)) == len(due)


def test_few_matured_rows_at_one_horizon_do_not_skip_a_method_at_the_others(market, tmp_path):
    inputs, targets = market
    longest = targets["horizon_days"] == max(HORIZONS)
    slow = targets.copy()
    # outcomes of the longest horizon mature half a year later
    slow.loc[longest, "target_date"] = slow.loc[longest, "target_date"] + pd.DateOffset(days=180)
    result, _ = _run(inputs, slow, tmp_path)
    for method in FITTED:
        fold = _fold(result, 1, method)
        by_horizon = fold.groupby("horizon_days")["status"].agg(set)
        assert by_horizon[min(HORIZONS)] == {"ok"}
        assert by_horizon[max(HORIZONS)] == {"skipped"}
        assert fold.loc[fold["status"] != "ok", "reason"].str.contains("0 matured rows at this horizon").all()


def test_an_input_without_history_is_used_and_reported(market, tmp_path):
    inputs, targets = market
    new = inputs[(inputs["input"] == "good") & (inputs["fold_type"] == "live")].assign(input="newcomer")
    result, _ = _run(pd.concat([inputs, new], ignore_index=True), targets, tmp_path, FITTED_ONCE)
    live = _fold(result, 3, "average")
    assert set(live["inputs"]) == {"bad good newcomer reference"}
    assert live["weights"].map(lambda weights: json.loads(weights)["newcomer"]).unique().tolist() == [0.3333]


def test_a_live_fold_without_history_has_only_methods_that_need_no_fit(market, tmp_path):
    inputs, targets = market
    result, _ = _run(inputs[inputs["fold_type"] == "live"], targets, tmp_path)
    status = result.groupby("competitor")["status"].agg(set)
    assert status["average"] == status["conformal"] == status["reference_alone"] == {"ok"}
    assert all(status[method] == {"skipped"} for method in FITTED)


def test_a_failing_second_level_method_reports_its_own_reason(monkeypatch, market, tmp_path):
    registry = _outside(monkeypatch, _Failing).assign(base_method=[None, None, "average"])
    result, _ = _run(*market, tmp_path, registry)
    failed = result[(result["competitor"] == "mine") & (result["fold_start"] > STARTS[0])]
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"ValueError: no convergence"}


def test_a_second_level_method_reports_the_inputs_of_its_base_method(forecasts):
    assert set(forecasts.loc[forecasts["competitor"] == "conformal", "inputs"]) == {"bad good reference"}


def test_other_outcomes_or_other_code_change_the_fit(monkeypatch, market, tmp_path):
    inputs, targets = market
    source = tmp_path / "source"
    source.mkdir()
    monkeypatch.syspath_prepend(source)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # Python would use the cached bytecode of a file with the same size and second
    (source / "factory_of_methods.py").write_text(FACTORY)
    registry = pd.concat(
        [
            _registry(["reference_alone", "average"]),
            pd.DataFrame({"ensemble_method": ["mine"], "module": ["shifting_method"], "base_method": [None]}),
        ],
        ignore_index=True,
    )

    def run(shift: float, known: pd.DataFrame) -> tuple[float, list[str]]:
        (source / "shifting_method.py").write_text(f"from factory_of_methods import make\n\nMETHOD = make({shift})\n")
        for name in ("shifting_method", "factory_of_methods"):
            sys.modules.pop(name, None)
        fingerprint.of_code.cache_clear()
        result, jobs = _run(inputs, known, tmp_path / "data", registry)
        return _fold(result, 3, "mine")["q50"].mean(), [job for job in jobs.trained if job.endswith("mine")]

    first, trained = run(0.0, targets)
    assert len(trained) == 4
    assert run(0.0, targets) == (first, [])
    moved, trained = run(5.0, targets)
    assert len(trained) == 4
    assert moved > first + 0.5
    again = targets.copy()
    again.loc[again["as_of_date"] == "2018-03-01", "z_return"] += 1
    assert run(5.0, again)[1] == trained[1:]  # every fold trained on it


def test_a_row_without_reference_is_refused_with_a_fix(market, tmp_path):
    inputs, targets = market
    torn = inputs.drop(index=inputs.index[(inputs["input"] == "reference") & (inputs["fold_type"] == "live")][0])
    with pytest.raises(TournamentError, match=r"Rebuild it: dbt build -s int_core__forecasts\+"):
        _run(torn, targets, tmp_path)


class _Counting(_Witness):
    """A method that learns daily and counts its fits."""

    fits: list = []  # noqa: RUF012
    seen: list = []  # noqa: RUF012

    def fit(self, rows):
        self.fits.append(len(rows))
        return super().fit(rows)


def test_a_new_session_is_forecast_by_stored_methods_and_equals_a_fresh_run(monkeypatch, market, tmp_path):
    inputs, targets = market
    registry = _outside(monkeypatch, _Counting)
    newest = inputs["as_of_date"].max()
    live = (inputs["fold_type"] == "live") & (inputs["as_of_date"] == newest)
    monkeypatch.setattr(_Counting, "fits", [])
    _run(inputs[~live], targets, tmp_path / "daily", registry)
    assert _Counting.fits
    _Counting.fits.clear()
    daily, jobs = _run(inputs, targets, tmp_path / "daily", registry)
    assert jobs == [("forecast", "ensemble live 2019-06 reference_alone average mine")]
    assert _Counting.fits == []
    _Counting.seen.clear()
    at_once, _ = _run(inputs, targets, tmp_path / "at_once", registry)
    same = [column for column in daily if not column.endswith("_seconds")]
    pd.testing.assert_frame_equal(daily[same], at_once[same])

    # a revised outcome that had matured before the fold changes the fit
    revised = targets.copy()
    revised.loc[revised["as_of_date"] == "2018-03-01", "z_return"] += 1
    _Counting.fits.clear()
    _run(inputs, revised, tmp_path / "daily", registry)
    assert len(_Counting.fits) >= 4


def test_a_revised_outcome_within_a_fold_gives_the_same_result_as_a_fresh_run(market, forecasts, folder, tmp_path):
    inputs, targets = market
    methods = ("reference_alone", "average", "dynamic_model_averaging", "conformal")
    revised = targets.copy()
    revised.loc[revised["as_of_date"] == "2019-02-01", "z_return"] += 3
    known, jobs = _run(inputs, revised, shutil.copytree(folder, tmp_path / "known"), methods)
    assert {job.split()[2] for job in jobs.trained} == {"2019-01", "2019-06"}
    fresh, _ = _run(inputs, revised, tmp_path / "fresh", methods)
    columns = ["competitor", "fold_type", *KEY, *QUANTILES, "weights"]
    pd.testing.assert_frame_equal(known[columns], fresh[columns], check_exact=True)
    own = _fold(forecasts, 2, "conformal")
    assert not own[QUANTILES].equals(_fold(known, 2, "conformal")[QUANTILES])
