"""The calibration section of the page shows the four tables' values, of the published forecast only."""

import re

import duckdb
import pandas as pd
import pytest
from small_snapshot import EVIL, LEVELS, QUARTERS, SHARES, calibration_tables, section, snapshot, table_of, text_of

from zl_forecast.page import calibration, document

WIDTH, HEIGHT = 236, 150
CODES = {5: "1w", 20: "1m"}


def read(*many: dict) -> dict | None:
    """Read the section's rows from the tables of some subjects."""
    tables = {name: pd.concat([own[name] for own in many]) for name in many[0]} if many else {}
    with duckdb.connect() as con:
        return calibration.read_calibration(snapshot(con, **tables))


def rendered(*many: dict):
    """Render the section from the tables of some subjects."""
    own = read(*many)
    return section("calibration.html", calibration=own, calibration_charts=document.draw_calibration(own))


def tables(codes=CODES, **more) -> dict:
    return calibration_tables(codes=codes, **more)


def plots(tree) -> list:
    return list(tree.iter("svg"))


def layer(svg, name: str) -> list:
    """Elements of a layer of a chart."""
    return [
        child for group in svg.iter("g") if f"{name}_marks" in (group.get("class") or "").split() for child in group
    ]


def notes(elements) -> list[str]:
    return [" ".join(one.get("aria-label").split()) for one in elements]


def place(element) -> tuple[float, float]:
    """Position of a point in px of the plot."""
    x, y = re.match(r"translate\((-?[\d.]+),(-?[\d.]+)\)", element.get("transform")).groups()
    return float(x), float(y)


def table(tree, head: str) -> dict[str, list[str]]:
    """Map the first cell of each row to the other cells, for the table whose first heading is `head`."""
    rows = next(rows for own in tree.iter("table") if (rows := table_of(own))[0][0] == head)
    return {first: others for first, *others in rows[1:]}


def test_each_horizon_has_three_plots_with_their_numbers():
    tree = rendered(tables())
    assert [plot.get("aria-label").split(":")[0] for plot in plots(tree)] == ["1 week"] * 3 + ["1 month"] * 3
    reliability, histogram, over_time = plots(tree)[:3]
    assert notes(layer(reliability, "inside")) == [
        f"P{100 * level:02.0f}: {share:.0%} at or below".replace("%", " %")
        for level, share in zip(LEVELS, SHARES, strict=True)
    ]
    assert notes(layer(histogram, "observed"))[:2] == ["P0 to P5: 4.0 %, nominal 5 %", "P5 to P10: 7.0 %, nominal 5 %"]
    assert notes(layer(over_time, "full")) == [
        f"{name}: {share:.0%} inside, 8.0 independent".replace("%", " %") for name, share in QUARTERS.items()
    ]
    captions = [text_of(own) for own in tree.iter("figcaption")]
    assert captions == [
        "1 week: 1,758 forecasts, 352 of them independent",
        "1 month: 1,758 forecasts, 88 of them independent",
    ]


def test_a_level_outside_its_band_has_another_shape_and_is_named():
    one = {5: "1w"}
    inside, outside = (plots(rendered(tables(one, outside=levels)))[0] for levels in ((), (0.25,)))
    assert (len(layer(inside, "inside")), len(layer(inside, "outside"))) == (7, 0)
    assert (len(layer(outside, "inside")), len(layer(outside, "outside"))) == (6, 1)
    assert notes(layer(outside, "outside")) == ["P25: 20 % at or below, outside the band of chance"]


def test_points_are_at_the_positions_of_their_values():
    reliability, _, over_time = plots(rendered(tables({5: "1w"})))
    for point, level, share in zip(layer(reliability, "inside"), LEVELS, SHARES, strict=True):
        assert place(point) == pytest.approx((level * WIDTH, (1 - share) * HEIGHT), abs=0.02)
    first, last = map(float, over_time.get("data-years").split())
    for point, position, share in zip(
        layer(over_time, "full"), (2019.625, 2019.875, 2020.375), QUARTERS.values(), strict=True
    ):
        assert place(point) == pytest.approx(
            ((position - first) / (last - first) * WIDTH, (1 - share) * HEIGHT), abs=0.02
        )


