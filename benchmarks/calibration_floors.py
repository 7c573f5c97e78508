"""Benchmark: how low the coverage of an exact 80 % band falls by chance, and how soon a band that covers 60 % is found.

python -m benchmarks.calibration_floors [histories]      histories per world, default 4,000 (one minute on one core)

Prints seeds/calibration_floors.csv and the tables behind DECISIONS.md. tests/python/test_fallbacks.py repeats them with
fewer histories.
"""

import sys

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from benchmarks.health import HORIZONS, JUDGED, WORLDS, YEAR, World
from zl_forecast import settings

WINDOW = 504  # sessions: two years
FALSE_ALARMS = 0.10  # maximum fraction of exact bands that fall below the floor on any day of the JUDGED years
MARGIN = (
    0.05  # the reference must be nearer to 80 % by this much; if it missed just as badly, falling back does not help
)
TRUE_COVERAGE = 0.6  # of the broken band
WORLDS = {name: world for name, world in WORLDS.items() if not world.strength}  # without a driver
CHUNK = 500  # histories simulated at a time, to limit memory


def outcomes(world: World, n: int, horizon: int, seed: int) -> np.ndarray:
    """Simulate standardised returns: returns over the horizon divided by the EWMA volatility known at the origin.

    Returns
    -------
    array of shape (n, WINDOW + JUDGED * YEAR)
        One column per forecast: the first window, then the JUDGED years.
    """
    rng = np.random.default_rng(seed)
    warm = 250  # sessions until volatility has settled
    shape = (n, warm + WINDOW + JUDGED * YEAR + horizon)
    freedom = world.degrees_of_freedom
    noise = (
        rng.standard_t(freedom, shape) * np.sqrt(1 - 2 / freedom)
        if np.isfinite(freedom)
        else rng.standard_normal(shape)
    )
    log_volatility = lfilter([world.volatility_shock], [1, -(0.5 ** (1 / 42))], rng.standard_normal(shape))
    returns = np.exp(log_volatility) * noise
    sigma = np.sqrt(lfilter([0.03], [1, -0.97], returns**2, zi=np.full((n, 1), 0.97))[0])
    price = np.cumsum(returns, axis=1)
    z = (price[:, horizon:] - price[:, :-horizon]) / (sigma[:, :-horizon] * np.sqrt(horizon))
    return z[:, warm:]


def coverage(inside: np.ndarray) -> np.ndarray:
    """Compute the coverage of the last WINDOW rows; one column per end of a window."""
    total = np.cumsum(np.pad(inside, ((0, 0), (1, 0))), axis=1, dtype=float)
    return (total[:, WINDOW:] - total[:, :-WINDOW]) / WINDOW


def lowest(world: str, horizon: int, n: int, seed: int, step: int = 1) -> np.ndarray:
    """Compute the lowest coverage of each history in the JUDGED years, checked every `step` sessions; shape (n,)."""
    parts = []
    for number, size in enumerate(np.diff([*range(0, n, CHUNK), n])):
        z = np.abs(outcomes(WORLDS[world], size, horizon, seed + 1000 * number))
        parts.append(coverage(z <= np.quantile(z, 0.8))[:, ::step].min(axis=1))
    return np.concatenate(parts)


def delays(world: str, horizon: int, floor: float, n: int, seed: int) -> np.ndarray:
    """Compute the sessions from the first forecast of the broken band to the fallback; infinite without a fallback.

    The decision is that of int_ensemble__fallbacks. The reference, and forecasts made before the break, cover 80 %.
    """
    parts = []
    for number, size in enumerate(np.diff([*range(0, n, CHUNK), n])):
        z = np.abs(outcomes(WORLDS[world], size, horizon, seed + 1000 * number))
        reference = z <= np.quantile(z, 0.8)
        broken = np.where(np.arange(z.shape[1]) < WINDOW, reference, z <= np.quantile(z, TRUE_COVERAGE))
        own, others = coverage(broken), coverage(reference)
        falls_back = (own < floor) & (np.abs(own - 0.8) - np.abs(others - 0.8) >= MARGIN)
        falls_back[:, 0] = False  # before the first outcome of the break
        parts.append(np.where(falls_back.any(axis=1), falls_back.argmax(axis=1) + float(horizon), np.inf))
    return np.concatenate(parts)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    seed = settings.SEED
    # three standard errors of the simulation below the stated rate, in the world with the lowest coverage, rounded down
    aimed_at = FALSE_ALARMS - 3 * np.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / n)
    lowest_coverage = {(world, horizon): lowest(world, horizon, n, seed) for world in WORLDS for horizon in HORIZONS}
    floors = {
        horizon: np.floor(100 * min(np.quantile(lowest_coverage[world, horizon], aimed_at) for world in WORLDS)) / 100
        for horizon in HORIZONS
    }
    seed_file = pd.DataFrame({"horizon_days": list(floors), "coverage_floor": list(floors.values())})
    print(
        "seeds/calibration_floors.csv\n"
        + seed_file.assign(margin=MARGIN, false_alarms=FALSE_ALARMS, years=JUDGED, window_sessions=WINDOW).to_csv(
            index=False
        )
    )
    print(f"Exact bands on new histories: fraction below the floor within {JUDGED} years, checked daily / weekly")
    for world in WORLDS:
        rates = [
            " / ".join(f"{np.mean(lowest(world, horizon, n, seed + 1, step) < floor):.1%}" for step in (1, 5))
            for horizon, floor in floors.items()
        ]
        print(f"  {world:40}" + "   ".join(f"{horizon}: {rate}" for horizon, rate in zip(floors, rates, strict=True)))
    print(f"\nBands that cover {TRUE_COVERAGE:.0%}: fraction found within 1, 2, 5 years; median sessions until then")
    for world in WORLDS:
        for horizon, floor in floors.items():
            delay = delays(world, horizon, floor, n, seed + 2)
            within = ", ".join(f"{np.mean(delay <= years * YEAR):.0%}" for years in (1, 2, 5))
            print(f"  {world:40} {horizon:4}   {within}   {np.median(delay):.0f}")


if __name__ == "__main__":
    main()
