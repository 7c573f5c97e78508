"""Benchmark: thresholds of the health test, its false alarms and its delays after a break, on simulated markets.

python -m benchmarks.health [histories]      histories per world, default 2,000 (about five minutes on one core)

Prints seeds/health_thresholds.csv and the two tables behind DECISIONS.md. tests/python/test_health.py repeats them with
fewer histories.
"""

import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.health import page_cusum
from zl_forecast.thresholds import threshold

HORIZONS = (5, 20, 60, 120)
WEEK, MONTH, YEAR = 5, 20, 260  # sessions
FIRST_TRAIN = 520  # two years before the first fold
# folds of one year: expected skill is measured on at least three, false alarms are counted over the next five
WARM_UP, JUDGED = 3, 5
N_FOLDS = WARM_UP + JUDGED
N_ROWS = FIRST_TRAIN + N_FOLDS * YEAR
BREAK_AT = FIRST_TRAIN + (WARM_UP + 1) * YEAR + 50  # session: ten weeks into the second judged year
ALLOWANCE = 0.25
SPREAD_FLOOR = {5: 0.01, 20: 0.03, 60: 0.04, 120: 0.04}  # of the reference's 80 % band
SIGNALS = (0.93, 0.93, 0.98, 0.98, 0.99)  # decay of each family's signal: the driver, and four without information
RATES = {
    "watch_at": 0.30,
    "degraded_at": 0.10,
}  # maximum fraction of histories with a false alarm within the JUDGED years


@dataclass(frozen=True)
class World:
    """A market: the strength of its driver and the distribution of its noise.

    Attributes
    ----------
    strength : float
        Drift per session in units of daily volatility per standard deviation of the driver; the sample's `energy` has 0.25.
    degrees_of_freedom : float
        Of Student's t; infinity for Gaussian noise.
    volatility_shock : float
        Standard deviation of the daily shock to log volatility, whose half-life is two months.
    """

    strength: float
    degrees_of_freedom: float = np.inf
    volatility_shock: float = 0.0


WORLDS = {
    "gaussian, no driver": World(0.0),
    "gaussian, driver": World(0.25),
    "t5 and changing volatility, no driver": World(0.0, 5, 0.08),
    "t5 and changing volatility, driver": World(0.25, 5, 0.08),
    "gaussian, weak driver": World(0.15),
}
WITH_DRIVER = [name for name, world in WORLDS.items() if world.strength]


@dataclass(frozen=True)
class Forecasts:
    """Out-of-sample losses of one horizon in percent of price, one column per session; NaN before the first fold.

    Attributes
    ----------
    horizon : int
    loss : array of shape (n_families, n_histories, N_ROWS)
    reference_loss, scale : arrays of shape (n_histories, N_ROWS)
        The reference's 80 % band is that of a standard normal in units of scale.
    """

    horizon: int
    loss: np.ndarray
    reference_loss: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Weeks:
    """One horizon of int_health__weeks.

    Attributes
    ----------
    x : array of shape (n_histories, n_weeks)
        Standardised excess loss; NaN if nothing matured or the expected skill has too few weeks. Week 0 starts at session 0.
    fold : array of shape (n_weeks,)
        Fold of the rows that matured; -1 if none did.
    expected : array of shape (n_histories, N_FOLDS)
        Skill of the champion, measured before each fold; NaN in the first. Both may be renewed within a fold.
    champion : array of shape (n_histories, N_FOLDS)
        Family with the highest skill before the fold; the first family in the first fold; -1 (the reference) if no
        skill is positive.
    """

    x: np.ndarray
    fold: np.ndarray
    expected: np.ndarray
    champion: np.ndarray

    @cached_property
    def statistic(self) -> np.ndarray:
        """CUSUM, shape of x: reset at each fold before the JUDGED years, then continuous, as over a ledger."""
        out = np.zeros_like(self.x)
        for own in [*(self.fold == fold for fold in range(WARM_UP)), self.fold >= WARM_UP]:
            out[:, own] = page_cusum(self.x[:, own], ALLOWANCE)
        return out

    def highest(self) -> np.ndarray:
        """Return the highest statistic of each history over the JUDGED years; shape (n_histories,)."""
        return self.statistic[:, self.fold >= WARM_UP].max(axis=1)

    def delays(self, threshold: float) -> np.ndarray:
        """Return the weeks from the break to the first alarm: 1 in the week of the break, infinity without an alarm."""
        first = BREAK_AT // WEEK
        alarm = (self.statistic >= threshold) & (self.fold >= WARM_UP)
        alarm[:, :first] = False
        return np.where(alarm.any(axis=1), alarm.argmax(axis=1) - first + 1.0, np.inf)


