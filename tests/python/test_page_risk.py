"""Risk, and what the position needs: the values of zl_risk and zl_paths, for a buyer and for a holder."""

import duckdb
import numpy as np
import pytest
from small_snapshot import EVIL, PRICE_LEVELS, paths, risk, section, snapshot, table_of

from zl_forecast.page import position
from zl_forecast.page.risk import read_risk

CODES = {5: "1w", 20: "1m"}
LAST = {"last_price": 50.0}


def tables(rows) -> list[list[list[str]]]:
    """Read the tables of the section."""
    with duckdb.connect() as con:
        own = read_risk(snapshot(con, zl_risk=rows))
    return [
        table_of(table) for table in section("risk.html", risk=own, first=LAST, losses=position.LOSSES).iter("table")
    ]


def test_losses_are_shown_by_horizon_and_side():
    assert tables(risk(CODES))[0] == [
        ["Horizon", "Side", "VaR 95", "CVaR 95", "VaR 99", "CVaR 99"],
        ["1 week", "buyer", "0.50", "1.50", "2.50", "3.50"],
        ["1 week", "holder", "0.75", "1.75", "2.75", "3.75"],
        ["1 month", "buyer", "2.00", "3.00", "4.00", "5.00"],
        ["1 month", "holder", "2.25", "3.25", "4.25", "5.25"],
    ]


def test_price_levels_are_between_expected_high_and_expected_low():
    assert tables(risk(CODES))[1] == [
        ["Price, cents/lb", "1 week", "1 month"],
        ["ends", "touches", "ends", "touches"],
        ["Expected highest close", "52.25", "53.00"],
        ["above 60.00 (+20 %)", "2 %", "4 %", "5 %", "7 %"],
        ["above 55.00 (+10 %)", "12 %", "14 %", "15 %", "17 %"],
        ["below 45.00 (-10 %)", "22 %", "24 %", "25 %", "27 %"],
        ["Expected lowest close", "42.25", "43.00"],
    ]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "<1 %"), (0.0049, "<1 %"), (0.0051, "1 %"), (0.994, "99 %"), (0.996, ">99 %"), (1.0, ">99 %")],
)
def test_no_probability_is_shown_as_0_or_100(share, text):
    rows = risk(codes={5: "1w"}, levels={60.0: "above"})
    rows.loc[rows["measure"].str.startswith("prob"), "value"] = share
    assert tables(rows)[1][3] == ["above 60.00 (+20 %)", text, text]


def test_without_levels_the_expected_range_remains():
    assert [row[0] for row in tables(risk(CODES, levels={}))[1][2:]] == [
        "Expected highest close",
        "Expected lowest close",
    ]


def test_a_level_or_a_loss_that_one_horizon_lacks_leaves_its_cells_empty():
    rows = risk(CODES)
    rows = rows[(rows["horizon_days"] != 5) | ((rows["level_cents"] != 60.0) & (rows["measure"] != "var_99"))]
    losses, prices = tables(rows)
    assert losses[1] == ["1 week", "buyer", "0.50", "1.50", "\u2013", "3.50"]
    assert prices[3] == ["above 60.00 (+20 %)", "", "", "5 %", "7 %"]


def test_an_empty_risk_table_is_reported():
    with duckdb.connect() as con:
        assert read_risk(snapshot(con)) is None


def test_text_from_the_table_cannot_become_markup():
    assert tables(risk(CODES, levels={60.0: EVIL}))[1][3][0] == f"{EVIL} 60.00 (+20 %)"


def test_levels_and_losses_of_the_position_are_those_of_the_table():
    with duckdb.connect() as con:
        snapshot(con, zl_risk=risk(CODES))
        losses, levels = position.read_losses(con), position.read_levels(con)
    assert losses[1] == {
        "horizon_days": 5,
        "side": "holder",
        "var_95": 0.75,
        "cvar_95": 1.75,
        "var_99": 2.75,
        "cvar_99": 3.75,
    }
    assert [(row["level_cents"], row["direction"]) for row in levels[::2]] == list(PRICE_LEVELS.items())
    assert levels[0] == {
        "level_cents": 60.0,
        "direction": "above",
        "horizon_days": 5,
        "ends": pytest.approx(0.02),
        "touches": pytest.approx(0.04),
    }


def test_the_distribution_has_the_quantiles_of_the_paths():
    with duckdb.connect() as con:
        rows = position.read_distribution(snapshot(con, zl_paths=paths()))
    for row in rows:
        prices = paths().loc[lambda own, days=row["horizon_days"]: own["horizon_days"] == days, "price"]
        assert row["prices"] == pytest.approx(np.quantile(prices, position.LEVELS), abs=0.00051)
