"""The calibration section of the page shows the four tables' values, of the published forecast only."""

import re
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pytest

from zl_forecast.report_calibration import NOTHING, calibration_section

CODES = {5: "1w", 20: "1m"}
LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
SHARES = (0.04, 0.11, 0.2, 0.5, 0.8, 0.9, 0.96)  # observed share at or below each level
QUARTERS = {"2019-Q3": 0.75, "2019-Q4": 0.85, "2020-Q2": 0.3}  # without a forecast in the first quarter of 2020
SLICED = {("all", "all"): 0.79, ("regime", "CALM"): 0.84, ("break", "after_break"): 0.61, ("break", "otherwise"): 0.83}
TYPES = {
    "reliability": "subject text, horizon_days int, horizon_code text, nominal double, observed double, n_rows bigint, "
    "n_independent double, band_low double, band_high double, is_within_band boolean",
    "pit_histogram": "subject text, horizon_days int, horizon_code text, bin int, lower_level double, upper_level double, "
    "nominal_share double, observed_share double",
    "calibration": "subject text, horizon_days int, horizon_code text, slice_type text, slice text, n_independent double, "
    "coverage_80 double",
    "coverage_tests": "subject text, horizon_days int, horizon_code text, band int, test text, n_samples int, "
    "coverage double, verdict text",
}


def tables(subject="published", codes=CODES, outside=(), verdicts=None) -> dict[str, pd.DataFrame]:
    """Build the four tables of one subject; `outside` lists levels outside their band, `verdicts` by (band, test)."""
    keys = [{"subject": subject, "horizon_days": days, "horizon_code": code} for days, code in codes.items()]
    edges, cumulated = (0, *LEVELS, 1), (0, *SHARES, 1)
    rows = {name: [] for name in TYPES}
    for key in keys:
        rows["reliability"] += [
            {**key, "nominal": level, "observed": share, "n_rows": 1758, "n_independent": 1758 / key["horizon_days"]}
            | {
                "band_low": max(level - 0.1, 0),
                "band_high": min(level + 0.1, 1),
                "is_within_band": level not in outside,
            }
            for level, share in zip(LEVELS, SHARES, strict=True)
        ]
        rows["pit_histogram"] += [
            {**key, "bin": n + 1, "lower_level": edges[n], "upper_level": edges[n + 1]}
            | {"nominal_share": edges[n + 1] - edges[n], "observed_share": cumulated[n + 1] - cumulated[n]}
            for n in range(8)
        ]
        sliced = {**SLICED, **{("quarter", name): share for name, share in QUARTERS.items()}}
        rows["calibration"] += [
            {
                **key,
                "slice_type": slice_type,
                "slice": name,
                "n_independent": 40 / key["horizon_days"],
                "coverage_80": share,
            }
            for (slice_type, name), share in sliced.items()
        ]
        rows["coverage_tests"] += [
            {**key, "band": band, "test": test, "n_samples": 7, "coverage": covered}
            | {"verdict": (verdicts or {}).get((band, test), "ok")}
            for band, covered in ((50, 0.51), (80, 0.62), (90, 0.97))
            for test in ("coverage", "independence", "conditional_coverage")
        ]
    return {name: pd.DataFrame(own) for name, own in rows.items()}


def section(*many: dict[str, pd.DataFrame]) -> str:
    """Render the section from the tables of some subjects."""
    with duckdb.connect() as con:
        con.execute("create schema monitoring")
        for name, types in TYPES.items():
            con.execute(f"create table monitoring.{name} ({types})")
            for own in many:
                con.register("rows", own[name])
                con.execute(f"insert into monitoring.{name} by name from rows")
        return calibration_section(con)


