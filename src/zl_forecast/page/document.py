"""The document: reads all sections, draws their charts, and fills the templates."""

import base64
import hashlib
import json
import math
from datetime import date
from importlib.resources import files

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zl_forecast import formats, notices
from zl_forecast.page import charts, position
from zl_forecast.page.calibration import read_calibration
from zl_forecast.page.changes import read_changes
from zl_forecast.page.checks import read_checks
from zl_forecast.page.drivers import largest, read_drivers, read_meanings, waterfall_steps
from zl_forecast.page.ensemble import read_ensemble
from zl_forecast.page.forecast import read_closed_days, read_closes, read_fan, read_forecast, summarise_price
from zl_forecast.page.risk import read_risk
from zl_forecast.page.tournament import read_champions, read_maps
from zl_forecast.queries import Row

FULL_FAMILY_SKILL, FULL_METHOD_SKILL = 0.05, 0.02  # skills at which a map's cell has its full colour
SHADES = 9  # of each colour in style.css; text on the strongest keeps its contrast
WIDE, NARROW = (900, 330), (266, 250)  # px of the fan; the narrow one is for phones, with the second half of the closes
FORECAST_NUMBERS = (
    "last_price",
    "p05",
    "p10",
    "p25",
    "p50",
    "p75",
    "p90",
    "p95",
    "reference_p10",
    "reference_p50",
    "reference_p90",
    "prob_up",
)


def render_document(con: duckdb.DuckDBPyConnection) -> str:
    """Render the page of a snapshot.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        A complete HTML document.
    """
    forecast, closes, fan = read_forecast(con), read_closes(con), read_fan(con)
    drivers, calibration = read_drivers(con), read_calibration(con)
    stylesheet, script = (_source(name) for name in ("style.css", "script.js"))
    return (
        environment()
        .get_template("page.html")
        .render(
            stylesheet=Markup(stylesheet),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            numbers=Markup(_json(_numbers(con, forecast, closes))),
            first=forecast[0],
            forecast=forecast,
            closes=closes,
            price=summarise_price(closes),
            missing_buckets=notices.missing_buckets(con),
            active_fallbacks=notices.active_fallbacks(con),
            fan=charts.fan_chart(closes, fan, forecast, *WIDE, is_narrow=False),
            narrow_fan=charts.fan_chart(closes[len(closes) // 2 :], fan, forecast, *NARROW, is_narrow=True),
            drivers=drivers,
            meanings=read_meanings(drivers),
            waterfalls={
                days: charts.waterfall_chart(
                    waterfall_steps(rows), f"{formats.horizon(days)}: from the last price to the median"
                )
                for days, rows in drivers.items()
            },
            largest=largest,
            changes=read_changes(con),
            positions=position.read_positions(con),
            risk=read_risk(con),
            losses=position.LOSSES,
            calibration=calibration,
            calibration_charts=draw_calibration(calibration),
            ensemble=read_ensemble(con),
            maps=read_maps(con),
            champions=read_champions(con),
            checks=read_checks(con),
            full_family_skill=FULL_FAMILY_SKILL,
            full_method_skill=FULL_METHOD_SKILL,
        )
    )


def environment() -> Environment:
    """Return the templates with the filters of `formats`; everything that they insert is escaped.

    Returns
    -------
    jinja2.Environment
    """
    templates = Environment(
        loader=PackageLoader("zl_forecast.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {own.__name__: own for own in formats.FILTERS}
    templates.globals["shade"] = shade
    return templates


def shade(skill: float, full: float) -> str:
    """Return the class of a map's cell: b1 to b9 (blue) for better than the reference, w1 to w9 (orange) for worse.

    Parameters
    ----------
    skill : float
        Skill, which must not be missing.
    full : float
        Absolute skill from which the colour is at full strength; positive.

    Returns
    -------
    str
        Empty if there is hardly any colour.

    Examples
    --------
    >>> shade(0.025, 0.05), shade(-1.0, 0.05), shade(0.0, 0.05)
    ('b5', 'w9', '')
    """
    strength = math.floor(SHADES * min(abs(skill) / full, 1.0) + 0.5)
    return f"{'b' if skill > 0 else 'w'}{strength}" if strength else ""


def draw_calibration(calibration: Row | None) -> dict[int, list[Markup]]:
    """Draw the plots of each horizon.

    Parameters
    ----------
    calibration : dict or None
        From `read_calibration`.

    Returns
    -------
    dict of int to list of Markup
        By horizon_days: reliability, histogram and, if there are quarters, coverage over time.
    """
    drawn = {}
    for row in calibration["horizons"] if calibration else ():
        name = formats.horizon(row["horizon_days"])
        drawn[row["horizon_days"]] = [
            charts.reliability_chart(row["levels"], f"{name}: share of outcomes at or below each quantile"),
            charts.histogram_chart(row["bins"], f"{name}: share of outcomes between neighbouring quantiles"),
            *(
                [charts.coverage_chart(row["quarters"], f"{name}: coverage of P10 to P90 by quarter")]
                if row["quarters"]
                else []
            ),
        ]
    return drawn


def _numbers(con: duckdb.DuckDBPyConnection, forecast: list[Row], closes: list[Row]) -> dict:
    """Collect what the script reads: the calendar, the chart's points and the numbers of a position."""
    return {
        "as_of_date": forecast[0]["as_of_date"],
        "closed_days": [row["date"] for row in read_closed_days(con)],
        "closes": [[row["as_of_date"], row["close"]] for row in closes],
        "forecast": [
            {
                "label": formats.horizon(row["horizon_days"]),
                "horizon_days": row["horizon_days"],
                "target_date": row["target_date"],
            }
            | {name: row[name] for name in FORECAST_NUMBERS}
            for row in forecast
        ],
        "usd_per_cent_and_contract": position.USD_PER_CENT_AND_CONTRACT,
        "pounds_per_contract": position.POUNDS_PER_CONTRACT,
        "losses": position.read_losses(con),
        "levels": position.read_levels(con),
        "distribution": position.read_distribution(con),
    }


def _json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, default=_date, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _date(value: date) -> str:
    return f"{value:%Y-%m-%d}"


def _source(name: str) -> str:
    return (files("zl_forecast.page") / name).read_text(encoding="utf-8")
