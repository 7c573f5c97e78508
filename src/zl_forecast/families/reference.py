"""Reference: the volatility-scaled random walk.

The median stays at the last price. The other quantiles are the empirical quantiles of past standardised returns
of the same horizon around their own median, so in standardised returns (z_return) the forecast is one row of numbers
per horizon. Every skill is relative to it.
Source: the historical-simulation forecast with volatility rescaling of Hull and White (1998), Journal of Risk
1(1), 5-19.
"""

import numpy as np
import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel


def centred_quantiles(z_return: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Compute the empirical quantiles of `z_return` minus its median.

    Parameters
    ----------
    z_return : array of shape (n,)
        Standardised returns of one horizon.
    levels : tuple of n_levels floats in (0, 1)

    Returns
    -------
    array of shape (n_levels,)
        Standardised returns; zero at level 0.5.

    Examples
    --------
    >>> centred_quantiles(np.array([1.0, 2.0, 3.0, 4.0, 6.0]), (0.25, 0.5, 0.75)).tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.quantile(z_return, levels) - np.median(z_return)


class ReferenceModel(QuantileModel):
    """AutoGluon adapter of `centred_quantiles`; reads `horizon_days` only."""

    ag_key = "REFERENCE"
    ag_name = "Reference"
    ag_priority = 100

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        self.model = {
            horizon: centred_quantiles(z_return.to_numpy(), self.quantile_levels)
            for horizon, z_return in y.groupby(X["horizon_days"].to_numpy())
        }

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        return np.stack([self.model[horizon] for horizon in X["horizon_days"]])


def explain(model: ReferenceModel, X: pd.DataFrame) -> list[Explanation]:
    """Return the parameters: the quantiles at each row's horizon, in standardised returns."""
    names = [f"quantile_{100 * level:02.0f}" for level in model.quantile_levels]
    return [
        Explanation(
            "parameters", pd.DataFrame([model.model[h] for h in X["horizon_days"]], columns=names, index=X.index)
        )
    ]


FAMILY = Family(ReferenceModel, explain=explain)
