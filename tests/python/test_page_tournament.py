"""The heat maps show every family of the leaderboard, its skill, status and reason."""

import duckdb
import pytest
from small_snapshot import BUCKETS, CODES, FAMILIES, LABELS, board, section, snapshot, text_of, winners

from zl_forecast import formats
from zl_forecast.page.tournament import read_champions, read_maps

CODE_OF = {label: CODES[days] for days, label in LABELS.items()}
FAMILY_OF = {formats.family(name): name for name in FAMILIES}


def cells(rows) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """Read the maps as (horizon code, family, bucket) -> text, reason and class of the cell."""
    with duckdb.connect() as con:
        maps = read_maps(snapshot(con, leaderboard=rows))
    found = {}
    for table in section("tournament.html", maps=maps, full_family_skill=0.05).iter("table"):
        head, *body = table.iter("tr")
        buckets = [text_of(cell) for cell in head][1:]
        for row in body:
            for bucket, cell in zip(buckets, row.findall("td"), strict=True):
                key = CODE_OF[text_of(table.find("caption"))], FAMILY_OF[text_of(row[0])], bucket
                found[key] = text_of(cell), cell.get("data-note", ""), cell.get("class", "")
    return found


def test_every_cell_of_the_map_is_the_skill_of_the_leaderboard():
    rows = board()
    shown = cells(rows)
    assert len(shown) == len(rows)
    for row in rows.dropna(subset="pinball_skill").itertuples():
        text, reason, _ = shown[row.horizon_code, row.family, row.bucket]
        if row.family != "reference":
            assert float(text.split()[0].rstrip("*")) == pytest.approx(100 * row.pinball_skill, abs=0.0501)
        assert reason == row.reason


def test_the_map_shows_text_and_signs_besides_colours():
    own = {
        family: text for (code, family, bucket), (text, *_) in cells(board()).items() if (code, bucket) == ("1w", "fx")
    }
    assert own == {
        "catboost": "+3.1*",
        "reference": "0",
        "garch": "-1.5 F",
        "prophet": "-0.1 T",
        "lstm": "timed out",
        "sarimax": "?",
    }


def test_colours_are_blue_for_better_and_orange_for_worse():
    own = {
        family: css.split()
        for (code, family, bucket), (_, _, css) in cells(board()).items()
        if (code, bucket) == ("1w", "fx")
    }
    assert own["catboost"] == ["b6", "framed"]
    assert own["garch"] == ["w3"]
    assert own["prophet"] == own["reference"] == own["lstm"] == []


def test_only_the_champion_is_framed():
    framed = {family for (_, family, _), (_, _, css) in cells(board()).items() if "framed" in css}
    assert framed == {"catboost"}


def test_a_family_that_did_not_compete_in_a_bucket_leaves_its_cell_empty():
    rows = board()
    shown = cells(rows[(rows["family"] != "garch") | (rows["bucket"] == "fx")])
    assert shown["1w", "garch", "crush"] == ("", "", "")
    assert shown["1w", "garch", "fx"][0] == "-1.5 F"


def test_the_reference_as_champion_has_no_skill():
    rows = board()
    rows["is_winner"] = rows["family"] == "reference"
    rows["verdict"] = rows["verdict"].where(~rows["is_winner"], "no_skill")
    assert cells(rows)["6m", "reference", "fx"][0::2] == ("0", " framed")
    with duckdb.connect() as con:
        champions = read_champions(snapshot(con, leaderboard=rows, bucket_winners=winners(rows)))
    text = text_of(section("champions.html", champions=champions))
    assert text.count("The reference reads no features") == text.count("no skill") == len(BUCKETS) * len(CODES)
