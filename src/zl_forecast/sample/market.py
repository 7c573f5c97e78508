"""The stochastic model of the simulated market.

**Soybean oil (ZL).** With p the log price of the front contract, roll steps left out of r:

    r[t+1]    = d[t] + exp(v[t+1]) * e[t+1] + J[t+1]
    v[t+2]    = c + phi * (v[t+1] - c) + 0.015 * n[t+1],   corr(e, n) = -0.2

* Log volatility v is a slow AR(1), half-life two years: Taylor (1986), Modelling Financial Time Series, ch.
  3; the discrete cousin of Heston (1993), Rev. Financial Studies 6. So slow a volatility is tracked nearly
  as well by an exponentially weighted estimate as by any model: in `random_walk` nothing should beat a
  scaled random walk.
* Leverage hits the *next* session's volatility, which keeps r a martingale difference where d = 0:
  Yu (2005), J. Econometrics 127.
* Jumps J come about three times a year, sd 2.5 %: Merton (1976), J. Financial Economics 3.
* Rolls: on the first session from the 22nd of the month before a contract month the front contract changes
  and the price steps by a small random carry.

**Drift is the only difference between the worlds.** `random_walk`: d = 0. `planted`:

    d[t] = -PLANTED["crush"] * gap[t]  +  PLANTED["energy"] * exp(v[t+1]) * momentum[t]

* gap = log oil value - log meal value of a bushel, less its constant equilibrium: the log odds of the oil
  share. ZL corrects it with a constant half-life: Engle and Granger (1987), Econometrica 55. ZM moves with
  the same volatility factor, hence the gap in volatility units, and with it the drift in volatility units,
  has a stable spread.
* momentum = exponentially weighted mean of crude oil's shocks in its own volatility units, variance 1,
  visible at t. Its push reaches oil and meal alike, and crude's same-day correlation with both is equal: so
  momentum and gap are unrelated, and each bucket can find its own part without seeing the other's.

`broken` is `planted`, to the last digit, until BREAK_ON; from then on momentum pushes the other way. It is there to see
whether a model that has stopped working is found.

**The rest of the crush complex follows ZL, never leads it** (ZL is weakly exogenous in `random_walk`): ZM
closes a little of the gap, ZS is the products' value less a crush margin that is positive by construction,
and cointegrated. Energy products hang on crude by stationary cracks. All else (currencies, metals, grains,
rates, equity, VIX) is a mean-reverting log price with its own stochastic volatility; shocks correlate with
ZL's on the same day and with nothing of its future.

**Randomness**: one child stream per component, keyed by its name, read in the order of time. A new symbol
changes no other, an earlier `end` gives the same beginning, and all worlds share every shock.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import ZlForecastError

MODEL_VERSION = "1"
WORLDS = {
    "planted": "crush and energy truly drive ZL, by known coefficients; no other bucket does",
    "random_walk": "nothing drives ZL: its log price is a martingale with stochastic volatility",
    "broken": "as `planted` until October 2021, from when on crude drives ZL the other way",
}
PLANTED = {
    "crush": 0.06,  # part of the oil-share gap that ZL's drift closes per session
    "energy": 0.25,  # drift in units of ZL's daily volatility, per standard deviation of crude's momentum
}
BREAK_ON = "2021-10-01"  # in `broken`: years of history before, years to find it after

# ZL
LOG_VOL_MEAN = float(np.log(0.0138))  # of daily returns
LOG_VOL_PHI = 0.5 ** (1 / 504)  # half-life: two years
LOG_VOL_SHOCK = 0.015  # so the stationary sd is 0.29
LEVERAGE = -0.2
JUMPS_PER_SESSION = 3 / 252
JUMP_SD = 0.025
# crush complex; 11 lb of oil and 44 lb of meal from a bushel of beans
OIL_USD_PER_BU = 0.11  # per cent/lb of ZL
MEAL_USD_PER_BU = 0.022  # per USD/short ton of ZM
OIL_MEAL_EQUILIBRIUM = float(np.log(0.11 * 42 / (0.022 * 345)))
MEAL_CATCH_UP = 0.005  # part of the gap that ZM closes per session, in every world
MEAL_VOL_RATIO = 1.6  # ZM's volatility over ZL's: what moves the gap most
MEAL_LOADINGS = {
    "ZL": 0.25,
    "CL": 0.21,
}  # about crude's correlation with ZL, so that crude's shocks leave the gap alone
MARGIN_PER_GAP = -0.7  # log crush margin per unit of gap
CRUSH_MARGIN = 0.13  # typical share of the products' value left to the crusher
# energy
VIX_MAX = 85.0  # its highest close is 82.69, in March 2020
CRUDE_ZL_CORRELATION = 0.3
MOMENTUM_DECAY = 0.93  # mean age of the shocks in it: 13 sessions
# rolls
ROLL_STEP_SD = 0.0035
ROLL_STEP_MAX = 0.009
OVERNIGHT_SHARE = 0.15  # of a day's variance that falls between close and open


@dataclass(frozen=True)
class Symbol:
    """How one futures contract trades.

    Attributes
    ----------
    tick : float
        Smallest price step, exchange units.
    volume : float
        Typical contracts a day.
    months : str
        Contract month letters of its roll cycle.
    missing : float
        Chance that a session has no bar.
    """

    tick: float
    volume: float
    months: str
    missing: float = 0.0008


@dataclass(frozen=True)
class FreeSymbol(Symbol):
    """A log price that reverts to an anchor and follows nothing but its own shocks and same-day correlations.

    Attributes
    ----------
    anchor : float
        Level it reverts to, exchange units.
    daily_vol : float
        Typical daily volatility of log returns.
    half_life : int
        Sessions in which half of a deviation from the anchor is gone.
    loadings : dict
        Correlation of its daily shock with the shocks of others.
    """

    anchor: float = 1.0
    daily_vol: float = 0.01
    half_life: int = 500
    loadings: dict[str, float] = field(default_factory=dict)


GRAIN_MONTHS, QUARTERS, ALL_MONTHS = "HKNUZ", "HMUZ", "FGHJKMNQUVXZ"
FOLLOWERS = {  # prices computed from others
    "ZL": Symbol(0.01, 55_000, "FHKNQUVZ", 0.0009),
    "ZM": Symbol(0.1, 45_000, "FHKNQUVZ"),
    "ZS": Symbol(0.25, 100_000, "FHKNQUX"),
    "BZ": Symbol(0.01, 30_000, ALL_MONTHS, 0.002),
    "HO": Symbol(0.0001, 45_000, ALL_MONTHS, 0.002),
    "RB": Symbol(0.0001, 45_000, ALL_MONTHS, 0.002),
    "ES": Symbol(0.25, 1_400_000, QUARTERS),
    "ZT": Symbol(1 / 256, 300_000, QUARTERS),
    "ZF": Symbol(1 / 128, 700_000, QUARTERS),
    "ZN": Symbol(1 / 64, 1_200_000, QUARTERS),
    "ZQ": Symbol(0.0025, 25_000, ALL_MONTHS, 0.002),
}
FREE = {
    "CL": FreeSymbol(0.01, 350_000, ALL_MONTHS, 0.0008, 68.0, 0.020, 250, {"ZL": CRUDE_ZL_CORRELATION}),
    "6E": FreeSymbol(0.00005, 190_000, QUARTERS, 0.001, 1.15, 0.0050, 700, {"ZL": 0.10}),
    "HG": FreeSymbol(0.0005, 55_000, "HKNUZ", 0.001, 3.2, 0.0130, 600, {"ZL": 0.20, "CL": 0.25}),
    "GC": FreeSymbol(0.1, 170_000, "GJMQZ", 0.001, 1500.0, 0.0095, 900, {"6E": 0.35}),
    "NG": FreeSymbol(0.001, 120_000, ALL_MONTHS, 0.001, 3.1, 0.030, 200, {"CL": 0.1}),
    "ZC": FreeSymbol(0.25, 140_000, GRAIN_MONTHS, 0.0008, 420.0, 0.0150, 400, {"ZL": 0.30, "ZM": 0.35}),
    "ZW": FreeSymbol(0.25, 60_000, GRAIN_MONTHS, 0.0008, 570.0, 0.0175, 400, {"ZL": 0.20, "ZC": 0.50}),
    "HE": FreeSymbol(0.025, 16_000, "GJKMNQVZ", 0.001, 80.0, 0.0190, 200, {"ZC": 0.05}),
    "6A": FreeSymbol(0.00005, 90_000, QUARTERS, 0.001, 0.76, 0.0062, 700, {"ZL": 0.10, "6E": 0.50, "HG": 0.25}),
    "6B": FreeSymbol(0.0001, 95_000, QUARTERS, 0.001, 1.35, 0.0057, 700, {"6E": 0.60}),
    "6C": FreeSymbol(0.00005, 70_000, QUARTERS, 0.001, 0.78, 0.0047, 700, {"ZL": 0.05, "6E": 0.40, "CL": 0.35}),
    "6J": FreeSymbol(5e-7, 110_000, QUARTERS, 0.001, 0.0085, 0.0056, 700, {"6E": 0.30}),
    "6L": FreeSymbol(0.00005, 3_000, ALL_MONTHS, 0.004, 0.24, 0.0105, 700, {"ZL": 0.20, "6E": 0.30}),
    "6M": FreeSymbol(0.00001, 40_000, QUARTERS, 0.002, 0.054, 0.0075, 700, {"ZL": 0.05, "6E": 0.25, "CL": 0.20}),
}
SYMBOLS = {**FOLLOWERS, **FREE}
MONTH_LETTERS = "FGHJKMNQUVXZ"


class UnknownWorld(ZlForecastError):
    """A world that this model does not simulate."""

    def __init__(self, *, world: str):
        self.world = world
        known = "; ".join(f"{name!r}: {meaning}" for name, meaning in WORLDS.items())
        super().__init__(f"There is no simulated world {world!r}. Choose one of {len(WORLDS)}: {known}.")


@dataclass(frozen=True)
class Market:
    """One simulated market: the landing tables, and what only its maker knows.

    Attributes
    ----------
    world, seed, start, end
        The arguments it was made with.
    bars, series, policy_events : DataFrame
        The landing tables; dates are datetime64 here and DATE in the files.
    latent : DataFrame
        One row per session, index as_of_date: log_close (ZL before rounding to ticks), log_vol (of the
        *next* session's ZL shock), gap (oil-share gap), momentum (of crude). The full state that ZL's
        future depends on.
    rolls : DataFrame
        Whether ZL, ZM change contract (columns of bool); index as_of_date, reaching 200 sessions beyond
        `end`.
    """

    world: str
    seed: int
    start: str
    end: str
    bars: pd.DataFrame
    series: pd.DataFrame
    policy_events: pd.DataFrame
    latent: pd.DataFrame
    rolls: pd.DataFrame


@dataclass(frozen=True)
class Path:
    """A symbol's simulated closes; arrays of shape (n_sessions,).

    Attributes
    ----------
    log_close : array
        Log price of the front contract, before rounding.
    vol : array
        True volatility of the day's log return.
    step : array
        Log price step of a roll, 0 on other days.
    """

    log_close: np.ndarray
    vol: np.ndarray
    step: np.ndarray


def simulate(world: str, seed: int = 3, start: str = "2013-01-02", end: str = "2025-12-31") -> Market:
    """Simulate one world from start to end.

    Parameters
    ----------
    world : {"planted", "random_walk", "broken"}
        See `WORLDS`.
    seed : int
        Same arguments, same market, to the last digit. With the default seed and dates ZL stays within
        15-100 cents/lb (25-121 in `broken`); another seed may wander out of it, since a random walk knows no
        bounds.
    start, end : str
        First and last date. An earlier end gives the beginning of the longer market.

    Raises
    ------
    UnknownWorld
        `world` is not in `WORLDS`.
    """
    if world not in WORLDS:
        raise UnknownWorld(world=world)
    from zl_forecast.sample.bars import daily_bars
    from zl_forecast.sample.series import macro_series, policy_events

    streams = Streams(seed)
    calendar = pd.DatetimeIndex(exchange_sessions(["CMEGlobex_Grains"], start, "2046-12-31")["session_date"]).as_unit(
        "ns"
    )
    n = int(calendar.searchsorted(pd.Timestamp(end), side="right"))
    sessions = calendar[:n]
    extended = calendar[: n + 200]
    rolls = pd.DataFrame({name: roll_days(extended, SYMBOLS[name].months) for name in ("ZL", "ZM")}, index=extended)

    paths, latent = _prices(world, sessions, streams)
    rates = _rates(sessions, streams)
    paths |= _rate_futures(rates, sessions, streams)
    events = policy_events(sessions, streams)
    return Market(
        world=world,
        seed=seed,
        start=start,
        end=end,
        bars=daily_bars(paths, sessions, streams),
        series=macro_series(paths, rates, events, sessions, streams),
        policy_events=events,
        latent=latent,
        rolls=rolls,
    )


class Streams:
    """Independent random streams, one per name, all from one seed."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, name: str) -> np.random.Generator:
        child = np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(name.encode()),))
        return np.random.default_rng(child)


