"""SARIMAX of the daily returns: their own past, the trading week, and the bucket's channels one session before.

Returns are divided by the volatility known one session before. They are a regression on the channels with
seasonal ARMA errors and no intercept. BIC selects channels and orders. The expected sum of h returns over
sqrt(h) is the median in standardised returns. It is multiplied by a slope that is estimated on held-out folds,
used by neither selection nor fit, and shrunk by its own standard error. Without skill the family equals the
reference. The width comes from the residuals.
Source: Box, Jenkins and Reinsel (1994), Time Series Analysis, 3rd ed.; statsmodels' SARIMAX computes the
likelihood.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.garch import contiguous, session_positions
from zl_forecast.families.lookback import CHANNEL_LAGS, read_sessions
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.ridge import FOLDS, shrunk_slope
from zl_forecast.families.scaling import standard_scores

# as for ewma_volatility, which a row has only at its origin; earlier values are computed from its returns
DECAY = 0.97
ORDERS = ((0, 0), (1, 0), (0, 1), (1, 1))  # p, q
SEASONS = ((0, 0), (1, 0), (0, 1))  # P, Q of the trading week
WEEK = 5
MEMORY = CHANNEL_LAGS - 1  # sessions in a forecast's look-back: those with channels known one session before
ITERATIONS = 30


@dataclass(frozen=True)
class DailyModel:
    """Regression on channels with seasonal ARMA errors.

    Attributes
    ----------
    order : tuple (p, q, P, Q)
    coefficients : array of shape (n_channels,)
        Return in units of volatility per standard deviation of the channel; 0 where BIC left it out.
    ar, ma : arrays
        Polynomials of the errors, multiplied out; they begin with 1.
    """

    order: tuple[int, int, int, int]
    coefficients: np.ndarray
    ar: np.ndarray
    ma: np.ndarray


def volatility_units(returns: np.ndarray) -> np.ndarray:
    """Divide returns by the exponentially weighted volatility known one session before.

    Parameters
    ----------
    returns : array of shape (..., n)
        Log returns per session, oldest first. The variance starts at their mean square.

    Returns
    -------
    array of shape (..., n)
        Dimensionless; zero where the return is missing.
    """
    squares = np.ascontiguousarray(returns**2)  # contiguous: the same order of summation for any number of rows
    variance, units = np.nanmean(squares, axis=-1), np.zeros_like(squares)
    for step in range(squares.shape[-1]):
        units[..., step] = returns[..., step] / np.sqrt(np.maximum(variance, 1e-16))
        newer = DECAY * variance + (1 - DECAY) * squares[..., step]
        variance = np.where(np.isnan(newer), variance, newer)
    return np.nan_to_num(units)


def selected_channels(u: np.ndarray, x: np.ndarray) -> list[int]:
    """Select channels by forward selection in least squares, as long as BIC falls.

    Parameters
    ----------
    u : array of shape (n,)
        Returns in units of volatility, finite.
    x : array of shape (n, n_channels)
        Standardised channels known before `u`, finite.

    Returns
    -------
    list of int
        Positions of the selected channels, ascending.
    """
    chosen: list[int] = []
    best = len(u) * np.log(np.mean(u**2))
    while len(chosen) < x.shape[1]:
        scores = {}
        for channel in set(range(x.shape[1])) - set(chosen):
            tried = x[:, [*chosen, channel]]
            errors = u - tried @ np.linalg.lstsq(tried, u, rcond=None)[0]
            scores[channel] = len(u) * np.log(np.mean(errors**2)) + tried.shape[1] * np.log(len(u))
        channel = min(scores, key=scores.__getitem__)
        if scores[channel] >= best:
            break
        best = scores[channel]
        chosen.append(channel)
    return sorted(chosen)


def fit_daily(u: np.ndarray, x: np.ndarray) -> DailyModel:
    """Select channels and orders by BIC, and fit by maximum likelihood.

    Parameters
    ----------
    u : array of shape (n,)
        Returns in units of volatility, oldest first; NaN where they must not be used (the Kalman filter skips
        them).
    x : array of shape (n, n_channels)
        Standardised channels known before each return, finite.

    Returns
    -------
    DailyModel
    """
    seen = ~np.isnan(u)
    kept = selected_channels(u[seen], x[seen])
    errors = u.copy()
    if kept:
        errors = u - x[:, kept] @ np.linalg.lstsq(x[seen][:, kept], u[seen], rcond=None)[0]
    order = min(ORDERS, key=lambda tried: _fit(errors, None, (*tried, 0, 0)).bic)
    season = min(SEASONS, key=lambda tried: _fit(errors, None, (*order, *tried)).bic)
    if any(season):  # the order may have captured part of the season
        order = min(ORDERS, key=lambda tried: _fit(errors, None, (*tried, *season)).bic)
    orders = (*order, *season)
    fit = _fit(u, x[:, kept] if kept else None, orders)
    coefficients = np.zeros(x.shape[1])
    coefficients[kept] = fit.params[: len(kept)]
    return DailyModel(
        orders, coefficients, np.asarray(fit.polynomial_reduced_ar), np.asarray(fit.polynomial_reduced_ma)
    )


def _fit(u: np.ndarray, exog: np.ndarray | None, order: tuple[int, int, int, int]):
    """Return statsmodels' results; the variance is concentrated out of the likelihood."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    p, q, seasonal_p, seasonal_q = order
    season = (seasonal_p, 0, seasonal_q, WEEK) if seasonal_p or seasonal_q else (0, 0, 0, 0)
    model = SARIMAX(u, exog, order=(p, 0, q), seasonal_order=season, concentrate_scale=True)
    if not model.param_names:
        return model.filter([])
    with warnings.catch_warnings():  # poor starting values, or no convergence within ITERATIONS
        warnings.simplefilter("ignore")
        return model.fit(disp=0, maxiter=ITERATIONS, cov_type="none")


