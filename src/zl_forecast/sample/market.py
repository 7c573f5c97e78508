"""The stochastic model of the simulated market.

**Soybean oil (ZL).** With r the log return of the front contract, roll steps left out:

    r[t+1]    = d[t] + exp(v[t+1]) * e[t+1] + J[t+1]
    v[t+2]    = c + phi * (v[t+1] - c) + LOG_VOL_SHOCK * n[t+1],   corr(e, n) = -0.2

It resembles the real market: volatility of 25 to 35 % per year, prices of 20 to 80 cents/lb.

* Log volatility v is a slow AR(1), half-life two years: Taylor (1986), Modelling Financial Time Series, ch.
  3; a discrete relative of Heston (1993), Rev. Financial Studies 6. An exponentially weighted estimate tracks
  so slow a volatility nearly as well as any model: in `random_walk` nothing should beat a volatility-scaled
  random walk.
* Leverage hits the *next* session's volatility, which keeps r a martingale difference where d = 0:
  Yu (2005), J. Econometrics 127.
* Jumps J come about three times a year, sd 4 %: Merton (1976), J. Financial Economics 3.
* Rolls: on the first session from the 22nd of the month before a contract month the front contract changes.
  The continuous price steps by the difference between both contracts at the session before: carry times the
  months between their deliveries. Carry is a slow AR(1) around zero that changes between contango and
  backwardation, and the curve shows it. A step belongs to the continuous series, not to the market: where
  d = 0 the front contract's own return is a martingale difference. A step has an sd of 0.5 %, far below a
  day's move.

**Drift is the only difference between the worlds.** `random_walk`: d = 0. `planted`:

    d[t] = -PLANTED["crush"] * gap[t]  +  PLANTED["energy"] * exp(v[t+1]) * momentum[t]

* gap = log oil value - log meal value of a bushel, less its constant equilibrium: the log odds of the oil
  share. ZL corrects it with a constant half-life: Engle and Granger (1987), Econometrica 55. ZM moves with
  the same volatility factor, hence the gap in volatility units, and with it the drift in volatility units,
  has a stable spread. ZM in turn reverts to its usual price, in every world, with a half-life of 80 sessions.
  The gap passes that on to ZL; without it momentum's pushes would move both away permanently.
* momentum = exponentially weighted mean of crude oil's shocks in its own volatility units, variance 1,
  visible at t. Its push reaches oil and meal alike, and crude's same-day correlation with both is equal: so
  momentum and gap are unrelated, and each bucket can find its own part without seeing the other's.

`broken` is exactly `planted` until BREAK_ON; from then on momentum pushes the other way. It tests whether a
model that has stopped working is detected.

**The rest of the crush complex follows ZL and never leads it** (ZL is weakly exogenous in `random_walk`): ZM
closes a little of the gap; ZS is the products' value less a crush margin that is positive by construction,
and cointegrated. Energy products follow crude with stationary crack spreads. All else (currencies, metals,
grains, rates, equity, VIX) is a mean-reverting log price with its own stochastic volatility. Its shocks
correlate with ZL's on the same day, and not with ZL's future.

**Sessions** are ZL's. A symbol has a bar only if its own exchange is open as well: notes have none on the two
days of mourning on which grains traded. Sessions without grains (Martin Luther King Day in energy) are left out.

**Randomness**: one child stream per component, keyed by its name, read in the order of time. A new symbol
leaves all others unchanged, an earlier `end` gives the same beginning, and all worlds share every shock.
"""

import zlib
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import ZlForecastError

SIMULATOR_VERSION = "2"
WORLDS = {
    "planted": "crush and energy truly drive ZL, by known coefficients; no other bucket does",
    "random_walk": "nothing drives ZL: within a contract its log price is a martingale with stochastic volatility",
    "broken": "as `planted` until October 2021, from when on crude drives ZL the other way",
}
PLANTED = {
    "crush": 0.06,  # fraction of the oil-share gap that ZL's drift closes per session
    "energy": 0.25,  # drift in units of ZL's daily volatility, per standard deviation of crude's momentum
}
DEFAULT_SEED = 16_368
BREAK_ON = "2021-10-01"  # in `broken`: leaves years of history before it, and years to detect it after

