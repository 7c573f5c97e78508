"""A family of your own: the sign of the first feature moves the median, past errors make the range.

`check_family("own_family")` of zl_forecast.families.check tests it against the rules that every family must meet.
"""

import numpy as np

from zl_forecast.families import Family, QuantileModel
from zl_forecast.families.reference import centred_quantiles


def sign(X):
    """Return the sign of the first feature, which follows horizon_days; zero if missing."""
    return np.sign(np.nan_to_num(X.iloc[:, 1].to_numpy(float)))


class OwnModel(QuantileModel):
    """AutoGluon calls `_fit` with features X and standardised returns y, and `_predict_proba` with rows to forecast."""

    ag_key, ag_name = "OWN", "Own"

    def _fit(self, X, y, **kwargs):
        side = sign(X)
        self.slope = float(side @ y.to_numpy() / (side @ side))
        self.model = centred_quantiles(y.to_numpy() - self.slope * side, self.quantile_levels)

    def _predict_proba(self, X, **kwargs):
        return self.slope * sign(X)[:, None] + self.model  # shape (n_rows, n_levels), ascending


FAMILY = Family(OwnModel)