def ar1(phi: float, shocks: np.ndarray, first: float = 0.0) -> np.ndarray:
    """x[0] = first, x[t] = phi * x[t-1] + shocks[t]; shape (n,)."""
    path = np.empty(len(shocks))
    x = first
    path[0] = x
    for t in range(1, len(shocks)):
        x = phi * x + shocks[t]
        path[t] = x
    return path


def stationary_ar1(half_life: float, sd: float, noise: np.ndarray) -> np.ndarray:
    """AR(1) around 0 with a half-life (steps) and a stationary sd, begun from its stationary law."""
    phi = 0.5 ** (1 / half_life)
    return ar1(phi, noise * sd * np.sqrt(1 - phi**2), first=sd * noise[0])


def roll_days(sessions: pd.DatetimeIndex, months: str) -> np.ndarray:
    """Whether a session is a roll: the first one from the 22nd of the month before a contract month."""
    month_of_next_contract = sessions.month.to_numpy() % 12  # index into MONTH_LETTERS of the month that follows
    late = sessions.day.to_numpy() >= 22
    first_late = late & ~np.concatenate([[True], late[:-1]])
    return first_late & np.isin(month_of_next_contract, [MONTH_LETTERS.index(letter) for letter in months])


def roll_steps(name: str, sessions: pd.DatetimeIndex, streams: Streams, sd: float = ROLL_STEP_SD) -> np.ndarray:
    """Log price steps of a symbol's rolls, 0 on other days; shape (n_sessions,)."""
    step = np.clip(sd * streams(f"{name} roll").standard_normal(len(sessions)), -ROLL_STEP_MAX, ROLL_STEP_MAX)
    return np.where(roll_days(sessions, SYMBOLS[name].months), step, 0.0)


