"""Risk of the published forecast: Monte Carlo paths through its distributions. No forecast depends on it.

A path is a Gaussian random walk. At each session the rank of the walk among the paths becomes a normal score, and
that session's distribution turns the score into a price. The marginal distributions are therefore the forecast's,
and the dependence is the random walk's: normal scores at two horizons have correlation sqrt(h1 / h2). Arranging
exact strata of each marginal distribution in the order of correlated normal variables is the method of Iman and
Conover (1982), Communications in Statistics B 11.
"""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from zl_forecast import distribution, settings
from zl_forecast.errors import ZlForecastError
from zl_forecast.store import stored

PRICE_COLUMNS = tuple(f"p{round(100 * level):02d}" for level in settings.QUANTILE_LEVELS)
TAILS = (0.95, 0.99)
ORIGIN_COLUMNS = ["as_of_date", "horizon_days", "horizon_code", "target_date", "last_price", "data_source"]


@stored
def sample_paths(forecast: pd.DataFrame) -> pd.DataFrame:
    """Draw Monte Carlo paths of the daily close and report them at the forecast's horizons.

    Parameters
    ----------
    forecast : DataFrame
        Rows of int_ensemble__published, one per horizon, all with the same as_of_date; prices in cents/lb.

    Returns
    -------
    DataFrame
        One row per path and horizon: path_number (1 to `settings.RISK_PATHS`, the same path at every horizon), price
        on target_date, highest_close and lowest_close from as_of_date (last_price included) to target_date, all in
        cents/lb, and `ORIGIN_COLUMNS`.

    Raises
    ------
    ZlForecastError
        If the rows have more than one origin, a horizon twice, or quantiles that are not ascending positive prices.
    """
    forecast = forecast.sort_values("horizon_days", ignore_index=True)
    _check(forecast)
    horizons = forecast["horizon_days"].to_numpy()
    last = forecast["last_price"].iloc[0]
    prices = last * np.exp(daily_log_returns(horizons, np.log(forecast[list(PRICE_COLUMNS)].to_numpy() / last)))
    paths = forecast.loc[forecast.index.repeat(settings.RISK_PATHS), ORIGIN_COLUMNS].reset_index(drop=True)
    paths.insert(0, "path_number", np.tile(np.arange(1, settings.RISK_PATHS + 1), len(horizons)))
    paths["price"] = prices[horizons - 1].ravel()
    # keep the extremes of each path, so that the risk table needs neither daily closes nor a second simulation
    paths["highest_close"] = np.maximum(last, np.maximum.accumulate(prices))[horizons - 1].ravel()
    paths["lowest_close"] = np.minimum(last, np.minimum.accumulate(prices))[horizons - 1].ravel()
    return paths


def daily_log_returns(horizons: np.ndarray, log_quantiles: np.ndarray) -> np.ndarray:
    """Simulate paths of the log return since the origin, at each session up to the last horizon.

    Between horizons the quantile function is interpolated linearly in the square root of the session number, starting
    from a point at the origin. Bands that widen with the square root of time are thus reproduced exactly. If the
    distribution narrows from one horizon to the next, the paths converge.

    Parameters
    ----------
    horizons : array of shape (n_horizons,)
        Sessions, ascending.
    log_quantiles : array of shape (n_horizons, n_levels)
        Log return since the origin at `settings.QUANTILE_LEVELS`, ascending along the second axis.

    Returns
    -------
    array of shape (horizons[-1], settings.RISK_PATHS)
        Log returns since the origin; row t - 1 is session t.
    """
    roots = np.sqrt(np.arange(1, horizons[-1] + 1))
    known_at = np.sqrt([0, *horizons])
    quantiles = np.column_stack([np.interp(roots, known_at, [0.0, *known]) for known in log_quantiles.T])
    return distribution.values(quantiles, _walk_scores(len(roots), settings.RISK_PATHS))


def _walk_scores(n_sessions: int, n_paths: int) -> np.ndarray:
    """Normal scores of a random walk, shape (n_sessions, n_paths).

    Each row holds the midpoints of n_paths equal strata in the order of the walk. Ranks replace W_t / sqrt(t), so that
    each build reproduces each session's distribution exactly, not only on average over seeds.
    """
    steps = np.random.default_rng(settings.SEED).standard_normal((n_sessions, n_paths))
    ranks = steps.cumsum(axis=0).argsort(axis=1).argsort(axis=1)
    return ndtri((np.arange(n_paths) + 0.5) / n_paths)[ranks]


