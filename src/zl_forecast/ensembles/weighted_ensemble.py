"""AutoGluon's WeightedEnsemble over the inputs: greedy forward selection with replacement on pinball loss.

The selection is called directly, not through a predictor. There, `max_base_models_per_type` would treat all
inputs as one type of model and silently drop all but the best one or two.
Source: Caruana et al. (2004), ICML 21, 18; as implemented in AutoGluon.
"""

import numpy as np

from zl_forecast.ensembles.base import Rows, WeightedMethod
from zl_forecast.families.stacking import greedy_weights


class WeightedEnsemble(WeightedMethod):
    """Greedy weights: non-negative, with sum one."""

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Greedy weights of the inputs, see `families.stacking.greedy_weights`."""
        return greedy_weights([rows.input(name) for name in rows.inputs], rows.z_return)


METHOD = WeightedEnsemble
