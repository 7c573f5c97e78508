"""Families on planted signals and on noise, as in the tournament. test_checks.py has common requirements."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_tournament import HORIZONS, QUANTILES, in_this_process, targets_of

from zl_forecast import settings, workers
from zl_forecast.families import Family, QuantileModel, load_families
from zl_forecast.families.lookback import RETURN_COLUMNS, lookback_columns
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.tournament import explain
from zl_forecast.tournament.bucket import ATTRIBUTIONS, BucketContest
from zl_forecast.tournament.contest import KEY
from zl_forecast.tournament.explain import SIGNED
from zl_forecast.tournament.predictor import fitted_model
from zl_forecast.tournament.runner import FACTS, MODEL, run
from zl_forecast.tournament.splits import Fold

FAMILIES = load_families(pd.read_csv(Path(__file__).parents[2] / "seeds" / "families.csv"))
NETS = ("lstm", "gru", "transformer", "tft")
for _net in NETS:  # short training: tests in families/ check what networks learn
    FAMILIES[_net] = replace(FAMILIES[_net], hyperparameters={**FAMILIES[_net].hyperparameters, "epochs": 2})
READINGS = 4  # noisy copies of each driver, because families sample features
FEATURES = tuple(f"{driver}_{i}" for driver in ("rise", "calm", "noise") for i in range(READINGS))
TREES = ("lightgbm", "catboost", "xgboost", "random_forest")
EXPLAINED = ("reference", "ridge", *TREES, "garch")  # tests in families/ check the others' explanations
FIRST_LEVEL = [name for name, family in FAMILIES.items() if not family.is_second_level]


def _contest(
    effect: str, names=FIRST_LEVEL, n_train: int = 800, n_test: int = 100, fold_type: str = "oof"
) -> BucketContest:
    """Simulate non-overlapping sessions: z_return is `effect` of the drivers plus noise, the look-back is noise."""
    rng, n = np.random.default_rng(7), n_train + n_test
    days = pd.bdate_range("1990-01-01", periods=n + max(HORIZONS))
    drivers = rng.standard_normal((len(days), 3))
    rise, calm, _ = drivers.T
    signal = {"none": 0 * rise, "monotone": rise, "interaction": 3.0 * (rise > 0) * (calm > 0)}[effect]
    readings = np.repeat(drivers, READINGS, axis=1) + 0.2 * rng.standard_normal((len(days), len(FEATURES)))
    mart = pd.DataFrame(readings, columns=list(FEATURES)).assign(as_of_date=days)
    volatility = 0.01 * np.exp(0.6 * np.sin(np.arange(len(days)) / 30))
    zl = pd.DataFrame(
        {"as_of_date": days, "log_return": volatility * rng.standard_normal(len(days)), "ewma_volatility": 0.01}
    )
    targets = targets_of(days, signal[:, None] + rng.standard_t(5, (len(days), len(HORIZONS))))
    rows = with_row_hash(mart.merge(targets, on="as_of_date").sort_values(KEY, ignore_index=True))
    fold = Fold(days[n_train], days[n], fold_type, days[n_train])
    train, test = rows[fold.train_rows(rows)], rows[fold.test_rows(rows)]
    lookback = with_row_hash(lookback_columns(mart, zl, ("rise_0", "noise_0")))
    families = {name: FAMILIES[name] for name in names}
    return BucketContest(effect, fold, FEATURES, train, test, lookback, True, families, dict.fromkeys(families, 600.0))


def of(contest: BucketContest, names) -> BucketContest:
    """Return the contest with only some of its families."""
    return replace(contest, families={name: contest.families[name] for name in names})


def _run(contest: BucketContest, folder: Path) -> pd.DataFrame:
    torch.set_num_threads(1)  # as in a worker
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", in_this_process)
        patch.setattr(settings, "EXPLAINED_SESSIONS", 20)
        return run([contest])


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Fit families; z_return is higher by 3 if both drivers are positive. Contest, forecasts and folders by name."""
    folder = tmp_path_factory.mktemp("planted")
    contest = _contest("interaction", EXPLAINED, fold_type="live")
    forecasts = _run(contest, folder)
    return contest, forecasts, {own.name: folder / "artifacts" / own.key for own in contest.competitors()}


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Fit every family on rows without any signal in z_return."""
    contest = _contest("none", n_train=350)
    return contest, _run(contest, tmp_path_factory.mktemp("noise"))


def _losses(contest: BucketContest, forecasts: pd.DataFrame, family: str) -> np.ndarray:
    rows = forecasts[forecasts["competitor"] == family].merge(contest.test[[*KEY, "z_return"]], on=KEY)
    return pinball(rows["z_return"].to_numpy(), rows[list(settings.SCORED_COLUMNS)].to_numpy())


def _verdict(contest: BucketContest, forecasts: pd.DataFrame, family: str) -> str:
    losses = (_losses(contest, forecasts, name) for name in (family, "reference"))
    return diebold_mariano(*losses, overlap=len(HORIZONS)).verdict


@pytest.mark.parametrize("family", TREES)
def test_trees_find_a_planted_interaction_out_of_sample(planted, family):
    contest, forecasts, _ = planted
    assert _verdict(contest, forecasts, family) == "skill"
    own = forecasts[forecasts["competitor"] == family].merge(contest.test[[*KEY, "rise_0", "calm_0"]], on=KEY)
    both, neither = ((sign * own[["rise_0", "calm_0"]] > 0).all(axis=1) for sign in (1, -1))
    assert own.loc[both, "q50"].mean() - own.loc[neither, "q50"].mean() > 0.3


@pytest.mark.parametrize("family", [name for name in FIRST_LEVEL if name != "reference"])
def test_on_pure_noise_a_family_forecasts_every_row_and_does_not_beat_the_reference(noise, family):
    contest, forecasts = noise
    own = forecasts[forecasts["competitor"] == family]
    assert set(own["status"]) == {"ok"}, own["reason"].iloc[0]
    assert len(own) == len(contest.test)
    assert (own[["fit_seconds", "score_seconds", "validation_loss"]] > 0).all(axis=None)
    assert _verdict(*noise, family) == "no_skill"


def model(contest: BucketContest, stored: Path, name: str):
    """Load a family's fitted model from its folder in the store."""
    return fitted_model(contest.families[name], stored / MODEL, json.loads((stored / FACTS).read_text()))


