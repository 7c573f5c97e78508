"""Charts as inline SVG: altair describes them, vl-convert draws them without a browser and without network.

Colours are variables of style.css, so that charts follow light, dark and print. Domains of axes are set here, so a
pixel can be converted back to its value.
"""

import json
import math
import re
import textwrap
from datetime import UTC, date, datetime, time
from itertools import pairwise
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

from zl_forecast import formats
from zl_forecast.queries import Row

BANDS = (("p05", "p95", "90"), ("p10", "p90", "80"), ("p25", "p75", "50"))
LINE_HEIGHT = 14.0  # px between labels at the end of the fan
FONT_SIZE = 12
MIN_SPAN = 0.01  # of the last price: least span of a waterfall, so that steps of no importance look small
MAX_LABEL = 30  # characters of a driver's label beside its bar
SMALL = {"width": 236, "height": 150}  # of the plots of calibration
DOT = 6.25 * math.pi  # px²
SMALL_PADDING = {"left": 40, "right": 16, "top": 10, "bottom": 24}
SMALL_FACTS = {"plot": "{width} {height}".format(**SMALL)}
TARGET = {"stroke": "var(--muted)", "strokeDash": [4, 3], "strokeWidth": 1.25, "aria": False}
VEGALITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
CONFIG = {
    "background": None,
    "autosize": {
        "type": "none"
    },  # paddings are stated, so that the layout does not depend on the fonts of this machine
    "font": "inherit",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "labelFontSize": FONT_SIZE,
        "gridColor": "var(--grid)",
        "domainColor": "var(--rule)",
        "tickColor": "var(--rule)",
        "title": None,
        "aria": False,
    },
    "text": {"fontSize": FONT_SIZE, "fill": "var(--ink)"},
}
# attributes of Vega's output that neither shape nor meaning needs, defaults, and those that elements inherit from their group
UNUSED = (
    "aria-roledescription",
    "aria-hidden",
    "pointer-events",
    "font-family",
    "font-size",
    "role",
    "stroke-miterlimit",
)
DEFAULTS = {"opacity": "1", "x2": "0", "y2": "0", "transform": "translate(0,0)", "text-anchor": "start"}
INHERITED = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "text-anchor", "font-weight")
GEOMETRY = {"d", "transform", "x", "y", "x2", "y2"}
DIGITS = re.compile(r"(?<=\d)(?:\.00\d*|(\.\d\d)\d+)")  # hundredths of a pixel are enough


