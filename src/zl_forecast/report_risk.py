"""The risk section of the report page: losses of a buyer and of a holder, and probabilities of price levels."""

import duckdb

from zl_forecast.queries import read_value
from zl_forecast.report_parts import escape, number

SIDES = {"buyer": "buyer, if the price rises", "holder": "holder, if the price falls"}
LOSSES = {"var_95": "VaR 95", "cvar_95": "CVaR 95", "var_99": "VaR 99", "cvar_99": "CVaR 99"}
NOTHING = "<p>This build has no risk table.</p>"
STYLE = """
.levels th, .levels td { padding: .25em .5em; } .levels td:first-child { white-space: nowrap; }
.levels td:nth-child(even) { padding-left: 1.5em; } .levels [colspan] { text-align: center; }
"""


def risk_section(con: duckdb.DuckDBPyConnection) -> str:
    """Render losses, expected range and probabilities of price levels as HTML, without a heading.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_risk and the last price of zl_forecast.

    Returns
    -------
    str
        A table of losses by horizon and side, and one of prices by horizon; a sentence if there is no risk table.
    """
    risk = con.sql("from forecasts.zl_risk").df()
    if risk.empty:
        return NOTHING
    last = read_value(con, "select any_value(last_price) from forecasts.zl_forecast")
    horizons = risk[["horizon_days", "horizon_code"]].drop_duplicates().sort_values("horizon_days")
    codes = dict(horizons.itertuples(index=False, name=None))
    has_level = risk["level_cents"].notna()
    facts = {(row.horizon_days, row.side, row.measure): row.value for row in risk[~has_level].itertuples()}
    crossings = {(row.horizon_days, row.measure, row.level_cents): row.value for row in risk[has_level].itertuples()}
    return f"""<p>VaR is the loss on the target date against today's price, in cents/lb, that is not exceeded with 95 or
99 % probability; CVaR is the mean loss beyond it. A negative loss is a gain. The forecast states P05 to P95; tails
beyond are assumed to be normal, and VaR 99 and CVaR depend on this assumption.</p>
{_losses(codes, facts)}
<p>Price levels from high to low: the probability that the price <b>ends</b> beyond a level on the target date, and that
some daily close until then <b>touches</b> it, which matters for margin calls and stops. The first and last rows are the
expected highest and lowest close until the target date. Levels above today's {last:.2f} are losses for a buyer, levels
below for a holder; set your own in seeds/price_levels.csv.</p>
{_prices(codes, facts, crossings, last)}"""


def _losses(codes: dict[int, str], facts: dict) -> str:
    head = "".join(f"<th>{label}</th>" for label in LOSSES.values())
    body = ""
    for days, code in codes.items():
        for side, label in SIDES.items():
            cells = "".join(f"<td>{number(facts.get((days, side, name), float('nan')), '.2f')}</td>" for name in LOSSES)
            body += f"<tr><td>{escape(code)}</td><td>{label}</td>{cells}</tr>"
    return f"<table><tr><th>Horizon</th><th>Side</th>{head}</tr>{body}</table>"


def _prices(codes: dict[int, str], facts: dict, crossings: dict, last: float) -> str:
    """Render a ladder of prices: the expected high, the levels above, the levels below, the expected low."""
    levels = sorted(
        {(price, measure.removeprefix("prob_touch_").removeprefix("prob_")) for _, measure, price in crossings}
    )
    body = _expected("Expected highest close", codes, facts, ("buyer", "expected_high"))
    for price, side in reversed(levels):
        cells = "".join(
            f"<td>{_chance(crossings.get((days, f'prob_{event}{side}', price)))}</td>"
            for days in codes
            for event in ("", "touch_")
        )
        body += f"<tr><td>{escape(side)} {price:.2f} ({price / last - 1:+z.0%})</td>{cells}</tr>"
    body += _expected("Expected lowest close", codes, facts, ("holder", "expected_low"))
    head = "".join(f'<th colspan="2" scope="colgroup">{escape(code)}</th>' for code in codes.values())
    events = "<th>ends</th><th>touches</th>" * len(codes)
    return f'<table class="levels"><tr><th>Price, cents/lb</th>{head}</tr><tr><th></th>{events}</tr>{body}</table>'


def _expected(label: str, codes: dict[int, str], facts: dict, fact: tuple[str, str]) -> str:
    cells = "".join(f'<td colspan="2">{number(facts.get((days, *fact), float("nan")), ".2f")}</td>' for days in codes)
    return f"<tr><td>{label}</td>{cells}</tr>"


def _chance(share: float | None) -> str:
    """Format a probability in percent; never as 0 or 100, which a simulation cannot establish."""
    if share is None:
        return ""
    if share < 0.005:
        return "&lt;1%"
    return "&gt;99%" if share > 0.995 else f"{share:.0%}"
