"""The calibration section of the report page: coverage of the published forecast's bands, with tests."""

import duckdb
import pandas as pd

from zl_forecast.report_parts import BAND, GREY, LINE, OUTSIDE, escape

WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 38, 16, 24, 26  # margins of a plot, which hold the axis labels
SLICES = (
    ("all", "all", "Whole history"),
    ("regime", "CALM", "Calm regime"),
    ("regime", "STRESSED", "Stressed regime"),
    ("regime", "CRISIS", "Crisis regime"),
    ("break", "after_break", "First 60 sessions from a break"),
    ("break", "otherwise", "At other times"),
)
BANDS = {50: "P25 to P75", 80: "P10 to P90", 90: "P05 to P95"}
STYLE = """
.calibration figure { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0 .5em; margin: 0 0 1em; break-inside: avoid; }
@media (max-width: 550px) { .calibration figure { grid-template-columns: 1fr; } }
.calibration figcaption { grid-column: 1 / -1; } .calibration svg { width: 100%; } .calibration svg text { font-size: 11px; }
"""
NOTHING = "<p>No published forecast has matured yet, so calibration cannot be measured.</p>"


def calibration_section(con: duckdb.DuckDBPyConnection) -> str:
    """Render the calibration of the published forecast as HTML, without a heading.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.calibration, pit_histogram, reliability and coverage_tests.

    Returns
    -------
    str
        Three plots per horizon, a table of slices and one of tests; a sentence if nothing has matured.
    """
    tables = {
        name: con.sql(f"from monitoring.{name} where subject = 'published' order by {order}").df()
        for name, order in {
            "reliability": "horizon_days, nominal",
            "pit_histogram": "horizon_days, bin",
            "calibration": "horizon_days, slice_type, slice",
            "coverage_tests": "horizon_days, band, test",
        }.items()
    }
    if tables["reliability"].empty:
        return NOTHING
    slices, tests = tables["calibration"], tables["coverage_tests"]
    plots = []
    for (days, code), levels in tables["reliability"].groupby(["horizon_days", "horizon_code"]):
        bins, quarters = (
            own[own["horizon_days"] == days]
            for own in (tables["pit_histogram"], slices[slices["slice_type"] == "quarter"])
        )
        plots.append(
            f"<figure><figcaption><b>{escape(code)}</b>: {levels['n_rows'].iloc[0]:,} forecasts, "
            f"{_count(levels['n_independent'].iloc[0])} of them independent</figcaption>"
            f"{_reliability(code, levels)}{_histogram(code, bins)}{_coverage_over_time(code, quarters)}</figure>"
        )
    return f"""<p>All out-of-sample published forecasts whose target date has passed. Left: the share of outcomes at or
below each quantile against its level. Perfect calibration is the diagonal. The shaded band is the range that chance
allows for this many independent forecasts (95 %, per level); an orange square is outside it. Middle: the share of
outcomes between neighbouring quantiles; the dark line is nominal. High ends mean that the bands are too narrow, a high
middle that they are too wide. Right: how often outcomes were within P10 to P90, per quarter in which the forecast was
made; the dashed line is 80 %.</p>
<div class="calibration">{"".join(plots)}</div>
<p>Coverage of P10 to P90 (nominal 80 %), with the number of independent forecasts in brackets. A break is the first
session that is not calm after at least 20 calm ones, or the first in crisis after at least 20 that are not.</p>
{_slices(slices)}
<p>Kupiec's test of coverage and Christoffersen's test of independence, at 5 %, on forecasts that do not overlap. <i>Not
rejected</i> is no proof: with seven years of history, a P10 to P90 that covers only 60 % is rejected nearly always at
1w and 1m, but in only 3 of 10 cases at 3m and in 1 of 20 at 6m.</p>
{_tests(tests)}"""


def _reliability(code: str, levels: pd.DataFrame) -> str:
    """Plot the observed against the nominal fraction at or below each quantile, with the band around the diagonal."""
    upper = list(zip(levels["nominal"], levels["band_high"], strict=True))
    lower = list(zip(levels["nominal"], levels["band_low"], strict=True))
    parts = [
        f'<polygon points="{_points([*upper, *reversed(lower)])}" fill="{BAND}"/>',
        _line([(0, 0), (1, 1)], GREY, dashed=True),
    ]
    texts = []
    for row in levels.itertuples():
        x, y = _x(row.nominal), _y(row.observed)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{LINE}"/>'
            if row.is_within_band
            else f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{OUTSIDE}"/>'
        )
        outside = "" if row.is_within_band else " (outside the band)"
        texts.append(f"P{100 * row.nominal:02.0f} {row.observed:.0%}{outside}")
    ticks = [(share, f"{share:.0%}") for share in (0, 0.5, 1)]
    return _plot(
        "Below each quantile", f"{code}: share of outcomes at or below {', '.join(texts)}", parts, ticks, ticks
    )


def _histogram(code: str, bins: pd.DataFrame) -> str:
    """Plot the observed fraction of each of the eight bins as a bar, and the nominal fraction as a line across it."""
    top = max(bins["observed_share"].max(), bins["nominal_share"].max()) * 1.1
    parts, texts = [], []
    for position, row in enumerate(bins.itertuples()):
        left, right = _x((position + 0.1) / len(bins)), _x((position + 0.9) / len(bins))
        y = _y(row.observed_share / top)
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{_y(0) - y:.1f}" fill="{BAND}"/>'
        )
        nominal = row.nominal_share / top
        parts.append(_line([(position / len(bins), nominal), ((position + 1) / len(bins), nominal)], LINE))
        texts.append(
            f"{row.lower_level:.0%} to {row.upper_level:.0%}: {row.observed_share:.1%} of {row.nominal_share:.0%}"
        )
    edges = [(n / len(bins), f"{100 * level:.0f}") for n, level in enumerate([*bins["lower_level"], 1.0])]
    step = 0.1 if top < 0.5 else 0.25
    shares = [(n * step / top, f"{n * step:.0%}") for n in range(int(top / step) + 1)]
    return _plot(
        "Between quantiles, %", f"{code}: share of outcomes between levels, {', '.join(texts)}", parts, edges, shares
    )


