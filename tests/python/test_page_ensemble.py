"""The section on ensemble methods shows the values of the two tables."""

import duckdb
import pytest
from small_snapshot import EVIL, METHODS, drivers, ensemble_board, ensemble_weights, section, snapshot, text_of

from zl_forecast.page.document import FULL_METHOD_SKILL, SHADES, shade
from zl_forecast.page.ensemble import read_ensemble

CODES = {5: "1w", 20: "1m"}
LABELS = {5: "1 week", 20: "1 month"}
CODE_OF = {label: CODES[days] for days, label in LABELS.items()}


def rendered(rows=None, *weights):
    """Render the section from a leaderboard and weights."""
    with duckdb.connect() as con:
        tables = [("ensemble_leaderboard", ensemble_board(CODES) if rows is None else rows)]
        snapshot(con, **dict(tables))
        for own in weights:
            con.register("rows", own)
            con.execute(f"insert into monitoring.ensemble_weights by name select {', '.join(own.columns)} from rows")
        return section("methods.html", ensemble=read_ensemble(con), full_method_skill=FULL_METHOD_SKILL)


def cells(tree) -> dict:
    """Read the map as (label, horizon code) -> cell, in order."""
    head, *rows = tree.find(".//details").iter("tr")
    codes = [CODE_OF[text_of(cell)] for cell in list(head)[1:]]
    return {(text_of(row[0]), code): cell for row in rows for code, cell in zip(codes, row.findall("td"), strict=True)}


def figures(tree) -> dict:
    return {CODE_OF[text_of(own.find("figcaption/b"))]: own for own in tree.iter("figure")}


def bars(figure) -> list[tuple[str, str, str]]:
    """Read name, style of the bar and number of each input."""
    return [(text_of(row[0]), row[1][0].get("style"), text_of(row[2])) for row in figure.findall(".//tbody/tr")]


def test_every_cell_equals_its_row_of_the_leaderboard():
    shown, rows = cells(rendered()), ensemble_board(CODES)
    assert len(shown) == len(rows)
    for row in rows.dropna(subset="pinball_skill").itertuples():
        cell = shown[row.label, row.horizon_code]
        assert float(cell.text.replace("\u2212", "-")) == pytest.approx(100 * row.pinball_skill, abs=0.00501)
        covers, width = text_of(cell.find("small")).split(", ")[:2]
        assert (covers, width) == (f"{100 * row.coverage_80:.0f} %", f"{row.relative_width_80:.2f}")
        assert cell.get("data-note") == row.reason


def test_the_map_shows_text_and_signs_besides_colours_and_frames():
    shown = {label: cell for (label, code), cell in cells(rendered()).items() if code == "1w"}
    assert {label: cell.text.replace("\u2212", "-") for label, cell in shown.items()} == {
        "Average": "+0.87",
        "Conformal": "-0.56",
        "Reference Alone": "0",
        "Stacking": "-0.02",
        "Monte Carlo": "+1.12",
        "Mine": "?",
    }
    marks = {label: text_of(cell.find("small")).split(", ")[-1] for label, cell in shown.items()}
    assert marks["Conformal"] == "on evidence"
    assert marks["Stacking"] == marks["Mine"] == "no forecast"
    assert marks["Monte Carlo"] == "too slow"
    assert marks["Average"] == "0.92"  # none


@pytest.mark.parametrize("method", ["average", "reference_alone"])
def test_only_the_published_method_is_framed(method):
    shown = cells(rendered(ensemble_board(CODES, published=method)))
    framed = {key for key, cell in shown.items() if "framed" in cell.get("class", "").split()}
    assert framed == {(method.replace("_", " ").title(), code) for code in CODES.values()}


def test_shades_grow_up_to_the_limit():
    full = FULL_METHOD_SKILL
    assert [shade(own, full) for own in (full / 2, full, 3 * full)] == ["b5", f"b{SHADES}", f"b{SHADES}"]
    assert [shade(own, full) for own in (-full / 2, -full, -3 * full)] == ["w5", f"w{SHADES}", f"w{SHADES}"]
    assert shade(0.0, full) == shade(full / 100, full) == ""


