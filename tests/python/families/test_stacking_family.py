"""Stacking: weights of the three best families, from their forecasts of earlier folds."""

import tempfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.families.stacking import FAMILY, StackingModel, column, stacking_weights
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.tournament.bucket import BucketContest
from zl_forecast.tournament.splits import Fold
from zl_forecast.tournament.stacking import NOTHING_MATURED, second_level

LEVELS = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])  # of a standard normal


def _members(n: int, **noise: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Simulate families that forecast a signal with errors of given sizes; z_return is the signal plus unit noise."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(n)
    z_return = signal + rng.standard_normal(n)
    return {name: (signal + size * rng.standard_normal(n))[:, None] + LEVELS for name, size in noise.items()}, z_return


def test_the_three_best_families_are_selected_and_the_best_has_most_weight():
    members, z_return = _members(4000, bad=3.0, good=0.1, fair=1.0, poor=2.0)
    weights = stacking_weights(members, z_return, overlap=1)
    assert set(weights) == {"good", "fair", "poor"}
    assert weights["good"] > 0.9
    assert sum(weights.values()) == pytest.approx(1)


def test_few_independent_samples_leave_nearly_equal_weights():
    members, z_return = _members(240, good=0.1, fair=1.0, poor=2.0)
    many, few = (stacking_weights(members, z_return, overlap=overlap) for overlap in (1, 120))
    assert many["good"] > 0.8
    # two samples against a prior of twenty: one third plus 2/22 of the difference
    assert few["good"] == pytest.approx(1 / 3, abs=0.07)


def test_a_family_that_failed_in_a_fold_is_not_chosen():
    members, z_return = _members(400, good=0.1, fair=1.0, poor=2.0, bad=3.0)
    members["good"][:50] = np.nan
    assert set(stacking_weights(members, z_return, overlap=5)) == {"fair", "poor", "bad"}


def _fitted(weights: dict[str, float]) -> StackingModel:
    model = StackingModel(path=tempfile.mkdtemp())  # without a path AutoGluon creates a folder
    model.model = {5: weights}
    return model


def _row(**medians: float) -> pd.DataFrame:
    values = {
        column(name, q): [m + level]
        for name, m in medians.items()
        for q, level in zip(settings.QUANTILE_COLUMNS, LEVELS, strict=True)
    }
    return pd.DataFrame(values).assign(horizon_days=5)


def test_a_forecast_is_the_weighted_mean_worked_by_hand():
    forecast = _fitted({"a": 0.75, "b": 0.25})._predict_proba(_row(a=1.0, b=5.0))
    np.testing.assert_allclose(forecast[0], 2.0 + LEVELS)


def test_the_weight_of_a_family_missing_in_a_row_goes_to_the_others():
    forecast = _fitted({"a": 0.75, "b": 0.25})._predict_proba(_row(a=np.nan, b=5.0))
    np.testing.assert_allclose(forecast[0], 5.0 + LEVELS)


@pytest.fixture(scope="module")
def history():
    """Two folds of one family's forecasts, with targets ten sessions ahead."""
    days = pd.bdate_range("2019-01-01", "2020-12-31")
    rows = pd.DataFrame(
        {"as_of_date": days, "horizon_days": 10, "z_return": np.arange(len(days), dtype=float), "is_matured": True}
    )
    rows["target_date"] = rows["as_of_date"] + pd.offsets.BDay(10)
    rows = with_row_hash(rows)
    folds = [
        Fold(pd.Timestamp(y, 1, 1), pd.Timestamp(y + 1, 1, 1), "oof", pd.Timestamp(y - 1, 12, 24)) for y in (2019, 2020)
    ]
    forecasts = rows[["as_of_date", "horizon_days"]].assign(
        competitor="a", fold_type="oof", **dict.fromkeys(settings.QUANTILE_COLUMNS, 0.5)
    )
    forecasts["fold_start"] = pd.to_datetime(forecasts["as_of_date"].dt.year.astype(str) + "-01-01")
    contests = [
        BucketContest("crush", fold, (), rows[:0], rows[fold.test_rows(rows)], None, False, {}, {}) for fold in folds
    ]
    return contests, forecasts, rows


FAMILIES = {"stacking": FAMILY}


def test_stacking_skips_the_first_fold(history):
    contests, forecasts, rows = history
    second = second_level(replace(contests[0], limits={"stacking": 60.0}), FAMILIES, forecasts, rows)
    assert [(own.name, own.skipped) for own in second.competitors()] == [("stacking", NOTHING_MATURED)]


def test_training_rows_are_forecasts_of_earlier_folds_whose_targets_matured_before_the_embargo(history):
    (_, contest), forecasts, rows = history
    second = second_level(contest, FAMILIES, forecasts, rows)
    assert second.train_part["as_of_date"].max() < contest.fold.start
    assert second.train_part["target_date"].max() < contest.fold.train_until
    assert second.train_rows == (rows["target_date"] < contest.fold.train_until).sum()
    assert second.features == tuple(column("a", q) for q in settings.QUANTILE_COLUMNS)
    assert second.rows["as_of_date"].tolist() == contest.rows["as_of_date"].tolist()
    assert second.skipped == ""


def test_rows_read_from_the_warehouse_have_the_same_fingerprint(history):
    (_, contest), forecasts, rows = history
    day = forecasts["as_of_date"]
    other_types = forecasts.assign(as_of_date=day.astype(f"datetime64[{'us' if day.dt.unit == 'ns' else 'ns'}]"))
    other_types = other_types.astype({"horizon_days": "int32"})
    contest = replace(contest, limits={"stacking": 60.0})
    (own,), (again,) = (
        second_level(contest, FAMILIES, table, rows).competitors() for table in (forecasts, other_types)
    )
    assert own.key == again.key
    np.testing.assert_array_equal(own.row_hashes, again.row_hashes)
