"""What every registered family owes, through AutoGluon as in the tournament, and what some must find."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from autogluon.core.models import AbstractModel

from zl_forecast import settings
from zl_forecast.families import Family, load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.fingerprint import with_row_hash
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.tournament import explain, fit
from zl_forecast.tournament.explain import SIGNED
from zl_forecast.tournament.splits import Fold

FAMILIES = load_families(pd.read_csv(Path(__file__).parents[2] / "seeds" / "families.csv"))
NETS = ("lstm", "gru", "transformer", "tft")
QUANTILES = list(settings.QUANTILE_COLUMNS)
HORIZONS = (1, 5, 20)  # three or more: AutoGluon turns a column of two values into 0 and 1
READINGS = 4  # noisy readings of each driver: the families look at a part of the features only
FEATURES = tuple(f"{driver}_{i}" for driver in ("rise", "calm", "noise") for i in range(READINGS))
TREES = ("lightgbm", "catboost", "xgboost", "random_forest")
FIRST_LEVEL = [name for name, family in FAMILIES.items() if not family.is_second_level]


def _market(n_sessions: int, seed: int, effect: str) -> pd.DataFrame:
    """Rows of sessions and horizons whose z depends on the drivers as `effect` says, without overlap."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("1990-01-01", periods=n_sessions + max(HORIZONS))
    drivers = rng.standard_normal((n_sessions, 3))
    frames = []
    for horizon in HORIZONS:
        rise, calm, _ = drivers.T
        signal = {"none": 0 * rise, "monotone": rise, "interaction": 3.0 * (rise > 0) * (calm > 0)}[effect]
        frame = pd.DataFrame(
            np.repeat(drivers, READINGS, axis=1) + 0.2 * rng.standard_normal((n_sessions, len(FEATURES))),
            columns=list(FEATURES),
        )
        frame["as_of_date"], frame["target_date"] = days[:n_sessions], days[horizon : n_sessions + horizon]
        frame["horizon_days"], frame["is_matured"] = horizon, True
        frame["z"] = signal + rng.standard_t(5, n_sessions)
        frames.append(frame)
    return pd.concat(frames).sort_values(fit.KEY, ignore_index=True)


def _block(effect: str, n_train: int = 700, n_test: int = 100, kind: str = "oof") -> fit.Block:
    """Rows and the look-back of a ZL that moves by chance."""
    rows = _market(n_train + n_test, seed=7, effect=effect)
    days = rows["as_of_date"].unique()
    fold = Fold(days[n_train], days[n_train] + pd.DateOffset(years=99), kind, days[n_train])
    is_train = rows["as_of_date"] < fold.start
    returns = 0.01 * np.random.default_rng(8).standard_normal(len(days))
    zl = pd.DataFrame({"as_of_date": days, "log_return": returns, "sigma": 0.01})
    mart = rows.drop_duplicates("as_of_date").reset_index(drop=True)
    lookback = with_row_hash(lookback_columns(mart, zl, ("rise_0", "noise_0")))
    rows = with_row_hash(rows)
    return fit.Block(effect, fold, FEATURES, rows[is_train], rows[~is_train], lookback, keep_models=True)


def _task(block: fit.Block, name: str) -> fit.Task:
    return fit.Task(block, name, FAMILIES[name], seconds=600)


def _run(block: fit.Block, folder, families=FIRST_LEVEL) -> pd.DataFrame:
    torch.set_num_threads(1)  # as in a worker
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        return pd.concat([fit.fit_and_score(_task(block, name)) for name in families], ignore_index=True)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Every family on rows in which z is higher by 3 where both drivers are positive."""
    folder = tmp_path_factory.mktemp("planted")
    block = _block("interaction", kind="live")
    return block, _run(block, folder), folder / "artifacts"


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Every family on rows in which nothing drives z."""
    block = _block("none", n_train=400)
    return block, _run(block, tmp_path_factory.mktemp("noise"))


def _losses(block: fit.Block, forecasts: pd.DataFrame, family: str) -> np.ndarray:
    rows = forecasts[forecasts["family"] == family].merge(block.test[[*fit.KEY, "z"]], on=fit.KEY)
    return pinball(rows["z"].to_numpy(), rows[list(settings.SCORED_COLUMNS)].to_numpy())


