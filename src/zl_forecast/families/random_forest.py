"""Quantile regression forest: leaves keep their training targets, and a forecast is a weighted quantile of them.

Uses Zillow's implementation, which forecasts a row in 0.1 ms; AutoGluon's own forest needs 10 ms.
Source: Meinshausen (2006), Journal of Machine Learning Research 7, 983-999.
"""

import numpy as np
import pandas as pd

from zl_forecast.families.base import Family, QuantileModel


class QuantileForestModel(QuantileModel):
    """AutoGluon adapter of `quantile_forest.RandomForestQuantileRegressor`."""

    ag_key = "QUANTILE_FOREST"
    ag_name = "QuantileForest"
    ag_priority = 50
    seed_name = "random_state"

    def _fit(self, X: pd.DataFrame, y: pd.Series, num_cpus: int = 1, **kwargs) -> None:
        from quantile_forest import RandomForestQuantileRegressor

        X = self.preprocess(X)
        self._typical = X.median()  # replaces missing values, which this forest does not accept
        X = X.fillna(self._typical).to_numpy(np.float32)
        self.model = RandomForestQuantileRegressor(**self._get_model_params(), n_jobs=num_cpus).fit(X, y)

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        X = self.preprocess(X, **kwargs).fillna(self._typical).to_numpy(np.float32)
        return self.model.predict(X, quantiles=list(self.quantile_levels))


FAMILY = Family(
    QuantileForestModel,
    {"n_estimators": 50, "min_samples_leaf": 200, "max_features": 0.3, "max_samples": 0.3, "max_samples_leaf": None},
)
