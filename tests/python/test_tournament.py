"""A bucket's tournament: competitors, caching, plan and no look-ahead."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_tournament import (
    HORIZONS,
    QUANTILES,
    TRAIN,
    families_seed,
    in_this_process,
    own_modules,
    run_here,
    targets_of,
)
from small_tournament import inputs as inputs_of

from zl_forecast import settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.families import xgboost
from zl_forecast.store import artifacts, fingerprint
from zl_forecast.tournament import enrolled_families, planned_fits, run_specialist, runner, specialist
from zl_forecast.tournament.contest import KEY
from zl_forecast.tournament.runner import FACTS, FORECASTS, MODEL
from zl_forecast.tournament.specialist import Plan, Tournament

FORECAST = ["competitor", "fold_type", *KEY, *QUANTILES]
MARCH = pd.Timestamp("2020-03-01")  # the newest session's month
VERSIONS = fingerprint.library_versions()
COMPETE = ("reference", "xgboost")
BUCKETS = pd.DataFrame({"bucket": ["crush"], "candidates": ["xgboost catboost"], "channels": ["driver"]})


def _seed(**presets: str) -> pd.DataFrame:
    return families_seed(own_modules(presets)).assign(from_preset=list(presets.values()))


SEED = _seed(reference="quick", lightgbm="quick", catboost="quick", xgboost="quick", random_forest="standard")


def _market(n_sessions: int = 830) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate a mart of two features, of which the first drives the targets, and the targets."""
    days = pd.bdate_range("2017-01-02", periods=n_sessions)
    features = np.random.default_rng(3).standard_normal((n_sessions, 2))
    mart = pd.DataFrame(
        {"as_of_date": days, "latest_input_on": days, "driver": features[:, 0], "noise": features[:, 1]}
    )
    noise = np.random.default_rng(4).standard_normal((n_sessions, len(HORIZONS)))
    return mart, targets_of(days, features[:, [0]] + noise)


@pytest.fixture(scope="module", autouse=True)
def sensitive_models():
    """Make XGBoost react to single rows, so that any leak is visible, and lower the minimum number of training rows."""
    keen = {"num_boost_round": 20, "eta": 0.3, "max_depth": 4, "min_child_weight": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xgboost, "FAMILY", replace(xgboost.FAMILY, hyperparameters=keen))
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        patch.setattr(settings, "EXPLAINED_SESSIONS", 5)
        yield


def _inputs(mart, targets, families=COMPETE):
    return inputs_of(mart, targets, families_seed(own_modules(families)))


def _run(mart, targets, folder, plan=TRAIN):
    return run_here(_inputs(mart, targets), folder, plan)


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tournament")


@pytest.fixture(scope="module")
def forecasts(market, folder):
    return _run(*market, folder)[0]