def plots(text: str) -> list[ElementTree.Element]:
    """Parse the SVGs, which must be well-formed."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def table(text: str, head: str) -> dict[str, list[str]]:
    """Map the first cell of each row to the other cells, for the table whose first heading is `head`."""
    own = text.split(f"<table><tr><th>{head}</th>")[1].split("</table>")[0]
    rows = [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in own.split("<tr>")[1:]]
    return {cells[0]: cells[1:] for cells in rows}


def test_each_horizon_has_three_plots_with_their_numbers_as_accessible_labels():
    text = section(tables())
    labels = [plot.get("aria-label") for plot in plots(text)]
    assert [label.split(":")[0] for label in labels] == ["1w"] * 3 + ["1m"] * 3
    assert labels[0].endswith("below P05 4%, P10 11%, P25 20%, P50 50%, P75 80%, P90 90%, P95 96%")
    assert "0% to 5%: 4.0% of 5%, 5% to 10%: 7.0% of 5%" in labels[1]
    assert labels[2].endswith("2019-Q3 75%, 2019-Q4 85%, 2020-Q2 30%")
    assert "<b>1w</b>: 1,758 forecasts, 352 of them independent" in text
    assert "<b>1m</b>: 1,758 forecasts, 88 of them independent" in text


def test_a_level_outside_its_band_has_another_shape_and_is_named():
    inside, outside = plots(section(tables(codes={5: "1w"}))), plots(section(tables(codes={5: "1w"}, outside=(0.25,))))
    assert (len(inside[0].findall("circle")), len(inside[0].findall("rect"))) == (7, 0)
    assert (len(outside[0].findall("circle")), len(outside[0].findall("rect"))) == (6, 1)
    assert "P25 20% (outside the band)" in outside[0].get("aria-label")


def test_points_are_at_the_positions_of_their_values():
    reliability, _, over_time = plots(section(tables(codes={5: "1w"})))
    axes = [tuple(map(float, point.split(","))) for point in reliability.findall("polyline")[-1].get("points").split()]
    (left, top), (_, bottom), (right, _) = axes
    dots = reliability.findall("circle")
    for dot, level, share in zip(dots, LEVELS, SHARES, strict=True):
        assert float(dot.get("cx")) == pytest.approx(left + level * (right - left), abs=0.06)
        assert float(dot.get("cy")) == pytest.approx(bottom - share * (bottom - top), abs=0.06)
    for dot, share in zip(over_time.findall("circle"), QUARTERS.values(), strict=True):
        assert float(dot.get("cy")) == pytest.approx(bottom - share * (bottom - top), abs=0.06)


def test_bar_heights_are_observed_shares_and_lines_are_nominal_ones():
    histogram = plots(section(tables(codes={5: "1w"})))[1]
    bars = [float(bar.get("height")) for bar in histogram.findall("rect")]
    observed = tables(codes={5: "1w"})["pit_histogram"]["observed_share"]
    assert [bar / bars[3] for bar in bars] == pytest.approx(list(observed / observed[3]), abs=0.01)
    heights = [float(line.get("points").split(",")[-1]) for line in histogram.findall("polyline")[:8]]
    assert heights[3] == heights[4] == min(heights)  # 25 % each
    assert heights[0] == heights[1] == heights[6] == heights[7] == max(heights)  # 5 % each


def test_a_quarter_without_a_forecast_leaves_a_gap():
    over_time = plots(section(tables(codes={5: "1w"})))[2]
    lines = [line.get("points").split() for line in over_time.findall("polyline")]
    assert [len(points) for points in lines] == [2, 2, 1, 3]  # nominal, 2019, 2020 alone, axes
    third, fourth, second = (float(dot.get("cx")) for dot in over_time.findall("circle"))
    assert second - fourth == pytest.approx(2 * (fourth - third), abs=0.3)


def test_slices_are_shown_by_horizon_with_independent_samples_and_without_missing_ones():
    assert table(section(tables()), "Forecasts made") == {
        "Whole history": ["79% (8.0)", "79% (2.0)"],
        "Calm regime": ["84% (8.0)", "84% (2.0)"],
        "First 60 sessions from a break": ["61% (8.0)", "61% (2.0)"],
        "At other times": ["83% (8.0)", "83% (2.0)"],
    }


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        ({}, ["covers 51%, not rejected", "covers 62%, not rejected", "covers 97%, not rejected"]),
        (
            {(80, "coverage"): "rejected", (80, "conditional_coverage"): "rejected", (90, "coverage"): "rejected"},
            ["covers 51%, not rejected", "covers 62%, too narrow", "covers 97%, too wide"],
        ),
        (
            {(50, "independence"): "rejected", (80, "coverage"): "rejected", (80, "independence"): "rejected"}
            | {(90, "conditional_coverage"): "rejected"},
            [
                "covers 51%, misses are not independent",
                "covers 62%, too narrow and misses are not independent",
                "covers 97%, coverage and independence together rejected",
            ],
        ),
        (
            dict.fromkeys([(50, "coverage"), (50, "independence"), (50, "conditional_coverage")], "too_few"),
            [
                "covers 51%, not tested: 7 independent forecasts are too few",
                "covers 62%, not rejected",
                "covers 97%, not rejected",
            ],
        ),
    ],
)
def test_verdicts_are_shown_as_text(verdicts, text):
    assert table(section(tables(codes={5: "1w"}, verdicts=verdicts)), "Horizon") == {"1w": text}


def test_only_the_published_forecast_is_shown():
    other = tables(subject="stacking", outside=LEVELS, codes={5: "1w", 20: "1m", 60: "3m"})
    assert section(tables(), other) == section(tables())


def test_missing_matured_forecasts_are_reported():
    assert section(tables(subject="stacking")) == NOTHING
    assert section() == NOTHING


def test_text_from_tables_cannot_become_markup():
    evil = '<script>alert("1")</script>\' onmouseover=x'
    text = section(tables(codes={5: evil}))
    assert "<script" not in text
    assert evil not in text
    assert "&lt;script&gt;" in text
    assert len(plots(text)) == 3


def test_the_section_has_no_external_resources():
    assert re.findall(r"https?://|src=|<link|<script|@import|url\(", section(tables())) == []
