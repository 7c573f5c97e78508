"""Macro series and policy events of the simulated market, each with its publisher's lag.

Every series depends on the simulated prices and rates up to its own date (an ECB fixing on 6E and the
other currency futures, an oil price on CL) or on a stream of its own. None contains information on ZL's
future. A row exists only if available_on lies within the simulated span, so a market with an earlier
end has the same rows up to that end.
"""

import numpy as np
import pandas as pd

from zl_forecast.sample.market import FREE, Path, Streams, ar1, stationary_ar1

DAY = pd.Timedelta(days=1)
COT_MARKETS = {"007601": "ZL", "005602": "ZS", "026603": "ZM"}
COT_OPEN_INTEREST = {"007601": 390_000, "005602": 680_000, "026603": 370_000}
CB_LB_PER_TONNE = 22.0462  # USD/tonne per cent/lb
OIL_LB_PER_BU = 11.6  # USDA's yield, slightly above the 11 of the board crush
TARIFF_KINDS = ("announcement", "US effective", "retaliation", "truce")
BIOFUEL_KINDS = ("proposal", "final rule", "waiver", "court ruling")


def macro_series(
    paths: dict[str, Path],
    rates: pd.DataFrame,
    events: pd.DataFrame,
    sessions: pd.DatetimeIndex,
    streams: Streams,
) -> pd.DataFrame:
    """Build the landing table series.

    Parameters
    ----------
    paths : dict of str to Path
        Simulated closes by symbol.
    rates : DataFrame of shape (n_sessions, 6)
        Policy rate, yields and breakeven inflation in percent: target, fed_funds, bill, two, ten,
        inflation; index of sessions.
    events : DataFrame
        From `policy_events`.
    sessions : DatetimeIndex of shape (n_sessions,)
        ZL's sessions, ascending.
    streams : Streams
        Source of randomness.

    Returns
    -------
    DataFrame
        Columns series_id, obs_date, available_on and value (in the publisher's unit); sorted by series
        and available_on.
    """
    close = {name: pd.Series(np.exp(path.log_close), sessions) for name, path in paths.items()}
    parts = [
        *_rates(rates, sessions),
        *_exchange_rates(close, sessions, streams),
        *_markets(close, streams),
        *_uncertainty(events, sessions, streams),
        *_financial_conditions(close, sessions, streams),
        *_commitments(close, sessions, streams),
        *_rin_prices(sessions, streams),
        *_wasde(sessions, streams),
        *_world_bank(close, streams),
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table[(table["available_on"] <= sessions[-1]) & (table["obs_date"] >= sessions[0])]
    order = ["series_id", "available_on", "obs_date"]
    return table.sort_values(order, ignore_index=True)[["series_id", "obs_date", "available_on", "value"]]


def policy_events(sessions: pd.DatetimeIndex, streams: Streams) -> pd.DataFrame:
    """Build the landing table policy_events: in 13 years about 30 tariff and 15 biofuel events.

    Parameters
    ----------
    sessions : DatetimeIndex of shape (n_sessions,)
        ZL's sessions, ascending.
    streams : Streams
        Source of randomness.

    Returns
    -------
    DataFrame
        Columns event_date, available_on, bucket, kind, title and severity (1, 2 or 3); sorted by date and
        bucket. A fifth of the events becomes available one session after event_date.
    """
    n = len(sessions)
    parts = []
    for bucket, kinds, per_session in (
        ("tariff", TARIFF_KINDS, 30 / 3270),
        ("biofuel", BIOFUEL_KINDS, 15 / 3270),
    ):
        # events cluster: a slow log intensity, scaled so that its mean is per_session
        intensity = per_session * np.exp(
            stationary_ar1(250, 0.5, streams(f"{bucket} intensity").standard_normal(n)) - 0.125
        )
        draws = streams(f"{bucket} events").random((n, 4))
        known = np.arange(n) + (draws[:, 3] < 0.2)  # a fifth is announced after the cut-off
        rows = np.flatnonzero((draws[:, 0] < intensity) & (known < n))
        kind = [kinds[int(u * len(kinds))] for u in draws[rows, 1]]
        parts.append(
            pd.DataFrame(
                {
                    "event_date": sessions[rows],
                    "available_on": sessions[known[rows]],
                    "bucket": bucket,
                    "kind": kind,
                    "title": [f"Simulated {bucket} event {i}: {k}" for i, k in enumerate(kind, start=1)],
                    "severity": 1 + (3 * draws[rows, 2]).astype("int64"),
                }
            )
        )
    return pd.concat(parts).sort_values(["event_date", "bucket"], ignore_index=True)


def _frame(
    series_id: str, obs_date: pd.DatetimeIndex, available_on: pd.DatetimeIndex, value, decimals: int
) -> pd.DataFrame:
    value = np.round(np.asarray(value, dtype="float64"), decimals)
    return pd.DataFrame({"series_id": series_id, "obs_date": obs_date, "available_on": available_on, "value": value})


def _rates(rates: pd.DataFrame, sessions: pd.DatetimeIndex) -> list[pd.DataFrame]:
    """Return Treasury yields and inflation per session, a business day late, and policy rates per calendar day."""
    next_day = sessions + pd.offsets.BDay(1)
    yields = {
        "DGS3MO": rates["bill"],
        "DGS2": rates["two"],
        "DGS10": rates["ten"],
        "T10Y2Y": rates["ten"].round(2) - rates["two"].round(2),
        "T10YIE": rates["inflation"],
    }
    daily = rates[["target", "fed_funds"]].asfreq("D").ffill()  # FRED carries Friday over the weekend
    days = daily.index
    return [
        *(_frame(name, sessions, next_day, values, 2) for name, values in yields.items()),
        _frame("DFF", days, days + pd.offsets.BDay(1), daily["fed_funds"], 2),
        _frame("DFEDTARU", days, days, daily["target"], 2),
    ]


def _exchange_rates(close: dict[str, pd.Series], sessions: pd.DatetimeIndex, streams: Streams) -> list[pd.DataFrame]:
    """Return ECB reference rates per euro, fixed at 07:15 Chicago, and the broad dollar index, a week late."""
    n = len(sessions)

    def fixing(name: str) -> pd.Series:
        """Return a futures price of the early morning, between two closes."""
        return 0.6 * close[name].shift(1).fillna(close[name]) + 0.4 * close[name]

    def free(name: str, anchor: float, half_life: int, sd: float) -> pd.Series:
        noise = streams(f"{name} fixing").standard_normal(n)
        return pd.Series(anchor * np.exp(stationary_ar1(half_life, sd, noise)), sessions)

    dollar_per_euro = fixing("6E")
    per_dollar = {
        "BRL": 1 / fixing("6L"),
        "MXN": 1 / fixing("6M"),
        "CAD": 1 / fixing("6C"),
        "AUD": 1 / fixing("6A"),
        "CNY": free("CNY", 6.7, 500, 0.04),
        "MYR": free("MYR", 4.1, 500, 0.06),
        "IDR": free("IDR", 14_000, 700, 0.06),
        "INR": free("INR", 70.0, 900, 0.08),
    }
    business_days = pd.bdate_range(sessions[0], sessions[-1])
    business_days = business_days[~business_days.strftime("%m-%d").isin(["01-01", "12-25", "12-26", "05-01"])]
    ecb = {"USD": dollar_per_euro} | {name: dollar_per_euro * rate for name, rate in per_dollar.items()}
    weights = {"6E": 0.30, "6C": 0.20, "6M": 0.20, "6J": 0.12, "6B": 0.10, "6A": 0.08}
    logs = {name: np.log(close[name] / FREE[name].anchor) for name in weights}
    basket = sum(weight * logs[name] for name, weight in weights.items())
    dollar = 108.0 * np.exp(-0.7 * basket + stationary_ar1(700, 0.03, streams("DTWEXBGS").standard_normal(n)))
    return [
        *(
            _frame(f"ECB_EUR{name}", business_days, business_days, rate.reindex(business_days, method="ffill"), 4)
            for name, rate in ecb.items()
        ),
        _frame("DTWEXBGS", sessions, sessions + 7 * DAY, dollar, 4),
    ]


def _markets(close: dict[str, pd.Series], streams: Streams) -> list[pd.DataFrame]:
    """Return VIX, known at its close, and WTI spot, a week late."""
    sessions = close["CL"].index
    spot = close["CL"] * np.exp(0.003 * streams("WTI spot").standard_normal(len(sessions)))
    return [
        _frame("VIXCLS", sessions, sessions, close["VIX"], 2),
        _frame("DCOILWTICO", sessions, sessions + 7 * DAY, spot, 2),
    ]


def _uncertainty(events: pd.DataFrame, sessions: pd.DatetimeIndex, streams: Streams) -> list[pd.DataFrame]:
    """Return newspaper indices per calendar day; the trade index jumps after tariff events and then decays."""
    days = pd.date_range(sessions[0], sessions[-1])
    n = len(days)
    tariff = events[events["bucket"] == "tariff"].groupby("event_date")["severity"].sum().reindex(days, fill_value=0.0)
    excitement = ar1(0.5 ** (1 / 20), 0.5 * tariff.to_numpy(dtype="float64"))
    shape = {  # level, day-to-day noise, slow sd, lag in days, reaction to tariff events
        "USEPUINDXD": (95.0, 0.40, 0.35, 2, 0.1),
        "TPU_BBD_DAILY": (95.0, 0.80, 0.50, 2, 0.8),
        "GPRD": (95.0, 0.30, 0.25, 7, 0.0),
    }
    frames = []
    for name, (level, noise, slow, lag, reaction) in shape.items():
        draws = streams(name).standard_normal((n, 2))
        log_value = noise * draws[:, 0] + stationary_ar1(90, slow, draws[:, 1]) + reaction * excitement
        value = level * np.exp(log_value - noise**2 / 2)
        frames.append(_frame(name, days, days + lag * DAY, value, 2))
    return frames


def _financial_conditions(
    close: dict[str, pd.Series], sessions: pd.DatetimeIndex, streams: Streams
) -> list[pd.DataFrame]:
    """Return NFCI and STLFSI4 for weeks ending on Friday; one NFCI week in twelve is revised eight weeks later."""
    weekly_vix = np.log(close["VIX"] / 15.5).resample("W-FRI").mean()
    weekly_vix = weekly_vix[weekly_vix.index <= sessions[-1]].ffill()
    fridays = weekly_vix.index
    n = len(fridays)
    nfci = -0.5 + 0.5 * weekly_vix + stationary_ar1(40, 0.12, streams("NFCI").standard_normal(n))
    stress = -0.3 + 1.2 * weekly_vix + stationary_ar1(30, 0.25, streams("STLFSI4").standard_normal(n))
    draws = streams("NFCI revisions")
    revised = draws.random((n, 2))
    change = revised[:, 0] < 1 / 12
    revision = nfci + 0.06 * (revised[:, 1] - 0.5)
    return [
        _frame("NFCI", fridays, fridays + 5 * DAY, nfci, 4),
        _frame("NFCI", fridays[change], fridays[change] + 61 * DAY, revision[change], 4),
        _frame("STLFSI4", fridays, fridays + 6 * DAY, stress, 4),
    ]


def _commitments(close: dict[str, pd.Series], sessions: pd.DatetimeIndex, streams: Streams) -> list[pd.DataFrame]:
    """Return noncommercial positions, counted on Tuesday, released on Friday, following the quarter's trend."""
    tuesdays = pd.date_range(sessions[0], sessions[-1], freq="W-TUE")
    n = len(tuesdays)
    frames = []
    for code, symbol in COT_MARKETS.items():
        draws = streams(f"COT {code}").standard_normal((n, 3))
        log_price = np.log(close[symbol])
        trend = (log_price - log_price.shift(60)).fillna(0.0).reindex(tuesdays, method="ffill").to_numpy()
        interest = COT_OPEN_INTEREST[code] * np.exp(stationary_ar1(60, 0.15, draws[:, 0]))
        net_share = 0.05 + 0.6 * np.clip(trend, -0.3, 0.3) + stationary_ar1(20, 0.06, draws[:, 1])
        long_share = 0.24 + 0.5 * net_share + stationary_ar1(40, 0.02, draws[:, 2])
        long = np.round(interest * np.clip(long_share, 0.03, 0.7))
        short = np.round(interest * np.clip(long_share - net_share, 0.03, 0.7))
        values = {
            "NONCOMM_LONG": long,
            "NONCOMM_SHORT": short,
            "NONCOMM_NET": long - short,
            "OI": np.round(interest),
        }
        frames += [
            _frame(f"COT_LEG_FUT_{code}_{name}", tuesdays, tuesdays + 3 * DAY, value, 0)
            for name, value in values.items()
        ]
    return frames


def _rin_prices(sessions: pd.DatetimeIndex, streams: Streams) -> list[pd.DataFrame]:
    """Return weekly RIN prices in USD, dated Monday, posted by the EPA 35 days later; D4 is never below D6."""
    mondays = pd.date_range(sessions[0], sessions[-1], freq="W-MON")
    n = len(mondays)
    d6 = 0.55 * np.exp(stationary_ar1(52, 0.45, streams("RIN D6").standard_normal(n)))
    d4 = d6 + 0.35 * np.exp(stationary_ar1(40, 0.35, streams("RIN D4").standard_normal(n)))
    return [
        _frame(f"EPA_RIN_{name}_CURR", mondays, mondays + 35 * DAY, price, 2)
        for name, price in (("D4", d4), ("D6", d6))
    ]


def _wasde(sessions: pd.DatetimeIndex, streams: Streams) -> list[pd.DataFrame]:
    """Return USDA balances of the newest marketing year, released on the first session from the 10th of a month.

    A new marketing year appears in May with a larger change. The balances add up.
    """
    later = sessions[sessions.day >= 10]
    releases = later[~later.to_period("M").duplicated()]
    n = len(releases)
    size = np.where(releases.month == 5, 3.0, 1.0)
    years = (releases - pd.Timestamp("2013-01-01")).days.to_numpy() / 365.25

    def estimate(name: str, level: float, growth: float, sd: float) -> np.ndarray:
        """Log estimate: trend plus a stationary deviation that moves most in May."""
        phi = 0.93
        noise = streams(f"WASDE {name}").standard_normal(n) * size * sd * np.sqrt(1 - phi**2)
        return level * np.exp(growth * years + ar1(phi, noise))

    crush = np.round(estimate("crush", 1750, 0.022, 0.02))  # million bushels
    exports = np.round(estimate("exports", 1650, 0.015, 0.07))
    seed_and_residual = np.round(estimate("residual", 125, 0.0, 0.05))
    stocks = np.round(estimate("stocks", 300, 0.0, 0.35))
    oil = np.round(OIL_LB_PER_BU * crush)  # million lb
    oil_stocks = np.round(estimate("oil stocks", 1800, 0.0, 0.12))
    oil_use = oil - np.round(oil_stocks - estimate("oil stocks before", 1800, 0.0, 0.12)) + 250  # 250 of imports
    biofuel = np.round(np.minimum(estimate("biofuel", 5000, 0.07, 0.04), 0.6 * oil_use))
    values = {
        "US_SB_CRUSH": crush,
        "US_SB_EXPORTS": exports,
        "US_SB_USE_TOTAL": crush + exports + seed_and_residual,
        "US_SB_ENDING_STOCKS": stocks,
        "US_SBO_PRODUCTION": oil,
        "US_SBO_USE_TOTAL": oil_use,
        "US_SBO_BIOFUEL": biofuel,
        "US_SBO_EXPORTS": np.round(estimate("oil exports", 1900, -0.03, 0.12)),
        "US_SBO_ENDING_STOCKS": oil_stocks,
        "CN_SB_IMPORTS": estimate("China", 75, 0.03, 0.03),  # million tonnes
        "BR_SB_PRODUCTION": estimate("Brazil", 88, 0.04, 0.04),
        "WORLD_SBO_ENDSTK": estimate("world oil stocks", 3.8, 0.02, 0.08),
    }
    return [_frame(f"WASDE_{name}_NEW", releases, releases, value, 2) for name, value in values.items()]


def _world_bank(close: dict[str, pd.Series], streams: Streams) -> list[pd.DataFrame]:
    """Return monthly average prices of vegetable oils, USD/tonne, dated the first of the month, 35 days late.

    One month in eight is revised 30 days after its first print. Soybean oil is ZL's own monthly mean. Palm
    and rapeseed oil follow a fraction of that month's change of ZL, plus shocks of their own.
    """
    monthly = close["ZL"].groupby(close["ZL"].index.to_period("M")).mean() * CB_LB_PER_TONNE
    months = monthly.index.to_timestamp()
    n = len(months)
    change = np.log(monthly).diff().fillna(0.0).to_numpy()
    frames = []
    for name, level, follows in (("SOYBEAN", 0.0, None), ("PALM", 780.0, 0.6), ("RAPESEED", 980.0, 0.5)):
        draws = streams(f"WB {name}").standard_normal((n, 2))
        if follows is None:
            price = monthly.to_numpy() * np.exp(0.01 * draws[:, 0])
        else:
            price = level * np.exp(ar1(0.96, follows * change + 0.045 * draws[:, 0]))
        revised = streams(f"WB {name} revisions").random(n) < 1 / 8
        known = months + 35 * DAY
        second = price * np.exp(0.004 * draws[:, 1])
        frames += [
            _frame(f"WB_{name}_OIL", months, known, price, 2),
            _frame(f"WB_{name}_OIL", months[revised], known[revised] + 30 * DAY, second[revised], 2),
        ]
    return frames
