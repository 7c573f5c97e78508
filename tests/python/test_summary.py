"""`zl summary` and `zl leaderboard ensemble` show the tables' values, also with missing data."""

import re
from functools import partial

import duckdb
import pandas as pd
import pytest
from small_snapshot import CODES, FORECAST, HISTORY, RECORD, VERDICTS, ensemble_board, publish, render, snapshot

from zl_forecast import cli, notices


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
    forecast = {**FORECAST, "buckets_offered": offered}
    published(forecast=forecast)
    assert cli.main(["summary"]) == 0
    for words in (render(forecast=forecast), capsys.readouterr().out):
        assert said in words if said else "buckets took part" not in words


def test_a_ninth_bucket_of_another_market_does_not_count_as_missing():
    with duckdb.connect() as con:
        snapshot(con)
        nine = f"{FORECAST['buckets_offered']} weather"
        con.execute(
            "insert into forecasts.zl_forecast_ledger by name select ? as buckets_offered, 'market' as data_source",
            [nine],
        )
        assert notices.missing_buckets(con) == ""
        con.execute("update forecasts.zl_forecast_ledger set data_source = 'simulated'")
        assert notices.missing_buckets(con).startswith("Only 8 of 9 buckets took part")


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
    assert re.search(r"^1w .* skill +ok +- +- +average$", capsys.readouterr().out, flags=re.M)


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
    board = ensemble_board()
    coverages = pd.DataFrame({"horizon_days": days, "is_inside_90": [True] * 9 + [days == 5, None]} for days in CODES)
    history = coverages.explode("is_inside_90").assign(as_of_date=FORECAST["as_of_date"], last_price=48.0)
    history["is_inside_90"] = history["is_inside_90"].astype("boolean")
    published(ensemble_leaderboard=board.sample(frac=1, random_state=1), verdicts=VERDICTS, history=history)
    assert cli.main(["leaderboard", "ensemble"]) == 0
    printed = capsys.readouterr().out
    assert "as of 2024-03-15" in printed
    assert "simulated data" in printed
    for days, code in CODES.items():
        lines = printed.split(f"ensemble, {code}\n")[1].split("\n\n")[0].splitlines()[1:]
        own = board[board["horizon_days"] == days]
        for row, line in zip(own.itertuples(), lines, strict=False):
            (
                rank,
                method,
                skill,
                benchmark,
                weight,
                cover_80,
                width,
                dm,
                carry,
                cover_50,
                cover_90,
                fit,
                seconds,
                reason,
            ) = line.split(maxsplit=13)
            assert (int(rank), method, reason) == (row.rank, row.ensemble_method, row.reason)
            assert weight == f"{row.shrinkage_weight:.0%}"
            if pd.isna(row.pinball_skill):
                assert {skill, carry, width, fit, seconds, dm, benchmark, cover_50, cover_80, cover_90} == {"-"}
                continue
            assert (skill, carry) == (f"{row.pinball_skill:+z.2%}", f"{row.carry_skill:+z.1%}")
            assert (cover_50, cover_80, cover_90) == tuple(
                f"{value:.0%}" for value in (row.coverage_50, row.coverage_80, row.coverage_90)
            )
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
    published(ensemble_leaderboard=ensemble_board(), history=HISTORY.iloc[:0])
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
