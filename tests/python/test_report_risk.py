"""The risk section of the page shows the values of zl_risk, for a buyer and for a holder."""

from xml.etree import ElementTree

import duckdb
import pandas as pd
import pytest

from zl_forecast.report_risk import NOTHING, risk_section

CODES = {5: "1w", 20: "1m"}
LAST = 50.0
LEVELS = {60.0: "above", 55.0: "above", 45.0: "below"}
TYPES = "horizon_days int, horizon_code text, side text, measure text, level_cents double, value double"


def risk(codes=CODES, levels=LEVELS) -> pd.DataFrame:
    """Build zl_risk with distinct numbers."""
    rows = []
    for days, code in codes.items():
        for place, (side, extreme) in enumerate({"buyer": "high", "holder": "low"}.items()):
            for tail, measure in enumerate(("var_95", "cvar_95", "var_99", "cvar_99")):
                rows.append((days, code, side, measure, None, days / 10 + tail + place / 4))
            rows.append((days, code, side, f"expected_{extreme}", None, 52.0 + days / 20 - 10 * place))
        for place, (level, name) in enumerate(levels.items()):
            side = "buyer" if name == "above" else "holder"
            rows.append((days, code, side, f"prob_{name}", level, 0.01 + place / 10 + days / 100))
            rows.append((days, code, side, f"prob_touch_{name}", level, 0.03 + place / 10 + days / 100))
    return pd.DataFrame(rows, columns=[column.split()[0] for column in TYPES.split(", ")]).astype(
        {"level_cents": float}
    )


def section(rows: pd.DataFrame) -> str:
    with duckdb.connect() as con:
        con.execute(f"create schema forecasts; create table forecasts.zl_risk ({TYPES})")
        con.execute(f"create table forecasts.zl_forecast as select {LAST}::double as last_price")
        con.register("rows", rows)
        con.execute("insert into forecasts.zl_risk by name from rows")
        return risk_section(con)


def tables(text: str) -> list[list[list[str]]]:
    """Parse the rows of each table; the HTML must be well-formed."""
    return [
        [["".join(cell.itertext()) for cell in row] for row in table]
        for table in ElementTree.fromstring(f"<div>{text}</div>").iter("table")
    ]


def test_losses_are_shown_by_horizon_and_side():
    assert tables(section(risk()))[0] == [
        ["Horizon", "Side", "VaR 95", "CVaR 95", "VaR 99", "CVaR 99"],
        ["1w", "buyer, if the price rises", "0.50", "1.50", "2.50", "3.50"],
        ["1w", "holder, if the price falls", "0.75", "1.75", "2.75", "3.75"],
        ["1m", "buyer, if the price rises", "2.00", "3.00", "4.00", "5.00"],
        ["1m", "holder, if the price falls", "2.25", "3.25", "4.25", "5.25"],
    ]


def test_price_levels_are_between_expected_high_and_expected_low():
    assert tables(section(risk()))[1] == [
        ["Price, cents/lb", "1w", "1m"],
        ["", "ends", "touches", "ends", "touches"],
        ["Expected highest close", "52.25", "53.00"],
        ["above 60.00 (+20%)", "6%", "8%", "21%", "23%"],
        ["above 55.00 (+10%)", "16%", "18%", "31%", "33%"],
        ["below 45.00 (-10%)", "26%", "28%", "41%", "43%"],
        ["Expected lowest close", "42.25", "43.00"],
    ]


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "<1%"), (0.0049, "<1%"), (0.0051, "1%"), (0.994, "99%"), (0.996, ">99%"), (1.0, ">99%")]
)
def test_no_probability_is_shown_as_0_or_100(share, text):
    rows = risk(codes={5: "1w"}, levels={60.0: "above"})
    rows.loc[rows["measure"].str.startswith("prob"), "value"] = share
    assert tables(section(rows))[1][3] == ["above 60.00 (+20%)", text, text]


def test_without_levels_the_expected_range_remains():
    assert [row[0] for row in tables(section(risk(levels={})))[1][2:]] == [
        "Expected highest close",
        "Expected lowest close",
    ]


def test_a_level_or_a_loss_that_one_horizon_lacks_leaves_its_cells_empty():
    rows = risk()
    rows = rows[(rows["horizon_days"] != 5) | ((rows["level_cents"] != 60.0) & (rows["measure"] != "var_99"))]
    losses, prices = tables(section(rows))
    assert losses[1] == ["1w", "buyer, if the price rises", "0.50", "1.50", "", "3.50"]
    assert prices[3] == ["above 60.00 (+20%)", "", "", "21%", "23%"]


def test_an_empty_risk_table_is_reported():
    assert section(risk().iloc[:0]) == NOTHING


def test_text_from_the_table_cannot_become_markup():
    evil = '<script>alert("1")</script>'
    text = section(risk(codes={5: evil}, levels={60.0: evil}))
    assert "<script" not in text
    assert tables(text)[0][1][0] == evil
    assert tables(text)[1][3][0] == f"{evil} 60.00 (+20%)"
