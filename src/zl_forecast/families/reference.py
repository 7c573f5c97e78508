"""Reference: the volatility-scaled random walk.

The median stays at the last price; the other quantiles are the empirical quantiles of past scaled returns of the same
horizon around their own median. In scaled units (z) that is one row of numbers a horizon. Every skill is relative to it.
Source: the historical-simulation forecast with volatility rescaling of Hull and White (1998), Journal of Risk 1(1), 5-19.
"""

import numpy as np
import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel


def centred_quantiles(z: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Empirical quantiles of `z` minus its median.

    Parameters
    ----------
    z : array of shape (n,)
        Scaled returns of one horizon, in units of the volatility known at their origins.
    levels : tuple of n_levels floats in (0, 1)

    Returns
    -------
    array of shape (n_levels,)
        Zero at level 0.5.
    """
    return np.quantile(z, levels) - np.median(z)


class ReferenceModel(QuantileModel):
    """AutoGluon adapter of `centred_quantiles`; reads `horizon_days` only."""

    ag_key = "REFERENCE"
    ag_name = "Reference"
    ag_priority = 100

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        self.model = {
            horizon: centred_quantiles(z.to_numpy(), self.quantile_levels)
            for horizon, z in y.groupby(X["horizon_days"].to_numpy())
        }

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        return np.stack([self.model[horizon] for horizon in X["horizon_days"]])


def explain(model: ReferenceModel, X: pd.DataFrame) -> list[Explanation]:
    """Its parameters: the quantiles of the scaled return at each horizon."""
    names = [f"quantile_{100 * level:02.0f}" for level in model.quantile_levels]
    return [
        Explanation(
            "parameters", pd.DataFrame([model.model[h] for h in X["horizon_days"]], columns=names, index=X.index)
        )
    ]


FAMILY = Family(ReferenceModel, explain=explain)
