"""The report page: one static HTML file with forecast, skill, calibration, risk, ensemble and tournament."""

from datetime import date

import duckdb
import pandas as pd

from zl_forecast import report_calibration, report_ensemble, report_risk
from zl_forecast.paths import seed
from zl_forecast.queries import read_value
from zl_forecast.report_parts import escape, number, shade, verdict

WIDTH, HEIGHT, MARGIN = 900, 360, 48
BANDS = (("p05", "p95", "#dbe9f6"), ("p10", "p90", "#b5d2ec"), ("p25", "p75", "#7fb0dc"))
FULL_COLOUR = 0.05  # skill at which the map has its full colour
STATUS_MARKS = {"failed": "F", "timed_out": "T"}  # of families that failed in some folds only


def render(con: duckdb.DuckDBPyConnection) -> str:
    """Render the report page of a snapshot.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        A complete HTML document without scripts or external resources.
    """
    forecast = con.sql("from forecasts.zl_forecast order by horizon_days").df()
    history = con.sql(
        """
        with newest as (
            select max(as_of_date) as as_of_date from forecasts.zl_forecast
        )

        select prices.as_of_date, prices.close
        from forecasts.zl_prices as prices
        inner join newest
            on prices.as_of_date between newest.as_of_date - interval 1 year and newest.as_of_date
        order by prices.as_of_date
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
    too_few = missing_buckets(con)
    if too_few:
        banner += f'<p class="warn">{escape(too_few)}</p>'
    fallback = active_fallbacks(con)
    if fallback:
        banner += f'<p class="warn">{escape(fallback)}</p>'
    forecast_rows = "".join(
        f"<tr><td>{escape(r.horizon_code)}</td><td>{r.target_date:%Y-%m-%d}</td><td>{r.p10:.2f}</td><td><b>{r.p50:.2f}</b></td>"
        f"<td>{r.p90:.2f}</td><td>{r.prob_up:.0%}</td><td>{r.reference_p10:.2f} to {r.reference_p90:.2f}</td>"
        f"<td>{escape(r.ensemble_method)}</td><td>{verdict(r.verdict)}</td></tr>"
        for r in forecast.itertuples()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Soybean oil (ZL) forecast, {first["as_of_date"]:%Y-%m-%d}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222; }}
table {{ border-collapse: collapse; margin: .5em 0 1.5em; }} td, th {{ padding: .25em .8em; text-align: right; }}
tr {{ border-bottom: 1px solid #e3e3e3; }} td:first-child, th:first-child {{ text-align: left; }}
.warn {{ background: #fff3cd; padding: .6em 1em; }} .skill {{ color: #18794e; font-weight: 600; }} .no {{ color: #8a6d3b; }}
svg text {{ font: 12px system-ui, sans-serif; fill: #444; }}
.maps {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 0 1em; font-size: 11px; line-height: 1.2; }}
.maps table {{ table-layout: fixed; width: 440px; }} .maps th:first-child {{ width: 80px; text-align: right; }}
.maps td, .maps th {{ padding: 0 .2em; height: 2.5em; text-align: center; font-weight: normal; white-space: nowrap; }}
.maps td {{ border: 1px solid #fff; color: #111; print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
.maps caption {{ font-size: 13px; font-weight: 600; }}
.maps td.winner {{ border: 2px solid #111; font-weight: 700; }} .maps small {{ display: block; font-size: 9px; }}
summary {{ cursor: pointer; padding: .3em 0; }} .reasons td, .reasons th {{ text-align: left; vertical-align: top; padding: .25em .5em; }} .reasons ol {{ margin: .3em 0 0; padding-left: 1.5em; }}
.reasons {{ font-size: 13px; }} .reasons td.number {{ text-align: right; white-space: nowrap; }}
@media print {{
body {{ font-size: 12px; margin: 0; max-width: none; }} td, th {{ padding: .2em .5em; }}
table:not(.reasons) {{ break-inside: avoid; }} h2, p:has(+ table, + div) {{ break-after: avoid; }}
details::details-content {{ content-visibility: visible; block-size: auto; }}
}}
{report_calibration.STYLE}{report_risk.STYLE}{report_ensemble.STYLE}
</style></head><body>
<h1>Soybean oil (CBOT ZL)</h1>
<p>As of <b>{first["as_of_date"]:%A %d %B %Y}</b>, last price <b>{first["last_price"]:.2f} cents/lb</b>, regime
{escape(str(first["regime"]))}. Computed {first["made_at"]:%Y-%m-%d %H:%M} UTC, model version
{escape(first["model_version"][:8])}.</p>
{banner}
{_fan(history, forecast)}
<h2>Forecast, cents/lb</h2>
<table><tr><th>Horizon</th><th>Target date</th><th>P10</th><th>P50</th><th>P90</th><th>Up</th><th>Reference P10 to P90</th>
<th>Method</th><th>Verdict</th></tr>{forecast_rows}</table>
<h2>Is there skill?</h2>
<p>Out-of-sample record of the published forecast. Pinball skill is the percentage by which its pinball loss is below
that of the reference, the volatility-scaled random walk. Coverage is how often the price was within P10 to P90 (nominal
80 %). <i>no_skill</i> means: use the width, do not bet on the direction.</p>
{_skill(con)}
<h2>Are the bands calibrated?</h2>
{report_calibration.calibration_section(con)}
<h2>Risk</h2>
{report_risk.risk_section(con)}
<h2>How the inputs are combined</h2>
{report_ensemble.ensemble_section(con)}
<h2>Tournament</h2>
{_maps(con)}
<h2>Champion per bucket, with reasons</h2>
{_reasons(con)}
</body></html>
"""


def _skill(con: duckdb.DuckDBPyConnection) -> str:
    """Render the published forecast against the reference, one row per horizon."""
    skill = con.sql("from monitoring.verdicts where subject = 'published' order by horizon_days").df()
    if skill.empty:
        return "<p>No published forecast has matured yet, so no skill has been shown.</p>"
    rows = "".join(
        f"<tr><td>{r.horizon_days}</td><td>{r.n_rows}</td><td>{number(r.pinball_skill, '+z.1%')}</td>"
        f"<td>{number(r.coverage_80, '.0%')}</td><td>{number(r.p_value, '.2f')}</td><td>{verdict(r.verdict)}</td></tr>"
        for r in skill.itertuples()
    )
    return (
        "<table><tr><th>Sessions ahead</th><th>Forecasts</th><th>Pinball skill</th><th>Coverage</th><th>p-value</th>"
        f"<th>Verdict</th></tr>{rows}</table>"
    )


def missing_buckets(con: duckdb.DuckDBPyConnection) -> str:
    """Report that fewer buckets took part than exist.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        Sentences for the reader; empty if all buckets took part.
    """
    rows = con.sql("select buckets_offered from forecasts.zl_forecast order by horizon_days").fetchall()
    fewest = min(((row[0] or "").split() for row in rows), key=len)
    most_before = read_value(
        con,
        """
        select max(len(string_split(buckets_offered, ' ')))
        from forecasts.zl_forecast_ledger
        where data_source in (select data_source from forecasts.zl_forecast)
        """,
    )
    all_ = max(len(pd.read_csv(seed("buckets"))), most_before or 0)  # earlier builds may have had more buckets
    if len(fewest) >= all_:
        return ""
    return (
        f"Only {len(fewest)} of {all_} buckets took part: {', '.join(fewest) or 'none'}. The others were quarantined (see "
        "monitoring.gx_results) or left out of this build (var buckets)."
    )


def active_fallbacks(con: duckdb.DuckDBPyConnection) -> str:
    """Report that the reference is published instead of a method whose calibration has failed.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        Sentences for the reader, with the reason per horizon; empty if there is no active fallback.
    """
    forecast = con.sql("from forecasts.zl_forecast order by horizon_days").df()
    if "fallback_reason" not in forecast:
        return ""  # published by a version without fallbacks
    reasons = forecast.dropna(subset="fallback_reason")
    reason = "; ".join(f"{row.horizon_code}: {row.fallback_reason}" for row in reasons.itertuples())
    return f"Fallback to the reference until calibration recovers. {reason}." if reason else ""


def _maps(con: duckdb.DuckDBPyConnection) -> str:
    """Render one heat map per horizon: families in rows, buckets in columns, pinball skill in percent."""
    board = con.sql("from monitoring.leaderboard order by horizon_days, bucket, rank").df()
    if board.empty:
        return "<p>No bucket ran a tournament in this build.</p>"
    buckets = sorted(board["bucket"].unique())
    # one order for all maps; families above the reference have positive average skill
    skills = board.groupby("family")["pinball_skill"].mean().sort_values(ascending=False, kind="stable")
    labels = board.drop_duplicates("family").set_index("family")["label"]
    tables = []
    for (_, code), own in board.groupby(["horizon_days", "horizon_code"]):
        cells = {(row.family, row.bucket): _cell(row) for row in own.itertuples()}
        head = "".join(f"<th>{escape(bucket)}</th>" for bucket in buckets)
        body = "".join(
            f'<tr><th title="{escape(labels[family])}">{escape(family)}</th>'
            + "".join(cells.get((family, bucket), "<td></td>") for bucket in buckets)
            + "</tr>"
            for family in skills.index
        )
        tables.append(f"<table><caption>{escape(code)}</caption><tr><th></th>{head}</tr>{body}</table>")
    return (
        "<p>A cell shows pinball skill: the percentage by which a family's pinball loss is below the reference's, on "
        f"all matured out-of-sample rows. Blue is better, orange is worse; the colour is full from {FULL_COLOUR:.0%}. A "
        "<b>frame</b> marks the champion, selected by a selection score that is mostly pinball skill, and shows its verdict. "
        "<b>*</b> is the verdict <i>skill</i> of a Diebold-Mariano test adjusted for all families of the bucket and "
        "horizon; without it the verdict is <i>no_skill</i>. <b>F</b> failed and <b>T</b> timed out in some folds. "
        "<b>?</b> nothing has matured; empty: did not compete. Hover over a cell for the reason.</p>"
        f'<div class="maps">{"".join(tables)}</div>'
    )


def _cell(row) -> str:
    """Render one family of one bucket and horizon, a row of monitoring.leaderboard."""
    style = ""
    if pd.notna(row.pinball_skill):
        style = shade(row.pinball_skill, FULL_COLOUR)
        inner = "0" if row.family == "reference" else f"{100 * row.pinball_skill:+z.1f}"
        inner += "*" if row.verdict == "skill" else ""
        inner += f" {STATUS_MARKS[row.status]}" if row.status in STATUS_MARKS else ""
    else:
        inner = "?" if row.status == "ok" else f"<small>{escape(row.status.replace('_', ' '))}</small>"
    if row.is_winner:
        word = "no_skill" if pd.isna(row.verdict) else row.verdict  # the reference has no verdict against itself
        inner += f"<small>{escape(word)}</small>"
    css = ' class="winner"' if row.is_winner else ""
    return f'<td{css}{style} title="{escape(row.reason)}">{inner}</td>'


def _reasons(con: duckdb.DuckDBPyConnection) -> str:
    """Render each bucket's champions with record and reason, and what moves their newest forecasts."""
    winners = con.sql(
        """
        select winners.bucket, winners.horizon_days, winners.horizon_code, winners.winner, winners.verdict,
            winners.backtest_pinball_skill, winners.backtest_coverage_80, leaderboard.reason
        from monitoring.bucket_winners as winners
        left join monitoring.leaderboard as leaderboard
            on leaderboard.bucket = winners.bucket
            and leaderboard.horizon_days = winners.horizon_days
            and leaderboard.family = winners.winner
        order by winners.bucket, winners.horizon_days
        """
    ).df()
    if winners.empty:
        return "<p>No bucket ran a tournament in this build.</p>"
    explained = con.sql("from monitoring.forecast_explanations order by bucket, horizon_days, rank").df()
    effects = dict(list(explained.groupby(["bucket", "horizon_days"])))
    parts = []
    for bucket, own in winners.groupby("bucket"):
        rows = "".join(
            f"<tr><td>{escape(r.horizon_code)}</td><td><b>{escape(r.winner)}</b></td>"
            f'<td class="number">{number(r.backtest_pinball_skill, "+z.1%")}</td>'
            f'<td class="number">{number(r.backtest_coverage_80, ".0%")}</td><td>{verdict(r.verdict)}</td>'
            f"<td>{escape(r.reason)}.{_effects(r.winner, effects.get((bucket, r.horizon_days)))}</td></tr>"
            for r in own.itertuples()
        )
        short = ", ".join(f"{escape(r.horizon_code)} {escape(r.winner)}" for r in own.itertuples())
        parts.append(
            f'<details><summary><b>{escape(bucket)}</b>: {short}</summary><table class="reasons"><tr><th>Horizon</th><th>Champion</th>'
            f"<th>Pinball skill</th><th>Coverage</th><th>Verdict</th><th>Reason</th></tr>{rows}</table></details>"
        )
    return (
        "<p>Skill, coverage and verdict are the out-of-sample record of the bucket's consensus, the mean of its members, which "
        "the ensemble reads. The reason describes today's champion over the whole history, on which it was selected. It is followed by the "
        "five features that move the champion's newest forecast most. Open a bucket for details.</p>" + "".join(parts)
    )


def _effects(winner: str, effects: pd.DataFrame | None) -> str:
    """Render the attributions of the champion's newest forecast, a list by size."""
    if effects is None:
        reason = "The reference reads no features" if winner == "reference" else "No feature moves its newest forecast"
        return f"<br>{reason}."
    items = "".join(f"<li>{escape(text)}</li>" for text in effects["explanation"])
    return f"<br>By {escape(effects['method'].iloc[0])}:<ol>{items}</ol>"


def _fan(history, forecast) -> str:
    """Render last year's closes and the fan of quantiles up to each target date, as inline SVG."""
    origin, last = forecast["as_of_date"].iloc[0], forecast["last_price"].iloc[0]
    days = [*history["as_of_date"], *forecast["target_date"]]
    low = min(last, *history["close"], *forecast["p05"]) * 0.97
    high = max(last, *history["close"], *forecast["p95"]) * 1.03
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
    closes = zip(history["as_of_date"], history["close"], strict=True)  # the bands begin at the newest close
    parts.append(f'<polyline class="history" points="{points(closes)}" fill="none" stroke="#222" stroke-width="1.5"/>')
    for fraction in (0, 0.25, 0.5, 0.75, 1):
        price = low + fraction * (high - low)
        parts.append(f'<text x="4" y="{y(price) + 4:.1f}">{price:.1f}</text>')
    for row in forecast.itertuples():
        parts.append(
            f'<text x="{x(row.target_date):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{escape(row.horizon_code)}</text>'
        )
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 6}">{_day(start)}</text>')
    parts.append(f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 6}" text-anchor="end">{_day(end)}</text>')
    label = "ZL close of the last year and forecast bands 5-95, 10-90 and 25-75 %, cents/lb"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg><p>{label}.</p>'


def _day(day: date) -> str:
    return f"{day:%Y-%m-%d}"