def past_weights(ar: np.ndarray, ma: np.ndarray, memory: int, horizon: int) -> np.ndarray:
    """Compute the weights of the newest values of an ARMA process in the expected sum of its next values.

    This is the best linear forecast from a finite past, equal to a stationary Kalman filter on these values:
    covariance of the sum with the past, over the covariance of the past.
    Source: Brockwell and Davis (1991), Time Series: Theory and Methods, 2nd ed., section 5.1.

    Parameters
    ----------
    ar, ma : arrays
        Polynomials that begin with 1, as in `DailyModel`.
    memory : int
        Number of newest values.
    horizon : int
        Number of next values in the sum, in sessions.

    Returns
    -------
    array of shape (memory,)
        For values that are oldest first.

    Examples
    --------
    In an AR(1) with coefficient 0.5 only the newest value counts: 0.5 for one session, 0.5 + 0.25 for two.

    >>> past_weights(np.array([1.0, -0.5]), np.array([1.0]), memory=3, horizon=2).round(6).tolist()
    [0.0, 0.0, 0.75]
    """
    from scipy.linalg import solve_toeplitz
    from statsmodels.tsa.arima_process import arma_acovf

    covariance = arma_acovf(ar, ma, nobs=memory + horizon)
    ages = np.arange(memory)[::-1]  # 0 is the newest
    with_sum = np.array([covariance[age + 1 : age + 1 + horizon].sum() for age in ages])
    return solve_toeplitz(covariance[:memory], with_sum)


def expected_sums(daily: DailyModel, decay: np.ndarray, u: np.ndarray, x: np.ndarray, horizon: int) -> np.ndarray:
    """Compute the expected sum of the next `horizon` returns, split into contributions.

    Channels are forecast as an AR(1) that decays from their value at the origin.

    Parameters
    ----------
    daily : DailyModel
    decay : array of shape (n_channels,)
        Autocorrelation of each channel at one session.
    u : array of shape (n, MEMORY)
        Returns in units of volatility, oldest first, up to the origin.
    x : array of shape (n, MEMORY + 1, n_channels)
        Standardised channels, from the session before the first of `u` to the origin.
    horizon : int
        Sessions.

    Returns
    -------
    array of shape (n, n_channels + 1)
        In units of volatility: the contribution of each channel, and last that of the returns' own past.
    """
    # Sums along rows, not matrix products: rounding in BLAS depends on the number of rows.
    errors = u - (x[:, :-1] * daily.coefficients).sum(axis=2)
    own_past = (errors * past_weights(daily.ar, daily.ma, MEMORY, horizon)).sum(axis=1)
    reach = (decay[:, None] ** np.arange(horizon)).sum(axis=1)
    return np.column_stack([x[:, -1] * (daily.coefficients * reach), own_past])