def simulated(world: World, n: int, seed: int, break_at: int | None = None) -> dict[int, Forecasts]:
    """Simulate forecasts of correctly specified families, refitted once per year, and of the reference.

    The driver is an AR(1) with the sample's decay. Each family regresses the standardised return on its signal, over
    all rows that matured before the fold, and forecasts normal quantiles around the fit. The first family's signal is
    the driver; the others' are AR(1)s without information. The reference's quantiles are around the last price. All
    use the same EWMA volatility. There are several families because selecting the best of them overstates its expected
    skill, as in the tournament.

    Parameters
    ----------
    world : World
    n : int
        Histories.
    seed : int
    break_at : int, optional
        First session with the driver's sign flipped.

    Returns
    -------
    dict of horizon to Forecasts
    """
    rng = np.random.default_rng(seed)
    warm = 250  # sessions until volatility and driver have settled
    shape = (n, warm + N_ROWS + max(HORIZONS))
    signals = [lfilter([np.sqrt(1 - phi**2)], [1, -phi], rng.standard_normal(shape)) for phi in SIGNALS]
    freedom = world.degrees_of_freedom
    noise = (
        rng.standard_t(freedom, shape) * np.sqrt(1 - 2 / freedom)
        if np.isfinite(freedom)
        else rng.standard_normal(shape)
    )
    log_volatility = lfilter([world.volatility_shock], [1, -(0.5 ** (1 / 42))], rng.standard_normal(shape))
    sign = np.ones(shape[1])
    if break_at is not None:
        sign[warm + break_at :] = -1
    drift = world.strength * np.pad(signals[0], ((0, 0), (1, 0)))[:, :-1] * sign  # known one session before
    returns = 0.015 * np.exp(log_volatility) * (drift + noise)
    start = np.full((n, 1), 0.97 * 0.015**2)
    sigma = np.sqrt(lfilter([0.03], [1, -0.97], returns**2, zi=start)[0])[:, warm : warm + N_ROWS]
    price = np.cumsum(returns, axis=1)[:, warm:]
    signals = [signal[:, warm : warm + N_ROWS] for signal in signals]
    return {horizon: _forecasts(price, sigma, signals, horizon) for horizon in HORIZONS}


def _forecasts(price: np.ndarray, sigma: np.ndarray, signals: list[np.ndarray], horizon: int) -> Forecasts:
    unit = sigma * np.sqrt(horizon)
    z = (price[:, horizon : N_ROWS + horizon] - price[:, :N_ROWS]) / unit
    loss = np.full((len(signals), *z.shape), np.nan)
    for family, signal in enumerate(signals):
        for start in fold_starts():
            train = slice(0, start - settings.EMBARGO_SESSIONS - horizon)
            x, y = signal[:, train], z[:, train]
            slope = (x * y).sum(axis=1, keepdims=True) / (x**2).sum(axis=1, keepdims=True)
            spread = (y - slope * x).std(axis=1, keepdims=True)
            own = slice(start, start + YEAR)
            loss[family, :, own] = _normal_pinball(z[:, own], slope * signal[:, own], spread)
    return Forecasts(horizon, 100 * unit * loss, 100 * unit * _normal_pinball(z, 0.0, 1.0), 100 * unit)


def _normal_pinball(z: np.ndarray, centre, spread) -> np.ndarray:
    """Compute the mean pinball loss of normal P10, P50 and P90, standardised."""
    errors = {level: z - (centre + spread * norm.ppf(level)) for level in settings.SCORED_LEVELS}
    return sum(np.maximum(level * e, (level - 1) * e) for level, e in errors.items()) / len(errors)


def fold_starts() -> np.ndarray:
    """Return the first session of each fold; shape (N_FOLDS,)."""
    return FIRST_TRAIN + YEAR * np.arange(N_FOLDS)


