"""The method to beat: the mean of the inputs, level by level (Vincentisation); nothing is estimated.

The buckets and the core forecast from drivers and from ZL's past, carry from the futures curve. The mean of the
first group counts `GROUP_WEIGHT`, carry the rest; within the group the weights are equal. The reference is no input
of the average, because carry has its width and the inputs' medians are already shrunk towards it; nor are the
linear signals, which only count where a method has learnt that they do.
Sources: Clemen (1989), International Journal of Forecasting 5, 559-583, finds that equal weights are hard to beat.
Lichtendahl, Grushka-Cockayne and Winkler (2013), Management Science 59(7), 1594-1611, show that averaged
quantiles are sharper than averaged probabilities.
"""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows

CARRY = "carry"
LEFT_OUT = (REFERENCE, "linear")
GROUP_WEIGHT = 2 / 3  # of buckets and core against carry; see DECISIONS.md


class Average(EnsembleMethod):
    """Fixed weights: equal within the group of buckets and core, the rest for carry."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        """Return the method; there is nothing to estimate."""
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        """Weighted mean of the inputs' quantiles, level by level."""
        return np.einsum("i,nil->nl", average_weights(rows.inputs), rows.quantiles)

    def weights(self, rows: Rows) -> np.ndarray:
        """The same weights in every row, shape (n, n_inputs)."""
        return np.tile(average_weights(rows.inputs), (len(rows), 1))


def average_weights(inputs: tuple[str, ...]) -> np.ndarray:
    """Return the weights of the average.

    Parameters
    ----------
    inputs : tuple of str
        Names, in any order.

    Returns
    -------
    array of shape (n_inputs,)
        They sum to one. Without carry the group has all the weight, without a group carry has; without both the
        reference has.

    Examples
    --------
    >>> average_weights(("carry", "core", "crush", "linear", "reference")).round(4).tolist()
    [0.3333, 0.3333, 0.3333, 0.0, 0.0]
    """
    names = np.array(inputs)
    is_carry = names == CARRY
    in_group = ~is_carry & ~np.isin(names, LEFT_OUT)
    weights = np.where(in_group, GROUP_WEIGHT / max(in_group.sum(), 1), 0) + np.where(is_carry, 1 - GROUP_WEIGHT, 0)
    weights = weights if weights.any() else (names == REFERENCE).astype(float)
    return weights / weights.sum()


METHOD = Average