# ZL
LOG_VOL_MEAN = float(np.log(0.0165))  # of daily returns: 26 % per year, with jumps and drift about 30 %
LOG_VOL_PHI = 0.5 ** (1 / 504)  # half-life: two years
LOG_VOL_SHOCK = 0.010  # so the stationary sd is 0.19
LEVERAGE = -0.2
JUMPS_PER_SESSION = 3 / 252
JUMP_SD = 0.04
# crush complex; 11 lb of oil and 44 lb of meal from a bushel of beans
OIL_USD_PER_BU = 0.11  # per cent/lb of ZL
MEAL_USD_PER_BU = 0.022  # per USD/short ton of ZM
LOG_OIL_USUAL, LOG_MEAL_USUAL = float(np.log(42.0)), float(np.log(345.0))  # cents/lb, USD/short ton: first prices
MEAL_CATCH_UP = 0.005  # fraction of the gap that ZM closes per session, in every world
MEAL_REVERSION = 1 - 0.5 ** (1 / 80)  # fraction of its deviation from the usual price that ZM loses per session
MEAL_VOL_RATIO = 1.0  # ZM's volatility over ZL's
MEAL_LOADINGS = {"CL": 0.3}  # crude's correlation with ZL, so that crude's shocks leave the gap alone
MARGIN_PER_GAP = -0.7  # log crush margin per unit of gap
BEAN_VOL_RATIO = 0.8  # ZS's volatility over ZL's: oil and meal hardly move together
CRUSH_MARGIN = 0.13  # typical fraction of the products' value left to the crusher
# energy
VIX_MAX = 85.0  # the highest real close is 82.69, in March 2020
CRUDE_ZL_CORRELATION = 0.3
MOMENTUM_DECAY = 0.93  # mean age of the shocks in it: 13 sessions
# rolls and curve
CARRY_HALF_LIFE = 60  # sessions
OVERNIGHT_SHARE = 0.05  # fraction of a day's variance between close and open: the night session opens at 19:00

# exchange calendars, as pandas_market_calendars names them
GRAINS, ENERGY_AND_METALS, EQUITY_AND_FX = "CMEGlobex_Grains", "CMEGlobex_EnergyAndMetals", "CME Globex Equity"
RATES, HOGS = "CME_Rate", "CMEGlobex_Lean_Hog"
GRAIN_MONTHS, QUARTERS, ALL_MONTHS = "HKNUZ", "HMUZ", "FGHJKMNQUVXZ"


@dataclass(frozen=True)
class Symbol:
    """How one futures contract trades.

    Attributes
    ----------
    calendar : str
        Exchange calendar with its sessions.
    tick : float
        Smallest price step, exchange units.
    volume : float
        Typical contracts per day.
    months : str
        Contract month letters of its roll cycle.
    carry : float
        Typical log price difference per month between two neighbouring deliveries.
    missing : float
        Probability that a session has no bar.
    roll_day : int
        Day of the month before delivery from which the next contract is the front.
    """

    calendar: str
    tick: float
    volume: float
    months: str
    carry: float = 0.003
    missing: float = 0.001
    roll_day: int = 22


@dataclass(frozen=True)
class FreeSymbol(Symbol):
    """A symbol whose log price reverts to an anchor, driven by its own shocks and same-day correlations only.

    Attributes
    ----------
    anchor : float
        Level to which it reverts, exchange units.
    daily_vol : float
        Typical daily volatility of log returns.
    half_life : int
        Sessions after which half of a deviation from the anchor is gone.
    loadings : dict
        Correlation of its daily shock with the shocks of others.
    """

    anchor: float = 1.0
    daily_vol: float = 0.01
    half_life: int = 500
    loadings: dict[str, float] = field(default_factory=dict)


EnergySymbol = TypeVar("EnergySymbol", bound=Symbol)


def _energy(symbol: type[EnergySymbol], tick: float, volume: float, **more) -> EnergySymbol:
    """Return crude or a product, which expire around the 20th of the month before delivery and roll earlier."""
    return symbol(ENERGY_AND_METALS, tick, volume, ALL_MONTHS, roll_day=15, **more)


def _currency(tick: float, volume: float, months: str = QUARTERS, **more) -> FreeSymbol:
    return FreeSymbol(EQUITY_AND_FX, tick, volume, months, carry=0.0004, half_life=350, **more)