def fan_chart(
    closes: list[Row], fan: list[Row], forecast: list[Row], width: int, height: int, is_narrow: bool
) -> Markup:
    """Draw closes, the fan of quantiles up to each target date, and the range of the reference as an outline.

    Parameters
    ----------
    closes : list of dict
        as_of_date, close; oldest first, up to the day of the forecast.
    fan : list of dict
        date and quantiles, from the day of the forecast to the last target date.
    forecast : list of dict
        Rows of forecasts.zl_forecast, by horizon, for the labels.
    width, height : int
        Of the plot in px, without labels.
    is_narrow : bool
        Short labels, and fewer of them.

    Returns
    -------
    Markup
        An SVG whose attributes data-days, data-prices and data-plot have the domains of the axes and the size.
    """
    first, last = forecast[0], forecast[-1]
    start, end = closes[0]["as_of_date"], last["target_date"]
    extremes = [row[name] for row in fan for name in ("p05", "p95", "reference_p10", "reference_p90")]
    low, high, ticks = _round_ticks(*_range([*extremes, *(row["close"] for row in closes)]), 6)
    x = alt.X(
        "date:T",
        scale=alt.Scale(type="utc", domain=[_ms(start), _ms(end)], nice=False),
        axis=alt.Axis(
            values=[_ms(month) for month in _months(start, end, 3 if is_narrow else 2)],
            labelExpr="utcmonth(datum.value) == 0 ? utcFormat(datum.value, '%Y') : utcFormat(datum.value, '%b')",
            labelFlush=False,
        ),
    )
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y = alt.Y("low:Q", scale=scale, axis=alt.Axis(values=ticks, domain=False, ticks=False, format=_format_of(ticks)))

    def corridor(bottom: str, top: str) -> list[Row]:
        return [{"date": _ms(row["date"]), "low": row[bottom], "high": row[top]} for row in fan]

    canvas = _Canvas()
    targets = [
        {
            "date": _ms(row["target_date"]),
            "p50": row["p50"],
            "low": high,
            "text": row["horizon_code"] if is_narrow else formats.horizon(row["horizon_days"]),
        }
        for row in forecast
    ]
    canvas.add(targets, "targets", {"type": "rule", "stroke": "var(--rule)", "strokeDash": [2, 3]}, x=x)
    for bottom, top, band in BANDS:
        area = {"type": "area", "fill": f"var(--band-{band})", "stroke": "var(--band-line)", "strokeWidth": 0.75}
        canvas.add(corridor(bottom, top), f"band{band}", area, x=x, y=y, y2=alt.Y2("high:Q"))
    dashed = {"type": "line", "stroke": "var(--warm)", "strokeWidth": 1.5, "strokeDash": [5, 3]}
    for name in ("reference_p10", "reference_p90"):
        canvas.add(corridor(name, name), name, dashed, x=x, y=y)
    canvas.add(
        corridor("p50", "p50"), "median", {"type": "line", "stroke": "var(--accent)", "strokeWidth": 2.25}, x=x, y=y
    )
    history = [{"date": _ms(row["as_of_date"]), "low": row["close"]} for row in closes]
    line = {"type": "line", "stroke": "var(--ink)", "strokeWidth": 1.5, "strokeJoin": "round"}
    canvas.add(history, "closes", line, x=x, y=y)
    canvas.add(
        [row | {"low": row["p50"]} for row in targets],
        "points",
        _point("circle", "var(--accent)", aria=False),
        x=x,
        y=y,
    )
    # horizons above the plot, in two rows because the first ones are close together
    for place, row in enumerate(targets):
        align = "right" if row is targets[-1] else "center"
        text = {"type": "text", "dy": -7 - LINE_HEIGHT * (place % 2), "align": align, "fill": "var(--muted)"}
        canvas.add([row], f"target{place}", text, x=x, y=y, text=alt.Text("text:N"))
    for place, row in enumerate(_end_labels(last, (high - low) / height, is_narrow)):
        text = {"type": "text", "dx": 8, "align": "left", "fill": row["colour"], "fontWeight": row["weight"]}
        canvas.add([row], f"end{place}", text, x=x, y=y, text=alt.Text("text:N"))
    label = (
        f"ZL closes from {formats.day(start)} to {formats.day(first['as_of_date'])} and forecast to {formats.day(end)}, "
        "cents/lb. The table below has the numbers."
    )
    facts = {"days": f"{start:%Y-%m-%d} {end:%Y-%m-%d}", "prices": f"{low:g} {high:g}", "plot": f"{width} {height}"}
    padding = {"left": 32, "right": 62 if is_narrow else 136, "top": 36, "bottom": 24}
    return canvas.draw(label, facts, padding, width=width, height=height)


def _end_labels(last: Row, unit: float, is_narrow: bool) -> list[Row]:
    """Return the labels at the right end of the fan, moved apart where they would overlap; `unit` is cents per px."""
    named = [
        ("P90", "p90", "var(--accent)", 400),
        ("Median", "p50", "var(--accent)", 600),
        ("P10", "p10", "var(--accent)", 400),
        ("No change P90", "reference_p90", "var(--warm)", 400),
        ("No change P10", "reference_p10", "var(--warm)", 400),
    ]
    labels = sorted((last[column], name, colour, weight) for name, column, colour, weight in named)
    places = spread([price / unit for price, *_ in labels], LINE_HEIGHT)
    return [
        {
            "date": _ms(last["target_date"]),
            "low": place * unit,
            "text": formats.number(price) if is_narrow else f"{name} {formats.number(price)}",
        }
        | {"colour": colour, "weight": weight}
        for (price, name, colour, weight), place in zip(labels, places, strict=True)
    ]