def risk_table(paths: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Compute VaR and CVaR at 95 and 99 %, expected range and level probabilities, for a buyer and a holder.

    Parameters
    ----------
    paths : DataFrame
        As `sample_paths` returns them; prices in cents/lb.
    levels : DataFrame
        seeds/price_levels.csv: level, unit ('percent_of_last' or 'cents_per_lb').

    Returns
    -------
    DataFrame
        as_of_date, horizon_days, horizon_code, target_date, side, measure, level_cents, value, unit, n_paths,
        data_source. A buyer loses when the price rises above last_price, a holder when it falls; losses are positive,
        in cents/lb. Levels above last_price are reported for a buyer, the others for a holder. prob_above and
        prob_below are the probabilities that the price on target_date is beyond the level; prob_touch_above and
        prob_touch_below that some daily close until then reaches it. expected_high (buyer) and expected_low (holder)
        are the means over paths of the highest and of the lowest close.

    Raises
    ------
    ZlForecastError
        If a level has an unknown unit or is not a positive price.
    """
    prices_of_levels = _level_prices(levels, last=paths["last_price"].iloc[0])
    tables = []
    for _, ends in paths.groupby("horizon_days"):
        facts = [*_losses(ends), *_expected_range(ends), *_crossings(ends, prices_of_levels)]
        table = pd.DataFrame(facts, columns=["side", "measure", "level_cents", "value", "unit"])
        origin = ends[ORIGIN_COLUMNS].iloc[0].drop("last_price")
        tables.append(table.assign(n_paths=len(ends), **origin))
    first = ["as_of_date", "horizon_days", "horizon_code", "target_date"]
    return pd.concat(tables, ignore_index=True)[
        [*first, "side", "measure", "level_cents", "value", "unit", "n_paths", "data_source"]
    ]


def _losses(ends: pd.DataFrame) -> list[tuple]:
    rise = (ends["price"] - ends["last_price"]).to_numpy()
    facts = []
    for side, loss in (("buyer", rise), ("holder", -rise)):
        for tail in TAILS:
            threshold = np.quantile(loss, tail)
            beyond = loss[loss >= threshold].mean()
            facts.append((side, f"var_{round(100 * tail)}", np.nan, threshold, "cents_per_lb"))
            facts.append((side, f"cvar_{round(100 * tail)}", np.nan, beyond, "cents_per_lb"))
    return facts


def _expected_range(ends: pd.DataFrame) -> list[tuple]:
    return [
        ("buyer", "expected_high", np.nan, ends["highest_close"].mean(), "cents_per_lb"),
        ("holder", "expected_low", np.nan, ends["lowest_close"].mean(), "cents_per_lb"),
    ]


def _crossings(ends: pd.DataFrame, prices_of_levels: list[float]) -> list[tuple]:
    facts = []
    for price in prices_of_levels:
        if price > ends["last_price"].iloc[0]:
            side, name, ending, touching = "buyer", "above", ends["price"] > price, ends["highest_close"] >= price
        else:
            side, name, ending, touching = "holder", "below", ends["price"] < price, ends["lowest_close"] <= price
        facts.append((side, f"prob_{name}", price, ending.mean(), "probability"))
        facts.append((side, f"prob_touch_{name}", price, touching.mean(), "probability"))
    return facts


def _level_prices(levels: pd.DataFrame, last: float) -> list[float]:
    """Convert the levels of the seed to cents/lb."""
    unknown = set(levels["unit"]) - {"percent_of_last", "cents_per_lb"}
    if unknown:
        raise ZlForecastError(
            f"seeds/price_levels.csv has the unknown unit {', '.join(sorted(map(str, unknown)))}. Use percent_of_last or cents_per_lb."
        )
    prices = []
    for level in levels.itertuples():
        price = last * (1 + level.level / 100) if level.unit == "percent_of_last" else float(level.level)
        if not 0 < price < np.inf:
            raise ZlForecastError(
                f"seeds/price_levels.csv has the level {level.level:g} {level.unit}, a price of {price:g} cents/lb. Give a "
                "price above 0, or a percentage above -100 (-10 is a tenth below the last price)."
            )
        prices.append(price)
    return prices


def _check(forecast: pd.DataFrame) -> None:
    """Refuse rows from which no path can be drawn."""
    origins = forecast[["as_of_date", "last_price"]].drop_duplicates()
    if len(origins) != 1 or forecast["horizon_days"].duplicated().any():
        raise ZlForecastError(
            f"int_ensemble__published has {len(forecast)} rows with {len(origins)} origins (as_of_date, last_price) and "
            f"{forecast['horizon_days'].nunique()} horizons. Paths need one origin and one row per horizon: build it again (dbt build -s int_ensemble__published)."
        )
    for row in forecast.itertuples():
        known = np.array([row.last_price, *(getattr(row, column) for column in PRICE_COLUMNS)])
        # written so that a NaN fails
        if not ((known > 0).all() and np.isfinite(known).all() and (np.diff(known[1:]) >= 0).all()):
            raise ZlForecastError(
                f"int_ensemble__published has at horizon_days {row.horizon_days} the last price {known[0]:g} and the quantiles "
                f"{', '.join(f'{price:g}' for price in known[1:])}. They must be positive and ascend: fix the method in its "
                "column ensemble_method, or remove that method from seeds/ensemble_methods.csv."
            )