def test_families_are_trained_without_each_horizons_drift():
    contest = _contest("none", n_train=300)
    train = contest.train_part
    drifting = replace(contest, train_part=train.assign(z_return=train["z_return"] + 0.1 * train["horizon_days"]))
    for own, other in zip(contest.inner_rows(False), drifting.inner_rows(False), strict=True):
        pd.testing.assert_frame_equal(own, other)


class Nosy(QuantileModel):
    """Records the columns that it gets, by name."""

    ag_key, ag_name = "NOSY", "Nosy"
    fitted_on: dict = {}  # noqa: RUF012
    forecasts_from: dict = {}  # noqa: RUF012

    def _fit(self, X, y, **kwargs):
        self.fitted_on.setdefault(self._get_model_params()["of"], set()).update(X.columns.dropna())
        self.model = centred_quantiles(y.to_numpy(), self.quantile_levels)

    def _predict_proba(self, X, **kwargs):
        self.forecasts_from.setdefault(self._get_model_params()["of"], set()).update(X.columns.dropna())
        return np.tile(self.model, (len(X), 1))


def test_only_families_that_read_the_look_back_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(FAMILIES, "reader", Family(Nosy, {"of": "reader"}, reads_lookback=True))
    monkeypatch.setitem(FAMILIES, "other", Family(Nosy, {"of": "other"}))
    contest = _contest("none", ("other", "reader"), n_train=300)
    assert set(_run(contest, tmp_path)["status"]) == {"ok"}
    shown = {"horizon_days", *FEATURES}
    lookback = {"origin_day", "ewma_volatility", *RETURN_COLUMNS}
    lookback |= {f"{channel}@{lag:02d}" for channel in ("rise_0", "noise_0") for lag in range(40)}
    for seen in (Nosy.fitted_on, Nosy.forecasts_from):
        assert seen["other"] == shown
        assert seen["reader"] == shown | lookback


