"""The report page: one static HTML file with the fan, the forecast table, what was promised and what came."""

import html
from datetime import date

import duckdb

WIDTH, HEIGHT, MARGIN = 900, 360, 48
BANDS = (("p05", "p95", "#dbe9f6"), ("p10", "p90", "#b5d2ec"), ("p25", "p75", "#7fb0dc"))


def render(con: duckdb.DuckDBPyConnection) -> str:
    """The page for a snapshot.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        A complete HTML document without scripts or outside resources.
    """
    forecast = con.sql("from forecasts.zl_forecast order by horizon_days").df()
    history = con.sql(
        """
        select as_of_date, any_value(last_price) as close from forecasts.zl_backtest
        group by as_of_date order by as_of_date desc limit 250
        """
    ).df()[::-1]
    skill = con.sql("from monitoring.verdicts where subject = 'published' order by horizon_days").df()
    winners = con.sql(
        """
        select bucket, horizon_code, winner, verdict, backtest_pinball_skill, backtest_coverage_80
        from monitoring.bucket_winners order by bucket, horizon_days
        """
    ).df()
    risk = con.sql(
        """
        select horizon_code, side, max(value) filter (where measure = 'var_95') as var_95,
            max(value) filter (where measure = 'cvar_95') as cvar_95
        from forecasts.zl_risk group by horizon_code, horizon_days, side order by horizon_days, side
        """
    ).df()
    first = forecast.iloc[0]
    simulated = first["data_source"] == "simulated"
    banner = (
        '<p class="warn">Simulated market: these numbers say nothing about real soybean oil. '
        "Set ZL_LANDING_DIR to forecast real data.</p>"
        if simulated
        else ""
    )
    forecast_rows = "".join(
        f"<tr><td>{r.horizon_code}</td><td>{r.target_date:%Y-%m-%d}</td><td>{r.p10:.2f}</td><td><b>{r.p50:.2f}</b></td>"
        f"<td>{r.p90:.2f}</td><td>{r.prob_up:.0%}</td><td>{r.reference_p10:.2f} to {r.reference_p90:.2f}</td>"
        f"<td>{_escape(r.ensemble_method)}</td><td>{_verdict(r.verdict)}</td></tr>"
        for r in forecast.itertuples()
    )
    skill_rows = "".join(
        f"<tr><td>{r.horizon_days}</td><td>{r.n_rows}</td><td>{r.pinball_skill:+.1%}</td><td>{r.coverage_80:.0%}</td>"
        f"<td>{'' if r.p_value != r.p_value else f'{r.p_value:.2f}'}</td><td>{_verdict(r.verdict)}</td></tr>"
        for r in skill.itertuples()
    )
    winner_rows = "".join(
        f"<tr><td>{_escape(r.bucket)}</td><td>{r.horizon_code}</td><td>{_escape(r.winner)}</td>"
        f"<td>{r.backtest_pinball_skill:+.1%}</td><td>{r.backtest_coverage_80:.0%}</td><td>{_verdict(r.verdict)}</td></tr>"
        for r in winners.itertuples()
    )
    risk_rows = "".join(
        f"<tr><td>{r.horizon_code}</td><td>{r.side}</td><td>{r.var_95:.2f}</td><td>{r.cvar_95:.2f}</td></tr>"
        for r in risk.itertuples()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Soybean oil (ZL) forecast, {first["as_of_date"]:%Y-%m-%d}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222; }}
