"""`check_family` and `check_method`: registered families and methods pass, and each check detects its violation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT

from zl_forecast.ensembles import load_methods
from zl_forecast.ensembles.average import Average
from zl_forecast.ensembles.check import check_method
from zl_forecast.errors import CheckError, TournamentError
from zl_forecast.families import Explanation, Family, QuantileModel, load_families
from zl_forecast.families.check import check_family
from zl_forecast.families.reference import centred_quantiles

FAMILIES = load_families(pd.read_csv(PROJECT / "seeds" / "families.csv"))
for _name, _family in FAMILIES.items():
    if "epochs" in _family.hyperparameters:  # short training: tests in families/ check what networks learn
        FAMILIES[_name] = replace(_family, hyperparameters={**_family.hyperparameters, "epochs": 2})
METHODS = {
    row.method.__name__: row.method
    for row in load_methods(pd.read_csv(PROJECT / "seeds" / "ensemble_methods.csv")).values()
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_registered_family_passes(family):
    check_family(FAMILIES[family])


@pytest.mark.parametrize("method", METHODS)
def test_every_registered_method_passes(method):
    check_method(METHODS[method])


def test_a_module_outside_the_package_is_checked_by_its_name():
    """test_leaderboard.py does the same with examples/own_family.py, by a command of docs/extending.md."""
    with pytest.raises(
        CheckError, match=r"family 'outside.raising' fails check fits: it cannot be fitted: ValueError: the moon"
    ):
        check_family("outside.raising")
    with pytest.raises(TournamentError, match=r"'outside\.nobody': ModuleNotFoundError"):
        check_family("outside.nobody")
    with pytest.raises(TournamentError, match="has no constant METHOD"):
        check_method("own_family")


# ---------- families that break one rule each


class Sound(QuantileModel):
    """Valid."""

    ag_key, ag_name = "SOUND", "Sound"

    def _fit(self, X, y, **kwargs):
        self.model = centred_quantiles(y.to_numpy(), self.quantile_levels)

    def _predict_proba(self, X, **kwargs):
        return np.tile(self.model, (len(X), 1))


class Raising(Sound):
    def _fit(self, X, y, **kwargs):
        raise ValueError("no convergence")


class Greedy(Sound):
    def _fit(self, X, y, **kwargs):
        y.to_numpy()[:] = 0.0
        super()._fit(X, y)


class Careless(Sound):
    def _predict_proba(self, X, **kwargs):
        X["walk"] = 0.0
        return super()._predict_proba(X)


class Mute(Sound):
    def _predict_proba(self, X, **kwargs):
        raise ValueError("nothing to say")


class Narrow(Sound):
    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X)[:, :3]


class Gapped(Sound):
    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X) + np.where(np.arange(len(X)) == 3, np.nan, 0.0)[:, None]


class Crossed(Sound):
    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X)[:, ::-1]


class Trusting(Sound):
    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X) + X[["walk"]].to_numpy()


class Sociable(Sound):
    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X) + X["walk"].mean()


class Forgetful(Sound):
    shift = 0.0

    def _fit(self, X, y, **kwargs):
        super()._fit(X, y)
        type(self).shift = 1.0

    def _predict_proba(self, X, **kwargs):
        return super()._predict_proba(X) + self.shift


class Moody(Sound):
    def _fit(self, X, y, **kwargs):
        super()._fit(X, y)
        self.model = self.model + np.random.default_rng().random()


class Seeding(Sound):
    def _fit(self, X, y, **kwargs):
        np.random.seed(1)
        super()._fit(X, y)


def no_words(model, X):
    raise KeyError("no words")


def astrology(model, X):
    return [Explanation("stars", X[["idle"]])]


def other_rows(model, X):
    return [Explanation("parameters", X[["idle"]].tail(5))]


def nothing_known(model, X):
    return [Explanation("parameters", X[["idle"]] * np.nan)]


BROKEN_FAMILIES = [
    (Family(Raising), "fits", "cannot be fitted: ValueError: no convergence"),
    (Family(Greedy), "keeps_rows", "changes the rows passed for fitting"),
    (Family(Careless), "keeps_rows", "changes the rows passed for forecasting"),
    (Family(Mute), "forecasts", "cannot forecast: ValueError: nothing to say"),
    (Family(Narrow), "forecasts", r"array of shape \(90, 3\), not \(90, 7\)"),
    (Family(Gapped), "forecasts", "not finite in 1 of 90 rows"),
    (Family(Crossed), "forecasts", "cross in 90 of 90 rows"),
    (Family(Trusting), "missing_values", "not finite in 1 of 90 rows where a feature is missing"),
    (Family(Sociable), "own_row", "forecasts a single row differently than among all rows, by up to"),
    (Family(Sound, explain=no_words), "explains", "KeyError: 'no words'"),
    (Family(Sound, explain=astrology), "explains", "Use an Explanation with one of tree_shap"),
    (Family(Sound, explain=other_rows), "explains", "an index that differs"),
    (Family(Sound, explain=nothing_known), "explains", "not finite"),
    (Family(Forgetful), "loads", "forecasts differently with the saved model in a fresh process, by up to 1"),
    (Family(Moody), "repeats", "forecasts differently with a second fit in a fresh process"),
    (Family(Seeding), "random_state", "changes NumPy's global random state"),
]


def test_a_valid_family_passes():
    check_family(Family(Sound))


@pytest.mark.parametrize(("family", "check", "problem"), BROKEN_FAMILIES)
def test_a_broken_family_fails_the_matching_check_and_is_named(family, check, problem):
    with pytest.raises(CheckError, match=problem) as error:
        check_family(family)
    assert error.value.check == check
    assert str(error.value).startswith(f"family 'test_checks.{family.model.__name__}' fails check {check}: it ")


# ---------- methods that break one rule each


class Unbuildable(Average):
    def __init__(self):
        raise ValueError("no licence")


class Selfless(Average):
    def fit(self, rows):
        return None


class Stuck(Average):
    learns_daily = True

    def update(self, rows):
        raise ValueError("enough is enough")


class Tidy(Average):
    def fit(self, rows):
        rows.is_present[:] = True
        return self


class TidyDaily(Average):
    def predict(self, rows):
        rows.is_present[:] = True
        return super().predict(rows)


class Short(Average):
    def predict(self, rows):
        return super().predict(rows)[:, :3]


class Unknown(Average):
    def predict(self, rows):
        return super().predict(rows) + rows.z_return[:, None]


class Reversed(Average):
    def predict(self, rows):
        return super().predict(rows)[:, ::-1]


class Confused(Average):
    def weights(self, rows):
        return np.full((len(rows), 9), 0.1)


class Undecided(Average):
    def weights(self, rows):
        return np.full((len(rows), len(rows.inputs)), np.nan)


class Companionable(Average):
    def predict(self, rows):
        return super().predict(rows) + rows.quantiles.mean()


class Choosy(Average):
    def fit(self, rows):
        self.longest = np.unique(rows.horizon_days)[1]
        return self


class Dependent(Average):
    def predict(self, rows):
        return rows.quantiles[:, 1]


class Unbounded(Average):
    def fit(self, rows):
        self.scale = 1 / (1e-6 + np.ptp(rows.quantiles[:, 0, 3]))
        return self

    def predict(self, rows):
        return super().predict(rows) + self.scale * rows.quantiles[:, 0, [3]]


class Presuming(Average):
    def fit(self, rows):
        self.newest = rows.z_return[-1]
        return self


class Unsaveable(Average):
    def fit(self, rows):
        self.shift = lambda: 0.0
        return self


class Absent(Average):
    shift = 0.0

    def fit(self, rows):
        type(self).shift = 1.0
        return self

    def predict(self, rows):
        return super().predict(rows) + self.shift


class Whimsical(Average):
    def fit(self, rows):
        self.shift = np.random.default_rng().random()
        return self

    def predict(self, rows):
        return super().predict(rows) + self.shift


class Reseeding(Average):
    def fit(self, rows):
        np.random.seed(2)
        return self


BROKEN_METHODS = [
    (Unbuildable, "fits", "cannot be fitted: ValueError: no licence"),
    (Selfless, "fits", "returns None from fit. Return self"),
    (Stuck, "fits", "cannot be updated: ValueError: enough is enough"),
    (Tidy, "keeps_rows", "changes is_present of the rows passed to fit"),
    (TidyDaily, "keeps_rows", "changes is_present of the rows passed to predict"),
    (Short, "forecasts", r"array of shape \(2, 3\), not \(2, 7\)"),
    (Unknown, "forecasts", "not finite in 2 of 2 rows"),
    (Reversed, "forecasts", "cross in 2 of 2 rows"),
    (Confused, "weights", r"weights of shape \(2, 9\), not \(2, 3\)"),
    (Undecided, "weights", "weights that are not finite"),
    (Companionable, "own_row", "forecasts a single row differently than among others"),
    (Choosy, "one_horizon", "cannot be fitted on one horizon: IndexError"),
    (Dependent, "reference_only", "cannot forecast without an input beside the reference: IndexError"),
    (Unbounded, "quiet_input", r"forecasts .*e\+05 standard deviations, above 11.*Bound its weight"),
    (Presuming, "no_history", "cannot be fitted without a matured row: IndexError"),
    (Unsaveable, "loads", "cannot be saved: "),
    (Absent, "loads", "forecasts differently with the saved model in a fresh process, by up to 1"),
    (Whimsical, "repeats", "forecasts differently with a second fit in a fresh process"),
    (Reseeding, "random_state", "changes NumPy's global random state"),
]


@pytest.mark.parametrize(("method", "check", "problem"), BROKEN_METHODS)
def test_a_broken_method_fails_the_matching_check_and_is_named(method, check, problem):
    with pytest.raises(CheckError, match=problem) as error:
        check_method(method)
    assert error.value.check == check
    assert str(error.value).startswith(f"ensemble method 'test_checks.{method.__name__}' fails check {check}: it ")
