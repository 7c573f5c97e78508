"""A thirteenth family, from outside of the package: the sign of the first feature moves the median."""

import numpy as np
from autogluon.core.models import AbstractModel

from zl_forecast.families import Family
from zl_forecast.families.reference import centred_quantiles


class ToyModel(AbstractModel):
    ag_key, ag_name, _supported_problem_types = "TOY", "Toy", ("quantile",)

    def _fit(self, X, y, **kwargs):
        side = np.sign(X.iloc[:, 1].to_numpy())
        self.slope = float(side @ y.to_numpy() / (side @ side))
        self.model = centred_quantiles(y.to_numpy() - self.slope * side, self.quantile_levels)

    def _predict_proba(self, X, **kwargs):
        return self.slope * np.sign(X.iloc[:, [1]].to_numpy()) + self.model

    def _more_tags(self):
        return {"can_refit_full": True}


FAMILY = Family(ToyModel)
