"""GARCH: mean-reverting volatility, from the daily returns in each row's look-back.

Training rows are merged back into one series of daily returns. GARCH(1,1), GARCH-t and GJR-GARCH-t (negative
returns raise volatility more than positive ones) are fitted by maximum likelihood, and BIC selects one. The
variance of a sum of h returns is exact; its shape is simulated once, at the fit, from the filtered shocks. A
forecast then needs one number from its row: the variance of the next session. The median stays at the last
price; the shape keeps the skew from leverage and shocks.
Sources: Bollerslev (1986), Journal of Econometrics 31, 307-327; Glosten, Jagannathan and Runkle (1993), Journal
of Finance 48, 1779-1801; filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper (1999), Journal
of Futures Markets 19, 583-602.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.lookback import RETURN_LAGS, Sessions, read_sessions
from zl_forecast.scoring import pinball

PERCENT = 100.0  # arch's optimiser needs returns near one
MAX_PERSISTENCE = 0.995  # half-life of a shock to variance: 138 sessions
PATHS = 8_000
START_VARIANCES = 15  # grid from a quarter of the smallest filtered variance to four times the largest
PRIOR_SAMPLES = 20  # weight of the prior "the scale is one" in independent samples
SCALES = np.linspace(np.log(0.6), np.log(1.6), 51)  # grid of a horizon's scale, in logs


@dataclass(frozen=True)
class Garch:
    """Variance of the next return: omega + (alpha + gamma * [last return < 0]) * last return^2 + beta * last variance.

    Sources: Bollerslev (1986), Journal of Econometrics 31, 307-327; gamma: Glosten, Jagannathan and Runkle (1993),
    Journal of Finance 48, 1779-1801.

    Attributes
    ----------
    omega : float
        Squared log return per session.
    alpha, gamma, beta : float
        gamma is 0 without leverage.
    nu : float
        Degrees of freedom of the shocks' Student t; infinity for normal shocks.
    """

    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float

    def persistence(self, negative_share: float = 0.5) -> float:
        """Compute the factor per session by which the variance's distance from its mean shrinks.

        Parameters
        ----------
        negative_share : float in [0, 1]
            Mean square of the negative shocks, with shocks of variance one and positive ones counted as zero.

        Returns
        -------
        float
            alpha + gamma * negative_share + beta; the process is stationary below 1.

        Examples
        --------
        >>> Garch(omega=1e-6, alpha=0.25, gamma=0.25, beta=0.5, nu=np.inf).persistence()
        0.875
        """
        return self.alpha + self.gamma * negative_share + self.beta

    def next_variance(self, variance: np.ndarray, returns: np.ndarray) -> np.ndarray:
        """Compute the variance of the next session's return.

        Parameters
        ----------
        variance : array of any shape
            Variance of this session's return, squared log return per session.
        returns : array, same shape
            This session's log returns (0.01 is 1 %). A missing return leaves the variance unchanged.

        Returns
        -------
        array, same shape
            Squared log return per session.
        """
        step = self.omega + (self.alpha + self.gamma * (returns < 0)) * returns**2 + self.beta * variance
        return np.where(np.isnan(returns), variance, step)


def session_positions(sessions: Sessions) -> np.ndarray:
    """Locate each session's newest return in the series that all look-backs together form.

    Training rows may lack sessions (those purged before a tuning part). The look-back of the first session
    after a gap shows the length of the gap. Neighbours without a common look-back are placed next to each
    other.

    Parameters
    ----------
    sessions : Sessions

    Returns
    -------
    array of shape (n_sessions,)
        Ascending; the first is RETURN_LAGS - 1.
    """
    before, after = sessions.returns[:-1], sessions.returns[1:]
    step = np.full(len(after), RETURN_LAGS)
    for shift in range(1, RETURN_LAGS):
        open_ = np.flatnonzero(step == RETURN_LAGS)
        if len(open_) == 0:
            break
        old, new = before[open_, shift:], after[open_, :-shift]
        step[open_[((old == new) | (np.isnan(old) & np.isnan(new))).all(axis=1)]] = shift
    return RETURN_LAGS - 1 + np.concatenate([[0], np.cumsum(step)])


def contiguous(lookbacks: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Merge overlapping look-backs into one series.

    Parameters
    ----------
    lookbacks : array of shape (n_sessions, n_lags, ...)
        Oldest first.
    positions : array of shape (n_sessions,)
        Position of each session's newest value, see `session_positions`.

    Returns
    -------
    array of shape (positions[-1] + 1, ...)
        NaN where no look-back has a value.

    Examples
    --------
    >>> contiguous(np.array([[0.1, 0.2], [0.2, 0.3]]), np.array([1, 2])).tolist()
    [0.1, 0.2, 0.3]
    """
    series = np.full((positions[-1] + 1, *lookbacks.shape[2:]), np.nan)
    for lag in reversed(range(lookbacks.shape[1])):
        series[positions - lag] = lookbacks[:, -1 - lag]
    return series