@pytest.fixture
def copy(forecasts, folder, tmp_path):
    """Copy of the store of `forecasts` that a test may change."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


ALL_FITS = [f"crush {fold} {family}" for fold in ("oof 2019-01", "oof 2020-01", "live 2020-03") for family in COMPETE]
LIVE = "crush live 2020-03 reference xgboost"


# ---------- results


def test_every_family_forecasts_every_row_of_every_fold_once(market, forecasts):
    _, targets = market
    history = targets["as_of_date"].between("2019-01-01", "2020-02-29").sum()
    newest = (targets["as_of_date"] >= MARCH).sum()
    assert set(forecasts["subject"]) == {"crush"}
    for _, own in forecasts.groupby("competitor"):
        assert (own["fold_type"] == "oof").sum() == history
        assert (own["fold_type"] == "live").sum() == newest
        assert not own.duplicated(KEY).any()


def test_the_planted_driver_is_found_out_of_sample(market, forecasts):
    own = forecasts[(forecasts["competitor"] == "xgboost") & (forecasts["fold_type"] == "oof")]
    joined = own.merge(market[1].dropna(), on=KEY)
    assert np.corrcoef(joined["q50"], joined["z_return"])[0, 1] > 0.5  # the true signal reaches 0.71


def test_a_quarantined_bucket_leaves_an_empty_table_with_all_columns(market, capsys):
    empty = run_specialist(_inputs(*market), Plan("quarantine", "left out: ZM is in the wrong unit"))
    assert empty.empty
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == runner.COLUMNS
    assert "crush: left out: ZM is in the wrong unit" in capsys.readouterr().out


def test_too_few_training_rows_are_refused_with_the_count(monkeypatch, market, tmp_path):
    monkeypatch.setattr(settings, "MIN_TRAIN_ROWS", 5000)
    with pytest.raises(
        TournamentError, match=r"crush: \d+ matured training rows before 2019-01-01, at least 5000 are needed"
    ):
        _run(*market, tmp_path)


def test_a_channel_that_the_mart_does_not_have_is_refused_by_name(market):
    with pytest.raises(
        TournamentError, match=r"channels of bucket 'crush' in seeds/buckets.csv name palm, which mart_cru"
    ):
        Tournament.of(inputs_of(*market, families_seed(own_modules(["garch"])), channels="driver palm"))


# ---------- competitors


def test_quick_is_the_candidates_with_lightgbm_and_the_reference():
    quick = ("reference", "lightgbm", "catboost", "xgboost")
    assert tuple(enrolled_families("crush", "quick", BUCKETS, SEED)) == quick


def test_standard_adds_the_families_of_standard_and_keeps_those_of_quick():
    standard = ("reference", "lightgbm", "catboost", "xgboost", "random_forest")
    assert tuple(enrolled_families("crush", "standard", BUCKETS, SEED)) == standard


@pytest.mark.parametrize(
    ("bucket", "preset", "families", "words"),
    [
        ("crush", "fast", SEED, "preset 'fast' does not exist. Use one of quick, standard, full"),
        ("palm", "quick", SEED, "bucket 'palm' has no row in seeds/buckets.csv"),
        (
            "crush",
            "quick",
            _seed(reference="quick"),
            "lightgbm, xgboost, catboost among the candidates of bucket 'crush'",
        ),
        (
            "crush",
            "full",
            _seed(reference="quick", moon="full"),
            "family 'moon' of seeds/families.csv: ModuleNotFoundError: No module named",
        ),
    ],
)
def test_unregistered_names_are_refused_by_name(bucket, preset, families, words):
    with pytest.raises(TournamentError, match=words):
        enrolled_families(bucket, preset, BUCKETS, families)


# ---------- caching


def test_a_second_call_reads_only_the_cached_table(monkeypatch, market, forecasts, folder):
    monkeypatch.setattr(specialist, "Tournament", None)  # building the folds would fail
    again, seen = _run(*market, folder)
    assert seen == {"trained": [], "forecast": []}
    pd.testing.assert_frame_equal(again, forecasts)


def test_cached_and_fresh_forecasts_are_identical(market, forecasts, tmp_path):
    fresh, seen = _run(*market, tmp_path)
    assert seen["trained"] == ALL_FITS
    pd.testing.assert_frame_equal(fresh[FORECAST], forecasts[FORECAST])


def test_a_new_session_is_only_forecast_with_the_stored_models(forecasts, copy, tmp_path_factory):
    mart, targets = _market(831)
    grown, seen = _run(mart, targets, copy)
    assert seen == {"trained": [], "forecast": [LIVE]}
    fresh, _ = _run(mart, targets, tmp_path_factory.mktemp("fresh"))
    pd.testing.assert_frame_equal(grown[FORECAST], fresh[FORECAST])
    assert len(grown) == len(forecasts) + 2 * len(HORIZONS)


def test_for_a_new_session_the_history_is_one_cached_table_and_only_the_live_fold_is_computed(
    monkeypatch, forecasts, copy
):
    looked_at = []
    monkeypatch.setattr(
        runner,
        "_finished",
        lambda own, original=runner._finished: looked_at.append(own.described["fold_type"]) or original(own),
    )
    grown, _ = _run(*_market(834), copy, Plan("score"))
    assert set(looked_at) == {"live"}
    history, before = (table.loc[table["fold_type"] == "oof", FORECAST] for table in (grown, forecasts))
    pd.testing.assert_frame_equal(history, before, check_index_type=False)


def test_other_training_rows_or_library_versions_require_a_refit(monkeypatch, market, copy):
    mart, targets = market
    never = Plan(may_train=False)
    changed = mart.assign(driver=mart["driver"].where(mart.index != 100, 9.0))
    assert _run(changed, targets, copy, never)[0]["status"].eq("skipped").all()
    monkeypatch.setattr(fingerprint, "library_versions", lambda *modules: {**VERSIONS, "xgboost": "0.1"})
    assert _run(*market, copy, never)[0]["status"].eq("skipped").all()


@pytest.mark.parametrize("part", [FORECASTS, FACTS, f"{MODEL}/refit/model.pkl"])
def test_a_tampered_artifact_is_refused_and_refitted(capsys, forecasts, copy, part):
    is_part = (forecasts["fold_type"] == "live") & (forecasts["competitor"] == "xgboost")
    tampered = copy / "artifacts" / forecasts.loc[is_part, "artifact_id"].iloc[0] / part
    tampered.write_bytes(tampered.read_bytes() + b" ")
    again, seen = _run(*_market(831), copy)
    assert seen["trained"] == ["crush live 2020-03 xgboost"]
    assert f"{part} was changed" in capsys.readouterr().out
    same = again.merge(forecasts[[*KEY, "competitor"]])
    pd.testing.assert_frame_equal(same[FORECAST], forecasts[FORECAST])


def test_models_are_kept_only_for_folds_that_still_grow(forecasts, folder):
    kept = {
        str(start.date()): (folder / "artifacts" / name / MODEL).exists()
        for start, name in forecasts[["fold_start", "artifact_id"]].drop_duplicates().itertuples(index=False)
    }
    assert kept == {"2019-01-01": False, "2020-01-01": True, "2020-03-01": True}


def test_the_years_fold_is_fitted_as_of_january_once_january_is_history(tmp_path):
    january, seen = _run(*_market(800), tmp_path)  # ends on 2020-01-24, so the live fold starts with the year
    assert seen["trained"] == [f"crush {fold} {name}" for fold in ("oof 2019-01", "live 2020-01") for name in COMPETE]
    february, seen = _run(*_market(815), tmp_path)
    assert seen["trained"] == [f"crush {fold} {name}" for fold in ("oof 2020-01", "live 2020-02") for name in COMPETE]
    live = january[january["fold_type"] == "live"].set_index(["competitor", *KEY])[QUANTILES]
    history = february[february["fold_start"] == "2020-01-01"].set_index(["competitor", *KEY])[QUANTILES]
    pd.testing.assert_frame_equal(live, history.loc[live.index])  # the history keeps the forecasts made then
    assert february.groupby("artifact_id")["fold_type"].nunique().eq(1).all()


# ---------- facts for the plan


def _planned(mart, targets, families=COMPETE, buckets=("crush",)) -> pd.DataFrame:
    live = pd.DataFrame({"bucket": list(buckets), "live_from": MARCH})
    return planned_fits(live, {"crush": _inputs(mart, targets, families)})


def _causes(planned: pd.DataFrame) -> dict[str, str]:
    missing = planned[~planned["is_fitted"]]
    return {f"crush {row.fold_type} {row.fold_start:%Y-%m} {row.family}": row.cause for row in missing.itertuples()}


@pytest.fixture
def here(monkeypatch, copy):
    """Use that copy as the project's store."""
    monkeypatch.setenv("ZL_DATA_DIR", str(copy))
    return copy


