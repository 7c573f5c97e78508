"""Screened ridge regression of the median, scaled by its skill on held-out folds.

Per horizon, features are standardised, those without evidence of their own are screened out, and a ridge
regression gives the direction. The slope along this direction is estimated on cross-fitted forecasts of purged
folds and shrunk by its own standard error. Without skill the slope is zero and the family equals the reference.
The width comes from the cross-fitted residuals.
Sources: screening as in supervised principal components, Bair et al. (2006), Journal of the American
Statistical Association 101, 119-137; cross-fitted slope as stacked regression with one input, Breiman (1996),
Machine Learning 24, 49-64.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.scaling import standard_scores

FOLDS = 6
MAX_SLOPE = 20.0  # large, because the penalty shrinks directions


def screened_ridge(x: np.ndarray, y: np.ndarray, samples: float, screen: float, prior_r2: float) -> np.ndarray:
    """Estimate ridge coefficients on features weighted by their own evidence.

    Source: screening as in Bair et al. (2006), Journal of the American Statistical Association 101, 119-137.

    Parameters
    ----------
    x : array of shape (n, n_features)
        Standardised.
    y : array of shape (n,)
        Centred targets.
    samples : float
        Independent samples in the n overlapping rows: n / horizon.
    screen : float
        Features are left out if the squared t-statistic of their correlation is at or below this value.
    prior_r2 : float
        Prior share of variance that all features together explain; sets the penalty.

    Returns
    -------
    array of shape (n_features,)
        In the unit of y per standard deviation of the feature; zero for features left out.
    """
    correlation = x.T @ y / len(y) / np.maximum(x.std(axis=0) * y.std(), 1e-12)
    evidence = np.maximum(0.0, 1.0 - screen / np.maximum(correlation**2 * samples, 1e-12))
    kept = evidence > 0
    coefficients = np.zeros(x.shape[1])
    if kept.any():
        weighted = x[:, kept] * evidence[kept]
        penalty = x.shape[1] / prior_r2 / samples
        gram = weighted.T @ weighted / len(y) + penalty * np.eye(kept.sum())
        coefficients[kept] = evidence[kept] * np.linalg.solve(gram, weighted.T @ y / len(y))
    return coefficients


def purged_folds(n: int, horizon: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Split ordered rows into contiguous folds for cross-fitting, purged of overlapping targets.

    A fold is left out if fewer than four times `horizon` rows remain outside it.

    Parameters
    ----------
    n : int
        Number of rows, one per session.
    horizon : int
        Sessions, which equals rows: a target overlaps with this many neighbours.

    Yields
    ------
    tuple of slice and bool array of shape (n,)
        The fold, and a mask of the rows outside it whose targets do not overlap with the fold's.

    Examples
    --------
    Twelve rows give six folds of two rows. The first fold also excludes its neighbour:

    >>> fold, outside = next(purged_folds(12, horizon=1))
    >>> np.arange(12)[fold].tolist(), np.flatnonzero(~outside).tolist()
    ([0, 1], [0, 1, 2])
    """
    edges = np.linspace(0, n, FOLDS + 1).astype(int)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        outside = np.ones(n, dtype=bool)
        outside[max(0, start - horizon) : end + horizon] = False
        if outside.sum() >= 4 * horizon:
            yield slice(start, end), outside


def shrunk_slope(forecast: np.ndarray, y: np.ndarray, overlap: int) -> float:
    """Estimate the slope of `y` on an out-of-sample `forecast`, non-negative and shrunk by its standard error.

    Source: Breiman (1996), Machine Learning 24, 49-64 (stacked regression with one input).

    Parameters
    ----------
    forecast, y : arrays of shape (n,)
        In the same unit; `y` is centred.
    overlap : int
        Horizon in rows; the standard error counts n / overlap samples.

    Returns
    -------
    float
        Between 0 and `MAX_SLOPE`; 0 if the forecast is zero or has the wrong sign.
    """
    power = float(forecast @ forecast)
    if power < 1e-12:
        return 0.0
    slope = float(np.clip(forecast @ y / power, 0.0, MAX_SLOPE))
    variance = float(y.var()) * overlap / power
    return slope * slope**2 / (slope**2 + variance) if slope > 0 else 0.0


class RidgeModel(QuantileModel):
    """AutoGluon adapter. Rows must be ordered by as_of_date within a horizon, as the tournament provides them."""

    ag_key = "RIDGE"
    ag_name = "Ridge"
    ag_priority = 80

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        params = self._get_model_params()
        X = self.preprocess(X)  # drops constant features, here and in _predict_proba
        self.model = {}
        features = X.drop(columns="horizon_days")
        for horizon, rows in X.groupby("horizon_days").indices.items():
            self.model[horizon] = self._fit_horizon(
                features.to_numpy(float)[rows],
                y.to_numpy(float)[rows],
                int(horizon),
                params["screen"],
                params["prior_r2"],
            )

    def _fit_horizon(self, x: np.ndarray, y: np.ndarray, horizon: int, screen: float, prior_r2: float) -> dict:
        with warnings.catch_warnings():  # a new series may have no value in the rows of a long horizon; its score is 0
            warnings.simplefilter("ignore", RuntimeWarning)
            mean, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0) + 1e-9
        x = standard_scores(x, mean, scale)
        y = y - np.median(y)
        cross_fitted = np.zeros(len(y))
        for fold, outside in purged_folds(len(y), horizon):
            centred = y[outside] - y[outside].mean()
            direction = screened_ridge(x[outside], centred, outside.sum() / horizon, screen, prior_r2)
            cross_fitted[fold] = x[fold] @ direction
        slope = shrunk_slope(cross_fitted, y, horizon)
        return {
            "mean": mean,
            "scale": scale,
            "coefficients": slope * screened_ridge(x, y - y.mean(), len(y) / horizon, screen, prior_r2),
            "residuals": centred_quantiles(y - slope * cross_fitted, self.quantile_levels),
        }

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        X = self.preprocess(X, **kwargs)
        features = X.drop(columns="horizon_days").to_numpy(float)
        result = np.empty((len(X), len(self.quantile_levels)))
        for horizon, rows in X.groupby("horizon_days").indices.items():
            fit = self.model[horizon]
            location = standard_scores(features[rows], fit["mean"], fit["scale"]) @ fit["coefficients"]
            result[rows] = location[:, None] + fit["residuals"]
        return result


def explain(model: RidgeModel, X: pd.DataFrame) -> list[Explanation]:
    """Compute the contribution of each feature to P50: coefficient times standard score.

    The contributions add up to P50 exactly. The width does not depend on the features.
    """
    X = model.preprocess(X)
    features = X.drop(columns="horizon_days")
    values = np.empty(features.shape)
    for horizon, rows in X.groupby("horizon_days").indices.items():
        fit = model.model[horizon]
        scores = standard_scores(features.to_numpy(float)[rows], fit["mean"], fit["scale"])
        values[rows] = scores * fit["coefficients"]
    median = pd.DataFrame(values, columns=features.columns, index=X.index)
    return [Explanation("coefficients", median, 0.0 * median)]


FAMILY = Family(RidgeModel, {"screen": 1.0, "prior_r2": 0.01}, explain=explain)