def weekly(forecasts: Forecasts, renewed: int = MONTH) -> Weeks:
    """Compute weekly excess losses: a second implementation of int_health__expected_skill and int_health__weeks.

    Parameters
    ----------
    forecasts : Forecasts
    renewed : int
        Sessions after which champion and expected skill are renewed: a month in operation, a year in the backtest.
    """
    first_week = (FIRST_TRAIN + forecasts.horizon) // WEEK  # of the target dates
    width = 2 * norm.ppf(0.9) * forecasts.scale
    losses = (forecasts.loss, forecasts.reference_loss)
    sums, reference_sums = (_by_week(loss).sum(axis=-1).cumsum(axis=-1) for loss in losses)
    means, reference_means = (_by_week(loss / width).mean(axis=-1) for loss in losses)
    n, n_weeks = reference_means.shape
    x = np.full((n, (N_ROWS + max(HORIZONS)) // WEEK), np.nan)
    fold = np.full(x.shape[1], -1)
    expected, champion = np.full((n, N_FOLDS), np.nan), np.zeros((n, N_FOLDS), int)
    for week in range(0, n_weeks, renewed // WEEK):
        number, sessions_in_fold = divmod(week * WEEK, YEAR)
        own = slice(week, week + renewed // WEEK)
        fold[first_week + own.start : first_week + own.stop] = number
        n_past = week - (settings.EMBARGO_SESSIONS + forecasts.horizon) // WEEK
        if n_past <= 0:
            continue
        skills = 1 - sums[:, :, n_past - 1] / reference_sums[:, n_past - 1]
        best, skill = skills.argmax(axis=0), skills.max(axis=0).clip(min=0)
        if sessions_in_fold == 0:
            champion[:, number], expected[:, number] = np.where(skill > 0, best, -1), skill
        if n_past < threshold("min_expected_skill_weeks"):
            continue
        mean = np.where(skill[:, None] > 0, means[best, np.arange(n)], reference_means)
        excess = mean - (1 - skill[:, None]) * reference_means
        spread = excess[:, :n_past].std(axis=1, ddof=1, keepdims=True)
        x[:, first_week + own.start : first_week + own.stop] = excess[:, own] / np.maximum(
            spread, SPREAD_FLOOR[forecasts.horizon]
        )
    return Weeks(x, fold, expected, champion)


def _by_week(values: np.ndarray) -> np.ndarray:
    """Divide the sessions of the folds into weeks, which are whole at every horizon; shape (..., n_weeks, WEEK)."""
    return values[..., FIRST_TRAIN:].reshape(*values.shape[:-1], -1, WEEK)


def health(world: str, n: int, seed: int, break_at: int | None = None) -> dict[int, Weeks]:
    """Return `weekly` of `simulated` by horizon, computed in parts to limit memory."""
    parts = [
        {horizon: weekly(f) for horizon, f in simulated(WORLDS[world], size, part_seed, break_at).items()}
        for size, part_seed in zip(
            np.diff([*range(0, n, 250), n]), np.random.SeedSequence(seed).generate_state(-(-n // 250)), strict=True
        )
    ]
    return {
        horizon: Weeks(
            np.concatenate([part[horizon].x for part in parts]),
            parts[0][horizon].fold,
            np.concatenate([part[horizon].expected for part in parts]),
            np.concatenate([part[horizon].champion for part in parts]),
        )
        for horizon in HORIZONS
    }


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = settings.SEED
    highest = {world: {h: weeks.highest() for h, weeks in health(world, n, seed).items()} for world in WORLDS}
    # three standard errors of the simulation below the stated rate, in the world with most false alarms, rounded up
    aimed_at = {name: rate - 3 * np.sqrt(rate * (1 - rate) / n) for name, rate in RATES.items()}
    thresholds = pd.DataFrame(
        [
            {
                "horizon_days": horizon,
                "spread_floor": SPREAD_FLOOR[horizon],
                "allowance": ALLOWANCE,
                **{
                    name: np.ceil(
                        10 * max(np.quantile(highest[world][horizon], 1 - aimed_at[name]) for world in WORLDS)
                    )
                    / 10
                    for name in RATES
                },
                "watch_false_alarms": RATES["watch_at"],
                "degraded_false_alarms": RATES["degraded_at"],
                "years": JUDGED,
            }
            for horizon in HORIZONS
        ]
    )
    print("seeds/health_thresholds.csv\n" + thresholds.to_csv(index=False), flush=True)
    print(f"False alarms within {JUDGED} years on new histories: fraction with state watch / degraded")
    for world in WORLDS:
        fresh = {h: weeks.highest() for h, weeks in health(world, n, seed + 1).items()}
        rates = [
            f"{row.horizon_days}: {np.mean(fresh[row.horizon_days] >= row.watch_at):.1%} / "
            f"{np.mean(fresh[row.horizon_days] >= row.degraded_at):.1%}"
            for row in thresholds.itertuples()
        ]
        print(f"  {world:40}" + "   ".join(rates), flush=True)
    print(
        "\nWeeks from the driver's flip to the alarm: median, 90th percentile; fraction found within 26, 52, 104 weeks"
    )
    for world in WITH_DRIVER:
        broken = health(world, n, seed + 2, BREAK_AT)
        for row in thresholds.itertuples():
            for name in RATES:
                delays = broken[row.horizon_days].delays(getattr(row, name))
                median, most = np.sort(delays)[[len(delays) // 2, 9 * len(delays) // 10]]
                within = ", ".join(f"{np.mean(delays <= limit):.0%}" for limit in (26, 52, 104))
                print(f"  {world:36} {row.horizon_days:4} {name:12} {median:5.0f} {most:5.0f}   {within}")


if __name__ == "__main__":
    main()