def test_in_an_empty_store_every_fit_is_missing(monkeypatch, market, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    planned = _planned(*market)
    assert _causes(planned) == dict.fromkeys(ALL_FITS, "missing")
    assert not planned["is_table_cached"].any()
    assert _planned(*market, buckets=()).empty  # as if the gate had refused all buckets


def test_existing_fits_are_found_and_new_rows_require_no_training(here, market):
    looked_at = _planned(*market)
    assert looked_at["is_fitted"].all()
    assert not looked_at["is_table_cached"].any()
    _run(*market, here, Plan(live_from=MARCH))
    cached = _planned(*market)
    assert cached["is_table_cached"].all()
    pd.testing.assert_frame_equal(cached.drop(columns="is_table_cached"), looked_at.drop(columns="is_table_cached"))
    grown = _planned(*_market(835))
    assert grown["is_fitted"].all()
    assert not grown["is_table_cached"].any()


def test_the_plan_reports_the_state_of_a_fit(here, market):
    live = _planned(*market).query("fold_type == 'live'").set_index("family")["artifact_id"]
    tampered, lost = live["xgboost"], live["reference"]
    facts = here / "artifacts" / tampered / FACTS
    facts.write_text(facts.read_text() + " ")
    shutil.rmtree(here / "artifacts" / lost)
    planned = _planned(*market)
    assert _causes(planned) == dict.fromkeys(ALL_FITS[4:], "refused")
    reason = planned.set_index("artifact_id")["reason"]
    assert reason[tampered].endswith(f"artifact {tampered}: {FACTS} was changed since it was written")
    assert reason[lost].endswith("its folder is missing")


def test_the_plan_reports_changed_data_code_or_libraries(monkeypatch, here, market):
    mart, targets = market
    old = mart.assign(driver=mart["driver"].where(mart.index != 101, 8.0))
    assert _causes(_planned(old, targets)) == dict.fromkeys(ALL_FITS, "data")
    with monkeypatch.context() as patch:
        patch.setattr(xgboost, "FAMILY", replace(xgboost.FAMILY, hyperparameters={"eta": 0.1}))
        assert _causes(_planned(*market)) == dict.fromkeys(ALL_FITS[1::2], "code")
    others = {**VERSIONS, "xgboost": "0.2"}
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "library_versions", lambda *modules: others)
        patch.setattr(artifacts, "version_of", others.get)
        planned = _planned(*market)
    assert _causes(planned) == dict.fromkeys(ALL_FITS, "library_versions")
    assert planned["reason"].str.contains(f"xgboost {VERSIONS['xgboost']}, now 0.2").all()
    assert set(_causes(_planned(*market, families=(*COMPETE, "lightgbm"))).values()) == {"missing"}


