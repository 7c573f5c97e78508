"""GARCH: volatility that returns to its mean, read from the daily returns that a row carries.

Training rows are folded back into one series of daily returns, on which GARCH(1,1), GARCH-t and GJR-GARCH-t (bad news
moves volatility more than good news) are fitted by maximum likelihood; BIC keeps one. The variance of a sum of h returns is
exact; its shape is simulated once, at the fit, from the filtered shocks. A forecast then needs one number of its row:
tomorrow's variance. The centre stays at the last price; the shape keeps the skew that leverage and the shocks give it.
Sources: Bollerslev (1986), Journal of Econometrics 31, 307-327; Glosten, Jagannathan and Runkle (1993), Journal of
Finance 48, 1779-1801; filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper (1999), Journal of Futures
Markets 19, 583-602.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.lookback import RETURN_LAGS, Sessions, read_sessions
from zl_forecast.scoring import pinball

PERCENT = 100.0  # arch's optimiser wants returns near one
LARGEST_PERSISTENCE = 0.995  # half of a shock to variance is gone after 138 sessions
PATHS = 8_000
START_VARIANCES = 15  # of the simulation, from a quarter of the smallest filtered variance to four times the largest
PRIOR_SAMPLES = 20  # independent samples that "the scale is one" counts for
SCALES = np.linspace(np.log(0.6), np.log(1.6), 51)  # searched for a horizon's scale, in logs


@dataclass(frozen=True)
class Garch:
    """Variance of the next return: omega + (alpha + gamma * [last return < 0]) * last return^2 + beta * last variance.

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

    def persistence(self, bad_share: float = 0.5) -> float:
        """Factor by which the variance's distance from its mean shrinks in a session.

        `bad_share` is the mean square of the negative shocks (those of variance one, positive ones as zero).
        """
        return self.alpha + self.gamma * bad_share + self.beta

    def next_variance(self, variance: np.ndarray, returns: np.ndarray) -> np.ndarray:
        """Variance one session on, after `returns`; a missing return leaves it as it was."""
        step = self.omega + (self.alpha + self.gamma * (returns < 0)) * returns**2 + self.beta * variance
        return np.where(np.isnan(returns), variance, step)


def session_positions(sessions: Sessions) -> np.ndarray:
    """Where each session's newest return stands in the series that all look-backs together tell.

    Training rows may miss sessions (those purged before a tuning part); the look-back of the session after the gap shows how
    many. Where two neighbours share no look-back they are put next to each other.

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
    """Look-backs laid over each other.

    Parameters
    ----------
    lookbacks : array of shape (n_sessions, n_lags, ...)
        Oldest first.
    positions : array of shape (n_sessions,)
        Of each session's newest value, see `session_positions`.

    Returns
    -------
    array of shape (positions[-1] + 1, ...)
        NaN where no session tells.
    """
    series = np.full((positions[-1] + 1, *lookbacks.shape[2:]), np.nan)
    for lag in reversed(range(lookbacks.shape[1])):
        series[positions - lag] = lookbacks[:, -1 - lag]
    return series


def fit_garch(returns: np.ndarray) -> tuple[str, Garch]:
    """The GARCH of the smallest BIC, and its name.

    Where a fit has (almost) no mean to return to, its persistence is lowered to LARGEST_PERSISTENCE and omega set so
    that the mean is the sample's: over 120 sessions an integrated variance only grows.

    Parameters
    ----------
    returns : array of shape (n,)
        Log returns per session, contiguous, finite.
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
    found = usable[best].params
    garch = Garch(
        omega=found["omega"] / PERCENT**2,
        alpha=found["alpha[1]"],
        gamma=found.get("gamma[1]", 0.0),
        beta=found["beta[1]"],
        nu=found.get("nu", np.inf),
    )
    persistence = garch.persistence()
    if persistence > LARGEST_PERSISTENCE:
        shrunk = LARGEST_PERSISTENCE / persistence
        garch = Garch(
            omega=(1 - LARGEST_PERSISTENCE) * float(np.mean(returns**2)),
            alpha=shrunk * garch.alpha,
            gamma=shrunk * garch.gamma,
            beta=shrunk * garch.beta,
            nu=garch.nu,
        )
    return best, garch


