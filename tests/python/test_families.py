"""What every registered family owes, through AutoGluon as in the tournament, and what some must find."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from autogluon.core.models import AbstractModel

from zl_forecast import settings
from zl_forecast.families import FAMILIES, Family
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.tournament import fit
from zl_forecast.tournament.splits import Fold

QUANTILES = list(settings.QUANTILE_COLUMNS)
HORIZONS = (1, 5, 20)  # three or more: AutoGluon turns a column of two values into 0 and 1
READINGS = 4  # noisy readings of each driver: the families look at a part of the features only
FEATURES = tuple(f"{driver}_{i}" for driver in ("rise", "calm", "noise") for i in range(READINGS))
TREES = ("lightgbm", "catboost", "xgboost", "random_forest", "extra_trees")


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


def _task(effect: str, families: tuple[str, ...] = tuple(FAMILIES), n_train: int = 700, n_test: int = 50) -> fit.Task:
    """Few test sessions: AutoGluon's forests take about ten milliseconds a row."""
    rows = _market(n_train + n_test, seed=7, effect=effect)
    start = rows["as_of_date"].unique()[n_train]
    fold = Fold(start, start + pd.DateOffset(years=99), "oof", start)
    is_train = rows["as_of_date"] < start
    return fit.Task(effect, fold, families, FEATURES, rows[is_train], rows[~is_train], keep_models=True)


def _run(task: fit.Task, folder) -> pd.DataFrame:
    torch.set_num_threads(1)  # as in a worker
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        return fit.fit_and_score(task)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Every family on rows in which z is higher by 3 where both drivers are positive."""
    folder = tmp_path_factory.mktemp("planted")
    task = _task("interaction")
    return task, _run(task, folder), folder / "artifacts" / task.name


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Every family on rows in which nothing drives z."""
    task = _task("none", n_train=400)
    return task, _run(task, tmp_path_factory.mktemp("noise"))


def _losses(task: fit.Task, forecasts: pd.DataFrame, family: str) -> np.ndarray:
    rows = forecasts[forecasts["family"] == family].merge(task.test[[*fit.KEY, "z"]], on=fit.KEY)
    return pinball(rows["z"].to_numpy(), rows[list(settings.SCORED_COLUMNS)].to_numpy())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_fits_through_autogluon_and_forecasts_every_row(planted, family):
    task, forecasts, _ = planted
    own = forecasts[forecasts["family"] == family]
    assert set(own["status"]) == {"ok"}, own["reason"].iloc[0]
    assert len(own) == len(task.test)
    assert np.isfinite(own[QUANTILES]).all(axis=None)
    assert (own["fit_seconds"] >= 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_quantiles_do_not_cross(planted, family):
    _, forecasts, _ = planted
    assert (np.diff(forecasts.loc[forecasts["family"] == family, QUANTILES], axis=1) >= 0).all()


@pytest.mark.parametrize("family", TREES)
def test_trees_find_a_planted_interaction_out_of_sample(planted, family):
    task, forecasts, _ = planted
    verdict = diebold_mariano(
        _losses(task, forecasts, family), _losses(task, forecasts, "reference"), overlap=len(HORIZONS)
    )
    assert verdict.verdict == "skill"
    both = (task.test["rise_0"] > 0) & (task.test["calm_0"] > 0)
    neither = (task.test["rise_0"] < 0) & (task.test["calm_0"] < 0)
    median = (
        forecasts[forecasts["family"] == family]
        .set_index(fit.KEY)["q50"]
        .reindex(pd.MultiIndex.from_frame(task.test[fit.KEY]))
    )
    assert median[both.to_numpy()].mean() - median[neither.to_numpy()].mean() > 0.3


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "reference"])
def test_on_pure_noise_no_family_beats_the_reference(noise, family):
    task, forecasts = noise
    verdict = diebold_mariano(
        _losses(task, forecasts, family), _losses(task, forecasts, "reference"), overlap=len(HORIZONS)
    )
    assert verdict.verdict == "no_skill"


def test_the_same_rows_make_the_same_forecasts(planted, tmp_path):
    task, forecasts, _ = planted
    again = _run(task, tmp_path)
    pd.testing.assert_frame_equal(forecasts[["family", *fit.KEY, *QUANTILES]], again[["family", *fit.KEY, *QUANTILES]])


def test_models_give_the_same_forecasts_in_a_fresh_process_from_another_folder(planted, tmp_path):
    task, forecasts, stored = planted
    moved = tmp_path / "moved"
    shutil.copytree(stored / fit.MODELS, moved)
    task.test.head(50).to_pickle(tmp_path / "rows.pkl")
    code = (
        "import json, sys, pandas as pd\n"
        "from autogluon.tabular import TabularPredictor\n"
        "folder, rows, out = sys.argv[1:]\n"
        "predictor = TabularPredictor.load(folder, verbosity=0)\n"
        "rows = pd.read_pickle(rows)\n"
        "facts = json.load(open(folder + '/facts.json'))\n"
        "frames = {name: predictor.predict(rows, model=fact['model']) for name, fact in facts.items()}\n"
        "pd.concat(frames).to_pickle(out)\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            code,
            str(moved),
            str(tmp_path / "rows.pkl"),
            str(tmp_path / "out.pkl"),
        ],
        check=True,
    )
    fresh = pd.read_pickle(tmp_path / "out.pkl")
    assert set(fresh.index.get_level_values(0)) == set(FAMILIES)
    for family, rows in fresh.groupby(level=0):
        stored_rows = forecasts[forecasts["family"] == family].head(50)
        tolerance = 1e-5 if family == "neural_net" else 0  # float32 sums depend on how many rows come at once
        np.testing.assert_allclose(
            np.sort(rows.to_numpy(), axis=1),
            stored_rows[QUANTILES],
            rtol=tolerance,
            atol=tolerance,
            err_msg=family,
        )


def test_the_reference_is_the_centred_quantiles_of_its_horizon_with_a_median_of_zero(planted):
    task, forecasts, _ = planted
    own = forecasts[forecasts["family"] == "reference"]
    assert (own["q50"] == 0).all()
    fit_part, tuning_part = fit.inner_split(task.train)
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
    task = _task("monotone", families=("reference", "xgboost"), n_test=1000)
    forecasts = _run(task, tmp_path)
    rows = forecasts[forecasts["family"] == "xgboost"].merge(task.test[[*fit.KEY, "rise_0"]], on=fit.KEY)
    assert rows["q50"].corr(rows["rise_0"], method="spearman") > 0.8
    by_fifth = rows.groupby(pd.qcut(rows["rise_0"], 5), observed=True)[["q10", "q50", "q90"]].mean()
    assert (by_fifth.diff().dropna() > 0).all(axis=None)
    assert _losses(task, forecasts, "xgboost").mean() < 0.95 * _losses(task, forecasts, "reference").mean()


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
    task = _task("none", families=("reference", "failing", "xgboost"), n_train=300)
    forecasts = _run(task, tmp_path)
    failed = forecasts[forecasts["family"] == "failing"]
    assert len(failed) == len(task.test)
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains(reason).all()
    assert failed[QUANTILES].isna().all(axis=None)
    others = forecasts[forecasts["family"] != "failing"]
    assert set(others["status"]) == {"ok"}
    assert others[QUANTILES].notna().all(axis=None)
    assert (
        json.loads((tmp_path / "artifacts" / task.name / fit.MODELS / "facts.json").read_text())["failing"]["model"]
        is None
    )