def _coverage_over_time(code: str, quarters: pd.DataFrame) -> str:
    """Plot coverage of P10 to P90 by the quarter of as_of_date, with a gap for quarters without a forecast."""
    number = {row.slice: 4 * int(row.slice[:4]) + int(row.slice[-1]) - 1 for row in quarters.itertuples()}
    first, last = min(number.values()), max(number.values())

    def x(quarter: int) -> float:
        return (quarter - first + 0.5) / (last - first + 1)

    runs: list[list[tuple[int, float]]] = []
    texts = []
    for row in quarters.itertuples():
        quarter = number[row.slice]
        if not runs or quarter != runs[-1][-1][0] + 1:
            runs.append([])
        runs[-1].append((quarter, row.coverage_80))
        texts.append(f"{row.slice} {row.coverage_80:.0%}")
    parts = [_line([(0, 0.8), (1, 0.8)], GREY, dashed=True)]
    for run in runs:
        parts.append(_line([(x(quarter), share) for quarter, share in run], LINE))
        parts += [
            f'<circle cx="{_x(x(quarter)):.1f}" cy="{_y(share):.1f}" r="2" fill="{LINE}"/>' for quarter, share in run
        ]
    years = [quarter for quarter in range(first, last + 1) if quarter % 4 == 0]
    years = years[:: -(-len(years) // 5) or 1] or [first]  # at most five labels
    return _plot(
        "Inside P10 to P90, by quarter",
        f"{code}: share of outcomes inside P10 to P90, {', '.join(texts)}",
        parts,
        [(x(quarter), f"{quarter // 4}") for quarter in years],
        [(share, f"{share:.0%}") for share in (0, 0.5, 0.8, 1)],
    )


def _plot(title: str, label: str, parts: list[str], x_ticks: list, y_ticks: list) -> str:
    """Return an SVG with axes from 0 to 1 around `parts`; ticks are pairs of position and text."""
    axes = _line([(0, 1), (0, 0), (1, 0)], GREY)
    texts = [f'<text x="{LEFT}" y="14">{escape(title)}</text>']
    texts += [
        f'<text x="{_x(position):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(text)}</text>'
        for position, text in x_ticks
    ]
    texts += [
        f'<text x="{LEFT - 4}" y="{_y(position) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for position, text in y_ticks
    ]
    inner = "".join([*parts, axes, *texts])
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{inner}</svg>'


def _slices(slices: pd.DataFrame) -> str:
    horizons = slices[["horizon_days", "horizon_code"]].drop_duplicates().sort_values("horizon_days")
    cells = {(row.slice_type, row.slice, row.horizon_days): row for row in slices.itertuples()}
    body = ""
    for fold_type, name, label in SLICES:
        own = [cells.get((fold_type, name, days)) for days in horizons["horizon_days"]]
        if any(row is not None for row in own):
            texts = ("" if row is None else f"{row.coverage_80:.0%} ({_count(row.n_independent)})" for row in own)
            body += f"<tr><td>{escape(label)}</td>{''.join(f'<td>{text}</td>' for text in texts)}</tr>"
    head = "".join(f"<th>{escape(code)}</th>" for code in horizons["horizon_code"])
    return f"<table><tr><th>Forecasts made</th>{head}</tr>{body}</table>"


def _tests(tests: pd.DataFrame) -> str:
    body = ""
    for (_, code), own in tests.groupby(["horizon_days", "horizon_code"]):
        texts = "".join(f"<td>{escape(_describe_tests(own[own['band'] == band]))}</td>" for band in BANDS)
        body += f"<tr><td>{escape(code)}</td>{texts}</tr>"
    head = "".join(f"<th>{text}, nominal {band} %</th>" for band, text in BANDS.items())
    return f"<table><tr><th>Horizon</th>{head}</tr>{body}</table>"


def _describe_tests(tests: pd.DataFrame) -> str:
    """Describe the results of the three tests of one band, rows of monitoring.coverage_tests."""
    if tests.empty:
        return ""
    first = tests.iloc[0]
    covers = f"covers {first['coverage']:.0%}"
    if (tests["verdict"] == "too_few").any():
        return f"{covers}, not tested: {first['n_samples']} independent forecasts are too few"
    rejected = set(tests.loc[tests["verdict"] == "rejected", "test"])
    words = []
    if "coverage" in rejected:
        words.append("too narrow" if first["coverage"] < first["band"] / 100 else "too wide")
    if "independence" in rejected:
        words.append("misses are not independent")
    if rejected == {"conditional_coverage"}:
        words.append("coverage and independence together rejected")
    return f"{covers}, {' and '.join(words) or 'not rejected'}"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _points(pairs) -> str:
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in pairs)


def _line(pairs, colour: str, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<polyline points="{_points(pairs)}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>'


def _count(samples: float) -> str:
    return f"{samples:.0f}" if samples >= 10 else f"{samples:.1f}"