class SarimaxModel(QuantileModel):
    """AutoGluon adapter: one daily model for all horizons."""

    ag_key = "SARIMAX"
    ag_name = "Sarimax"
    ag_priority = 70

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        sessions = read_sessions(X)
        positions = session_positions(sessions)
        returns = contiguous(sessions.returns, positions)
        channels = contiguous(sessions.channels, positions)
        begin = int(np.flatnonzero(~np.isnan(returns))[0])
        mean = np.array([_mean(channel) for channel in channels.T])
        scale = np.array([_deviation(channel) for channel in channels.T])
        u = volatility_units(returns[begin:])
        x = standard_scores(channels, mean, scale)
        before = np.concatenate([np.zeros((1, x.shape[1])), x])[begin:-1]  # known the session before
        decay = np.clip((x[1:] * x[:-1]).sum(axis=0) / np.maximum((x[:-1] ** 2).sum(axis=0), 1e-12), 0, 1)
        self.model = {"mean": mean, "scale": scale, "decay": decay, "daily": fit_daily(u, before)}

        horizon, z_return = X["horizon_days"].to_numpy(), y.to_numpy(float)
        own_u, own_x = self._lookback(sessions)
        cross_fitted = np.zeros(len(X))
        edges = np.linspace(0, len(sessions.day), FOLDS + 1).astype(int)
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            hidden = u.copy()  # hide the returns that targets of the fold contain
            first, last = positions[[start, end - 1]] + 1 - begin
            hidden[first : last + horizon.max()] = np.nan
            daily = fit_daily(hidden, before)
            in_fold = (sessions.session >= start) & (sessions.session < end)
            for h in np.unique(horizon[in_fold]):
                rows = np.flatnonzero(in_fold & (horizon == h))
                at = sessions.session[rows]
                sums = expected_sums(daily, decay, own_u[at], own_x[at], int(h)).sum(axis=1)
                cross_fitted[rows] = sums / np.sqrt(h)
        self.model["slopes"], self.model["residuals"] = {}, {}
        for h in np.unique(horizon):
            rows = horizon == h
            centred = z_return[rows] - np.median(z_return[rows])
            slope = min(1.0, shrunk_slope(cross_fitted[rows], centred, int(h)))
            self.model["slopes"][int(h)] = slope
            self.model["residuals"][int(h)] = centred_quantiles(
                centred - slope * cross_fitted[rows], self.quantile_levels
            )

    def _lookback(self, sessions) -> tuple[np.ndarray, np.ndarray]:
        """Each session's newest returns in units of volatility, and standardised channels; see `expected_sums`."""
        u = volatility_units(sessions.returns)[:, -MEMORY:]
        return u, standard_scores(sessions.channels, self.model["mean"], self.model["scale"])

    def contributions(self, X: pd.DataFrame) -> pd.DataFrame:
        """Compute the contributions of each channel and of the returns' own past to P50.

        Parameters
        ----------
        X : DataFrame of n_rows rows
            Rows as the family reads them.

        Returns
        -------
        DataFrame of shape (n_rows, n_channels + 1)
            Standardised returns, with the index of X; the sum of a row is P50.
        """
        sessions = read_sessions(X)
        u, x = self._lookback(sessions)
        names = [*sessions.channel_names, "own_past"]
        result = np.empty((len(X), len(names)))
        for horizon, rows in X.groupby("horizon_days").indices.items():
            h, at = int(horizon), sessions.session[rows]
            sums = expected_sums(self.model["daily"], self.model["decay"], u[at], x[at], h)
            result[rows] = self.model["slopes"][h] / np.sqrt(h) * sums
        return pd.DataFrame(result, columns=names, index=X.index)

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        location = np.ascontiguousarray(self.contributions(X).to_numpy()).sum(axis=1)
        return location[:, None] + np.stack([self.model["residuals"][int(h)] for h in X["horizon_days"]])


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else 0.0


def _deviation(values: np.ndarray) -> float:
    return float(np.nanstd(values)) + 1e-9 if (~np.isnan(values)).any() else 1.0


def _explain(model: SarimaxModel, X: pd.DataFrame) -> list[Explanation]:
    """Exact contributions to P50. The width depends only on the horizon."""
    median = model.contributions(X)
    return [Explanation("coefficients", median, 0.0 * median)]


FAMILY = Family(SarimaxModel, reads_lookback=True, explain=_explain)
