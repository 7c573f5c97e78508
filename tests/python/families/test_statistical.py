"""What garch, sarimax and prophet owe as families that are fitted once on look-backs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament

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


@pytest.fixture(scope="module")
def parts(rows):
    """To train on and to test on."""
    return tournament.split(rows, SESSIONS)


@pytest.fixture(scope="module")
def fits(parts, tmp_path_factory):
    """By family, and the folder in which each has its own."""
    folder = tmp_path_factory.mktemp("fits")
    return {name: tournament.fit(family, parts[0], folder / name) for name, family in FAMILIES.items()}, folder


@pytest.fixture(params=FAMILIES)
def fitted(request, fits, parts):
    return fits[0][request.param], *parts


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


@pytest.fixture(scope="module")
def elsewhere(fits, parts, tmp_path_factory):
    """Forecasts by family from a fresh process: of a second fit, from the stored rows, and of the stored model, read back."""
    folder = tmp_path_factory.mktemp("elsewhere")
    pd.to_pickle(parts, folder / "parts.pkl")
    code = (
        "import sys, importlib, pathlib, pandas as pd\n"
        "tests, folder, stored, *names = sys.argv[1:]\n"
        "sys.path.insert(0, tests)\n"
        "import through_autogluon as tournament\n"
        "folder, stored = pathlib.Path(folder), pathlib.Path(stored)\n"
        "train, test = pd.read_pickle(folder / 'parts.pkl')\n"
        "out = {}\n"
        "for name in names:\n"
        "    family = importlib.import_module(f'zl_forecast.families.{name}').FAMILY\n"
        "    again = tournament.fit(family, train, folder / name)\n"
        "    out[name] = again.forecast(test), tournament.load(family, stored / name).forecast(test)\n"
        "pd.to_pickle(out, folder / 'out.pkl')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent), str(folder), str(fits[1])]
    subprocess.run([*command, *FAMILIES], check=True)
    return pd.read_pickle(folder / "out.pkl")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_rows_make_the_same_model_in_a_fresh_process(fits, parts, elsewhere, name):
    quantiles = fits[0][name].forecast(parts[1])
    for forecast in elsewhere[name]:
        np.testing.assert_array_equal(forecast, quantiles)


@pytest.mark.parametrize("name", FAMILIES)
def test_fitting_leaves_the_global_random_state_as_it_was(parts, tmp_path, name):
    np.random.seed(5)
    expected = np.random.RandomState(5).random_sample(3)
    tournament.fit(FAMILIES[name], parts[0], tmp_path)
    np.testing.assert_array_equal(np.random.random_sample(3), expected)


@pytest.mark.parametrize("name", ["sarimax", "prophet"])
def test_contributions_add_up_to_the_median(fits, parts, name):
    own = fits[0][name].model
    X = tournament.shown(parts[1])
    (explanation,) = FAMILIES[name].explain(own, X)
    assert explanation.method == "coefficients"
    assert explanation.median.index.equals(X.index)
    np.testing.assert_allclose(explanation.median.sum(axis=1), own._predict_proba(X)[:, 3], atol=1e-12)
    assert (explanation.width == 0).all(axis=None)
