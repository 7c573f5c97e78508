"""The report page, `zl summary` and `zl leaderboard ensemble` show the tables' values, also with missing data."""

import re
from functools import partial
from html.parser import HTMLParser

import duckdb
import pandas as pd
import pytest
import test_report_calibration as calibration
import test_report_ensemble as ensemble
import test_report_risk as risk

from zl_forecast import cli, report

BUCKETS = ("crush", "fx")
CODES = {5: "1w", 20: "1m", 60: "3m", 120: "6m"}
FORECAST = {
    **{"p05": 44.0, "p10": 45.0, "p25": 47.0, "p50": 49.0, "p75": 51.0, "p90": 53.0, "p95": 54.0, "prob_up": 0.41},
    **{"reference_p10": 44.5, "reference_p90": 55.5, "last_price": 50.0, "backtest_pinball_skill": 0.034},
    **{"backtest_coverage_80": 0.79, "ensemble_method": "average", "verdict": "skill", "regime": "CALM"},
    **{"model_version": "0123456789ab", "data_source": "simulated"},
    "as_of_date": pd.Timestamp("2024-03-15"),
    "made_at": pd.Timestamp("2024-03-15 23:10"),
    "target_date": pd.Timestamp("2024-06-14"),
    "buckets_offered": "biofuel china crush energy fed fx tariff volatility",
}
# family: skill, status, verdict; catboost is the champion
FAMILIES = {
    "catboost": (0.0312, "ok", "skill"),
    "reference": (0.0, "ok", None),
    "garch": (-0.0148, "failed", "no_skill"),
    "prophet": (-0.0007, "timed_out", "no_skill"),
    "lstm": (None, "timed_out", "no_skill"),
    "sarimax": (None, "ok", "no_skill"),
}
TYPES = {
    "leaderboard": "bucket text, horizon_days int, horizon_code text, rank int, family text, label text, is_winner bool, "
    "status text, pinball_skill double, verdict text, reason text",
    "bucket_winners": "bucket text, horizon_days int, horizon_code text, winner text, verdict text, "
    "backtest_pinball_skill double, backtest_coverage_80 double",
    "forecast_explanations": "bucket text, horizon_days int, rank int, method text, explanation text",
    "verdicts": "subject text, horizon_days int, n_rows bigint, pinball_skill double, coverage_80 double, p_value double, "
    "verdict text",
    "gx_results": "bucket text, bucket_status text",
    "run_plan": "bucket text, action text, trigger text",
    **calibration.TYPES,
    **ensemble.TYPES,
}
HISTORY = pd.DataFrame(
    {
        "as_of_date": pd.bdate_range("2023-03-15", "2024-03-14"),
        "last_price": 48.0,
        "is_inside_90": True,
        "horizon_days": 5,
    }
)
# two years, up to one session after the forecast; the backtest above ends one day before it
PRICES = pd.DataFrame({"as_of_date": pd.bdate_range("2022-03-15", "2024-03-18")})
PRICES["close"] = 40 + PRICES.index.to_series() / 100
# of the published forecast, with different numbers at every horizon
RECORD = pd.DataFrame(
    {
        "subject": "published",
        "horizon_days": days,
        "n_rows": 1700 - days,
        "pinball_skill": days / 10_000,
        "coverage_80": 0.8 - days / 2000,
        "p_value": None if days == 5 else days / 1000,
        "verdict": "skill" if days == 60 else "no_skill",
    }
    for days in CODES
)
VERDICTS = pd.concat([RECORD.assign(subject="core", n_rows=7, verdict="skill"), RECORD])


def board(buckets=BUCKETS) -> pd.DataFrame:
    """monitoring.leaderboard: the families above in every bucket and horizon; skills are smaller at longer horizons."""
    return pd.DataFrame(
        {
            "bucket": bucket,
            "horizon_days": days,
            "horizon_code": code,
            "rank": rank,
            "family": family,
            "label": family.title(),
            "is_winner": rank == 1,
            "status": status,
            "pinball_skill": None if skill is None else skill * 5 / days,
            "verdict": verdict,
            "reason": f"{family} in {bucket} at {code}",
        }
        for bucket in buckets
        for days, code in CODES.items()
        for rank, (family, (skill, status, verdict)) in enumerate(FAMILIES.items(), start=1)
    )


