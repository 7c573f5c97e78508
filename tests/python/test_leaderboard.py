"""One bucket's tournament through dbt, with families that fail in different ways, and its leaderboards."""

import os
import shutil
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, follow_documentation, listing

from zl_forecast import cli, settings
from zl_forecast.databases import open_warehouse
from zl_forecast.errors import TournamentError
from zl_forecast.migrations import STATE_TABLES
from zl_forecast.paths import state_beside
from zl_forecast.sample import simulate, write_landing
from zl_forecast.scoring import pinball
from zl_forecast.tournament.leaderboard import newest_year

HERE = Path(__file__).parent
FAILING = {"killed": 300, "raising": 300, "sleeping": 3}  # time limit in seconds by family
FITTED = {"reference", "ridge", "lightgbm", "garch", "own", "stacking"}
FAILED = {
    "killed": ("failed", "process died (exit code -9)"),
    "raising": ("failed", "the moon is in the wrong house"),
    "sleeping": ("timed_out", "timed out after 3 s; raise time_limit_seconds"),
}


@pytest.fixture(scope="module")
def built(run_dbt, project_copy, tmp_path_factory):
    """Run `make tournament BUCKET=crush` with the family of docs/extending.md and three that fail, on the two folds that stacking needs."""
    landing = tmp_path_factory.mktemp("landing") / "planted"
    write_landing(simulate("planted", start="2017-01-02", end="2021-01-29"), landing)
    project = tmp_path_factory.mktemp("outside") / "project"
    shutil.copytree(project_copy, project)
    follow_documentation("export PYTHONPATH", project)
    with (project / "seeds" / "families.csv").open("a") as stream:
        for name, limit in FAILING.items():
            stream.write(
                f"{name},outside.{name},{name},quick,0.5,{limit},From outside of the package.,false,Not in the consensus.\n"
            )
    buckets = pd.read_csv(project / "seeds" / "buckets.csv")
    assert buckets.loc[0, "candidates"].split()[-1] == "own"
    buckets.loc[0, "candidates"] = " ".join(["ridge", "garch", "stacking", "own", *FAILING])
    buckets.to_csv(project / "seeds" / "buckets.csv", index=False)
    return run_dbt(
        (
            "build", "--target", "tournament", "--exclude-resource-type", "unit_test", "--indirect-selection", "buildable",
            "--select", "+leaderboard", "+tournament_results", "+feature_attributions", "+forecast_explanations",
            "--vars", "{buckets: [crush], preset: quick}",
        ),
        landing=landing, data_dir=tmp_path_factory.mktemp("tournament"), project=project, PYTHONPATH=os.pathsep.join([str(HERE), str(PROJECT / "examples"), *filter(None, [os.environ.get("PYTHONPATH")])]),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def where_it_was_built(built, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(built.data_dir))


@pytest.fixture(scope="module")
def con(built):
    with open_warehouse("", built.data_dir / "tournament" / "warehouse.duckdb") as connection:
        yield connection


def test_the_build_finishes_and_passes_its_tests(built):
    assert set(built.status.values()) <= {"success", "pass", "no-op"}


def test_it_does_not_change_the_warehouse_and_state_of_builds(built, con):
    assert not built.warehouse.exists()
    with duckdb.connect(str(state_beside(built.warehouse)), read_only=True) as state:
        assert {state.execute(f"select count(*) from {table}").fetchone() for table in STATE_TABLES} == {(0,)}
    assert con.execute("select bucket, trigger from state.monitoring.run_history").fetchall() == [
        ("crush", "first_run")
    ]


@pytest.mark.parametrize("family", FAILED)
def test_failed_families_are_in_the_results_with_their_reason(con, family):
    rows = con.execute("from monitoring.tournament_results where bucket = 'crush' and family = ?", [family]).df()
    status, reason = FAILED[family]
    assert len(rows) > 0
    assert set(rows["status"]) == {status}
    assert rows["reason"].str.contains(reason, regex=False).all()


def test_the_other_families_forecast_every_fold(con):
    rows = con.sql("select distinct competitor, fold_type, status from tournament.specialist_crush").df()
    own = rows.groupby("competitor")[["fold_type", "status"]].agg(lambda values: set(values))
    for family in FITTED - {"stacking"}:
        assert own.loc[family].tolist() == [{"oof", "live"}, {"ok"}]
    assert own.loc["stacking"].tolist() == [
        {"oof", "live"},
        {"skipped", "ok"},
    ]  # nothing has matured before the first fold


def test_the_leaderboard_lists_all_families_and_those_without_forecasts_last(con):
    rows = con.sql("from monitoring.leaderboard where bucket = 'crush' order by horizon_days, rank").df()
    for _, own in rows.groupby("horizon_days"):
        assert set(own["family"]) == FITTED | set(FAILED) | {"consensus"}
        without = own["selection_score"].isna()
        assert not without.iloc[: (~without).sum()].any()
        assert (
            set(FAILED) <= set(own.loc[without, "family"]) <= set(FAILED) | {"stacking"}
        )  # without matured rows at 6m
        assert own["is_winner"].sum() == 1
        assert own.set_index("family").loc[list(FAILED), "reason"].str.len().min() > 20


@pytest.fixture(scope="module")
def board(built, con):
    """AutoGluon's leaderboard as text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(built.data_dir))
        patch.syspath_prepend(HERE)
        return newest_year("crush", con)


def _scores(board: str) -> dict[str, float]:
    """score_test of each model, in the order of the leaderboard."""
    lines = [line.split() for line in board.splitlines()]
    return {line[1]: float(line[2]) for line in lines if len(line) == 6 and line[0].isdecimal()}


def test_all_fitted_families_are_on_autogluons_leaderboard_with_its_weighted_ensemble(board):
    families = {
        *FITTED - {"stacking"},
        "WeightedEnsemble_L2",
    }  # stacking is not among AutoGluon's models; it reads their forecasts
    assert set(_scores(board)) == families | {f"{name}_FULL" for name in families}


def test_families_missing_from_it_are_named_with_the_reason(board):
    for words in (
        "raising (ValueError: the moon is in the wrong house)",
        "sleeping (timed out)",
        "killed (not in the store)",
    ):
        assert f"\nNot fitted on this fold: {words}" in board


def test_its_test_score_is_minus_the_pinball_of_the_stored_forecasts(board, con):
    stored = con.sql(
        """
        select forecasts.*, targets.z_return
        from tournament.specialist_crush as forecasts
        inner join intermediate.int_targets__daily as targets using (as_of_date, horizon_days)
        where forecasts.fold_type = 'oof' and forecasts.status = 'ok' and targets.is_matured
            and forecasts.competitor <> 'stacking'
        qualify forecasts.fold_start = max(forecasts.fold_start) over ()
        """
    ).df()
    shown = _scores(board)
    assert stored["competitor"].nunique() == len(FITTED) - 1
    for family, own in stored.groupby("competitor"):
        losses = pinball(
            own["z_return"].to_numpy(), own[list(settings.QUANTILE_COLUMNS)].to_numpy(), settings.QUANTILE_LEVELS
        )
        assert shown[f"{family}_FULL"] == pytest.approx(-losses.mean(), abs=6e-5), family  # printed with four digits
    assert (np.diff(list(shown.values())) <= 0).all()


def test_the_command_prints_both_leaderboards_with_the_reasons_and_writes_nothing(built, capsys, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    before = listing(built.data_dir), listing(tmp_path)
    assert cli.main(["leaderboard", "crush", "--tournament", "--autogluon"]) == 0
    assert listing(built.data_dir) == before[0]
    assert sorted(listing(tmp_path)) == sorted(before[1])  # AutoGluon's temporary files are removed
    printed = capsys.readouterr().out
    for words in ("crush, 1w", "crush, 6m", "time_limit_seconds in seeds/families.csv", "AutoGluon's own leaderboard"):
        assert words in printed


def test_a_bucket_without_a_tournament_is_refused_with_a_fix(capsys, con):
    assert cli.main(["leaderboard", "fx", "--tournament"]) == 1
    assert "make tournament BUCKET=fx" in capsys.readouterr().err
    with pytest.raises(TournamentError, match=r"no tournament of bucket 'fx'\. Run `make tournament BUCKET=fx`"):
        newest_year("fx", con)


def test_missing_models_are_reported(con, monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(HERE)
    with pytest.raises(TournamentError, match="has no models of bucket 'crush'"):
        newest_year("crush", con)
