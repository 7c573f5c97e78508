"""What garch, sarimax and prophet owe as families that are fitted once on look-backs."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament
from threadpoolctl import threadpool_limits

from zl_forecast.families import garch, prophet, sarimax

FAMILIES = {"garch": garch.FAMILY, "sarimax": sarimax.FAMILY, "prophet": prophet.FAMILY}
SESSIONS = 500


@pytest.fixture(scope="module")
def rows(market_rows):
    """A first fold and a year after it: noise, a channel that drives a little, one that begins late, missing values."""
    rng = np.random.default_rng(3)
    n = SESSIONS + 60 + 300
    drive, late = rng.standard_normal(n), rng.standard_normal(n)
    late[:300] = np.nan
    features = pd.DataFrame({"drive": drive, "late": late, "walk": rng.standard_normal(n).cumsum(), "idle": 0.0})
    features.loc[rng.random(n) < 0.05, "drive"] = np.nan
    returns = 0.01 * rng.standard_t(4, n)
    returns[1:] += 0.004 * drive[:-1]
    return market_rows(returns, features, channels=("drive", "late"))


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request, rows, tmp_path_factory):
    train, test = tournament.split(rows, SESSIONS)
    folder = tmp_path_factory.mktemp(request.param)
    return tournament.fit(FAMILIES[request.param], train, folder), train, test


def test_quantiles_are_finite_and_ascend_in_every_row_of_the_first_fold_and_none_explodes(fitted):
    model, train, test = fitted
    quantiles = model.forecast(test)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    usual = np.ptp(tournament.reference_forecast(train, test), axis=1)
    assert (np.ptp(quantiles, axis=1) < 4 * usual).all()
    assert (np.abs(quantiles[:, 3]) < usual).all()


def test_a_forecast_is_a_function_of_its_own_row(fitted):
    model, _, test = fitted
    quantiles = model.forecast(test)
    chosen = np.random.default_rng(0).permutation(np.repeat(np.arange(0, len(test), 3), 2))
    np.testing.assert_array_equal(model.forecast(test.iloc[chosen].reset_index(drop=True)), quantiles[chosen])
    for row in (0, 5, len(test) - 1):
        np.testing.assert_array_equal(model.forecast(test.iloc[[row]])[0], quantiles[row])


def test_the_same_rows_make_the_same_model_in_a_fresh_process(fitted, tmp_path):
    """The second fit, from the stored rows, and the stored model, read back: both in a process of their own."""
    model, train, test = fitted
    train.to_pickle(tmp_path / "train.pkl")
    test.to_pickle(tmp_path / "test.pkl")
    name = next(name for name, family in FAMILIES.items() if isinstance(model.model, family.model))
    code = (
        "import sys, importlib, pathlib, numpy as np, pandas as pd\n"
        "name, tests, folder, stored, refitted = sys.argv[1:]\n"
        "sys.path.insert(0, tests)\n"
        "import through_autogluon as tournament\n"
        "train, test = (pd.read_pickle(f'{folder}/{part}.pkl') for part in ('train', 'test'))\n"
        "loaded = tournament.Fitted(tournament.TabularPredictor.load(stored, verbosity=0), refitted)\n"
        "family = importlib.import_module(f'zl_forecast.families.{name}').FAMILY\n"
        "again = tournament.fit(family, train, pathlib.Path(folder) / 'again')\n"
        "np.savez(f'{folder}/out.npz', loaded=loaded.forecast(test), again=again.forecast(test))\n"
    )
    here = str(__file__).rsplit("/", 1)[0]
    command = [sys.executable, "-W", "ignore", "-c", code, name, here, str(tmp_path), model.predictor.path, model.name]
    subprocess.run(command, check=True)
    out = np.load(tmp_path / "out.npz")
    quantiles = model.forecast(test)
    np.testing.assert_array_equal(out["loaded"], quantiles)
    np.testing.assert_array_equal(out["again"], quantiles)


def test_fitting_leaves_the_global_random_state_as_it_was(fitted, tmp_path):
    model, train, _ = fitted
    name = next(name for name, family in FAMILIES.items() if isinstance(model.model, family.model))
    family = FAMILIES[name]
    direct = family.model(path=str(tmp_path), name=name, problem_type="quantile")
    direct.quantile_levels = model.model.quantile_levels
    np.random.seed(5)
    expected = np.random.RandomState(5).random_sample(3)
    with threadpool_limits(1):
        direct._fit(tournament.shown(train), train["z"])
    np.testing.assert_array_equal(np.random.random_sample(3), expected)


@pytest.mark.parametrize("fitted", ["sarimax", "prophet"], indirect=True)
def test_contributions_add_up_to_the_median(fitted):
    model, _, test = fitted
    own = model.model
    X = tournament.shown(test)
    (explanation,) = FAMILIES[own.name.lower().removesuffix("_full")].explain(own, X)
    assert explanation.method == "coefficients"
    assert explanation.median.index.equals(X.index)
    np.testing.assert_allclose(explanation.median.sum(axis=1), own._predict_proba(X)[:, 3], atol=1e-12)
    assert (explanation.width == 0).all(axis=None)