def winners(leaderboard: pd.DataFrame) -> pd.DataFrame:
    own = leaderboard[leaderboard["is_winner"]]
    return own[["bucket", "horizon_days", "horizon_code", "verdict"]].assign(
        winner=own["family"], backtest_pinball_skill=0.0123, backtest_coverage_80=0.81
    )


def explanations(leaderboard: pd.DataFrame) -> pd.DataFrame:
    own = leaderboard[leaderboard["is_winner"]]
    return pd.DataFrame(
        {
            "bucket": row.bucket,
            "horizon_days": row.horizon_days,
            "rank": rank,
            "method": "tree_shap",
            "explanation": f"{row.bucket}_{rank} lifts the median at {row.horizon_code}",
        }
        for row in own.itertuples()
        for rank in range(1, 6)
    )


def snapshot(
    con=None, forecast=FORECAST, history=HISTORY, prices=None, **tables: pd.DataFrame
) -> duckdb.DuckDBPyConnection:
    """Write the tables that the page reads; tables that are not given are empty."""
    con = con or duckdb.connect()
    con.execute("create schema forecasts; create schema monitoring")
    for name, types in TYPES.items():
        con.execute(f"create table monitoring.{name} ({types})")
        rows = tables.get(name)
        if rows is not None and not rows.empty:
            con.register("rows", rows)
            con.execute(f"insert into monitoring.{name} by name select {', '.join(rows.columns)} from rows")
    newest = pd.DataFrame({"horizon_days": days, "horizon_code": code, **forecast} for days, code in CODES.items())
    con.register("newest", newest)
    con.register("history", history)
    con.execute("create table forecasts.zl_forecast as from newest")
    con.execute("create table forecasts.zl_forecast_ledger as from newest")
    con.execute("create table forecasts.zl_backtest as from history")
    con.register("prices", PRICES if prices is None else prices)
    con.execute("create table forecasts.zl_prices as from prices")
    con.execute(f"create table forecasts.zl_risk ({risk.TYPES})")
    if "zl_risk" in tables:
        con.register("rows", tables["zl_risk"])
        con.execute("insert into forecasts.zl_risk by name from rows")
    return con


def page(leaderboard=None, explained: bool = True, **more) -> str:
    rows = board() if leaderboard is None else leaderboard
    tables = {"leaderboard": rows, "bucket_winners": winners(rows), "verdicts": VERDICTS, "zl_risk": risk.risk(CODES)}
    tables |= calibration.tables(codes=CODES)
    tables |= {"ensemble_leaderboard": ensemble.board(CODES), "ensemble_weights": ensemble.weights(codes=CODES)}
    if explained:
        tables["forecast_explanations"] = explanations(rows)
    return report.render(snapshot(**(tables | more)))


class Cells(HTMLParser):
    """Parse the heat maps as (horizon code, family, bucket) -> text, title and class of the cell."""

    def __init__(self, text: str):
        super().__init__()
        self.cells: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self._code, self._buckets, self._family, self._into, self._row = "", [], "", None, []
        self.feed(text[text.index('<div class="maps">') : text.index("<h2>Champion per bucket")])

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self._row = []
        elif tag in ("caption", "th", "td"):
            self._into = [tag, dict(attributes), ""]

    def handle_data(self, data):
        if self._into is not None:
            self._into[2] += data

    def handle_endtag(self, tag):
        if tag in ("caption", "th", "td"):
            if tag == "caption":
                self._code = self._into[2]
            else:
                self._row.append(self._into)
            self._into = None
        elif tag == "tr":
            heads = [text for tag, _, text in self._row if tag == "th"]
            values = [(text, own.get("title", ""), own.get("class", "")) for tag, own, text in self._row if tag == "td"]
            if not values:
                self._buckets = heads[1:]
            for bucket, value in zip(self._buckets, values, strict=True) if values else ():
                self.cells[self._code, heads[0], bucket] = value


