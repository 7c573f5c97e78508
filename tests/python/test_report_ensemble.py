"""The ensemble section of the page shows the values of the two tables."""

from xml.etree import ElementTree

import duckdb
import pandas as pd
import pytest

from zl_forecast.report_ensemble import FULL_COLOUR, NOTHING, ensemble_section

CODES = {5: "1w", 20: "1m"}
# method: skill, selection_status, rank at the first horizon; ranks rotate by one at each further horizon
METHODS = {
    "average": (0.0087, "default"),
    "conformal": (-0.0056, "candidate"),
    "reference_alone": (0.0, "reference"),
    "stacking": (-0.0002, "no_forecast"),
    "monte_carlo": (0.0112, "too_slow"),
    "mine": (None, "no_forecast"),
}
TYPES = {
    "ensemble_leaderboard": "horizon_days int, horizon_code text, rank int, ensemble_method text, label text, is_published boolean, "
    "selection_status text, pinball_skill double, coverage_50 double, coverage_80 double, coverage_90 double, relative_width_80 double, "
    "fit_seconds double, score_seconds double, benchmark_p_value_holm double, dm_p_value double, shrinkage_weight double, reason text",
    "ensemble_weights": "ensemble_method text, horizon_days int, fold_type text, as_of_date date, input text, effective_weight double",
}
TODAY = "2024-03-15"
WEIGHTS = {"crush": 0.125, "reference": 0.8, "fx": 0.075}  # of today


def board(codes=CODES, published="average") -> pd.DataFrame:
    """Build monitoring.ensemble_leaderboard with distinct numbers."""
    return pd.DataFrame(
        {
            "horizon_days": days,
            "horizon_code": code,
            "rank": rank,
            "ensemble_method": method,
            "label": method.replace("_", " ").title(),
            "is_published": method == published,
            "selection_status": selection_status,
            "pinball_skill": skill,
            "coverage_80": None if skill is None else 0.8 - rank / 100,
            "relative_width_80": None if skill is None else 0.9 + rank / 100 + days / 1000,
            "coverage_50": None if skill is None else 0.5 - rank / 100,
            "coverage_90": None if skill is None else 0.9 - rank / 100,
            "fit_seconds": None if skill is None else rank / 4,
            "score_seconds": None if skill is None else rank / 8,
            "benchmark_p_value_holm": None if skill is None else 1 - rank / 10,
            "dm_p_value": None if selection_status == "reference" or skill is None else rank / 8,
            "shrinkage_weight": rank / 20,
            "reason": f"{method} at {code}",
        }
        for days, code in codes.items()
        for rank, (method, (skill, selection_status)) in enumerate(METHODS.items(), start=1)
    )


def weights(method="average", codes=CODES, today=None) -> pd.DataFrame:
    """Build monitoring.ensemble_weights of today, of last month and of the history."""
    days = {("live", TODAY): WEIGHTS if today is None else today, ("live", "2024-02-29"): {"old": 1.0}}
    days[("oof", "2024-03-29")] = {"history": 1.0}
    return pd.DataFrame(
        {"ensemble_method": method, "horizon_days": horizon, "fold_type": fold_type, "as_of_date": day}
        | {"input": name, "effective_weight": weight}
        for horizon in codes
        for (fold_type, day), own in days.items()
        for name, weight in own.items()
    )


def section(rows=None, *many: pd.DataFrame) -> ElementTree.Element:
    """Render the section from a leaderboard and weights; the HTML must be well-formed."""
    return ElementTree.fromstring(f"<div>{html(rows, *many)}</div>")


def html(rows=None, *many: pd.DataFrame) -> str:
    with duckdb.connect() as con:
        con.execute("create schema monitoring")
        for name, types in TYPES.items():
            con.execute(f"create table monitoring.{name} ({types})")
        for name, table in [("ensemble_leaderboard", board() if rows is None else rows)] + [
            ("ensemble_weights", own) for own in many
        ]:
            con.register("rows", table)
            con.execute(f"insert into monitoring.{name} by name select {', '.join(table.columns)} from rows")
        return ensemble_section(con)


def cells(part: ElementTree.Element) -> dict[tuple[str, str], ElementTree.Element]:
    """Parse the map as (label, horizon code) -> cell, in order."""
    head, *rows = part.find("div[@class='methods']/table")
    codes = ["".join(cell.itertext()) for cell in head][1:]
    return {(row[0].text, code): cell for row in rows for code, cell in zip(codes, row.findall("td"), strict=True)}


