"""A bucket's tournament: who competes, what is paid for once, and that no forecast knows what came after."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.families import xgboost
from zl_forecast.tournament import enrolled_families, fit, run_specialist, specialist, walk_forward
from zl_forecast.tournament.plan import planned_fits
from zl_forecast.tournament.specialist import Plan

QUANTILES = list(settings.QUANTILE_COLUMNS)
FORECAST = ["family", "kind", *fit.KEY, *QUANTILES]
HORIZONS = (5, 10, 20)
versions = fingerprint.library_versions()
TRAIN = Plan()
BUCKETS = pd.DataFrame({"bucket": ["crush"], "candidates": ["xgboost catboost"], "channels": ["driver"]})


def _seed(**presets: str) -> pd.DataFrame:
    """seeds/families.csv with these families."""
    return pd.DataFrame(
        {
            "family": list(presets),
            "module": [f"zl_forecast.families.{name}" for name in presets],
            "from_preset": list(presets.values()),
            "time_limit_seconds": 600,
        }
    )


SEED = _seed(reference="quick", lightgbm="quick", catboost="quick", xgboost="quick", random_forest="standard")


def _market(n_sessions: int = 830, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A mart of two features, the first of which drives the targets, and the targets."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2017-01-02", periods=n_sessions)
    features = rng.standard_normal((n_sessions, 2))
    mart = pd.DataFrame(
        {"as_of_date": days, "latest_input_on": days, "driver": features[:, 0], "noise": features[:, 1]}
    )
    beyond = days.append(pd.bdate_range(days[-1], periods=max(HORIZONS) + 1)[1:])
    noise = np.random.default_rng(seed + 1).standard_normal((n_sessions, len(HORIZONS)))
    frames = [
        pd.DataFrame(
            {
                "as_of_date": days,
                "horizon_days": horizon,
                "target_date": beyond[horizon : horizon + n_sessions],
                "z": np.where(np.arange(n_sessions) < n_sessions - horizon, features[:, 0] + noise[:, i], np.nan),
                "is_matured": np.arange(n_sessions) < n_sessions - horizon,
            }
        )
        for i, horizon in enumerate(HORIZONS)
    ]
    return mart, pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module", autouse=True)
def quick_and_keen():
    """XGBoost that reacts to single rows, so that a leak of one shows; and three horizons' rows are enough."""
    torch.set_num_threads(1)
    keen = {"num_boost_round": 20, "eta": 0.3, "max_depth": 4, "min_child_weight": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xgboost, "FAMILY", replace(xgboost.FAMILY, hyperparameters=keen))
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tournament")


