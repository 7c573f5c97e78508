"""Prophet: a season and regressors of the standardised return at every horizon, in one fit, with a Gaussian width.

Each horizon's z_return is divided by its standard deviation. All horizons are fitted at once on the date of the
origin, with flat growth (families must not forecast a drift), one yearly season per horizon, and one
coefficient per regressor and horizon. Neighbouring targets overlap, so the likelihood overstates the number of
samples. Rows are therefore thinned, and every prior is narrowed by as much as its horizon overstates its
samples. Without trend changes Prophet's uncertainty is its observation noise alone, so the quantiles are exact
and need no draws.
Source: Taylor and Letham (2018), The American Statistician 72, 37-45.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.lookback import Sessions, read_sessions
from zl_forecast.families.scaling import standard_scores

PERIOD = 365.25  # days
FOURIER_ORDER = 2
THINNED_TO = 5  # keep every fifth session
MAX_FEATURES = 6  # of the mart, in addition to the bucket's channels
SEASON_R2 = 0.01  # prior share of variance that the season explains, per horizon
REGRESSORS_R2 = 0.01  # prior share of variance that all regressors together explain, per horizon


@dataclass(frozen=True)
class Effects:
    """Fitted parameters of one horizon, in units of Prophet's y.

    Attributes
    ----------
    season : array of shape (2 * FOURIER_ORDER,)
        Coefficients of Prophet's Fourier terms.
    regressors : array of shape (n_regressors,)
        Per standard deviation.
    trend, noise : float
        Level of the flat trend, and standard deviation around the forecast.
    """

    season: np.ndarray
    regressors: np.ndarray
    trend: float
    noise: float


def strongest(x: np.ndarray, y: np.ndarray, horizon: np.ndarray, number: int) -> list[int]:
    """Select the columns with the largest squared t-statistics, summed over horizons.

    Each t-statistic counts only non-overlapping samples.

    Parameters
    ----------
    x : array of shape (n_rows, n_columns)
        Standardised features.
    y : array of shape (n_rows,)
        Targets.
    horizon : array of shape (n_rows,)
        Horizon of each row, in sessions.
    number : int
        Number of columns to select.

    Returns
    -------
    list of int
        Positions of the columns, ascending.
    """
    evidence = np.zeros(x.shape[1])
    for h in np.unique(horizon):
        own, centred = x[horizon == h], y[horizon == h] - y[horizon == h].mean()
        evidence += (own.T @ centred) ** 2 / (h * len(own) * max(centred.var(), 1e-12))
    return sorted(np.argsort(-evidence, kind="stable")[:number].tolist())


def prophet_frame(day: np.ndarray, horizon: np.ndarray, x: np.ndarray, horizons: list[int]) -> pd.DataFrame:
    """Build the table that Prophet reads.

    Parameters
    ----------
    day : array of shape (n_rows,)
        Days since 1970-01-01.
    horizon : array of shape (n_rows,)
        Sessions.
    x : array of shape (n_rows, n_regressors)
        Standardised.
    horizons : list of int
        All horizons of the model.

    Returns
    -------
    DataFrame
        ds (date), per horizon an indicator `is_<horizon>`, and per regressor and horizon their product
        `x<regressor>_<horizon>`.
    """
    columns = {"ds": pd.to_datetime(day, unit="D")}
    for h in horizons:
        columns[f"is_{h}"] = horizon == h
        columns |= {f"x{i}_{h}": np.where(horizon == h, column, 0.0) for i, column in enumerate(x.T)}
    return pd.DataFrame(columns)


def fit_prophet(day: np.ndarray, horizon: np.ndarray, x: np.ndarray, y: np.ndarray, spacing: int):
    """Fit Prophet on rows of all horizons.

    Parameters
    ----------
    day : array of shape (n_rows,)
        Days since 1970-01-01.
    horizon : array of shape (n_rows,)
        Sessions.
    x : array of shape (n_rows, n_regressors)
        Standardised.
    y : array of shape (n_rows,)
        Targets with mean zero and variance one at each horizon.
    spacing : int
        Sessions between neighbouring rows of a horizon; a target overlaps with horizon / spacing others.

    Returns
    -------
    prophet.Prophet
        Fitted.
    """
    import cmdstanpy
    from prophet import Prophet

    horizons = sorted({int(h) for h in horizon})
    model = Prophet(
        growth="flat",
        n_changepoints=0,
        yearly_seasonality=False,
        weekly_seasonality=False,
        daily_seasonality=False,
        uncertainty_samples=0,
    )
    unit = np.abs(y).max()  # Prophet divides y by its largest value, and priors apply to the result
    for h in horizons:
        prior_factor = np.sqrt(min(1.0, spacing / h)) / unit
        season_deviation = np.sqrt(SEASON_R2 / FOURIER_ORDER)  # a sine and a cosine have variance 1/2 each
        model.add_seasonality(
            f"season_{h}", PERIOD, FOURIER_ORDER, season_deviation * prior_factor, condition_name=f"is_{h}"
        )
        for i in range(x.shape[1]):
            deviation = np.sqrt(REGRESSORS_R2 / x.shape[1])
            model.add_regressor(f"x{i}_{h}", prior_scale=deviation * prior_factor, standardize=False)
    with cmdstanpy.disable_logging():
        model.fit(prophet_frame(day, horizon, x, horizons).assign(y=y), seed=settings.SEED)
    assert model.stan_backend is not None
    model.stan_backend.cleanup()  # CmdStan's files
    return model


def effects_by_horizon(model, n_regressors: int) -> dict[int, Effects]:
    """Extract the parameters of a model of `fit_prophet`.

    Prophet stores the seasons of all horizons first, then the regressors.

    Parameters
    ----------
    model : prophet.Prophet
        Fitted.
    n_regressors : int

    Returns
    -------
    dict of int to Effects
        By horizon in sessions, in units of the model's y.
    """
    horizons = [int(name.removeprefix("season_")) for name in model.seasonalities]
    beta = model.y_scale * model.params["beta"][0]
    seasons, regressors = np.split(beta, [2 * FOURIER_ORDER * len(horizons)])
    seasons = seasons.reshape(len(horizons), 2 * FOURIER_ORDER)
    regressors = regressors[: len(horizons) * n_regressors].reshape(len(horizons), n_regressors)
    trend, noise = (model.y_scale * float(np.ravel(model.params[name])[0]) for name in ("m", "sigma_obs"))
    return {h: Effects(seasons[i], regressors[i], trend, noise) for i, h in enumerate(horizons)}


def contributions(effects: Effects, day: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Compute the contributions of the season, each regressor and the trend to Prophet's yhat.

    Equals Prophet's own `predict`, split into parts.

    Parameters
    ----------
    effects : Effects
        Of one horizon.
    day : array of shape (n,)
        Days since 1970-01-01.
    x : array of shape (n, n_regressors)
        Standardised.

    Returns
    -------
    array of shape (n, n_regressors + 2)
        In units of the model's y; the sum of a row is yhat.
    """
    angles = 2 * np.pi * day[:, None] * np.arange(1, FOURIER_ORDER + 1) / PERIOD
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(day), -1)
    season = (waves * effects.season).sum(axis=1)
    return np.column_stack([season, x * effects.regressors, np.full(len(day), effects.trend)])


