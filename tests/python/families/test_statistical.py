"""Common requirements of garch, sarimax and prophet, which are fitted once on look-backs."""

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament

from zl_forecast.families import garch, prophet, sarimax

FAMILIES = {"garch": garch.FAMILY, "sarimax": sarimax.FAMILY, "prophet": prophet.FAMILY}
SESSIONS = 500


@pytest.fixture(scope="module")
def rows(market_rows):
    """Simulate a fold and a year after it: noise, a channel with a small effect, a late one, missing values."""
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
    """Training and test rows."""
    return tournament.split(rows, SESSIONS)


@pytest.fixture(scope="module")
def fits(parts, tmp_path_factory):
    """Fits by family."""
    folder = tmp_path_factory.mktemp("fits")
    return {name: tournament.fit(family, parts[0], folder / name) for name, family in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def fitted(request, fits, parts):
    return fits[request.param], *parts


def test_no_forecast_of_the_first_fold_explodes(fitted):
    model, train, test = fitted
    quantiles = model.forecast(test)
    usual = np.ptp(tournament.reference_forecast(train, test), axis=1)
    assert (np.ptp(quantiles, axis=1) < 4 * usual).all()
    assert (np.abs(quantiles[:, 3]) < usual).all()


@pytest.mark.parametrize("name", ["sarimax", "prophet"])
def test_contributions_add_up_to_the_median(fits, parts, name):
    own = fits[name].model
    X = tournament.shown(parts[1])
    (explanation,) = FAMILIES[name].explain(own, X)
    assert explanation.method == "coefficients"
    assert explanation.median.index.equals(X.index)
    np.testing.assert_allclose(explanation.median.sum(axis=1), own._predict_proba(X)[:, 3], atol=1e-12)
    assert (explanation.width == 0).all(axis=None)