# ---------- actions of the plan


def test_tournament_never_forecasts_new_rows_with_stored_models_and_trains_nothing(
    monkeypatch, market, copy, tmp_path_factory
):
    mart, targets = _market(832)
    never = Plan("score", live_from=MARCH, may_train=False)
    grown, seen = _run(mart, targets, copy, never)
    assert seen == {"trained": [], "forecast": [LIVE]}
    assert grown["status"].eq("ok").all()
    assert grown["as_of_date"].max() == mart["as_of_date"].max()

    empty = tmp_path_factory.mktemp("empty")
    nothing_there, seen = _run(*market, empty, never)
    assert seen == {"trained": [], "forecast": []}
    assert nothing_there["status"].eq("skipped").all()
    assert nothing_there["reason"].eq("not in the store, and var tournament is never").all()
    monkeypatch.setenv("ZL_DATA_DIR", str(empty))
    assert _causes(_planned(*market)) == dict.fromkeys(ALL_FITS, "missing")  # and skipped rows are not cached


def test_expired_models_are_skipped_with_a_reason(market, forecasts, folder):
    reason = "left out: trained until 2020-02-23"
    left_out, seen = _run(*market, folder, Plan("expire", reason))
    assert seen == {"trained": [], "forecast": []}
    live = left_out["fold_type"] == "live"
    assert left_out.loc[live, ["status", "reason"]].drop_duplicates().to_numpy().tolist() == [["skipped", reason]]
    assert left_out.loc[live, QUANTILES].isna().all(axis=None)
    pd.testing.assert_frame_equal(left_out[~live], forecasts[~live])
    assert _run(*market, folder)[0]["status"].eq("ok").all()  # the expired outcome is not cached