FOLLOWERS = {  # prices computed from others
    "ZL": Symbol(GRAINS, 0.01, 55_000, "FHKNQUVZ"),
    "ZM": Symbol(GRAINS, 0.1, 45_000, "FHKNQUVZ"),
    "ZS": Symbol(GRAINS, 0.25, 100_000, "FHKNQUX"),
    "BZ": _energy(Symbol, 0.01, 30_000, carry=0.006, missing=0.002),
    "HO": _energy(Symbol, 0.0001, 45_000, carry=0.006, missing=0.002),
    "RB": _energy(Symbol, 0.0001, 45_000, carry=0.006, missing=0.002),
    "ES": Symbol(EQUITY_AND_FX, 0.25, 1_400_000, QUARTERS, carry=0.0003),
    "ZT": Symbol(RATES, 1 / 256, 300_000, QUARTERS, carry=0.0001),
    "ZF": Symbol(RATES, 1 / 128, 700_000, QUARTERS, carry=0.0001),
    "ZN": Symbol(RATES, 1 / 64, 1_200_000, QUARTERS, carry=0.0001),
    "ZQ": Symbol(RATES, 0.0025, 25_000, ALL_MONTHS, carry=0.0, missing=0.002),
}
FREE: dict[str, FreeSymbol] = {
    "CL": _energy(
        FreeSymbol,
        0.01,
        350_000,
        carry=0.006,
        anchor=68.0,
        daily_vol=0.020,
        half_life=250,
        loadings={"ZL": CRUDE_ZL_CORRELATION},
    ),
    "6E": _currency(0.00005, 190_000, anchor=1.15, daily_vol=0.0050, loadings={"ZL": 0.10}),
    "NG": _energy(
        FreeSymbol,
        0.001,
        120_000,
        carry=0.012,
        anchor=3.1,
        daily_vol=0.028,
        half_life=150,
        loadings={"CL": 0.1},
    ),
    "HG": FreeSymbol(
        ENERGY_AND_METALS,
        0.0005,
        55_000,
        "HKNUZ",
        carry=0.001,
        anchor=3.2,
        daily_vol=0.0130,
        half_life=300,
        loadings={"ZL": 0.20, "CL": 0.25},
    ),
    "GC": FreeSymbol(
        ENERGY_AND_METALS,
        0.1,
        170_000,
        "GJMQZ",
        carry=0.0007,
        anchor=1600.0,
        daily_vol=0.0095,
        half_life=900,
        loadings={"6E": 0.35},
    ),
    "ZC": FreeSymbol(
        GRAINS,
        0.25,
        140_000,
        GRAIN_MONTHS,
        carry=0.004,
        anchor=430.0,
        daily_vol=0.0155,
        half_life=250,
        loadings={"ZL": 0.30, "ZM": 0.35},
    ),
    "ZW": FreeSymbol(
        GRAINS,
        0.25,
        60_000,
        GRAIN_MONTHS,
        carry=0.004,
        anchor=580.0,
        daily_vol=0.0165,
        half_life=250,
        loadings={"ZL": 0.20, "ZC": 0.50},
    ),
    "HE": FreeSymbol(
        HOGS,
        0.025,
        16_000,
        "GJKMNQVZ",
        carry=0.008,
        anchor=80.0,
        daily_vol=0.0165,
        half_life=150,
        loadings={"ZC": 0.05},
    ),
    "6A": _currency(0.00005, 90_000, anchor=0.76, daily_vol=0.0062, loadings={"ZL": 0.10, "6E": 0.50, "HG": 0.25}),
    "6B": _currency(0.0001, 95_000, anchor=1.35, daily_vol=0.0057, loadings={"6E": 0.60}),
    "6C": _currency(0.00005, 70_000, anchor=0.78, daily_vol=0.0047, loadings={"ZL": 0.05, "6E": 0.40, "CL": 0.35}),
    "6J": _currency(5e-7, 110_000, anchor=0.0085, daily_vol=0.0056, loadings={"6E": 0.30}),
    "6L": _currency(
        0.00005, 3_000, ALL_MONTHS, anchor=0.22, daily_vol=0.0100, loadings={"ZL": 0.20, "6E": 0.30}, missing=0.004
    ),
    "6M": _currency(
        0.00001, 40_000, anchor=0.054, daily_vol=0.0075, loadings={"ZL": 0.05, "6E": 0.25, "CL": 0.20}, missing=0.002
    ),
}
SYMBOLS: dict[str, Symbol] = {**FOLLOWERS, **FREE}
MONTH_LETTERS = "FGHJKMNQUVXZ"