def test_rows_are_ordered_by_mean_rank_and_a_missing_method_has_an_empty_cell():
    rows = ensemble_board(CODES)
    far = rows["horizon_days"] == 20
    rows.loc[far, "rank"] = 3 * (len(METHODS) + 1 - rows.loc[far, "rank"])  # reversed, with more weight in the mean
    rows = rows[(rows["ensemble_method"] != "mine") | far]
    shown = cells(rendered(rows))
    labels = list(dict.fromkeys(label for label, _ in shown))
    assert labels == ["Mine", "Monte Carlo", "Stacking", "Reference Alone", "Conformal", "Average"]
    assert shown["Mine", "1w"].attrib == {}
    assert text_of(shown["Mine", "1w"]) == ""


def test_bars_are_todays_weights_of_the_published_method_by_size():
    tree = rendered(None, ensemble_weights(codes=CODES), ensemble_weights("conformal", CODES, today={"other": 1.0}))
    expected = [
        ("Reference", "width: 100.0%", "80.0 %"),
        ("Crush margin and positioning", "width: 15.6%", "12.5 %"),
        ("Currencies", "width: 9.4%", "7.5 %"),
    ]
    assert {code: bars(figure) for code, figure in figures(tree).items()} == {"1w": expected, "1m": expected}
    assert text_of(figures(tree)["1m"].find("figcaption")) == "1 month: Averageaverage at 1m"


def test_each_horizon_has_the_weights_of_its_own_method():
    rows = ensemble_board(CODES)
    rows["is_published"] = (rows["ensemble_method"] == "conformal") == (rows["horizon_days"] == 20)
    rows = rows[rows["is_published"] | (rows["ensemble_method"] == "average")]
    rows = rows[(rows["horizon_days"] == 20) | (rows["ensemble_method"] == "average")]
    shown = figures(rendered(rows, ensemble_weights(codes=CODES), ensemble_weights("stacking", codes={20: "1m"})))
    assert len(bars(shown["1w"])) == 3
    assert bars(shown["1m"]) == []
    assert text_of(shown["1m"].find("p")) == "This method has no weights per input."


def test_a_method_without_stated_weights_has_those_of_its_drivers():
    with duckdb.connect() as con:
        snapshot(
            con,
            ensemble_leaderboard=ensemble_board(),
            zl_forecast_drivers=drivers(),
            ensemble_weights=ensemble_weights(codes=CODES),
        )
        shown = {row["horizon_days"]: row["weights"] for row in read_ensemble(con)["published"]}
    assert [own["input"] for own in shown[5]] == ["reference", "crush", "fx"]
    assert [(own["input"], own["effective_weight"]) for own in shown[120]] == [
        ("crush", 0.6), ("carry", 0.4), ("fx", 0.1), ("rest", 0.0), ("reference", -0.1)
    ]  # fmt: skip


def test_a_negative_weight_has_another_colour_and_bars_stay_inside_their_cell():
    one = {5: "1w"}
    tree = rendered(ensemble_board(one), ensemble_weights(codes=one, today={"crush": 1.25, "fx": -0.25}))
    assert [own[1:] for own in bars(figures(tree)["1w"])] == [("width: 100.0%", "125.0 %"), ("width: 20.0%", "-25.0 %")]
    assert [own.get("data-sign") for own in figures(tree)["1w"].iter("div")] == ["positive", "negative"]


def test_without_matured_forecasts_there_are_no_numbers():
    rows = ensemble_board(CODES, published="reference_alone")
    tree = rendered(rows.assign(pinball_skill=None, coverage_80=None, relative_width_80=None))
    assert {cell.text for cell in cells(tree).values()} == {"?"}
    assert "nan" not in text_of(tree).lower()
    assert text_of(tree).count("This method has no weights per input.") == len(CODES)


def test_a_build_without_methods_is_reported():
    assert "No ensemble method competed in this build." in text_of(rendered(ensemble_board(CODES).iloc[:0]))


def test_text_from_tables_cannot_become_markup():
    rows = ensemble_board(codes={5: EVIL}).assign(label=EVIL, reason=EVIL)
    tree = rendered(rows, ensemble_weights(codes={5: EVIL}, today={EVIL: 1.0}))
    assert list(tree.iter("script")) == []
    assert bars(figures(tree)["1w"])[0][0] == EVIL
    assert cells(tree)[EVIL, "1w"].attrib.keys() <= {"data-note", "class"}
