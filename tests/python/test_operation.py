"""Operation: how a build uses the results of earlier ones."""

import re
import shutil

import pandas as pd
import pytest
from conftest import ONE_BUCKET, OPERATED, UNTESTED, read

from zl_forecast import cli
from zl_forecast.sample import simulate, write_landing

BUCKET = "crush"  # of ONE_BUCKET
NEVER = ONE_BUCKET.replace("}", ", tournament: never}")


def _query(data_dir, sql: str) -> pd.DataFrame:
    return read(data_dir / "warehouse.duckdb", sql).to_pandas()


def _plan(data_dir) -> pd.Series:
    (row,) = _query(data_dir, "from monitoring.run_plan").to_dict("records")
    return pd.Series(row)


def _tamper_with_the_live_ridge(data_dir) -> str:
    """Change a file of the artifact that the last plan named; return its name."""
    fit = _query(
        data_dir, "select artifact_id from tournament.int_plan__fits where fold_type = 'live' and family = 'ridge'"
    )
    (name,) = fit["artifact_id"]
    facts = data_dir / "artifacts" / name / "facts.json"
    facts.write_text(facts.read_text() + " ")
    return name


def test_a_reselection_in_mid_month_starts_a_live_fold_that_the_next_build_keeps(run_dbt, reselected, landing):
    data_dir = reselected.data_dir
    newest = _query(data_dir, "select max(as_of_date) as day from intermediate.int_targets__daily")["day"].iloc[0]
    assert (_plan(data_dir)["trigger"], _plan(data_dir)["live_from"]) == ("forced", newest)
    folds = _query(
        data_dir, "select distinct input, fold_start from tournament.int_ensemble__inputs where fold_type = 'live'"
    )
    assert set(folds["input"]) == {BUCKET, "carry", "core", "linear", "reference"}
    assert folds["fold_start"].eq(newest).all()
    ledger = _query(data_dir, f"from state.forecasts.zl_forecast_ledger where as_of_date = '{newest}'")
    assert ledger.groupby("model_version").size().eq(4).all()
    made = _query(
        data_dir, f"select * exclude (made_at) from state.forecasts.bucket_forecast_ledger where bucket = '{BUCKET}'"
    )

    again = (*UNTESTED, "--select", "+bucket_forecast_ledger", "+run_history", "--vars", ONE_BUCKET)
    run_dbt(again, landing=landing, data_dir=data_dir)
    assert (_plan(data_dir)["action"], _plan(data_dir)["live_from"], _plan(data_dir)["n_to_train"]) == (
        "nothing",
        newest,
        0,
    )
    again = _query(
        data_dir, f"select * exclude (made_at) from state.forecasts.bucket_forecast_ledger where bucket = '{BUCKET}'"
    )
    pd.testing.assert_frame_equal(again, made)  # the first forecast of a session is kept
    history = _query(data_dir, f"from state.monitoring.run_history where bucket = '{BUCKET}' order by live_from")
    assert history["trigger"].tolist() == ["first_run", "forced"]


def test_a_tampered_model_is_named_in_the_plan_and_the_bucket_waits_if_training_is_off(
    run_dbt, reselected, next_session, tmp_path
):
    data_dir = tmp_path / "data"
    shutil.copytree(reselected.data_dir, data_dir, symlinks=True)
    tampered = _tamper_with_the_live_ridge(data_dir)

    def plan(variables: str, *select: str) -> pd.Series:
        run_dbt(("run", "--select", *select, "--vars", variables), landing=next_session, data_dir=data_dir)
        return _plan(data_dir)

    reselection = plan(ONE_BUCKET, "+run_plan")
    assert (reselection["action"], reselection["trigger"], reselection["n_to_train"]) == ("reselection", "refused", 1)
    assert f"{tampered}: facts.json was changed since it was written" in reselection["reason"]

    # without training the previous models continue to forecast, unless they are tampered with too
    of_plan = ("path:models/intermediate/plan", "path:python_models/intermediate/plan", "run_plan")
    before = plan(NEVER, *of_plan)
    assert before["action"] == "score"
    assert before["live_from"] < reselection["live_from"]
    _tamper_with_the_live_ridge(data_dir)
    waiting = plan(NEVER, *of_plan)
    assert (waiting["action"], waiting["n_to_train"]) == ("wait", 1)


def test_the_plan_reports_the_last_build_or_announces_the_next(built, reselected, monkeypatch, capsys):
    def printed(data_dir) -> str:
        monkeypatch.setenv("ZL_DATA_DIR", str(data_dir))
        assert cli.main(["plan"]) == 0
        return capsys.readouterr().out

    assert "\nDone by the build that ended " in printed(built.data_dir)
    assert "on the same data a build trains nothing." in printed(built.data_dir)
    # a build of one bucket without publication: its fits exist and are not announced again
    assert ": what `make build` would do\n" in printed(reselected.data_dir)
    if _plan(reselected.data_dir)["n_to_train"]:
        assert re.search(r"Next: `make build` \((\d+) fits?, \1 of them trained since\)", printed(reselected.data_dir))


def test_an_unknown_value_of_var_tournament_is_refused(run_dbt, reselected, landing):
    unknown = ONE_BUCKET.replace("}", ", tournament: nevr}")
    command = ("run", "--select", "int_plan__live", "--vars", unknown)
    failed = run_dbt(command, landing=landing, data_dir=reselected.data_dir, expect_failure=True)
    assert "var tournament is 'nevr'. Use auto, always or never." in failed.stdout


@pytest.mark.full
def test_a_bucket_whose_driver_flips_is_degraded_and_reselected(run_dbt, tmp_path):
    """Crude's effect on ZL flips in October 2021; build monthly until the bucket is reselected, and once more."""
    acted = pd.DataFrame()
    data_dir, vars_ = tmp_path / "data", "{buckets: [energy]}"
    for month in pd.date_range("2021-09-30", "2023-12-31", freq="ME"):
        landing = tmp_path / f"landing_{month:%Y%m}"
        write_landing(simulate("broken", end=f"{month:%Y-%m-%d}"), landing)
        run_dbt((*UNTESTED, "--select", *OPERATED, "--vars", vars_), landing=landing, data_dir=data_dir)
        if len(acted):
            break
        acted = _query(data_dir, "from state.monitoring.degradations where acted_on >= '2021-10-01'")
    assert len(acted)
    assert acted["acted_on"].min() < pd.Timestamp("2023-04-01")
    champions = _query(data_dir, "from state.monitoring.promotions where bucket = 'energy' order by live_from")
    renewed = champions.merge(acted, left_on=["horizon_days", "live_from"], right_on=["horizon_days", "acted_on"])
    assert len(renewed) == len(acted)
    state = _query(
        data_dir, "select horizon_days, state from monitoring.model_health where is_newest and subject = 'energy'"
    )
    assert not state.merge(acted[["horizon_days"]], on="horizon_days")["state"].eq("degraded").any()