def test_every_cell_of_the_map_is_the_skill_of_the_leaderboard():
    cells = Cells(page()).cells
    rows = board().dropna(subset="pinball_skill")
    assert len(cells) == len(board())
    for row in rows[rows["family"] != "reference"].itertuples():
        text, title, _ = cells[row.horizon_code, row.family, row.bucket]
        shown = float(re.match(r"[+-]\d+\.\d", text)[0])
        assert shown == pytest.approx(100 * row.pinball_skill, abs=0.0501)
        assert title == row.reason


def test_the_map_shows_text_and_signs_besides_colours():
    cells = {
        family: text
        for (code, family, bucket), (text, *_) in Cells(page()).cells.items()
        if (code, bucket) == ("1w", "fx")
    }
    assert cells == {
        "catboost": "+3.1*skill",
        "reference": "0",
        "garch": "-1.5 F",
        "prophet": "-0.1 T",
        "lstm": "timed out",
        "sarimax": "?",
    }


def test_only_the_champion_is_framed_and_shows_its_verdict():
    rows = board()
    rows.loc[rows["family"] == "catboost", "verdict"] = "no_skill"
    cells = Cells(page(rows)).cells
    framed = {family for (_, family, _), (_, _, css) in cells.items() if css == "winner"}
    assert framed == {"catboost"}
    assert cells["1w", "catboost", "crush"][0] == "+3.1no_skill"


def test_the_reference_as_champion_has_no_skill():
    rows = board()
    rows["is_winner"] = rows["family"] == "reference"
    text = page(rows.assign(verdict=rows["verdict"].where(~rows["is_winner"], "no_skill")), explained=False)
    assert Cells(text).cells["6m", "reference", "fx"][0] == "0no_skill"
    assert text.count("The reference reads no features") == len(BUCKETS) * len(CODES)


def test_a_family_that_did_not_compete_in_a_bucket_leaves_its_cell_empty():
    rows = board()
    text = page(rows[(rows["family"] != "garch") | (rows["bucket"] == "fx")])
    assert Cells(text).cells["1w", "garch", "crush"] == ("", "", "")
    assert Cells(text).cells["1w", "garch", "fx"][0] == "-1.5 F"


def test_every_champion_has_its_reason_and_attributions():
    text = page()
    reasons = text[text.index("<h2>Champion per bucket") :]
    for row in winners(board()).itertuples():
        assert f"{row.winner} in {row.bucket} at {row.horizon_code}." in reasons
    for sentence in explanations(board())["explanation"]:
        assert f"<li>{sentence}</li>" in reasons
    assert reasons.count("+1.2%") == reasons.count("81%") == len(BUCKETS) * len(CODES)


def test_a_champion_without_attributions_is_reported():
    assert page(explained=False).count("No feature moves its newest forecast") == len(BUCKETS) * len(CODES)


@pytest.mark.parametrize("missing", [None, "2024-03-01"])
def test_the_chart_has_exactly_the_closes_of_the_last_year(missing):
    prices = PRICES[PRICES["as_of_date"] != missing]
    picture = re.search("<svg.*?</svg>", page(prices=prices))[0]
    drawn = [pair.split(",") for pair in re.search('class="history" points="(.*?)"', picture)[1].split(" ")]
    expected = prices[prices["as_of_date"].between("2023-03-15", "2024-03-15")]
    assert len(drawn) == len(expected) == 263 - (missing is not None)

    ends = [pd.Timestamp(day) for day in re.findall(r">(\d{4}-\d{2}-\d{2})<", picture)]
    assert ends == [expected["as_of_date"].min(), FORECAST["target_date"]]
    width = report.WIDTH - 2 * report.MARGIN
    days = (expected["as_of_date"] - ends[0]) / (ends[1] - ends[0])
    assert [float(x) for x, _ in drawn] == pytest.approx(list(report.MARGIN + days * width), abs=0.051)
    # read the scale from the labels at the left, as a reader does
    labels = re.findall(r'<text x="4" y="([\d.]+)">([\d.]+)</text>', picture)
    (y_low, low), (y_high, high) = [(float(y) - 4, float(price)) for y, price in (labels[0], labels[-1])]
    closes = [low + (float(y) - y_low) / (y_high - y_low) * (high - low) for _, y in drawn]
    assert closes == pytest.approx(list(expected["close"]), abs=0.1)  # labels have one decimal