def waterfall_chart(steps: list[Row], label: str) -> Markup:
    """Draw the steps from the last price to the median of the forecast.

    Parameters
    ----------
    steps : list of dict
        From `drivers.waterfall_steps`.
    label : str
        What the chart shows, for screen readers.

    Returns
    -------
    Markup
        An SVG whose attributes data-prices and data-plot have the domain of its axis and the size.
    """
    least, most = _range([row[name] for row in steps for name in ("start", "end")])
    missing = max(MIN_SPAN * steps[0]["start"] - (most - least), 0.0)
    low, high, ticks = _round_ticks(least - missing / 2, most + missing / 2, 4)
    rows = [row | {"most": max(row["start"], row["end"])} | _words_of_step(row) for row in steps]
    for row in rows:
        row["label"] = textwrap.shorten(row["label"], MAX_LABEL, placeholder=" …")
    links = [
        {"end": own["end"], "label": own["label"], "next": following["label"]} for own, following in pairwise(rows)
    ]
    y = alt.Y(
        "label:N",
        sort=[row["label"] for row in rows],
        scale=alt.Scale(paddingInner=0.35, paddingOuter=0.2),
        axis=alt.Axis(domain=False, ticks=False, labelLimit=0, labelColor="var(--ink)"),
    )
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    axis = alt.Axis(values=ticks, format=_format_of(ticks), domain=False, ticks=False, labelFlush=False)
    fill, note = alt.Fill("colour:N", scale=None, legend=None), alt.Description("note:N")
    canvas = _Canvas()
    canvas.add(
        links,
        "links",
        {"type": "rule", "stroke": "var(--muted)", "strokeWidth": 0.75, "aria": False},
        x=alt.X("end:Q", scale=scale, axis=axis),
        y=y,
        y2=alt.Y2("next:N"),
    )
    bars = [row for row in rows if row["step"] is not None]
    start = alt.X("start:Q", scale=scale, axis=axis)
    canvas.add(bars, "steps", {"type": "bar"}, x=start, x2=alt.X2("end:Q"), y=y, fill=fill, description=note)
    totals = [row for row in rows if row["step"] is None]
    canvas.add(
        totals, "totals", {"type": "tick", "thickness": 3, "size": 18}, x=start, y=y, fill=fill, description=note
    )
    text = {"type": "text", "align": "left", "dx": 6}
    canvas.add(rows, "texts", text, x=alt.X("most:Q", scale=scale, axis=axis), y=y, text=alt.Text("text:N"))
    size, padding = {"width": 210, "height": 24 * len(rows)}, {"left": 190, "right": 50, "top": 4, "bottom": 24}
    return canvas.draw(
        label, {"prices": f"{low:g} {high:g}", "plot": "{width} {height}".format(**size)}, padding, **size
    )


def _words_of_step(step: Row) -> Row:
    """Return colour, text and note of a step."""
    if step["step"] is None:
        colour, text = "var(--ink)", formats.number(step["end"])
    else:
        colour, text = "var(--accent)" if step["step"] > 0 else "var(--warm)", formats.change(step["step"])
    return {"colour": colour, "text": text, "note": f"{step['label']}: {text} cents/lb"}


def reliability_chart(levels: list[Row], label: str) -> Markup:
    """Draw the observed against the nominal share of outcomes at or below each quantile, with the band of chance.

    Parameters
    ----------
    levels : list of dict
        nominal, observed, band_low, band_high, is_within_band.
    label : str
        What the chart shows, for screen readers.

    Returns
    -------
    Markup
        SVG.
    """
    x, y = _share_axis(alt.X, "nominal:Q", [0, 0.5, 1]), _share_axis(alt.Y, "observed:Q", [0, 0.5, 1])
    words = {True: "", False: ", outside the band of chance"}
    rows = [
        row
        | {
            "note": f"P{100 * row['nominal']:02.0f}: {formats.percent(row['observed'])} at or below{words[row['is_within_band']]}"
        }
        for row in levels
    ]
    canvas = _Canvas()
    bottom, area = _share_axis(alt.Y, "band_low:Q", [0, 0.5, 1]), {"type": "area", "fill": "var(--band-80)"}
    canvas.add(levels, "chance", area, x=x, y=bottom, y2=alt.Y2("band_high:Q"))
    canvas.add(
        [{"nominal": 0, "observed": 0}, {"nominal": 1, "observed": 1}], "diagonal", {"type": "line"} | TARGET, x=x, y=y
    )
    for name, is_within, mark in (
        ("inside", True, _point("circle", "var(--accent)")),
        ("outside", False, _point("square", "var(--warm)", size=64)),
    ):
        own = [row for row in rows if row["is_within_band"] is is_within]
        canvas.add(own, name, mark, x=x, y=y, description=alt.Description("note:N"))
    return canvas.draw(label, SMALL_FACTS, SMALL_PADDING, **SMALL)