def _run(
    mart, targets, folder, families=("reference", "xgboost"), plan=TRAIN
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Forecasts, and which folds went to the workers and which of them were fitted rather than loaded."""
    seen = {"worked": [], "fitted": []}

    def here(work, tasks, limit, executor):
        for task in tasks:
            seen["worked"].append(str(task))
            yield task, work(task)

    def counting(task, path, original=fit._fit):
        seen["fitted"].append(str(task))
        return original(task, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", here)
        patch.setattr(fit, "_fit", counting)
        return run_specialist("crush", mart=mart, targets=targets, **_arguments(mart, families), plan=plan), seen


def _arguments(mart, families=("reference",)) -> dict:
    zl = pd.DataFrame({"as_of_date": mart["as_of_date"], "log_return": 0.01, "sigma": 0.01})
    return {"zl": zl, "buckets": BUCKETS, "families": _seed(**dict.fromkeys(families, "full")), "preset": "full"}


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def forecasts(market, folder):
    return _run(*market, folder)[0]


ALL_FITS = [
    f"crush {fold} {family}"
    for fold in ("oof 2019-01", "oof 2020-01", "live 2020-03")
    for family in ("reference", "xgboost")
]


# ---------- what comes out


def test_every_family_forecasts_every_row_of_every_block_once(market, forecasts):
    _, targets = market
    history = targets["as_of_date"].between("2019-01-01", "2020-02-29").sum()
    newest = (targets["as_of_date"] >= "2020-03-01").sum()
    for _, own in forecasts.groupby("family"):
        assert (own["kind"] == "oof").sum() == history
        assert (own["kind"] == "live").sum() == newest
        assert not own.duplicated(fit.KEY).any()


def test_the_planted_driver_is_found_out_of_sample(market, forecasts):
    own = forecasts[(forecasts["family"] == "xgboost") & (forecasts["kind"] == "oof")]
    joined = own.merge(market[1].dropna(), on=fit.KEY)
    assert np.corrcoef(joined["q50"], joined["z"])[0, 1] > 0.5  # of 0.71 that the truth would reach


def test_a_quarantined_bucket_leaves_an_empty_table_with_all_columns(market, capsys):
    plan = Plan("quarantine", "left out: ZM is in the wrong unit")
    empty = run_specialist("crush", mart=market[0], targets=market[1], **_arguments(market[0]), plan=plan)
    assert empty.empty
    assert list(empty.columns[:3]) == ["bucket", "family", "kind"]
    assert "crush: left out: ZM is in the wrong unit" in capsys.readouterr().out


def test_too_few_training_rows_are_refused_with_the_count(monkeypatch, market, tmp_path):
    monkeypatch.setattr(settings, "MIN_TRAIN_ROWS", 5000)
    with pytest.raises(TournamentError, match=r"crush: \d+ matured training rows before 2019-01-01, 5000 are needed"):
        _run(*market, tmp_path)


# ---------- who competes


def test_quick_is_the_candidates_with_lightgbm_and_the_reference():
    assert tuple(enrolled_families("crush", "quick", BUCKETS, SEED)) == (
        "reference",
        "lightgbm",
        "catboost",
        "xgboost",
    )


def test_standard_adds_the_families_of_standard_and_keeps_those_of_quick():
    assert tuple(enrolled_families("crush", "standard", BUCKETS, SEED)) == (
        "reference",
        "lightgbm",
        "catboost",
        "xgboost",
        "random_forest",
    )


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
def test_what_is_not_registered_is_refused_by_name(bucket, preset, families, words):
    with pytest.raises(TournamentError, match=words):
        enrolled_families(bucket, preset, BUCKETS, families)


# ---------- what is paid for only once


def test_a_second_call_does_no_work_and_says_the_same(market, forecasts, folder):
    again, seen = _run(*market, folder)
    assert seen == {"worked": [], "fitted": []}
    pd.testing.assert_frame_equal(again, forecasts)


def test_cached_and_fresh_forecasts_are_identical(market, forecasts, tmp_path):
    fresh, seen = _run(*market, tmp_path)
    assert seen["fitted"] == ALL_FITS
    pd.testing.assert_frame_equal(fresh[FORECAST], forecasts[FORECAST])


def test_a_new_session_is_only_scored_with_the_stored_models(forecasts, folder, tmp_path):
    mart, targets = _market(831)
    grown, seen = _run(mart, targets, folder)
    assert seen["fitted"] == []
    assert set(seen["worked"]) == set(ALL_FITS[4:])
    fresh, _ = _run(mart, targets, tmp_path)
    pd.testing.assert_frame_equal(grown[FORECAST], fresh[FORECAST])
    assert len(grown) == len(forecasts) + 2 * len(HORIZONS)


def test_changed_features_of_training_rows_are_fitted_afresh(market, forecasts, folder):
    mart, targets = market
    changed = mart.assign(driver=mart["driver"].where(mart.index != 100, 9.0))
    _, seen = _run(changed, targets, folder)
    assert set(seen["fitted"]) == set(ALL_FITS)


def test_other_library_versions_are_fitted_afresh(monkeypatch, market, forecasts, folder):
    others = {**fingerprint.library_versions(), "xgboost": "0.1"}
    monkeypatch.setattr(fingerprint, "library_versions", lambda: others)
    _, seen = _run(*market, folder)
    assert set(seen["fitted"]) == set(ALL_FITS)


@pytest.mark.parametrize("part", ["forecasts.parquet", "models/facts.json"])
def test_a_tampered_artifact_is_refused_and_fitted_afresh(capsys, market, forecasts, folder, part):
    is_part = (forecasts["kind"] == "live") & (forecasts["family"] == "xgboost")
    name = forecasts.loc[is_part, "fingerprint"].iloc[0]
    tampered = folder / "artifacts" / name / part
    tampered.write_bytes(tampered.read_bytes() + b" ")
    again, seen = _run(*market, folder)
    assert seen["fitted"] == ["crush live 2020-03 xgboost"]
    assert f"{part} was changed" in capsys.readouterr().out
    pd.testing.assert_frame_equal(again[FORECAST], forecasts[FORECAST])


def test_models_are_kept_only_for_blocks_that_still_grow(forecasts, folder):
    kept = {
        str(start.date()): (folder / "artifacts" / name / fit.MODELS).exists()
        for start, name in forecasts[["fold_start", "fingerprint"]].drop_duplicates().itertuples(index=False)
    }
    assert kept == {"2019-01-01": False, "2020-01-01": True, "2020-03-01": True}


def test_an_interrupted_fit_leaves_no_folder_under_its_name(monkeypatch, market, tmp_path):
    def interrupted(task, predictor, facts):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "_score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(*market, tmp_path)
    assert not any(f.is_dir() for f in (tmp_path / "artifacts").iterdir())


def test_the_years_block_is_fitted_as_of_january_once_january_is_history(tmp_path):
    january, seen = _run(*_market(800), tmp_path)  # ends on 2020-01-24: the live block starts with the year
    assert seen["worked"] == [
        f"crush {fold} {family}" for fold in ("oof 2019-01", "live 2020-01") for family in ("reference", "xgboost")
    ]
    february, seen = _run(*_market(815), tmp_path)
    assert {name for name in seen["fitted"] if "2020" in name} == {
        f"crush {fold} {family}" for fold in ("oof 2020-01", "live 2020-02") for family in ("reference", "xgboost")
    }
    live = january[january["kind"] == "live"].set_index(["family", *fit.KEY])[QUANTILES]
    history = february[february["fold_start"] == "2020-01-01"].set_index(["family", *fit.KEY])[QUANTILES]
    pd.testing.assert_frame_equal(live, history.loc[live.index])  # what was forecast then is what the history says
    assert february.groupby("fingerprint")["kind"].nunique().eq(1).all()


# ---------- what the plan finds


def _planned(mart, targets, families=("reference", "xgboost"), refused=None) -> pd.DataFrame:
    live = pd.DataFrame(
        {"bucket": ["crush"], "live_from": pd.to_datetime(["2020-03-01"]), "refused_by_gate": [refused]}
    )
    return planned_fits(live, marts={"crush": mart}, targets=targets, **_arguments(mart, families))


def _told(planned: pd.DataFrame) -> dict[str, str]:
    missing = planned[~planned["is_fitted"]]
    return {f"{row.kind} {row.fold_start:%Y-%m} {row.family}": row.cause for row in missing.itertuples()}


def test_in_an_empty_store_every_fit_is_missing(monkeypatch, market, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    planned = _planned(*market)
    assert [f"crush {name}" for name in _told(planned)] == ALL_FITS
    assert planned["cause"].eq("missing").all()
    assert not planned["is_remembered"].any()
    assert _planned(*market, refused="ZM is in the wrong unit").empty


def test_what_has_been_fitted_is_found_and_new_rows_are_no_reason_to_train(monkeypatch, market, forecasts, folder):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    _run(*market, folder)
    same, grown = _planned(*market), _planned(*_market(835))
    assert same["is_fitted"].all()
    assert same["is_remembered"].all()
    assert grown["is_fitted"].all()
    assert not grown["is_remembered"].any()


def test_the_plan_says_what_became_of_a_fit(monkeypatch, market, forecasts, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    live = _planned(*market).query("kind == 'live'").set_index("family")["artifact_id"]
    tampered, lost = live["xgboost"], live["reference"]
    facts = tmp_path / "artifacts" / tampered / "models" / "facts.json"
    facts.write_text(facts.read_text() + " ")
    shutil.rmtree(tmp_path / "artifacts" / lost)
    planned = _planned(*market)
    assert _told(planned) == {"live 2020-03 reference": "refused", "live 2020-03 xgboost": "refused"}
    details = planned.set_index("artifact_id")["details"]
    assert details[tampered].endswith(f"artifact {tampered}: models/facts.json was changed since it was written")
    assert details[lost].endswith("its folder is gone")


def test_the_plan_says_whether_data_code_or_a_library_have_changed(monkeypatch, market, forecasts, folder):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    mart, targets = market
    old = mart.assign(driver=mart["driver"].where(mart.index != 101, 8.0))
    assert set(_told(_planned(old, targets)).values()) == {"data"}
    with monkeypatch.context() as patch:
        patch.setattr(xgboost, "FAMILY", replace(xgboost.FAMILY, hyperparameters={"eta": 0.1}))
        changed = _told(_planned(*market))
        assert set(changed.values()) == {"code"}
        assert all(name.endswith("xgboost") for name in changed)
    with monkeypatch.context() as patch:
        for module in (fingerprint, artifacts):
            patch.setattr(module, "library_versions", lambda: {**versions, "xgboost": "0.2"})
        planned = _planned(*market)
    assert set(_told(planned).values()) == {"library_versions"}
    assert len(planned) == len(ALL_FITS)
    assert planned["details"].str.contains(f"xgboost {versions['xgboost']}, now 0.2").all()
    assert set(_told(_planned(*market, families=("reference", "xgboost", "lightgbm"))).values()) == {"missing"}


def test_on_a_new_day_the_history_is_read_back_whole_and_only_the_live_block_is_looked_at(
    monkeypatch, forecasts, folder
):
    mart, targets = _market(834)
    looked_at = []
    monkeypatch.setattr(
        specialist, "finished", lambda task, original=fit.finished: looked_at.append(str(task)) or original(task)
    )
    grown, seen = _run(mart, targets, folder, plan=Plan("score"))
    assert looked_at == seen["worked"] == ALL_FITS[4:]
    history = grown["kind"] == "oof"
    pd.testing.assert_frame_equal(
        grown.loc[history, FORECAST], forecasts.loc[forecasts["kind"] == "oof", FORECAST], check_index_type=False
    )


# ---------- what the plan allows


def test_where_the_plan_says_nothing_the_table_is_read_back_whole(monkeypatch, market, forecasts, folder):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    (table_ids,) = set(_planned(*market)["table_ids"])
    monkeypatch.setattr(specialist, "_hold", None)  # whoever looks at the fits one by one fails
    again, seen = _run(*market, folder, plan=Plan("nothing", table_ids=tuple(table_ids.split())))
    assert seen == {"worked": [], "fitted": []}
    pd.testing.assert_frame_equal(again[FORECAST], forecasts[FORECAST])


def test_never_scores_new_rows_with_stored_models_but_trains_nothing(forecasts, folder, tmp_path):
    mart, targets = _market(832)
    never = Plan("score", live_from=pd.Timestamp("2020-03-01"), may_train=False)
    grown, seen = _run(mart, targets, folder, plan=never)
    assert seen["fitted"] == []
    assert grown["status"].eq("ok").all()
    assert grown["as_of_date"].max() == mart["as_of_date"].max()

    nothing_there, seen = _run(mart, targets, tmp_path, plan=never)
    assert seen == {"worked": [], "fitted": []}
    assert nothing_there["status"].eq("skipped").all()
    assert nothing_there[QUANTILES].isna().all(axis=None)
    assert nothing_there["reason"].eq("not in the store, and var tournament is never").all()
    assert _run(mart, targets, tmp_path)[1]["fitted"] == ALL_FITS  # what was not allowed is not remembered


def test_expired_models_forecast_nothing_and_say_why(market, forecasts, folder):
    left_out, _ = _run(*market, folder, plan=Plan("expire", "left out: trained until 2020-02-23"))
    live = left_out["kind"] == "live"
    assert left_out.loc[live, "status"].eq("skipped").all()
    assert left_out.loc[live, QUANTILES].isna().all(axis=None)
    assert left_out.loc[live, "reason"].eq("left out: trained until 2020-02-23").all()
    assert left_out.loc[~live, "status"].eq("ok").all()


def test_a_re_tournament_within_the_month_trains_on_what_has_matured_by_then(market, forecasts, folder):
    renewed, seen = _run(*market, folder, plan=Plan(live_from=pd.Timestamp("2020-03-04")))
    assert seen["fitted"] == ["crush live 2020-03 reference", "crush live 2020-03 xgboost"]
    live, before = (table[(table["kind"] == "live") & (table["family"] == "xgboost")] for table in (renewed, forecasts))
    assert live["as_of_date"].min() == pd.Timestamp("2020-03-04")
    assert before["as_of_date"].min() < pd.Timestamp("2020-03-04")
    assert live["train_rows"].iloc[0] > before["train_rows"].iloc[0]
    assert live["trained_until"].iloc[0] > before["trained_until"].iloc[0]


# ---------- nothing knows what came after


def _first_fold(mart):
    return walk_forward(pd.DatetimeIndex(mart["as_of_date"]))[0]


def test_what_happened_from_the_embargo_on_changes_no_forecast_of_the_block(market, forecasts, tmp_path):
    mart, targets = (frame.copy() for frame in market)
    fold, rng = _first_fold(mart), np.random.default_rng(9)
    late = targets["target_date"] >= fold.train_until
    targets.loc[late, "z"] = 3 * targets.loc[late, "z"].sample(frac=1, random_state=9).to_numpy() + 1
    targets["z"] = (
        targets["z"].where(targets["is_matured"], np.nan).fillna(0.0)
    )  # and what has not matured is not looked at
    not_tested = (mart["as_of_date"] >= fold.train_until) & (
        (mart["as_of_date"] < fold.start) | (mart["as_of_date"] >= fold.end)
    )
    mart.loc[not_tested, ["driver", "noise"]] = 7 * rng.standard_normal((not_tested.sum(), 2))
    shaken, seen = _run(mart, targets, tmp_path)
    assert "crush oof 2019-01 xgboost" in seen["fitted"]
    block = [frame[frame["fold_start"] == fold.start].reset_index(drop=True) for frame in (forecasts, shaken)]
    assert len(block[0]) > 0
    pd.testing.assert_frame_equal(block[0][FORECAST], block[1][FORECAST], check_exact=True)
    later = [frame.loc[frame["fold_start"] > fold.start, QUANTILES] for frame in (forecasts, shaken)]
    assert not np.array_equal(*later)  # the shaking was felt where it should be


def test_the_newest_targets_before_the_embargo_do_change_the_block(market, forecasts, tmp_path):
    mart, targets = (frame.copy() for frame in market)
    fold = _first_fold(mart)
    newest = targets.index[
        targets["target_date"].between(fold.train_until - pd.DateOffset(days=30), fold.train_until, inclusive="left")
    ]
    targets.loc[newest, "z"] *= -3
    shaken, _ = _run(mart, targets, tmp_path)
    block = [frame[frame["fold_start"] == fold.start].reset_index(drop=True) for frame in (forecasts, shaken)]
    assert not block[0][QUANTILES].equals(block[1][QUANTILES])


def test_a_forecast_depends_on_its_own_row_alone(market, forecasts, tmp_path):
    mart, targets = (frame.copy() for frame in market)
    fold = _first_fold(mart)
    tested = mart.index[(mart["as_of_date"] >= fold.start) & (mart["as_of_date"] < fold.end)]
    others = tested[::2]
    mart.loc[others, ["driver", "noise"]] = 4.0
    shaken, _ = _run(mart, targets, tmp_path)
    untouched = set(mart.loc[tested.difference(others), "as_of_date"])
    same = [
        frame[(frame["fold_start"] == fold.start) & frame["as_of_date"].isin(untouched)].reset_index(drop=True)
        for frame in (forecasts, shaken)
    ]
    pd.testing.assert_frame_equal(same[0][FORECAST], same[1][FORECAST], check_exact=True)


def test_the_artifact_folder_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    assert artifacts.artifacts_dir().is_relative_to(tmp_path)