def test_the_page_has_all_sections_in_order():
    text = page()
    assert re.findall("<h2>(.*?)</h2>", text) == [
        "Forecast, cents/lb",
        "Is there skill?",
        "Are the bands calibrated?",
        "Risk",
        "How the inputs are combined",
        "Tournament",
        "Champion per bucket, with reasons",
    ]
    with duckdb.connect() as con:
        snapshot(
            con,
            zl_risk=risk.risk(CODES),
            ensemble_leaderboard=ensemble.board(CODES),
            ensemble_weights=ensemble.weights(codes=CODES),
            **calibration.tables(codes=CODES),
        )
        for part, head in (
            (report.report_calibration.calibration_section(con), "Are the bands calibrated?"),
            (report.report_risk.risk_section(con), "Risk"),
            (report.report_ensemble.ensemble_section(con), "How the inputs are combined"),
        ):
            assert len(part) > 1000
            assert f"<h2>{head}</h2>\n{part}\n<h2>" in text


def test_the_record_of_the_published_forecast_equals_the_verdicts():
    own = page().split("<h2>Is there skill?</h2>")[1].split("<h2>")[0]
    rows = [re.findall(r"<td>(?:<span.*?>)?(.*?)(?:</span>)?</td>", row) for row in own.split("<tr>")[2:]]
    assert rows == [
        ["5", "1695", "+0.1%", "80%", "", "no_skill"],
        ["20", "1680", "+0.2%", "79%", "0.02", "no_skill"],
        ["60", "1640", "+0.6%", "77%", "0.06", "skill"],
        ["120", "1580", "+1.2%", "74%", "0.12", "no_skill"],
    ]


def test_a_page_without_matured_forecasts_shows_no_missing_values():
    board = ensemble.board(CODES, published="reference_alone").assign(pinball_skill=None, coverage_80=None)
    text = report.render(
        snapshot(history=HISTORY.iloc[:0], zl_risk=risk.risk(CODES, levels={}), ensemble_leaderboard=board)
    )
    assert "No published forecast has matured yet, so no skill has been shown." in text
    assert "so calibration cannot be measured" in text
    assert re.findall(r"\b(nan|NaN|None|inf)\b", text) == []
    assert text.rstrip().endswith("</html>")


def test_the_page_is_complete_without_buckets():
    text = report.render(snapshot(forecast={**FORECAST, "buckets_offered": ""}))
    assert text.count("No bucket ran a tournament in this build.") == 2
    assert report.report_ensemble.NOTHING in text
    assert report.report_risk.NOTHING in text
    assert "Only 0 of 8 buckets took part: none." in text
    assert text.rstrip().endswith("</html>")


def test_text_from_tables_cannot_become_markup():
    evil = '<script>alert("1")</script>\' onmouseover=x'
    rows = board(buckets=(evil,)).assign(label=evil, reason=evil)
    rows["family"] += "<b>"
    explained = explanations(rows).assign(explanation=evil, method=evil)
    text = report.render(
        snapshot(
            leaderboard=rows,
            bucket_winners=winners(rows),
            forecast_explanations=explained,
            verdicts=RECORD.assign(verdict=evil),
            zl_risk=risk.risk({5: evil}),
            ensemble_leaderboard=ensemble.board({5: evil}).assign(label=evil, reason=evil),
            ensemble_weights=ensemble.weights(codes={5: evil}, today={evil: 1.0}),
            **calibration.tables(codes={5: evil}),
            forecast={**FORECAST, "ensemble_method": evil, "verdict": evil, "regime": evil, "buckets_offered": evil},
        )
    )
    assert "<script" not in text
    assert "catboost<b>" not in text
    assert evil not in text
    assert ("1w", "catboost<b>", evil) in Cells(text).cells


