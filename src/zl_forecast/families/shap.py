"""Exact TreeSHAP values from the tree libraries, converted to attributions of P50 and P90 - P10.

Source: Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67.
"""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.base import Explanation

P10, P50, P90 = (settings.QUANTILE_LEVELS.index(level) for level in (0.10, 0.50, 0.90))


def tree_shap(values: np.ndarray, X: pd.DataFrame) -> Explanation:
    """Convert SHAP values per level into attributions of P50 and of P90 - P10.

    SHAP values are additive, so those of a difference are the differences.

    Parameters
    ----------
    values : array of shape (n_rows, n_levels, n_features)
        Without the base value; levels as in `settings.QUANTILE_LEVELS`, in standardised returns.
    X : DataFrame of shape (n_rows, n_features)

    Returns
    -------
    Explanation
        Method 'tree_shap', in standardised returns.
    """
    return Explanation(
        "tree_shap",
        pd.DataFrame(values[:, P50], columns=X.columns, index=X.index),
        pd.DataFrame(values[:, P90] - values[:, P10], columns=X.columns, index=X.index),
    )