@pytest.mark.parametrize("family", FIRST_LEVEL)
def test_every_family_fits_through_autogluon_and_forecasts_every_row(planted, family):
    block, forecasts, _ = planted
    own = forecasts[forecasts["family"] == family]
    assert set(own["status"]) == {"ok"}, own["reason"].iloc[0]
    assert len(own) == len(block.test)
    assert np.isfinite(own[QUANTILES]).all(axis=None)
    assert (own["fit_seconds"] >= 0).all()


@pytest.mark.parametrize("family", FIRST_LEVEL)
def test_quantiles_do_not_cross(planted, family):
    _, forecasts, _ = planted
    assert (np.diff(forecasts.loc[forecasts["family"] == family, QUANTILES], axis=1) >= 0).all()


@pytest.mark.parametrize("family", TREES)
def test_trees_find_a_planted_interaction_out_of_sample(planted, family):
    block, forecasts, _ = planted
    verdict = diebold_mariano(
        _losses(block, forecasts, family), _losses(block, forecasts, "reference"), overlap=len(HORIZONS)
    )
    assert verdict.verdict == "skill"
    both = (block.test["rise_0"] > 0) & (block.test["calm_0"] > 0)
    neither = (block.test["rise_0"] < 0) & (block.test["calm_0"] < 0)
    median = (
        forecasts[forecasts["family"] == family]
        .set_index(fit.KEY)["q50"]
        .reindex(pd.MultiIndex.from_frame(block.test[fit.KEY]))
    )
    assert median[both.to_numpy()].mean() - median[neither.to_numpy()].mean() > 0.3


@pytest.mark.parametrize("family", [name for name in FIRST_LEVEL if name != "reference"])
def test_on_pure_noise_no_family_beats_the_reference(noise, family):
    block, forecasts = noise
    verdict = diebold_mariano(
        _losses(block, forecasts, family), _losses(block, forecasts, "reference"), overlap=len(HORIZONS)
    )
    assert verdict.verdict == "no_skill"


def test_the_same_rows_make_the_same_forecasts(planted, tmp_path):
    block, forecasts, _ = planted
    again = _run(block, tmp_path)
    pd.testing.assert_frame_equal(forecasts[["family", *fit.KEY, *QUANTILES]], again[["family", *fit.KEY, *QUANTILES]])