def fit_garch(returns: np.ndarray) -> tuple[str, Garch]:
    """Fit the three GARCH variants and select the one with the smallest BIC.

    If the fitted variance has (almost) no mean to revert to, persistence is lowered to MAX_PERSISTENCE and
    omega set so that the mean is the sample's. Otherwise the variance would only grow over 120 sessions.
    Sources: Bollerslev (1986), Journal of Econometrics 31, 307-327; Glosten, Jagannathan and Runkle (1993),
    Journal of Finance 48, 1779-1801.

    Parameters
    ----------
    returns : array of shape (n,)
        Log returns per session, contiguous, finite, oldest first.

    Returns
    -------
    tuple of str and Garch
        'garch_normal', 'garch_t' or 'gjr_garch_t', and its parameters.
    """
    from arch import arch_model

    variants: tuple[tuple[str, int, Literal["normal", "t"]], ...]
    variants = ("garch_normal", 0, "normal"), ("garch_t", 0, "t"), ("gjr_garch_t", 1, "t")
    fits = {}
    for name, leverage, shocks in variants:
        model = arch_model(PERCENT * returns, mean="Zero", p=1, o=leverage, q=1, dist=shocks, rescale=False)
        fits[name] = model.fit(disp="off", show_warning=False)
    usable = {name: fit for name, fit in fits.items() if np.isfinite(fit.bic)}
    best = min(usable, key=lambda name: usable[name].bic)
    params = usable[best].params
    garch = Garch(
        omega=params["omega"] / PERCENT**2,
        alpha=params["alpha[1]"],
        gamma=params.get("gamma[1]", 0.0),
        beta=params["beta[1]"],
        nu=params.get("nu", np.inf),
    )
    persistence = garch.persistence()
    if persistence > MAX_PERSISTENCE:
        shrunk = MAX_PERSISTENCE / persistence
        garch = Garch(
            omega=(1 - MAX_PERSISTENCE) * float(np.mean(returns**2)),
            alpha=shrunk * garch.alpha,
            gamma=shrunk * garch.gamma,
            beta=shrunk * garch.beta,
            nu=garch.nu,
        )
    return best, garch


def filtered_variance(garch: Garch, returns: np.ndarray) -> np.ndarray:
    """Filter the variance of each session's return and of the next one; each is known one session before.

    Parameters
    ----------
    garch : Garch
    returns : array of shape (..., n)
        Log returns per session, oldest first. The filter starts at their mean square.

    Returns
    -------
    array of shape (..., n + 1)
        Squared log return per session.
    """
    path = [np.nanmean(np.ascontiguousarray(returns**2), axis=-1)]  # contiguous: fixed order of summation
    for step in range(returns.shape[-1]):
        path.append(garch.next_variance(path[-1], returns[..., step]))
    return np.stack(path, axis=-1)


def sum_variance(garch: Garch, variance: np.ndarray, horizon: int, negative_share: float = 0.5) -> np.ndarray:
    """Compute the expected variance of the sum of the next `horizon` returns.

    Exact, because the expected variance reverts geometrically to its mean.
    Source: Baillie and Bollerslev (1992), Journal of Econometrics 52, 91-113.

    Parameters
    ----------
    garch : Garch
    variance : array of any shape
        Variance of the next return, squared log return per session.
    horizon : int
        Sessions.
    negative_share : float in [0, 1]
        See `Garch.persistence`.

    Returns
    -------
    array, same shape as `variance`
        Squared log return over `horizon` sessions.

    Examples
    --------
    Without reversion (persistence 1 and omega 0) the variance grows in proportion to the horizon:

    >>> sum_variance(Garch(0.0, alpha=0.5, gamma=0.0, beta=0.5, nu=np.inf), np.array([2.0]), horizon=3).tolist()
    [6.0]
    """
    persistence, total = garch.persistence(negative_share), np.zeros_like(variance)
    for _ in range(horizon):
        total = total + variance
        variance = garch.omega + persistence * variance
    return total