class ProphetModel(QuantileModel):
    """AutoGluon adapter; keeps only the parameters of each horizon, not the fitted Prophet."""

    ag_key = "PROPHET"
    ag_name = "Prophet"
    ag_priority = 70

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        sessions = read_sessions(X)
        values = _candidates(sessions)
        mean, scale = values.mean(), values.std(ddof=0)
        values = values.loc[:, (scale > 1e-9) & mean.notna()]
        self.model = {"mean": mean[values.columns].to_numpy(), "scale": scale[values.columns].to_numpy()}
        x = standard_scores(values.to_numpy(float), self.model["mean"], self.model["scale"])

        horizon, z_return = X["horizon_days"].to_numpy(), y.to_numpy(float)
        means, deviations = (pd.Series(z_return).groupby(horizon).agg(how) for how in ("mean", "std"))
        scaled = (z_return - means[horizon].to_numpy()) / deviations[horizon].to_numpy()
        is_channel = values.columns.isin(sessions.channel_names)
        others = np.flatnonzero(~is_channel)
        strong = strongest(x[sessions.session][:, others], scaled, horizon, MAX_FEATURES)
        kept = np.concatenate([np.flatnonzero(is_channel), others[strong]])
        self.model = {name: moment[kept] for name, moment in self.model.items()}
        self.model["regressors"] = values.columns[kept].tolist()

        thinned = sessions.session % THINNED_TO == 0
        at = sessions.session[thinned]
        prophet = fit_prophet(sessions.day[at], horizon[thinned], x[at][:, kept], scaled[thinned], THINNED_TO)
        self.model["effects"] = effects_by_horizon(prophet, len(kept))
        self.model["deviations"] = {int(h): float(deviation) for h, deviation in deviations.items()}

    def contributions(self, X: pd.DataFrame) -> pd.DataFrame:
        """Compute the contributions of the season, each regressor and the trend to P50.

        Parameters
        ----------
        X : DataFrame of n_rows rows
            Rows as the family reads them.

        Returns
        -------
        DataFrame of shape (n_rows, n_regressors + 2)
            Standardised returns, with the index of X; the sum of a row is P50.
        """
        sessions = read_sessions(X)
        names = self.model["regressors"]
        values = _candidates(sessions)[names].to_numpy(float)
        x = standard_scores(values, self.model["mean"], self.model["scale"])
        result = np.empty((len(X), len(names) + 2))
        for h, rows in X.groupby("horizon_days").indices.items():
            at = sessions.session[rows]
            own = contributions(self.model["effects"][int(h)], sessions.day[at], x[at])
            result[rows] = self.model["deviations"][int(h)] * own
        return pd.DataFrame(result, columns=["season", *names, "trend"], index=X.index)

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        location = np.ascontiguousarray(self.contributions(X).to_numpy()).sum(axis=1)
        noise = {h: deviation * self.model["effects"][h].noise for h, deviation in self.model["deviations"].items()}
        width = X["horizon_days"].map(noise).to_numpy(float)
        return location[:, None] + width[:, None] * norm.ppf(self.quantile_levels)


def _candidates(sessions: Sessions) -> pd.DataFrame:
    """Candidate regressors: the channels at the origin, then the mart's other features."""
    channels = pd.DataFrame(sessions.channels[:, -1], columns=list(sessions.channel_names))
    return channels.join(sessions.features.drop(columns=channels.columns, errors="ignore"))


def _explain(model: ProphetModel, X: pd.DataFrame) -> list[Explanation]:
    """Exact contributions to P50. The width depends only on the horizon."""
    median = model.contributions(X)
    return [Explanation("coefficients", median, 0.0 * median)]


FAMILY = Family(ProphetModel, reads_lookback=True, explain=_explain)