def test_models_give_the_same_forecasts_in_a_fresh_process_from_another_folder(planted, tmp_path):
    block, forecasts, stored = planted
    for family in FIRST_LEVEL:
        task = _task(block, family)
        shutil.copytree(stored / task.fingerprint / fit.MODELS, tmp_path / family)
        block.rows(block.test, task.family).head(50).to_pickle(tmp_path / f"{family}.pkl")
    code = (
        "import json, sys, pandas as pd\n"
        "from autogluon.tabular import TabularPredictor\n"
        "folder, *families = sys.argv[1:]\n"
        "for family in families:\n"
        "    predictor = TabularPredictor.load(f'{folder}/{family}', verbosity=0)\n"
        "    facts = json.load(open(f'{folder}/{family}/facts.json'))\n"
        "    rows = pd.read_pickle(f'{folder}/{family}.pkl')\n"
        "    predictor.predict(rows, model=facts['model']).to_pickle(f'{folder}/{family}.out')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path), *FIRST_LEVEL], check=True)
    for family in FIRST_LEVEL:
        rows = pd.read_pickle(tmp_path / f"{family}.out")
        stored_rows = forecasts[forecasts["family"] == family].head(50)
        tolerance = 1e-5 if family in NETS else 0  # float32 sums depend on how many rows come at once
        np.testing.assert_allclose(
            np.sort(rows.to_numpy(), axis=1), stored_rows[QUANTILES], rtol=tolerance, atol=tolerance, err_msg=family
        )


@pytest.mark.parametrize("family", FIRST_LEVEL)
def test_every_family_says_what_moved_its_newest_forecasts(planted, family):
    block, _forecasts, stored = planted
    own = pd.read_parquet(stored / _task(block, family).fingerprint / fit.ATTRIBUTIONS)
    assert set(own["horizon_days"]) == set(HORIZONS)
    assert (own["as_of_date"] == block.test["as_of_date"].max()).all()
    if family != "reference":  # nothing moves it
        assert set(own["method"]) & set(SIGNED)
    assert not own.duplicated(["method", "horizon_days", "feature"]).any()


@pytest.mark.parametrize("family", ["lightgbm", "catboost", "xgboost", "ridge"])
def test_exact_attributions_add_up_to_the_differences_between_forecasts(planted, family):
    block, _forecasts, stored = planted
    task = _task(block, family)
    predictor, facts = fit._load(stored / task.fingerprint / fit.MODELS)
    rows = block.test.reset_index(drop=True)
    X = block.rows(rows, task.family)
    explanation = task.family.explain(predictor._trainer.load_model(facts["model"]), X)[0]
    raw = predictor.predict(X, model=facts["model"]).to_numpy()
    for attributed, output in (
        (explanation.median.sum(axis=1), raw[:, explain.P50]),
        (explanation.width.sum(axis=1), raw[:, explain.P90] - raw[:, explain.P10]),
    ):
        for horizon in HORIZONS:
            own = (rows["horizon_days"] == horizon).to_numpy()
            residual = output[own] - attributed[own]  # what is left is the base value
            assert np.ptp(residual) < 1e-4
    assert np.ptp(raw[:, explain.P50]) > 0.1


@pytest.mark.parametrize("family", TREES)
def test_the_planted_drivers_are_named_first(planted, family):
    block, _, stored = planted
    own = pd.read_parquet(stored / _task(block, family).fingerprint / fit.ATTRIBUTIONS)
    own = own[own["horizon_days"] == 5].nlargest(4, "median_importance")
    assert set(own["feature"].str.split("_").str[0]) <= {"rise", "calm"}


def test_the_reference_is_the_centred_quantiles_of_its_horizon_with_a_median_of_zero(planted):
    block, forecasts, _ = planted
    own = forecasts[forecasts["family"] == "reference"]
    assert (own["q50"] == 0).all()
    fit_part, tuning_part = fit.inner_split(block.train)
    used = pd.concat([fit_part, tuning_part])  # what is refitted on: the purged rows between the two are left out
    for horizon in HORIZONS:
        z = used.loc[used["horizon_days"] == horizon, "z"]
        expected = np.quantile(z, settings.QUANTILE_LEVELS) - np.median(z)
        rows = own.loc[own["horizon_days"] == horizon, QUANTILES].to_numpy()
        np.testing.assert_allclose(rows, np.tile(expected, (len(rows), 1)))


def test_centred_quantiles_worked_by_hand():
    z = np.array([3.0, 1, 2, 5, 4])  # quantiles 1, 2, 3, 4, 5 at 0, 25, 50, 75, 100 %; the drift of 3 is taken out
    assert centred_quantiles(z, (0.0, 0.25, 0.5, 0.75, 1.0)).tolist() == [-2, -1, 0, 1, 2]


def test_xgboost_finds_a_planted_monotone_signal(tmp_path):
    block = _block("monotone", n_test=1000)
    forecasts = _run(block, tmp_path, ("reference", "xgboost"))
    rows = forecasts[forecasts["family"] == "xgboost"].merge(block.test[[*fit.KEY, "rise_0"]], on=fit.KEY)
    assert rows["q50"].corr(rows["rise_0"], method="spearman") > 0.8
    by_fifth = rows.groupby(pd.qcut(rows["rise_0"], 5), observed=True)[["q10", "q50", "q90"]].mean()
    assert (by_fifth.diff().dropna() > 0).all(axis=None)
    assert _losses(block, forecasts, "xgboost").mean() < 0.95 * _losses(block, forecasts, "reference").mean()


class _Failing(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "FAILING", "Failing", ("quantile",)

    def _fit(self, X, y, **kwargs):
        raise ValueError("the moon is in the wrong house")


class _FailingOnNewRows(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "FAILING_LATER", "FailingLater", ("quantile",)

    def _fit(self, X, y, **kwargs):
        self.model = len(y)

    def _predict_proba(self, X, **kwargs):
        raise ValueError("these rows do not suit me")


@pytest.mark.parametrize(
    ("model", "reason"),
    [(_Failing, "the moon is in the wrong house"), (_FailingOnNewRows, "these rows do not suit me")],
)
def test_a_family_that_raises_leaves_failed_rows_with_its_reason_and_the_others_go_on(
    monkeypatch, tmp_path, model, reason
):
    monkeypatch.setitem(FAMILIES, "failing", Family(model))
    block = _block("none", n_train=300)
    failed = _run(block, tmp_path, ["failing"])
    assert len(failed) == len(block.test)
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains(reason).all()
    assert failed[QUANTILES].isna().all(axis=None)