def simulated_shapes(
    garch: Garch, shocks: np.ndarray, starts: np.ndarray, horizons: list[int], levels: tuple[float, ...]
) -> np.ndarray:
    """Simulate quantiles of sums of returns, each sum divided by its own expected standard deviation.

    All starts share the same draws, and every path has an antithetic path with the shock of the opposite rank.
    Differences between neighbours on the grid are therefore due to the start, not to chance.
    Source: Barone-Adesi, Giannopoulos and Vosper (1999), Journal of Futures Markets 19, 583-602.

    Parameters
    ----------
    garch : Garch
    shocks : array of shape (n_shocks,)
        Filtered shocks with mean zero and variance one.
    starts : array of shape (n_starts,)
        Variances of the first return, squared log return per session.
    horizons : list of n_horizons ints
        Sessions.
    levels : tuple of n_levels floats in (0, 1)

    Returns
    -------
    array of shape (n_horizons, n_starts, n_levels)
        Dimensionless.
    """
    rng = np.random.default_rng(settings.SEED)
    ranked = np.sort(shocks)
    negative_share = float(np.mean(np.minimum(ranked, 0) ** 2))
    variance = np.repeat(starts[:, None], PATHS, axis=1)
    total = np.zeros_like(variance)
    shapes = np.empty((len(horizons), len(starts), len(levels)))
    for step in range(1, max(horizons) + 1):
        rank = rng.integers(len(ranked), size=PATHS // 2)
        drawn = ranked[np.concatenate([rank, len(ranked) - 1 - rank])]
        returns = np.sqrt(variance) * drawn
        total += returns
        variance = garch.next_variance(variance, returns)
        if step in horizons:
            deviation = np.sqrt(sum_variance(garch, starts, step, negative_share))
            shapes[horizons.index(step)] = np.quantile(total, levels, axis=1).T / deviation[:, None]
    return shapes


class GarchModel(QuantileModel):
    """AutoGluon adapter: fit once on the series behind the rows, then forecast each row from its own returns."""

    ag_key = "GARCH"
    ag_name = "Garch"
    ag_priority = 80

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        sessions = read_sessions(X)
        series = contiguous(sessions.returns, session_positions(sessions))
        series = series[~np.isnan(series)]
        chosen, garch = fit_garch(series)
        variance = filtered_variance(garch, series)
        shocks = series / np.sqrt(variance[:-1])
        shocks = (shocks - shocks.mean()) / shocks.std()
        starts = np.geomspace(variance.min() / 4, variance.max() * 4, START_VARIANCES)
        horizons = sorted({int(horizon) for horizon in X["horizon_days"]})
        self.model: dict[str, Any] = {
            "chosen": chosen,
            "garch": garch,
            "negative_share": float(np.mean(np.minimum(shocks, 0) ** 2)),
            "starts": starts,
            "shapes": dict(
                zip(horizons, simulated_shapes(garch, shocks, starts, horizons, self.quantile_levels), strict=True)
            ),
            "scales": dict.fromkeys(horizons, 1.0),
        }
        # One scale per horizon, because the target includes the price steps at rolls, which the returns exclude.
        # It is shrunk to one, more so at horizons with few non-overlapping targets.
        forecast, z_return = self._predict_proba(X), y.to_numpy(float)
        for horizon in horizons:
            rows = X["horizon_days"].to_numpy() == horizon
            centred = z_return[rows] - np.median(z_return[rows])
            losses = [pinball(centred, np.exp(scale) * forecast[rows], self.quantile_levels).mean() for scale in SCALES]
            samples = rows.sum() / horizon
            self.model["scales"][horizon] = float(
                np.exp(SCALES[np.argmin(losses)] * samples / (samples + PRIOR_SAMPLES))
            )

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        sessions = read_sessions(X)
        garch, starts = self.model["garch"], np.log(self.model["starts"])
        # the same operations for any number of rows, so that a forecast depends only on its own row
        variance = filtered_variance(garch, sessions.returns)[:, -1]
        middle = list(self.quantile_levels).index(0.5)
        result = np.empty((len(X), len(self.quantile_levels)))
        for horizon, rows in X.groupby("horizon_days").indices.items():
            own, ewma_volatility = variance[sessions.session[rows]], sessions.ewma_volatility[sessions.session[rows]]
            width = (
                np.sqrt(sum_variance(garch, own, int(horizon), self.model["negative_share"]))
                / ewma_volatility
                / np.sqrt(horizon)
            )
            shape = self.model["shapes"][horizon]
            shape = np.stack([np.interp(np.log(own), starts, column) for column in shape.T], axis=1)
            shape = shape - shape[:, [middle]]  # no drift, but keep the skew
            result[rows] = self.model["scales"][horizon] * width[:, None] * shape
        return result


def _explain(model: GarchModel, X: pd.DataFrame) -> list[Explanation]:
    """Parameters of the selected GARCH, equal for all rows, and the scale of the row's horizon."""
    garch = model.model["garch"]
    persistence = garch.persistence(model.model["negative_share"])
    values = {
        "omega": garch.omega,
        "alpha": garch.alpha,
        "gamma": garch.gamma,
        "beta": garch.beta,
        "nu": garch.nu,
        "persistence": persistence,
        "half_life_sessions": np.log(0.5) / np.log(persistence) if persistence > 0 else 0.0,
        "mean_volatility": np.sqrt(garch.omega / (1 - persistence)) if persistence < 1 else np.nan,
    }
    if np.isinf(garch.nu):
        del values["nu"]  # normal shocks have none
    parameters = pd.DataFrame(values, index=X.index).assign(scale=X["horizon_days"].map(model.model["scales"]))
    return [Explanation("parameters", parameters)]


FAMILY = Family(GarchModel, reads_lookback=True, explain=_explain)