def _prices(world: str, sessions: pd.DatetimeIndex, streams: Streams) -> tuple[dict[str, Path], pd.DataFrame]:
    """All prices but those of interest rates, and ZL's latent state."""
    n = len(sessions)
    noise = {name: streams(f"{name} shock").standard_normal(n) for name in ("ZL", "ZM", *FREE)}
    shocks = {"ZL": noise["ZL"]}
    loadings = {"CL": FREE["CL"].loadings, "ZM": MEAL_LOADINGS} | {
        name: symbol.loadings for name, symbol in FREE.items()
    }
    for name, weights in loadings.items():
        shocks[name] = correlated(noise[name], weights, shocks)

    momentum = ar1(MOMENTUM_DECAY, shocks["CL"] * np.sqrt(1 - MOMENTUM_DECAY**2))
    paths, latent = _oil_and_meal(world, sessions, streams, shocks, momentum)
    paths["ZS"] = _soybeans(paths, latent["gap"].to_numpy(), sessions, streams)
    for name, symbol in FREE.items():
        paths[name] = _free(name, symbol, shocks[name], sessions, streams)
    paths |= _oil_products(paths["CL"], sessions, streams)
    paths |= _equity(sessions, streams)
    return paths, latent


def correlated(noise: np.ndarray, loadings: dict[str, float], shocks: dict[str, np.ndarray]) -> np.ndarray:
    """Shock of about unit variance (exactly, with one loading) that loads on others; shape of `noise`."""
    own = np.sqrt(1 - sum(weight**2 for weight in loadings.values()))
    return own * noise + sum(weight * shocks[name] for name, weight in loadings.items())


