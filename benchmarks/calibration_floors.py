"""Benchmark, not a test: how low the coverage of an honest 80 % band falls by luck, and how soon one that covers 60 % is found.

python -m benchmarks.calibration_floors [histories]      histories a world, 4,000 unless told otherwise: a minute on one core

It prints seeds/calibration_floors.csv and the tables behind DECISIONS.md. tests/python/test_fallbacks.py repeats them smaller.
"""

import sys

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from benchmarks.health import HORIZONS, JUDGED, WORLDS, YEAR, World
from zl_forecast import settings

WINDOW = 504  # sessions: two years
FALSE_ALARMS = 0.10  # honest histories below the floor on some day of the judged years, at most
MARGIN = 0.05  # by which the reference must be nearer to 80 %; what surprises both alike is no reason to change
TRUE_COVERAGE = 0.6  # of the broken band
WORLDS = {name: world for name, world in WORLDS.items() if not world.strength}  # nobody knows the direction
CHUNK = 500  # histories at a time, to spare memory


def outcomes(world: World, n: int, horizon: int, seed: int) -> np.ndarray:
    """Returns over the horizon in units of the volatility known at the start (EWMA, as in the project).

    Returns
    -------
    array of shape (n, WINDOW + JUDGED * YEAR)
        A column a forecast. The window is full after the first WINDOW of them; then come the judged years.
    """
    rng = np.random.default_rng(seed)
    warm = 250  # sessions, so that volatility has settled
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
    """Coverage of the last WINDOW rows; a column each end of a window."""
    total = np.cumsum(np.pad(inside, ((0, 0), (1, 0))), axis=1, dtype=float)
    return (total[:, WINDOW:] - total[:, :-WINDOW]) / WINDOW


def lowest(world: str, horizon: int, n: int, seed: int, step: int = 1) -> np.ndarray:
    """The lowest coverage that each history shows in the judged years, looked at every `step` sessions; shape (n,)."""
    parts = []
    for number, size in enumerate(np.diff([*range(0, n, CHUNK), n])):
        z = np.abs(outcomes(WORLDS[world], size, horizon, seed + 1000 * number))
        parts.append(coverage(z <= np.quantile(z, 0.8))[:, ::step].min(axis=1))
    return np.concatenate(parts)


def delays(world: str, horizon: int, floor: float, n: int, seed: int) -> np.ndarray:
    """Sessions from the first forecast of the broken band to the fallback, as the model decides; infinite where it does not come.

    The reference keeps covering 80 %; the forecasts made before the break did as well.
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
    # three standard errors of the simulation below the stated rate, in the world that falls lowest, rounded down
    aimed_at = FALSE_ALARMS - 3 * np.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / n)
    found = {(world, horizon): lowest(world, horizon, n, seed) for world in WORLDS for horizon in HORIZONS}
    floors = {
        horizon: np.floor(100 * min(np.quantile(found[world, horizon], aimed_at) for world in WORLDS)) / 100
        for horizon in HORIZONS
    }
    seed_file = pd.DataFrame({"horizon_days": list(floors), "coverage_floor": list(floors.values())})
    print(
        "seeds/calibration_floors.csv\n"
        + seed_file.assign(margin=MARGIN, false_alarms=FALSE_ALARMS, years=JUDGED, window_sessions=WINDOW).to_csv(
            index=False
        )
    )
    print(f"Share of other honest histories below the floor within {JUDGED} years, looked at every day / every week")
    for world in WORLDS:
        rates = [
            " / ".join(f"{np.mean(lowest(world, horizon, n, seed + 1, step) < floor):.1%}" for step in (1, 5))
            for horizon, floor in floors.items()
        ]
        print(f"  {world:40}" + "   ".join(f"{horizon}: {rate}" for horizon, rate in zip(floors, rates, strict=True)))
    print(
        f"\nA band that covers {TRUE_COVERAGE:.0%}: share found within 1, 2, 5 years of its first forecast; median sessions"
    )
    for world in WORLDS:
        for horizon, floor in floors.items():
            took = delays(world, horizon, floor, n, seed + 2)
            within = ", ".join(f"{np.mean(took <= years * YEAR):.0%}" for years in (1, 2, 5))
            print(f"  {world:40} {horizon:4}   {within}   {np.median(took):.0f}")


if __name__ == "__main__":
    main()