def figures(part: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {figure.find("figcaption/b").text: figure for figure in part.find("div[@class='weights']")}


def bars(figure: ElementTree.Element) -> list[tuple[str, str, str]]:
    """Parse name, style of the bar and number of each input."""
    return [(row[0].text, row[1][0].get("style"), row[2].text) for row in figure.iter("tr")]


def test_every_cell_equals_its_row_of_the_leaderboard():
    shown = cells(section())
    rows = board()
    assert len(shown) == len(rows)
    for row in rows.dropna(subset="pinball_skill").itertuples():
        cell = shown[row.label, row.horizon_code]
        assert float(cell.text) == pytest.approx(100 * row.pinball_skill, abs=0.00501)
        covered, width, *_ = cell.find("small").text.split(", ")
        assert covered == f"{row.coverage_80:.0%}"
        assert float(width) == pytest.approx(row.relative_width_80, abs=0.00501)
        assert cell.get("title") == row.reason


def test_the_map_shows_text_and_signs_besides_colours_and_frames():
    shown = {label: cell for (label, code), cell in cells(section()).items() if code == "1w"}
    assert {label: cell.text for label, cell in shown.items()} == {
        "Average": "+0.87",
        "Conformal": "-0.56",
        "Reference Alone": "0",
        "Stacking": "-0.02",
        "Monte Carlo": "+1.12",
        "Mine": "?",
    }
    marks = {label: cell.find("small").text.split(", ")[-1] for label, cell in shown.items()}
    assert marks["Conformal"] == "on evidence"
    assert marks["Stacking"] == marks["Mine"] == "no forecast"
    assert marks["Monte Carlo"] == "too slow"
    assert marks["Average"] == "0.92"  # none


@pytest.mark.parametrize("method", ["average", "reference_alone"])
def test_only_the_published_method_is_framed(method):
    framed = {key for key, cell in cells(section(board(published=method))).items() if cell.get("class") == "published"}
    assert framed == {(method.replace("_", " ").title(), code) for code in CODES.values()}


def test_colours_are_blue_for_better_and_orange_for_worse_up_to_the_limit():
    rows = board(codes={5: "1w"})
    rows["pinball_skill"] = [0, FULL_COLOUR / 2, FULL_COLOUR, 3 * FULL_COLOUR, -FULL_COLOUR, -FULL_COLOUR / 2]
    styles = [cell.get("style") for cell in cells(section(rows)).values()]
    red, _, blue = zip(*(bytes.fromhex(style.split("#")[1]) for style in styles), strict=True)
    assert red[0] == blue[0] == 255
    assert styles[2] == styles[3]
    warmth = [r - b for r, b in zip(red, blue, strict=True)]
    assert warmth[2] < warmth[1] < warmth[0] < warmth[5] < warmth[4]


def test_rows_are_ordered_by_mean_rank_and_a_missing_method_has_an_empty_cell():
    rows = board()
    far = rows["horizon_days"] == 20
    rows.loc[far, "rank"] = 3 * (len(METHODS) + 1 - rows.loc[far, "rank"])  # reversed, with more weight in the mean
    rows = rows[(rows["ensemble_method"] != "mine") | far]
    shown = cells(section(rows))
    labels = list(dict.fromkeys(label for label, _ in shown))
    assert labels == ["Mine", "Monte Carlo", "Stacking", "Reference Alone", "Conformal", "Average"]
    assert shown["Mine", "1w"].attrib == {}
    assert "".join(shown["Mine", "1w"].itertext()) == ""


def test_bars_are_todays_weights_of_the_published_method_by_size():
    part = section(None, weights(), weights("conformal", today={"other": 1.0}))
    expected = [
        ("reference", "width: 80.0%", "80.0%"),
        ("crush", "width: 12.5%", "12.5%"),
        ("fx", "width: 7.5%", "7.5%"),
    ]
    assert {code: bars(figure) for code, figure in figures(part).items()} == {"1w": expected, "1m": expected}
    caption = "".join(figures(part)["1m"].find("figcaption").itertext())
    assert caption == "1m: Averageaverage at 1m"


def test_each_horizon_has_the_weights_of_its_own_method():
    rows = board()
    rows["is_published"] = (rows["ensemble_method"] == "conformal") == (rows["horizon_days"] == 20)
    rows = rows[rows["is_published"] | (rows["ensemble_method"] == "average")]
    rows = rows[(rows["horizon_days"] == 20) | (rows["ensemble_method"] == "average")]
    shown = figures(section(rows, weights(codes={5: "1w", 20: "1m"}), weights("stacking", codes={20: "1m"})))
    assert len(bars(shown["1w"])) == 3
    assert bars(shown["1m"]) == []
    assert shown["1m"].find("p").text == "This method has no weights per input."


def test_a_negative_weight_has_another_colour_and_bars_stay_inside_their_cell():
    part = section(board(codes={5: "1w"}), weights(codes={5: "1w"}, today={"crush": 1.25, "fx": -0.25}))
    assert bars(figures(part)["1w"]) == [("crush", "width: 100.0%", "125.0%"), ("fx", "width: 25.0%", "-25.0%")]
    assert [bar.get("class") for bar in figures(part)["1w"].iter("div")] == ["bar", "bar negative"]


def test_without_matured_forecasts_there_are_no_numbers():
    rows = board(published="reference_alone").assign(pinball_skill=None, coverage_80=None, relative_width_80=None)
    part = section(rows)
    assert {cell.text for cell in cells(part).values()} == {"?"}
    text = "".join(part.itertext())
    assert "nan" not in text.lower()
    assert text.count("This method has no weights per input.") == len(CODES)


def test_a_build_without_methods_is_reported():
    assert html(board().iloc[:0]) == NOTHING


def test_text_from_tables_cannot_become_markup():
    evil = '<script>alert("1")</script>\' onmouseover=x'
    rows = board(codes={5: evil}).assign(label=evil, reason=evil)
    text = html(rows, weights(codes={5: evil}, today={evil: 1.0}))
    assert "<script" not in text
    assert evil not in text
    part = ElementTree.fromstring(f"<div>{text}</div>")
    assert bars(figures(part)[evil])[0][0] == evil
    assert cells(part)[evil, evil].attrib.keys() <= {"style", "title", "class"}