def gap_correction(world: str) -> float:
    """Part of the oil-share gap that ZL's drift closes per session."""
    return 0.0 if world == "random_walk" else PLANTED["crush"]


def crude_push(world: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Drift of each session in units of ZL's volatility, per standard deviation of crude's momentum; shape (n_sessions,)."""
    push = np.full(len(sessions), 0.0 if world == "random_walk" else PLANTED["energy"])
    return np.where(sessions >= BREAK_ON, -push, push) if world == "broken" else push


def _oil_and_meal(
    world: str,
    sessions: pd.DatetimeIndex,
    streams: Streams,
    shocks: dict[str, np.ndarray],
    momentum: np.ndarray,
) -> tuple[dict[str, Path], pd.DataFrame]:
    """ZL and ZM, which share the oil-share gap; the only place where the worlds differ."""
    n = len(sessions)
    close_gap, push = gap_correction(world), crude_push(world, sessions)

    vol_noise = LEVERAGE * shocks["ZL"] + np.sqrt(1 - LEVERAGE**2) * streams("ZL log vol").standard_normal(n)
    # the shock of session t moves the volatility of t + 1
    next_log_vol = LOG_VOL_MEAN + ar1(LOG_VOL_PHI, LOG_VOL_SHOCK * vol_noise)
    vol = np.exp(np.concatenate([[LOG_VOL_MEAN], next_log_vol[:-1]]))
    jumps = streams("ZL jump").random(n) < JUMPS_PER_SESSION
    oil_news = vol * shocks["ZL"] + jumps * JUMP_SD * streams("ZL jump size").standard_normal(n)
    meal_news = MEAL_VOL_RATIO * vol * shocks["ZM"]
    oil_step, meal_step = roll_steps("ZL", sessions, streams), roll_steps("ZM", sessions, streams)

    oil, meal, gap = np.empty(n), np.empty(n), np.empty(n)
    oil[0], meal[0], gap[0] = np.log(42.0), np.log(345.0), 0.0
    for t in range(1, n):
        trend = push[t] * vol[t] * momentum[t - 1]
        oil[t] = oil[t - 1] - close_gap * gap[t - 1] + trend + oil_news[t] + oil_step[t]
        meal[t] = meal[t - 1] + MEAL_CATCH_UP * gap[t - 1] + trend + meal_news[t] + meal_step[t]
        gap[t] = oil[t] - meal[t] + np.log(OIL_USD_PER_BU / MEAL_USD_PER_BU) - OIL_MEAL_EQUILIBRIUM

    latent = pd.DataFrame(
        {"log_close": oil, "log_vol": next_log_vol, "gap": gap, "momentum": momentum},
        index=sessions.rename("as_of_date"),
    )
    return {"ZL": Path(oil, vol, oil_step), "ZM": Path(meal, MEAL_VOL_RATIO * vol, meal_step)}, latent


def _soybeans(paths: dict[str, Path], gap: np.ndarray, sessions: pd.DatetimeIndex, streams: Streams) -> Path:
    """ZS: the products' value less a positive crush margin, narrower while oil is dear against meal."""
    n = len(sessions)
    products = OIL_USD_PER_BU * np.exp(paths["ZL"].log_close) + MEAL_USD_PER_BU * np.exp(paths["ZM"].log_close)
    step = roll_steps("ZS", sessions, streams)
    wide = MARGIN_PER_GAP * gap + stationary_ar1(60, 0.15, streams("ZS margin").standard_normal(n))
    wide -= ar1(0.5 ** (1 / 60), step * (1 - CRUSH_MARGIN) / CRUSH_MARGIN)
    margin = CRUSH_MARGIN * np.exp(np.clip(wide, -1.2, 0.8))
    return Path(np.log(100 * products * (1 - margin)), 0.9 * paths["ZL"].vol, step)


def _free(name: str, symbol: FreeSymbol, shocks: np.ndarray, sessions: pd.DatetimeIndex, streams: Streams) -> Path:
    log_vol = stationary_ar1(120, 0.3, streams(f"{name} log vol").standard_normal(len(sessions)))
    vol = symbol.daily_vol * np.exp(log_vol)
    sd = min(ROLL_STEP_SD, symbol.daily_vol / 5)
    step = roll_steps(name, sessions, streams, sd)
    deviation = ar1(0.5 ** (1 / symbol.half_life), vol * shocks + step)
    return Path(np.log(symbol.anchor) + deviation, vol, step)


def _oil_products(crude: Path, sessions: pd.DatetimeIndex, streams: Streams) -> dict[str, Path]:
    """BZ, HO and RB: crude plus a crack that always comes back."""
    n = len(sessions)
    year = 2 * np.pi * sessions.dayofyear.to_numpy() / 365.25
    cracks = {  # mean log ratio to crude in the product's unit, sd, seasonal swing
        "BZ": (0.06, 0.035, 0.0 * year),
        "HO": (0.27 - np.log(42), 0.09, 0.03 * np.cos(year)),
        "RB": (0.22 - np.log(42), 0.09, -0.08 * np.cos(year)),
    }
    products = {}
    for name, (mean, sd, season) in cracks.items():
        step = roll_steps(name, sessions, streams)
        crack = stationary_ar1(60, sd, streams(f"{name} crack").standard_normal(n))
        crack += ar1(0.5 ** (1 / 60), step - crude.step)  # crude rolls on the same days, its step is in its close
        products[name] = Path(crude.log_close + mean + season + crack, np.hypot(crude.vol, sd * 0.15), step)
    return products


def _equity(sessions: pd.DatetimeIndex, streams: Streams) -> dict[str, Path]:
    """VIX (a level, not traded here) and ES, whose volatility it is; falling shares raise it."""
    n = len(sessions)
    shocks = streams("ES shock").standard_normal(n)
    # the same stream as in _oil_and_meal: a correlation of 0.1 between the shocks of both volatilities
    noise = (
        -0.7 * shocks + 0.1 * streams("ZL log vol").standard_normal(n) + 0.7 * streams("VIX shock").standard_normal(n)
    )
    log_vol = stationary_ar1(30, 0.45, noise)
    spikes = np.where(streams("VIX spike").random(n) < 1 / 200, streams("VIX spike size").exponential(0.75, n), 0.0)
    vix = np.minimum(8.5 + 7.0 * np.exp(log_vol + ar1(0.5 ** (1 / 15), spikes)), VIX_MAX)
    vol = np.concatenate([[15.5], vix[:-1]]) / 100 / np.sqrt(252) * 0.85
    step = roll_steps("ES", sessions, streams, 0.001)
    growth = np.where(np.arange(n) > 0, 0.0003 + vol * shocks + step, 0.0)
    return {
        "ES": Path(np.log(1450.0) + np.cumsum(growth), vol, step),
        "VIX": Path(np.log(vix), vol, np.zeros(n)),
    }


def _rates(sessions: pd.DatetimeIndex, streams: Streams) -> pd.DataFrame:
    """Policy rate and Treasury yields in percent, one row per session.

    The policy rate moves in quarters at a meeting every sixth week, towards a slow desired rate; the
    ten-year yield is its own mean-reverting process; the two-year lies between them.
    """
    n = len(sessions)
    desired = 2.2 + stationary_ar1(600, 1.3, streams("desired policy rate").standard_normal(n))
    meeting = (sessions.dayofweek.to_numpy() == 2) & (sessions.isocalendar().week.to_numpy() % 6 == 3)
    target = np.empty(n)
    level = max(0.25, np.round(desired[0] * 4) / 4)
    for t in range(n):
        target[t] = level  # a decision takes effect on the next day
        if meeting[t]:
            level = max(0.25, level + np.clip(np.round((desired[t] - level) * 4) / 4, -0.5, 0.5))
    ten = 2.8 * np.exp(stationary_ar1(500, 0.30, streams("ten-year yield").standard_normal(n)))
    own_two = stationary_ar1(120, 0.20, streams("two-year yield").standard_normal(n))
    own_bill = stationary_ar1(20, 0.05, streams("three-month yield").standard_normal(n))
    inflation = 2.1 + stationary_ar1(300, 0.30, streams("breakeven inflation").standard_normal(n))
    two = 0.5 * target + 0.2 * desired + 0.3 * (ten - 0.4) + own_two
    return pd.DataFrame(
        {
            "target": target,
            "fed_funds": target - 0.17 + 0.01 * streams("fed funds").standard_normal(n),
            "bill": np.maximum(target - 0.15 + own_bill, 0.01),
            "two": np.maximum(two, 0.05),
            "ten": ten,
            "inflation": inflation,
        },
        index=sessions,
    )


def _rate_futures(rates: pd.DataFrame, sessions: pd.DatetimeIndex, streams: Streams) -> dict[str, Path]:
    """Note futures by their duration, fed funds futures as 100 less the rate."""
    notes = {  # price at a yield of 2.5 %, duration in years, weight of the ten-year yield
        "ZT": (108.5, 1.9, 0.0),
        "ZF": (118.5, 4.2, 0.5),
        "ZN": (126.5, 6.3, 1.0),
    }
    futures = {}
    for name, (par, duration, weight) in notes.items():
        yields = weight * rates["ten"].to_numpy() + (1 - weight) * rates["two"].to_numpy()
        step = roll_steps(name, sessions, streams, 0.0004)
        carry = ar1(0.5 ** (1 / 120), step)
        log_close = np.log(par) - duration * (yields - 2.5) / 100 + carry
        futures[name] = Path(log_close, np.full(len(rates), duration * 0.055 / 100), step)
    ahead = 0.02 * streams("ZQ premium").standard_normal(len(rates))
    expected = rates["fed_funds"].to_numpy() + ar1(0.9, 0.3 * ahead)
    futures["ZQ"] = Path(np.log(100 - expected), np.full(len(rates), 0.0002), np.zeros(len(rates)))
    return futures