table {{ border-collapse: collapse; margin: .5em 0 1.5em; }} td, th {{ padding: .25em .8em; text-align: right; }}
tr {{ border-bottom: 1px solid #e3e3e3; }} td:first-child, th:first-child {{ text-align: left; }}
.warn {{ background: #fff3cd; padding: .6em 1em; }} .skill {{ color: #18794e; font-weight: 600; }} .no {{ color: #8a6d3b; }}
svg text {{ font: 12px system-ui, sans-serif; fill: #444; }}
</style></head><body>
<h1>Soybean oil (CBOT ZL)</h1>
<p>As of <b>{first["as_of_date"]:%A %d %B %Y}</b>, last price <b>{first["last_price"]:.2f} cents/lb</b>, regime
{_escape(str(first["regime"]))}. Made {first["made_at"]:%Y-%m-%d %H:%M} UTC by model {_escape(first["model_version"][:8])}.</p>
{banner}
{_fan(history, forecast)}
<h2>Forecast, cents/lb</h2>
<table><tr><th>Horizon</th><th>Target date</th><th>P10</th><th>P50</th><th>P90</th><th>Up</th><th>Reference P10 to P90</th>
<th>Method</th><th>Skill?</th></tr>{forecast_rows}</table>
<h2>Is there skill?</h2>
<p>Out-of-sample history against the volatility-scaled random walk: the share by which the pinball loss is lower, and how
often the price came inside P10 to P90 (nominal 80 %). <i>no_skill</i> means: use the width, do not bet on the direction.</p>
<table><tr><th>Sessions ahead</th><th>Forecasts</th><th>Pinball skill</th><th>Coverage</th><th>p-value</th><th>Verdict</th></tr>
{skill_rows}</table>
<h2>Risk, cents/lb</h2>
<p>Loss not exceeded with 95 % probability (VaR), and the mean loss beyond it (CVaR). A buyer loses when the price rises,
a holder when it falls.</p>
<table><tr><th>Horizon</th><th>Side</th><th>VaR 95</th><th>CVaR 95</th></tr>{risk_rows}</table>
<h2>Buckets</h2>
<table><tr><th>Bucket</th><th>Horizon</th><th>Winner</th><th>Pinball skill</th><th>Coverage</th><th>Verdict</th></tr>
{winner_rows}</table>
</body></html>
"""


def _fan(history, forecast) -> str:
    """Last year's closes and the fan of quantiles to each target date, as inline SVG."""
    origin, last = forecast["as_of_date"].iloc[0], forecast["last_price"].iloc[0]
    days = [*history["as_of_date"], *forecast["target_date"]]
    low = min(history["close"].min(), forecast["p05"].min()) * 0.97
    high = max(history["close"].max(), forecast["p95"].max()) * 1.03
    start, end = min(days), max(days)

    def x(day) -> float:
        return MARGIN + (day - start).days / max((end - start).days, 1) * (WIDTH - 2 * MARGIN)

    def y(price: float) -> float:
        return HEIGHT - MARGIN + (low - price) / (high - low) * (HEIGHT - 2 * MARGIN)

    def points(pairs) -> str:
        return " ".join(f"{x(day):.1f},{y(price):.1f}" for day, price in pairs)

    parts = []
    for bottom, top, colour in BANDS:
        upper = [(origin, last), *zip(forecast["target_date"], forecast[top], strict=True)]
        lower = [(origin, last), *zip(forecast["target_date"], forecast[bottom], strict=True)]
        parts.append(f'<polygon points="{points([*upper, *reversed(lower)])}" fill="{colour}"/>')
    median = [(origin, last), *zip(forecast["target_date"], forecast["p50"], strict=True)]
    parts.append(f'<polyline points="{points(median)}" fill="none" stroke="#1f4e79" stroke-width="2"/>')
    closes = [*zip(history["as_of_date"], history["close"], strict=True), (origin, last)]
    parts.append(f'<polyline points="{points(closes)}" fill="none" stroke="#222" stroke-width="1.5"/>')
    for fraction in (0, 0.25, 0.5, 0.75, 1):
        price = low + fraction * (high - low)
        parts.append(f'<text x="4" y="{y(price) + 4:.1f}">{price:.1f}</text>')
    for row in forecast.itertuples():
        parts.append(
            f'<text x="{x(row.target_date):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{row.horizon_code}</text>'
        )
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 6}">{_day(start)}</text>')
    parts.append(f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 6}" text-anchor="end">{_day(end)}</text>')
    label = "ZL close of the last year and forecast bands 5-95, 10-90 and 25-75 %, cents/lb"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg><p>{label}.</p>'


def _day(day: date) -> str:
    return f"{day:%Y-%m-%d}"


def _verdict(verdict: str) -> str:
    return f'<span class="{"skill" if verdict == "skill" else "no"}">{_escape(verdict)}</span>'


def _escape(text: str) -> str:
    return html.escape(str(text))