def histogram_chart(bins: list[Row], label: str) -> Markup:
    """Draw the share of outcomes between neighbouring quantiles as bars, and the nominal share as a line across each.

    Parameters
    ----------
    bins : list of dict
        bin, lower_level, upper_level, observed_share, nominal_share.
    label : str
        What the chart shows, for screen readers.

    Returns
    -------
    Markup
        SVG.
    """
    _, top, ticks = _round_ticks(0, max(row[name] for row in bins for name in ("observed_share", "nominal_share")), 4)
    scale = alt.Scale(domain=[0, len(bins)], nice=False)
    edges = ", ".join(f"'{100 * level:.0f}'" for level in [*(row["lower_level"] for row in bins), 1.0])
    rows = [
        row
        | {"left": place + 0.1, "right": place + 0.9, "from": place, "to": place + 1, "zero": 0}
        | {
            "note": f"P{100 * row['lower_level']:.0f} to P{100 * row['upper_level']:.0f}: "
            f"{formats.percent(row['observed_share'], 1)}, nominal {formats.percent(row['nominal_share'])}"
        }
        for place, row in enumerate(bins)
    ]
    axis = alt.Axis(
        values=list(range(len(bins) + 1)),
        labelExpr=f"[{edges}][datum.value]",
        grid=False,
        labelOverlap=False,
        labelFlush=False,
    )
    y_axis = alt.Axis(values=ticks, format="~%", domain=False, ticks=False)
    y = alt.Y("observed_share:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=y_axis)
    canvas = _Canvas()
    canvas.add(
        rows,
        "observed",
        {"type": "rect", "fill": "var(--band-50)"},
        x=alt.X("left:Q", scale=scale, axis=axis),
        x2=alt.X2("right:Q"),
        y=y,
        y2=alt.Y2("zero:Q"),
        description=alt.Description("note:N"),
    )
    canvas.add(
        rows,
        "nominal",
        {"type": "rule", "stroke": "var(--accent)", "strokeWidth": 2, "aria": False},
        x=alt.X("from:Q", scale=scale, axis=axis),
        x2=alt.X2("to:Q"),
        y=alt.Y("nominal_share:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=y_axis),
    )
    return canvas.draw(label, {"shares": f"0 {top:g}"} | SMALL_FACTS, SMALL_PADDING, **SMALL)


def coverage_chart(quarters: list[Row], label: str) -> Markup:
    """Draw the coverage of P10 to P90 by quarter, hollow where too few forecasts are independent.

    Parameters
    ----------
    quarters : list of dict
        slice, position (years), run, is_hollow, coverage_80, n_independent. Lines join the quarters of a run.
    label : str
        What the chart shows, for screen readers.

    Returns
    -------
    Markup
        An SVG whose attribute data-years has the domain of its axis.
    """
    first, last = math.floor(quarters[0]["position"]), math.ceil(quarters[-1]["position"])
    step = -(-(last - first) // 5)
    axis = alt.Axis(
        values=list(range(first, last + 1, step)), format="d", grid=False, labelOverlap=False, labelFlush=False
    )
    x = alt.X("position:Q", scale=alt.Scale(domain=[first, last], nice=False), axis=axis)
    y = _share_axis(alt.Y, "coverage_80:Q", [0, 0.5, 0.8, 1])
    rows = [
        row
        | {
            "note": f"{row['slice']}: {formats.percent(row['coverage_80'])} inside, {formats.count(row['n_independent'])} independent"
        }
        for row in quarters
    ]
    canvas = _Canvas()
    canvas.add([{"coverage_80": 0.8}], "target", {"type": "rule"} | TARGET, y=y)
    runs = {"type": "line", "stroke": "var(--band-line)", "strokeWidth": 1}
    canvas.add(rows, "runs", runs, x=x, y=y, detail=alt.Detail("run:N"))
    hollow = _point("circle", "var(--paper)", size=DOT, stroke="var(--accent)", strokeWidth=1)
    for name, is_hollow, mark in (
        ("hollow", True, hollow),
        ("full", False, _point("circle", "var(--accent)", size=DOT)),
    ):
        own = [row for row in rows if row["is_hollow"] is is_hollow]
        canvas.add(own, name, mark, x=x, y=y, description=alt.Description("note:N"))
    return canvas.draw(label, {"years": f"{first} {last}"} | SMALL_FACTS, SMALL_PADDING, **SMALL)


def _range(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _point(shape: str, colour: str, size: float = DOT, **more) -> dict:
    return {"type": "point", "filled": True, "shape": shape, "size": size, "fill": colour, "opacity": 1, **more}


def _round_ticks(low: float, high: float, most: int) -> tuple[float, float, list[float]]:
    """Return first tick, last tick and all ticks of an axis that includes two values, with at most `most` steps.

    Ticks are multiples of 1, 2, 2.5 or 5 times a power of ten.

    >>> _round_ticks(31.4, 60.7, 6)
    (30.0, 65.0, [30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0])
    """
    span = max(high - low, 1e-6 * max(abs(high), 1.0))
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(own for factor in (1, 2, 2.5, 5, 10) if span / (own := factor * magnitude) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
    return ticks[0], ticks[-1], ticks


def spread(places: list[float], distance: float) -> list[float]:
    """Move places on a line apart, as little as possible, so that neighbours have a distance.

    Parameters
    ----------
    places : list of float
        Ascending.
    distance : float
        Least distance between neighbours.

    Returns
    -------
    list of float

    Examples
    --------
    >>> spread([0.0, 1.0, 50.0], 14.0)
    [-6.5, 7.5, 50.0]
    """
    groups: list[tuple[float, int]] = []  # mean of the free places, and how many, as in isotonic regression
    for number, place in enumerate(places):
        mean, size = place - number * distance, 1
        while groups and groups[-1][0] >= mean:
            before, more = groups.pop()
            mean, size = (before * more + mean * size) / (more + size), more + size
        groups.append((mean, size))
    means = [mean for mean, size in groups for _ in range(size)]
    return [mean + number * distance for number, mean in enumerate(means)]


class _Canvas:
    """Layers of one chart and their rows. alt.layer copies all of them several times, which takes half of the time."""

    def __init__(self) -> None:
        self.layers: list[dict] = []
        self.rows: dict[str, list[Row]] = {}

    def add(self, rows: list[Row], name: str, mark: dict, **encoding) -> None:
        """Add a layer; its mark's elements get the class <name>_marks."""
        self.rows[name] = rows
        channels = {channel: value.to_dict(validate=False) for channel, value in encoding.items()}
        self.layers.append({"name": name, "data": {"name": name}, "mark": mark, "encoding": channels})

    def draw(self, label: str, facts: dict[str, str], padding: dict[str, int], **size: int) -> Markup:
        """Draw the layers; label and facts (as data attributes) go to the SVG element."""
        spec = {
            "$schema": alt.SCHEMA_URL,
            "layer": self.layers,
            "config": CONFIG,
            "datasets": self.rows,
            "padding": padding,
            **size,
        }
        svg = vl_convert.vegalite_to_svg(json.dumps(spec, default=str), vl_version=VEGALITE)
        return _compact(
            svg, {"role": "img", "aria-label": label} | {f"data-{name}": value for name, value in facts.items()}
        )


def _compact(svg: str, attributes: dict[str, str]) -> Markup:
    """Return an SVG for HTML with less markup: groups say once what all of their elements say."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        for name in UNUSED:
            element.attrib.pop(name, None)
        for name in GEOMETRY & element.attrib.keys():
            element.set(name, DIGITS.sub(r"\1", element.attrib[name]))
        for name, value in DEFAULTS.items():
            if element.get(name) == value:
                del element.attrib[name]
        # layers have names, and `root` is the plot
        names = [name for name in element.attrib.pop("class", "").split() if name.endswith("_marks") or name == "root"]
        if names:
            element.set("class", names[0])
        for child in list(element):
            if child.get("class") in ("background", "foreground") or child.get("opacity") == "0":
                element.remove(child)
        for name in INHERITED:
            values = {child.get(name) for child in element}
            if len(element) > 1 and None not in values and len(values) == 1:
                element.set(name, values.pop() or "")
                for child in element:
                    del child.attrib[name]
    box = root.attrib["viewBox"]
    root.attrib.clear()
    style = f"max-width: {1.25 * int(box.split()[2]):.0f}px"
    root.attrib.update({"class": "chart", "viewBox": box, "style": style} | attributes)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _share_axis(channel: type, field: str, ticks: list[float]) -> alt.X | alt.Y:
    return channel(
        field,
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(values=ticks, format="~%", domain=False, ticks=False),
    )


def _ms(day: date) -> int:
    """Milliseconds from 1970 to a day's midnight in UTC, as Vega counts."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def _months(start: date, end: date, step: int) -> list[date]:
    """First days of every `step`th month of the year between two days."""
    numbers = range(12 * start.year + start.month, 12 * end.year + end.month)  # from the month after start
    return [date(number // 12, number % 12 + 1, 1) for number in numbers if number % 12 % step == 0]


def _format_of(ticks: list[float]) -> str:
    decimals = max(len(f"{tick:g}".partition(".")[2]) for tick in ticks)
    return f",.{decimals}f"