def test_the_page_has_no_external_resources():
    text = page()
    assert re.findall(r"https?://|src=|<link|<script|@import|url\(", text) == []


def test_simulated_data_keep_their_banner_and_market_data_have_none():
    assert "Simulated market" in page()
    assert "Simulated market" not in page(forecast={**FORECAST, "data_source": "market"})


def publish(data_dir, **tables) -> str:
    """Write a snapshot to the folder that the commands read; return its page."""
    (data_dir / "serving").mkdir(parents=True)
    with duckdb.connect(str(data_dir / "serving" / "serving.duckdb")) as con:
        return report.render(snapshot(con, **tables))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return the function `publish`, which writes below ZL_DATA_DIR."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    return partial(publish, tmp_path)


@pytest.mark.parametrize(
    ("offered", "said"),
    [("crush fx", "Only 2 of 8 buckets took part: crush, fx."), (FORECAST["buckets_offered"], None)],
)
def test_the_page_and_the_summary_report_missing_buckets(offered, said, published, capsys):
    text = published(forecast={**FORECAST, "buckets_offered": offered})
    assert cli.main(["summary"]) == 0
    for words in (text, capsys.readouterr().out):
        assert said in words if said else "buckets took part" not in words


def test_a_ninth_bucket_of_another_market_does_not_count_as_missing():
    with duckdb.connect() as con:
        snapshot(con)
        nine = f"{FORECAST['buckets_offered']} weather"
        con.execute(
            "insert into forecasts.zl_forecast_ledger by name select ? as buckets_offered, 'market' as data_source",
            [nine],
        )
        assert report.missing_buckets(con) == ""
        con.execute("update forecasts.zl_forecast_ledger set data_source = 'simulated'")
        assert report.missing_buckets(con).startswith("Only 8 of 9 buckets took part")


def test_the_summary_reports_a_step_back_other_markets_and_the_files_read(published, tmp_path, capsys):
    published(forecast={**FORECAST, "newest_seen_on": pd.Timestamp("2024-03-15")})
    assert cli.main(["summary"]) == 0
    said = capsys.readouterr().out
    assert "earlier day" not in said
    assert "also holds" not in said
    assert "Landing: unknown" in said
    with duckdb.connect(str(tmp_path / "serving" / "serving.duckdb")) as con:
        con.execute("update forecasts.zl_forecast set newest_seen_on = date '2024-04-01'")
        con.execute("insert into forecasts.zl_forecast_ledger by name select 'market' as data_source")
        con.execute(
            """
            create table monitoring.landing_files as
            from (values ('bars_daily.csv', 'read', '/files'), ('notes.txt', 'not_read', '/files')) as t (file_name, status, folder);
            create table monitoring.landing_findings as from (values ('warning'), ('info')) as t (severity)
            """
        )
    assert cli.main(["summary"]) == 0
    said = capsys.readouterr().out
    assert "older than the newest session in this data folder (2024-04-01" in said
    assert "also holds 1 forecasts of another market (data_source = 'market')" in said
    assert "Landing: /files (bars_daily.csv); 1 findings in monitoring.landing_findings" in said


def test_the_summary_of_a_fresh_market_has_dashes_for_missing_values(published, capsys):
    published(forecast={**FORECAST, "backtest_pinball_skill": None, "backtest_coverage_80": None})
    assert cli.main(["summary"]) == 0
    assert re.search(r"^1w .* skill +- +- +average$", capsys.readouterr().out, flags=re.M)