@pytest.mark.parametrize("family", EXPLAINED)
def test_every_family_has_attributions_of_its_newest_forecasts(planted, family):
    contest, _, stored = planted
    own = pd.read_parquet(stored[family] / ATTRIBUTIONS)
    assert set(own["horizon_days"]) == set(HORIZONS)
    assert (own["as_of_date"] == contest.test["as_of_date"].max()).all()
    if family != "reference":  # it reads no features
        assert set(own["method"]) & set(SIGNED)
    assert not own.duplicated(["method", "horizon_days", "feature"]).any()


@pytest.mark.parametrize("family", ["lightgbm", "catboost", "xgboost", "ridge"])
def test_exact_attributions_add_up_to_the_differences_between_forecasts(planted, family):
    contest, _, stored = planted
    fitted = model(contest, stored[family], family)
    X = contest.seen(contest.test, reads_lookback=False)
    explanation = contest.families[family].explain(fitted, X)[0]
    raw = fitted.predict_proba(X)
    for attributed, output in (
        (explanation.median.sum(axis=1), raw[:, explain.P50]),
        (explanation.width.sum(axis=1), raw[:, explain.P90] - raw[:, explain.P10]),
    ):
        for horizon in HORIZONS:
            own = (X["horizon_days"] == horizon).to_numpy()
            residual = output[own] - attributed[own]  # the remainder is the base value
            assert np.ptp(residual) < 1e-4
    assert np.ptp(raw[:, explain.P50]) > 0.1


@pytest.mark.parametrize("family", TREES)
def test_the_planted_drivers_are_named_first(planted, family):
    own = pd.read_parquet(planted[2][family] / ATTRIBUTIONS)
    own = own[own["horizon_days"] == 5].nlargest(4, "median_importance")
    assert set(own["feature"].str.split("_").str[0]) <= {"rise", "calm"}


def test_the_reference_is_the_centred_quantiles_of_its_horizon_with_a_median_of_zero(planted):
    contest, forecasts, _ = planted
    own = forecasts[forecasts["competitor"] == "reference"]
    assert (own["q50"] == 0).all()
    used = contest.train_part  # all of it: the refit reads the rows purged between fit and tuning part too
    for horizon in HORIZONS:
        z_return = used.loc[used["horizon_days"] == horizon, "z_return"]
        expected = np.quantile(z_return, settings.QUANTILE_LEVELS) - np.median(z_return)
        rows = own.loc[own["horizon_days"] == horizon, QUANTILES].to_numpy()
        np.testing.assert_allclose(rows, np.tile(expected, (len(rows), 1)), rtol=1e-6)


def test_centred_quantiles_worked_by_hand():
    z_return = np.array(
        [3.0, 1, 2, 5, 4]
    )  # quantiles 1, 2, 3, 4, 5 at 0, 25, 50, 75, 100 %; the drift of 3 is subtracted
    assert centred_quantiles(z_return, (0.0, 0.25, 0.5, 0.75, 1.0)).tolist() == [-2, -1, 0, 1, 2]


def test_xgboost_finds_a_planted_monotone_signal(tmp_path):
    contest = _contest("monotone", ("reference", "xgboost"), n_train=700, n_test=1000)
    forecasts = _run(contest, tmp_path)
    rows = forecasts[forecasts["competitor"] == "xgboost"].merge(contest.test[[*KEY, "rise_0"]], on=KEY)
    assert rows["q50"].corr(rows["rise_0"], method="spearman") > 0.8
    by_fifth = rows.groupby(pd.qcut(rows["rise_0"], 5), observed=True)[["q10", "q50", "q90"]].mean()
    assert (by_fifth.diff().dropna() > 0).all(axis=None)
    assert _losses(contest, forecasts, "xgboost").mean() < 0.95 * _losses(contest, forecasts, "reference").mean()