class UnknownWorld(ZlForecastError):
    """A world that this model does not simulate."""

    def __init__(self, *, world: str):
        self.world = world
        known = "; ".join(f"{name!r}: {meaning}" for name, meaning in WORLDS.items())
        super().__init__(f"There is no simulated world {world!r}. Choose one: {known}.")


@dataclass(frozen=True)
class Market:
    """One simulated market: the landing tables, and the latent state behind them.

    Attributes
    ----------
    world, seed, start, end
        The arguments of `simulate`.
    bars, series, policy_events, curve : DataFrame
        The landing tables; dates are datetime64 here and DATE in the files.
    latent : DataFrame
        One row per session, index as_of_date: log_close (ZL before rounding to ticks), log_vol (of the
        *next* session's ZL shock), gap (oil-share gap), momentum (of crude), oil_carry and meal_carry (log
        price per month of delivery). ZL's future depends on nothing else.
    rolls : DataFrame
        Months of delivery by which ZL and ZM roll on at a session, 0 without a roll (columns of int); index
        as_of_date, reaching 200 sessions beyond `end`.
    """

    world: str
    seed: int
    start: str
    end: str
    bars: pd.DataFrame
    series: pd.DataFrame
    policy_events: pd.DataFrame
    curve: pd.DataFrame
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
    carry : array
        Log price difference per month between the front contract and the next.
    step : array
        Log price step of a roll, 0 on other days.
    """

    log_close: np.ndarray
    vol: np.ndarray
    carry: np.ndarray
    step: np.ndarray


def simulate(world: str, seed: int = DEFAULT_SEED, start: str = "2013-01-02", end: str = "2025-12-31") -> Market:
    """Simulate one world from start to end.

    Parameters
    ----------
    world : {"planted", "random_walk", "broken"}
        See `WORLDS`.
    seed : int
        The same arguments give exactly the same market. The default was chosen among 40,000 seeds (one in
        1,000 qualified), so that in every world ZL stays within 20 to 80 cents/lb and 45 % of its half
        year's high. With another seed it may leave that range, since a random walk has no bounds.
    start, end : str
        First and last date, YYYY-MM-DD. An earlier end gives the beginning of the longer market.

    Returns
    -------
    Market
        Landing tables and latent state.

    Raises
    ------
    UnknownWorld
        `world` is not in `WORLDS`.
    """
    if world not in WORLDS:
        raise UnknownWorld(world=world)
    from zl_forecast.sample.bars import daily_bars
    from zl_forecast.sample.curve import daily_curve
    from zl_forecast.sample.series import macro_series, policy_events

    streams = Streams(seed)
    calendar = pd.DatetimeIndex(exchange_sessions(["CMEGlobex_Grains"], start, "2046-12-31")["session_date"]).as_unit(
        "ns"
    )
    n = int(calendar.searchsorted(pd.Timestamp(end), side="right"))
    sessions = calendar[:n]
    extended = calendar[: n + 200]
    rolls = pd.DataFrame({name: roll_months(name, extended) for name in ("ZL", "ZM")}, index=extended)

    paths, latent = _prices(world, sessions, streams)
    rates = _rates(sessions, streams)
    paths |= _rate_futures(rates, sessions, streams)
    events = policy_events(sessions, streams)
    bars = daily_bars(paths, sessions, streams)
    return Market(
        world=world,
        seed=seed,
        start=start,
        end=end,
        bars=bars,
        series=macro_series(paths, rates, events, sessions, streams),
        policy_events=events,
        curve=daily_curve(paths, bars, sessions, streams),
        latent=latent,
        rolls=rolls,
    )


class Streams:
    """Independent random streams, one per name, all derived from one seed.

    Calling the object with a name returns a new numpy Generator at the beginning of that stream. A stream
    depends only on the seed and its name.

    Parameters
    ----------
    seed : int
        Seed of all streams.

    Examples
    --------
    >>> streams = Streams(1)
    >>> bool(streams("ZL jump").random() == streams("ZL jump").random())
    True
    """

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, name: str) -> np.random.Generator:
        child = np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(name.encode()),))
        return np.random.default_rng(child)


def ar1(phi: float, shocks: np.ndarray, first: float = 0.0) -> np.ndarray:
    """Run an AR(1) process: x[0] = first, x[t] = phi * x[t-1] + shocks[t].

    Parameters
    ----------
    phi : float
        Coefficient per step.
    shocks : array of shape (n,)
        In the unit of the process; shocks[0] is not used.
    first : float
        Value at step 0.

    Returns
    -------
    array of shape (n,)
        In the unit of `shocks`.

    Examples
    --------
    >>> ar1(0.5, np.array([0.0, 1.0, 0.0])).tolist()
    [0.0, 1.0, 0.5]
    """
    path = np.empty(len(shocks))
    x = first
    path[0] = x
    for t in range(1, len(shocks)):
        x = phi * x + shocks[t]
        path[t] = x
    return path


def stationary_ar1(half_life: float, sd: float, noise: np.ndarray) -> np.ndarray:
    """Run an AR(1) process around 0 that starts in its stationary distribution.

    Parameters
    ----------
    half_life : float
        Steps after which half of a deviation is gone.
    sd : float
        Stationary standard deviation.
    noise : array of shape (n,)
        Standard normal.

    Returns
    -------
    array of shape (n,)
        In the unit of `sd`.
    """
    phi = 0.5 ** (1 / half_life)
    return ar1(phi, noise * sd * np.sqrt(1 - phi**2), first=sd * noise[0])


def front_deliveries(name: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the delivery month of the front contract on each session.

    Parameters
    ----------
    name : str
        Symbol, a key of `SYMBOLS`.
    sessions : DatetimeIndex of shape (n_sessions,)
        Ascending.

    Returns
    -------
    array of int, shape (n_sessions,)
        Months since year 0: 12 * year + month - 1.

    Examples
    --------
    >>> days = pd.DatetimeIndex(["2024-02-21", "2024-02-22"])  # ZL rolls from the 22nd on, March to May
    >>> [divmod(int(months), 12) for months in front_deliveries("ZL", days)]
    [(2024, 2), (2024, 4)]
    """
    symbol = SYMBOLS[name]
    listed = [MONTH_LETTERS.index(letter) for letter in symbol.months]
    first = (
        12 * sessions.year.to_numpy() + sessions.month.to_numpy() - 1 + np.where(sessions.day < symbol.roll_day, 1, 2)
    )
    wait = np.array([min((month - start) % 12 for month in listed) for start in range(12)])
    return first + wait[first % 12]