def test_the_summary_reports_reselected_buckets_with_reasons(published, capsys):
    actions = pd.DataFrame(
        {
            "bucket": ["fx", "crush", "fed"],
            "action": ["reselection", "reselection", "score"],
            "trigger": ["degraded", "degraded", None],
        }
    )
    published(run_plan=actions)
    assert cli.main(["summary"]) == 0
    assert re.search(r"Reselected on 2024-03-15.* \(degraded\): crush, fx\.", capsys.readouterr().out)


def test_the_ensemble_leaderboard_is_printed_with_the_record_of_the_published_forecast(published, capsys):
    board = ensemble.board(CODES)
    coverages = pd.DataFrame({"horizon_days": days, "is_inside_90": [True] * 9 + [days == 5, None]} for days in CODES)
    history = coverages.explode("is_inside_90").assign(as_of_date=FORECAST["as_of_date"], last_price=48.0)
    history["is_inside_90"] = history["is_inside_90"].astype("boolean")
    published(ensemble_leaderboard=board.sample(frac=1, random_state=1), verdicts=VERDICTS, history=history)
    assert cli.main(["leaderboard", "ensemble"]) == 0
    printed = capsys.readouterr().out
    assert "as of 2024-03-15" in printed
    assert "simulated data" in printed
    for days, code in CODES.items():
        lines = printed.split(f"ensemble, {code}: ")[1].split("\n\n")[0].splitlines()[2:]
        own = board[board["horizon_days"] == days]
        for row, line in zip(own.itertuples(), lines, strict=False):
            rank, method, skill, covers, width, fit, seconds, dm, benchmark, weight, reason = line.split(maxsplit=10)
            assert (int(rank), method, reason) == (row.rank, row.ensemble_method, row.reason)
            assert weight == f"{row.shrinkage_weight:.0%}"
            if pd.isna(row.pinball_skill):
                assert {skill, width, fit, seconds, dm, benchmark} == {"-"}
                assert covers == "-/-/-"
                continue
            assert skill == f"{row.pinball_skill:+z.2%}"
            assert covers == f"{row.coverage_50:.0%}/{row.coverage_80:.0%}/{row.coverage_90:.0%}"
            assert [float(value) for value in (width, fit, seconds, benchmark)] == pytest.approx(
                [row.relative_width_80, row.fit_seconds, row.score_seconds, row.benchmark_p_value_holm], abs=0.00501
            )
            assert dm == ("-" if pd.isna(row.dm_p_value) else f"{row.dm_p_value:.3f}")
        record = RECORD[RECORD["horizon_days"] == days].iloc[0]
        assert len(lines) == len(own) + 1
        assert lines[-1].split(": ", maxsplit=1)[1] == (
            f"{1700 - days} forecasts, pinball skill {record['pinball_skill']:+.1%}, coverage of the 80 % band "
            f"{record['coverage_80']:.0%}, of the 90 % band {'100%' if days == 5 else '90%'}, p "
            f"{'-' if days == 5 else format(days / 1000, '.3f')}: {record['verdict']}"
        )


def test_the_ensemble_leaderboard_without_matured_forecasts_reports_that_no_skill_has_been_shown(published, capsys):
    published(ensemble_leaderboard=ensemble.board(CODES), history=HISTORY.iloc[:0])
    assert cli.main(["leaderboard", "ensemble"]) == 0
    assert capsys.readouterr().out.count("nothing has matured yet") == len(CODES)


def test_a_missing_ensemble_leaderboard_is_reported_with_a_fix(published, tmp_path, capsys):
    def refused() -> str:
        assert cli.main(["leaderboard", "ensemble"]) == 1
        return capsys.readouterr().err

    assert "nothing has been published" in refused()
    published()
    assert "no ensemble method competed. Run `make build`" in refused()
    with duckdb.connect(str(tmp_path / "serving" / "serving.duckdb")) as con:
        con.execute("drop table monitoring.ensemble_leaderboard")
    assert "is from an older version without an ensemble leaderboard. Run `make build`" in refused()