def test_a_reselection_within_the_month_trains_on_all_rows_matured_by_then(market, forecasts, copy):
    renewed, seen = _run(*market, copy, Plan(live_from=pd.Timestamp("2020-03-04")))
    assert seen["trained"] == ALL_FITS[4:]
    live, before = (
        table[(table["fold_type"] == "live") & (table["competitor"] == "xgboost")] for table in (renewed, forecasts)
    )
    assert live["as_of_date"].min() == pd.Timestamp("2020-03-04")
    assert before["as_of_date"].min() < pd.Timestamp("2020-03-04")
    assert live["train_rows"].iloc[0] > before["train_rows"].iloc[0]
    assert live["trained_until"].iloc[0] > before["trained_until"].iloc[0]


# ---------- no look-ahead


@pytest.fixture
def perturbed(monkeypatch, tmp_path, market, forecasts):
    """Return a function of a changed market: XGBoost's forecasts of both folds before and after the change."""

    def compare(mart, targets):
        monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
        monkeypatch.setattr(workers, "run", in_this_process)
        after = runner.run(Tournament.of(_inputs(mart, targets, ("xgboost",))).contests[:2])
        own = forecasts[(forecasts["competitor"] == "xgboost") & (forecasts["fold_type"] == "oof")]
        return [
            [table.loc[table["fold_start"] == start, FORECAST].reset_index(drop=True) for table in (own, after)]
            for start in pd.to_datetime(["2019-01-01", "2020-01-01"])
        ]

    return compare


@pytest.fixture(scope="module")
def fold(market):
    """The first fold."""
    return Tournament.of(_inputs(*market)).contests[0].fold


def test_data_after_the_embargo_do_not_change_the_fold(market, perturbed, fold):
    mart, targets = (frame.copy() for frame in market)
    late = targets["target_date"] >= fold.train_until
    targets.loc[late, "z_return"] = 3 * targets.loc[late, "z_return"].sample(frac=1, random_state=9).to_numpy() + 1
    # and rows that have not matured are not read
    targets["z_return"] = targets["z_return"].where(targets["is_matured"], np.nan).fillna(0.0)
    is_tested = (mart["as_of_date"] >= fold.start) & (mart["as_of_date"] < fold.end)
    others = (mart["as_of_date"] >= fold.train_until) & ~is_tested
    mart.loc[others, ["driver", "noise"]] = 7 * np.random.default_rng(9).standard_normal((others.sum(), 2))
    first, second = perturbed(mart, targets)
    assert len(first[0]) > 0
    pd.testing.assert_frame_equal(*first, check_exact=True)
    assert not np.array_equal(*(table[QUANTILES] for table in second))  # the change has an effect on the next fold


def test_the_newest_targets_before_the_embargo_change_the_fold(market, perturbed, fold):
    mart, targets = (frame.copy() for frame in market)
    month_before = fold.train_until - pd.DateOffset(days=30)
    targets.loc[targets["target_date"].between(month_before, fold.train_until, inclusive="left"), "z_return"] *= -3
    first, _ = perturbed(mart, targets)
    assert not first[0].equals(first[1])


def test_a_forecast_depends_on_its_own_row_alone(market, perturbed, fold):
    mart, targets = (frame.copy() for frame in market)
    tested = mart.index[(mart["as_of_date"] >= fold.start) & (mart["as_of_date"] < fold.end)]
    mart.loc[tested[::2], ["driver", "noise"]] = 4.0
    first, _ = perturbed(mart, targets)
    untouched = first[0]["as_of_date"].isin(mart.loc[tested[1::2], "as_of_date"])
    pd.testing.assert_frame_equal(*(table[untouched] for table in first), check_exact=True)
    assert not first[0][~untouched].equals(first[1][~untouched])