def roll_months(name: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the number of months by which the front delivery advances at each session.

    Parameters
    ----------
    name : str
        Symbol, a key of `SYMBOLS`.
    sessions : DatetimeIndex of shape (n_sessions,)
        Ascending.

    Returns
    -------
    array of int, shape (n_sessions,)
        0 on sessions without a roll, and on the first session.
    """
    deliveries = front_deliveries(name, sessions)
    return np.diff(deliveries, prepend=deliveries[:1])


def _carry_and_steps(name: str, sessions: pd.DatetimeIndex, streams: Streams) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a symbol's carry (log price per month of delivery) and its price steps at rolls (0 on other sessions).

    A step is the difference between the two contracts at the previous session.
    """
    carry = stationary_ar1(
        CARRY_HALF_LIFE, SYMBOLS[name].carry, streams(f"{name} carry").standard_normal(len(sessions))
    )
    return carry, roll_months(name, sessions) * np.concatenate([[0.0], carry[:-1]])


def _prices(world: str, sessions: pd.DatetimeIndex, streams: Streams) -> tuple[dict[str, Path], pd.DataFrame]:
    """Simulate all prices but those of interest rates, and ZL's latent state."""
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
    """Combine noise with other shocks into a shock of about unit variance.

    Parameters
    ----------
    noise : array of any shape
        Standard normal, independent of `shocks`.
    loadings : dict of str to float
        Weight of each other shock. The variance is exactly 1 with a single loading.
    shocks : dict of str to array
        Standard normal, by name; at least the names in `loadings`.

    Returns
    -------
    array
        Shape of `noise`.
    """
    own = np.sqrt(1 - sum(weight**2 for weight in loadings.values()))
    return own * noise + sum(weight * shocks[name] for name, weight in loadings.items())


def gap_correction(world: str) -> float:
    """Return the fraction of the oil-share gap that ZL's drift closes per session.

    Parameters
    ----------
    world : {"planted", "random_walk", "broken"}
        See `WORLDS`.

    Returns
    -------
    float
        0 in `random_walk`.

    Examples
    --------
    >>> gap_correction("random_walk"), gap_correction("planted")
    (0.0, 0.06)
    """
    return 0.0 if world == "random_walk" else PLANTED["crush"]


def crude_push(world: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return ZL's drift per standard deviation of crude's momentum, for each session.

    Parameters
    ----------
    world : {"planted", "random_walk", "broken"}
        See `WORLDS`.
    sessions : DatetimeIndex of shape (n_sessions,)
        Ascending.

    Returns
    -------
    array of shape (n_sessions,)
        In units of ZL's daily volatility. 0 in `random_walk`; negative from `BREAK_ON` on in `broken`.
    """
    push = np.full(len(sessions), 0.0 if world == "random_walk" else PLANTED["energy"])
    return np.where(sessions >= BREAK_ON, -push, push) if world == "broken" else push


def _oil_and_meal(
    world: str,
    sessions: pd.DatetimeIndex,
    streams: Streams,
    shocks: dict[str, np.ndarray],
    momentum: np.ndarray,
) -> tuple[dict[str, Path], pd.DataFrame]:
    """Simulate ZL and ZM, which share the oil-share gap; the worlds differ only here."""
    n = len(sessions)
    close_gap, push = gap_correction(world), crude_push(world, sessions)

    vol_noise = LEVERAGE * shocks["ZL"] + np.sqrt(1 - LEVERAGE**2) * streams("ZL log vol").standard_normal(n)
    # the shock of session t moves the volatility of t + 1
    next_log_vol = LOG_VOL_MEAN + ar1(LOG_VOL_PHI, LOG_VOL_SHOCK * vol_noise)
    vol = np.exp(np.concatenate([[LOG_VOL_MEAN], next_log_vol[:-1]]))
    jumps = streams("ZL jump").random(n) < JUMPS_PER_SESSION
    oil_news = vol * shocks["ZL"] + jumps * JUMP_SD * streams("ZL jump size").standard_normal(n)
    meal_news = MEAL_VOL_RATIO * vol * shocks["ZM"]
    oil_carry, oil_step = _carry_and_steps("ZL", sessions, streams)
    meal_carry, meal_step = _carry_and_steps("ZM", sessions, streams)

    oil, meal, gap = np.empty(n), np.empty(n), np.empty(n)
    oil[0], meal[0], gap[0] = LOG_OIL_USUAL, LOG_MEAL_USUAL, 0.0
    for t in range(1, n):
        trend = push[t] * vol[t] * momentum[t - 1]
        oil[t] = oil[t - 1] - close_gap * gap[t - 1] + trend + oil_news[t] + oil_step[t]
        pull = MEAL_CATCH_UP * gap[t - 1] - MEAL_REVERSION * (meal[t - 1] - LOG_MEAL_USUAL)
        meal[t] = meal[t - 1] + pull + trend + meal_news[t] + meal_step[t]
        gap[t] = (oil[t] - LOG_OIL_USUAL) - (meal[t] - LOG_MEAL_USUAL)

    latent = pd.DataFrame(
        {
            "log_close": oil,
            "log_vol": next_log_vol,
            "gap": gap,
            "momentum": momentum,
            "oil_carry": oil_carry,
            "meal_carry": meal_carry,
        },
        index=sessions.rename("as_of_date"),
    )
    paths = {
        "ZL": Path(oil, vol, oil_carry, oil_step),
        "ZM": Path(meal, MEAL_VOL_RATIO * vol, meal_carry, meal_step),
    }
    return paths, latent


def _soybeans(paths: dict[str, Path], gap: np.ndarray, sessions: pd.DatetimeIndex, streams: Streams) -> Path:
    """Simulate ZS: the products' value less a positive crush margin, narrower when oil is dear relative to meal."""
    n = len(sessions)
    products = OIL_USD_PER_BU * np.exp(paths["ZL"].log_close) + MEAL_USD_PER_BU * np.exp(paths["ZM"].log_close)
    carry, step = _carry_and_steps("ZS", sessions, streams)
    wide = MARGIN_PER_GAP * gap + stationary_ar1(60, 0.15, streams("ZS margin").standard_normal(n))
    wide -= ar1(0.5 ** (1 / 60), step * (1 - CRUSH_MARGIN) / CRUSH_MARGIN)
    margin = CRUSH_MARGIN * np.exp(np.clip(wide, -1.2, 0.8))
    return Path(np.log(100 * products * (1 - margin)), BEAN_VOL_RATIO * paths["ZL"].vol, carry, step)


def _free(name: str, symbol: FreeSymbol, shocks: np.ndarray, sessions: pd.DatetimeIndex, streams: Streams) -> Path:
    log_vol = stationary_ar1(120, 0.25, streams(f"{name} log vol").standard_normal(len(sessions)))
    vol = symbol.daily_vol * np.exp(log_vol)
    carry, step = _carry_and_steps(name, sessions, streams)
    deviation = ar1(0.5 ** (1 / symbol.half_life), vol * shocks + step)
    return Path(np.log(symbol.anchor) + deviation, vol, carry, step)


def _oil_products(crude: Path, sessions: pd.DatetimeIndex, streams: Streams) -> dict[str, Path]:
    """Simulate BZ, HO and RB: crude plus a stationary crack spread."""
    n = len(sessions)
    year = 2 * np.pi * sessions.dayofyear.to_numpy() / 365.25
    cracks = {  # mean log ratio to crude in the product's unit, sd, seasonal swing
        "BZ": (0.06, 0.035, 0.0 * year),
        "HO": (0.27 - np.log(42), 0.06, 0.03 * np.cos(year)),
        "RB": (0.22 - np.log(42), 0.07, -0.08 * np.cos(year)),
    }
    products = {}
    for name, (mean, sd, season) in cracks.items():
        carry, step = _carry_and_steps(name, sessions, streams)
        crack = stationary_ar1(60, sd, streams(f"{name} crack").standard_normal(n))
        crack += ar1(0.5 ** (1 / 60), step - crude.step)  # crude rolls on the same days; its close has its step
        products[name] = Path(crude.log_close + mean + season + crack, np.hypot(crude.vol, sd * 0.15), carry, step)
    return products


def _equity(sessions: pd.DatetimeIndex, streams: Streams) -> dict[str, Path]:
    """Simulate VIX (a level, not traded here) and ES with that volatility; falling share prices raise it."""
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
    carry, step = _carry_and_steps("ES", sessions, streams)
    growth = np.where(np.arange(n) > 0, 0.0003 + vol * shocks + step, 0.0)
    return {
        "ES": Path(np.log(1450.0) + np.cumsum(growth), vol, carry, step),
        "VIX": Path(np.log(vix), vol, np.zeros(n), np.zeros(n)),
    }


def _rates(sessions: pd.DatetimeIndex, streams: Streams) -> pd.DataFrame:
    """Simulate policy rate and Treasury yields in percent, one row per session.

    The policy rate moves in quarter points at a meeting every sixth week, towards a slowly moving desired
    rate. The ten-year yield is a mean-reverting process of its own; the two-year yield lies between them.
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
    """Simulate note futures by their duration, and fed funds futures as 100 less the rate."""
    notes = {  # price at a yield of 2.5 %, duration in years, weight of the ten-year yield, its daily move in points
        "ZT": (108.5, 1.9, 0.0, 0.028),
        "ZF": (118.5, 4.2, 0.5, 0.031),
        "ZN": (126.5, 6.3, 1.0, 0.045),
    }
    n, futures = len(rates), {}
    for name, (par, duration, weight, move) in notes.items():
        yields = weight * rates["ten"].to_numpy() + (1 - weight) * rates["two"].to_numpy()
        carry, step = _carry_and_steps(name, sessions, streams)
        log_close = np.log(par) - duration * (yields - 2.5) / 100 + ar1(0.5 ** (1 / 120), step)
        futures[name] = Path(log_close, np.full(n, duration * move / 100), carry, step)
    ahead = 0.02 * streams("ZQ premium").standard_normal(n)
    expected = rates["fed_funds"].to_numpy() + ar1(0.9, 0.3 * ahead)
    futures["ZQ"] = Path(np.log(100 - expected), np.full(n, 0.0002), np.zeros(n), np.zeros(n))
    return futures