def test_bar_heights_are_observed_shares_and_lines_are_nominal_ones():
    histogram = plots(rendered(tables({5: "1w"})))[1]
    top = float(histogram.get("data-shares").split()[1])
    observed, nominal = (tables({5: "1w"})["pit_histogram"][name] for name in ("observed_share", "nominal_share"))
    bars = [abs(float(re.search(r"v(-?[\d.]+)", bar.get("d"))[1])) for bar in layer(histogram, "observed")]
    assert [bar / HEIGHT * top for bar in bars] == pytest.approx(list(observed), abs=0.001)
    lines = [place(line)[1] for line in layer(histogram, "nominal")]
    assert [(1 - line / HEIGHT) * top for line in lines] == pytest.approx(list(nominal), abs=0.001)


def test_a_quarter_without_a_forecast_leaves_a_gap():
    over_time = plots(rendered(tables({5: "1w"})))[2]
    assert [len(re.findall("[ML]", line.get("d"))) for line in layer(over_time, "runs")] == [2, 1]
    (third, _), (fourth, _), (second, _) = map(place, layer(over_time, "full"))
    assert second - fourth == pytest.approx(2 * (fourth - third), abs=0.03)


def test_quarters_with_too_few_independent_forecasts_are_hollow():
    own = plots(rendered(tables()))
    assert (len(layer(own[2], "full")), len(layer(own[2], "hollow"))) == (3, 0)  # 8 independent
    assert (len(layer(own[5], "full")), len(layer(own[5], "hollow"))) == (0, 3)  # 2 independent
    assert layer(own[5], "hollow")[0].get("fill") in (None, "var(--paper)")


def test_slices_are_shown_by_horizon_with_independent_samples_and_without_missing_ones():
    assert table(rendered(tables()), "Forecasts made") == {
        "Whole history": ["79 % (8.0)", "79 % (2.0)"],
        "Calm regime": ["84 % (8.0)", "84 % (2.0)"],
        "First 60 sessions from a break": ["61 % (8.0)", "61 % (2.0)"],
        "At other times": ["83 % (8.0)", "83 % (2.0)"],
    }


@pytest.mark.parametrize(
    ("verdicts", "state", "texts"),
    [
        ({}, "ok", ["51 %, ok", "62 %, ok", "97 %, ok"]),
        ({}, "cannot_tell", ["51 %, cannot tell", "62 %, cannot tell", "97 %, cannot tell"]),
        (
            {(80, "coverage"): "rejected", (80, "conditional_coverage"): "rejected", (90, "coverage"): "rejected"},
            "failed",
            ["51 %, failed", "62 %, failed: too narrow", "97 %, failed: too wide"],
        ),
        (
            {(50, "independence"): "rejected", (80, "coverage"): "rejected", (80, "independence"): "rejected"}
            | {(90, "conditional_coverage"): "rejected"},
            "failed",
            [
                "51 %, failed: misses are not independent",
                "62 %, failed: too narrow and misses are not independent",
                "97 %, failed: coverage and independence together rejected",
            ],
        ),
    ],
)
def test_states_and_verdicts_are_shown_as_text(verdicts, state, texts):
    shown = table(rendered(tables({5: "1w"}, verdicts=verdicts, state=state)), "Horizon")
    assert shown == {"1 week": [f"{text} 7.0 independent" for text in texts]}


def test_only_the_published_forecast_is_shown():
    other = tables({5: "1w", 20: "1m", 60: "3m"}, subject="stacking", outside=LEVELS)
    assert read(tables(), other) == read(tables())


def test_missing_matured_forecasts_are_reported():
    assert read(tables(subject="stacking")) is None
    assert read() is None
    assert "so calibration cannot be measured" in text_of(
        section("calibration.html", calibration=None, calibration_charts={})
    )


def test_text_from_tables_cannot_become_markup():
    tree = rendered(tables({5: EVIL}, state=EVIL))
    assert list(tree.iter("script")) == []
    assert table(tree, "Horizon")["1 week"][0] == f"51 %, {EVIL} 7.0 independent"