def filtered_variance(garch: Garch, returns: np.ndarray) -> np.ndarray:
    """Variance of each session's return and of the next one, known the session before.

    Parameters
    ----------
    returns : array of shape (..., n)
        Oldest first; started at their own mean square.

    Returns
    -------
    array of shape (..., n + 1)
    """
    path = [np.nanmean(np.ascontiguousarray(returns**2), axis=-1)]  # one order of summation, however many rows come
    for step in range(returns.shape[-1]):
        path.append(garch.next_variance(path[-1], returns[..., step]))
    return np.stack(path, axis=-1)


def sum_variance(garch: Garch, variance: np.ndarray, horizon: int, bad_share: float = 0.5) -> np.ndarray:
    """Expected variance of the sum of the next `horizon` returns, given the next one's.

    Exact: the expected variance moves geometrically to its mean. Baillie and Bollerslev (1992), Journal of Econometrics 52.
    """
    persistence, total = garch.persistence(bad_share), np.zeros_like(variance)
    for _ in range(horizon):
        total = total + variance
        variance = garch.omega + persistence * variance
    return total


def simulated_shapes(
    garch: Garch, shocks: np.ndarray, starts: np.ndarray, horizons: list[int], levels: tuple[float, ...]
) -> np.ndarray:
    """Quantiles of sums of returns, each divided by its own expected standard deviation.

    The same draws serve every start, and every path has a mirror that takes the shock of the opposite rank: what differs
    between neighbours on the grid is then the start, not chance.

    Parameters
    ----------
    shocks : array of shape (n_shocks,)
        Of mean zero and variance one.
    starts : array of shape (n_starts,)
        Variances of the first return.

    Returns
    -------
    array of shape (n_horizons, n_starts, n_levels)
    """
    rng = np.random.default_rng(settings.SEED)
    ranked = np.sort(shocks)
    bad_share = float(np.mean(np.minimum(ranked, 0) ** 2))
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
            deviation = np.sqrt(sum_variance(garch, starts, step, bad_share))
            shapes[horizons.index(step)] = np.quantile(total, levels, axis=1).T / deviation[:, None]
    return shapes


class GarchModel(QuantileModel):
    """AutoGluon adapter: fit once on the series behind the rows, forecast each row from its own returns."""

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
            "bad_share": float(np.mean(np.minimum(shocks, 0) ** 2)),
            "starts": starts,
            "shapes": dict(
                zip(horizons, simulated_shapes(garch, shocks, starts, horizons, self.quantile_levels), strict=True)
            ),
            "scales": dict.fromkeys(horizons, 1.0),
        }
        # One scale a horizon: the target is a move of the price, which holds roll steps that the returns leave out.
        # Shrunk to one as far as the horizon has few targets that do not overlap.
        forecast, z = self._predict_proba(X), y.to_numpy(float)
        for horizon in horizons:
            rows = X["horizon_days"].to_numpy() == horizon
            centred = z[rows] - np.median(z[rows])
            losses = [pinball(centred, np.exp(scale) * forecast[rows], self.quantile_levels).mean() for scale in SCALES]
            samples = rows.sum() / horizon
            self.model["scales"][horizon] = float(
                np.exp(SCALES[np.argmin(losses)] * samples / (samples + PRIOR_SAMPLES))
            )

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        sessions = read_sessions(X)
        garch, starts = self.model["garch"], np.log(self.model["starts"])
        # Row by row the same operations whatever else is asked for: a forecast depends on its own row alone.
        variance = filtered_variance(garch, sessions.returns)[:, -1]
        middle = list(self.quantile_levels).index(0.5)
        result = np.empty((len(X), len(self.quantile_levels)))
        for horizon, rows in X.groupby("horizon_days").indices.items():
            own, sigma = variance[sessions.session[rows]], sessions.sigma[sessions.session[rows]]
            width = np.sqrt(sum_variance(garch, own, int(horizon), self.model["bad_share"])) / sigma / np.sqrt(horizon)
            shape = self.model["shapes"][horizon]
            shape = np.stack([np.interp(np.log(own), starts, column) for column in shape.T], axis=1)
            shape = shape - shape[:, [middle]]  # no drift; the skew stays
            result[rows] = self.model["scales"][horizon] * width[:, None] * shape
        return result


def _explain(model: GarchModel, X: pd.DataFrame) -> list[Explanation]:
    """The parameters of the chosen GARCH, the same for every row, and the scale of the row's horizon."""
    garch = model.model["garch"]
    persistence = garch.persistence(model.model["bad_share"])
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
