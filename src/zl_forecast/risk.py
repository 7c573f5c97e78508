"""Risk of the final forecast: Monte Carlo draws from the published distribution, never fed back into it."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.errors import ZlForecastError

PRICE_COLUMNS = tuple(f"p{round(100 * level):02d}" for level in settings.QUANTILE_LEVELS)
TAILS = (0.95, 0.99)


def draw_prices(quantiles: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Prices drawn from a distribution known at `settings.QUANTILE_LEVELS`.

    Log prices are interpolated linearly in normal scores and extended beyond the outer quantiles with the slope of the
    outermost pair: a normal tail as steep as the forecast's own.

    Parameters
    ----------
    quantiles : array of shape (n_levels,)
        Positive prices, ascending.
    uniform : array of shape (n,)
        Numbers in (0, 1).

    Returns
    -------
    array of shape (n,)
    """
    scores = norm.ppf(settings.QUANTILE_LEVELS)
    logs = np.log(quantiles)
    wanted = norm.ppf(uniform)
    inside = np.interp(wanted, scores, logs)
    low_slope, high_slope = (
        (logs[1] - logs[0]) / (scores[1] - scores[0]),
        (logs[-1] - logs[-2]) / (scores[-1] - scores[-2]),
    )
    below, above = wanted < scores[0], wanted > scores[-1]
    inside[below] = logs[0] + (wanted[below] - scores[0]) * low_slope
    inside[above] = logs[-1] + (wanted[above] - scores[-1]) * high_slope
    return np.exp(inside)


def risk_table(forecast: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """VaR and CVaR at 95 and 99 % for a buyer and a holder, and the probability that the price ends beyond each level.

    Parameters
    ----------
    forecast : DataFrame
        zl_forecast: one row a horizon.
    levels : DataFrame
        seeds/price_levels.csv: level, unit ('percent_of_last' or 'cents_per_lb').

    Returns
    -------
    DataFrame
        as_of_date, horizon_days, horizon_code, target_date, side, measure, level_cents, value, unit, n_paths, data_source.
        A buyer loses when the price rises above last_price, a holder when it falls; losses are in cents/lb, positive.
    """
    unknown = set(levels["unit"]) - {"percent_of_last", "cents_per_lb"}
    if unknown:
        raise ZlForecastError(
            f"seeds/price_levels.csv has the unit {', '.join(sorted(unknown))}. Use percent_of_last or cents_per_lb."
        )
    # one stratified draw for all horizons: their risks differ by the forecast alone, not by luck
    generator = np.random.default_rng(settings.SEED)
    uniform = (np.arange(settings.RISK_PATHS) + generator.uniform(size=settings.RISK_PATHS)) / settings.RISK_PATHS
    rows = []
    for origin in forecast.itertuples():
        prices = draw_prices(np.array([getattr(origin, column) for column in PRICE_COLUMNS]), uniform)
        facts = []
        for side, loss in (("buyer", prices - origin.last_price), ("holder", origin.last_price - prices)):
            for tail in TAILS:
                threshold = np.quantile(loss, tail)
                facts.append((side, f"var_{round(100 * tail)}", None, threshold, "cents_per_lb"))
                facts.append((side, f"cvar_{round(100 * tail)}", None, loss[loss >= threshold].mean(), "cents_per_lb"))
        for level in levels.itertuples():
            price = origin.last_price * (1 + level.level / 100) if level.unit == "percent_of_last" else level.level
            side, beyond = ("buyer", prices > price) if price > origin.last_price else ("holder", prices < price)
            measure = "prob_above" if side == "buyer" else "prob_below"
            facts.append((side, measure, price, beyond.mean(), "probability"))
        for side, measure, price, value, unit in facts:
            rows.append(
                {
                    "as_of_date": origin.as_of_date,
                    "horizon_days": origin.horizon_days,
                    "horizon_code": origin.horizon_code,
                    "target_date": origin.target_date,
                    "side": side,
                    "measure": measure,
                    "level_cents": price,
                    "value": value,
                    "unit": unit,
                    "n_paths": settings.RISK_PATHS,
                    "data_source": origin.data_source,
                }
            )
    return pd.DataFrame(rows).astype({"level_cents": "float64"})
