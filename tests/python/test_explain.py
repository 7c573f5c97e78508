"""Explanations: permutation worked by hand, the table of attributions, and its collection from the store."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.families import Explanation, Family
from zl_forecast.store import artifacts
from zl_forecast.tournament import attributions, explain
from zl_forecast.tournament.bucket import ATTRIBUTIONS

LEVELS = np.array(settings.QUANTILE_LEVELS)


class Linear:
    """A model with P50 = 2 a + the channel's look-back + 0.1 newest return, and P90 - P10 = 0.8 b."""

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        middle = 2 * X["a"] + X["channel@01"] + 0.1 * X["return_lag_000"]
        return middle.to_numpy()[:, None] + X["b"].to_numpy()[:, None] * (LEVELS - 0.5)


@pytest.fixture
def rows():
    """Four sessions of two horizons, the shorter first: donors are one, two and three sessions away."""
    days = pd.date_range("2024-01-01", periods=4)
    key = pd.DataFrame({"as_of_date": days.repeat(2), "horizon_days": [5, 20] * 4})
    session = np.arange(4).repeat(2)
    X = pd.DataFrame(
        {
            "horizon_days": key["horizon_days"],
            "a": np.array([1.0, 2, 3, 10])[session],
            "b": np.array([4.0, 4, 4, 8])[session],
            "idle": np.array([5.0, 6, 7, 8])[session],
            "origin_day": session + 100,
            "ewma_volatility": 0.01,
            "return_lag_000": np.array([0.0, 0, 0, 1])[session],
            "return_lag_001": 0.0,
            "channel@00": np.array([7.0, 7, 7, 7])[session],
            "channel@01": np.array([0.0, 0, 0, 6])[session],
        }
    )
    return key, X


def test_a_permutation_worked_by_hand(rows):
    """a is 10 in the newest session and 1, 2 and 3 in the others, so its effect is 2 * (10 - 2) on average."""
    _, X = rows
    found = explain.permutation(Linear(), X)
    assert found.method == "permutation"
    assert list(found.median.columns) == ["a", "b", "idle", "zl_returns", "channel"]
    for newest in (6, 7):  # one per horizon; donors have the same horizon
        assert found.median.loc[newest].tolist() == pytest.approx([2 * (10 - 2), 0, 0, 0.1 * 1, 6])
        assert found.width.loc[newest].tolist() == pytest.approx([0, 0.8 * (8 - 4), 0, 0, 0])
    assert found.median.loc[0, "a"] == pytest.approx(2 * (1 - 5))  # lower than the others: negative


def test_a_permutation_is_deterministic_and_leaves_the_rows_unchanged(rows):
    _, X = rows
    before = X.copy()
    first, second = (explain.permutation(Linear(), X) for _ in range(2))
    pd.testing.assert_frame_equal(first.median, second.median, check_exact=True)
    pd.testing.assert_frame_equal(X, before, check_exact=True)


def _table(rows, family: Family) -> pd.DataFrame:
    key, X = rows
    return explain.attributions(family, Linear(), key, X).set_index(["method", "horizon_days", "feature"])


def test_a_family_without_explanation_is_permuted_and_features_without_effect_are_left_out(rows):
    table = _table(rows, Family("LINEAR"))
    assert set(table.index.get_level_values("method")) == {"permutation"}
    assert set(table.index.get_level_values("feature")) == {"a", "b", "zl_returns", "channel"}
    assert table.index.is_unique


def test_latest_values_are_the_newest_sessions_and_importance_is_the_mean_absolute_value(rows):
    row = _table(rows, Family("LINEAR")).loc[("permutation", 5, "a")]
    assert row["median_latest"] == pytest.approx(16)
    assert row["feature_value"] == 10
    assert row["as_of_date"] == pd.Timestamp("2024-01-04")
    sizes = [2 * abs(own - others) for own, others in ((1, 5), (2, 14 / 3), (3, 13 / 3), (10, 2))]
    assert row["median_importance"] == pytest.approx(np.mean(sizes))


def _explained(method: str):
    """Attribute its own value to feature a in every row; no attribution of the width."""
    return Family("LINEAR", explain=lambda model, X: [Explanation(method, X[["a"]])])


@pytest.mark.parametrize("method", ["tree_shap", "coefficients"])
def test_a_signed_explanation_needs_no_permutation(rows, method):
    table = _table(rows, _explained(method))
    assert set(table.index.get_level_values("method")) == {method}
    assert table.loc[(method, 20, "a"), "median_latest"] == 10
    assert table["width_latest"].isna().all()  # missing, not zero


@pytest.mark.parametrize("method", ["attention", "variable_selection", "parameters"])
def test_unsigned_explanations_are_complemented_by_a_permutation(rows, method):
    table = _table(rows, _explained(method))
    assert set(table.index.get_level_values("method")) == {method, "permutation"}
    assert table.loc[(method, 5, "a"), "median_importance"] == 4  # mean of 1, 2, 3 and 10


@pytest.fixture
def stored(rows, tmp_path, monkeypatch):
    """Three live fits: two with attributions, one without."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    key, X = rows
    table = explain.attributions(Family("LINEAR"), Linear(), key, X)
    for name in ("one", "two"):
        artifacts.write(name, lambda folder: table.to_parquet(folder / ATTRIBUTIONS))
    artifacts.write("mute", lambda folder: (folder / "forecasts.txt").write_text("43.7"))
    return pd.DataFrame(
        {
            "bucket": ["crush", "crush", "fx", "fx"],
            "family": ["a", "b", "a", "c"],
            "artifact_id": ["one", "two", "mute", "gone"],
        }
    )


def test_attributions_of_the_active_fits_are_collected_by_bucket_and_family(stored):
    table = attributions.collect(pd.concat([stored, stored]))
    assert list(table.columns) == list(attributions.COLUMNS)
    assert table[["bucket", "family", "artifact_id"]].drop_duplicates().to_numpy().tolist() == [
        ["crush", "a", "one"],
        ["crush", "b", "two"],
    ]
    assert not table.duplicated(["bucket", "family", "method", "horizon_days", "feature"]).any()


def test_only_verified_artifacts_are_collected(stored, capsys):
    part = artifacts.artifacts_dir() / "two" / ATTRIBUTIONS
    pd.read_parquet(part).assign(median_latest=99.0).to_parquet(part)
    table = attributions.collect(stored)
    assert set(table["artifact_id"]) == {"one"}
    assert f"two: {ATTRIBUTIONS} was changed" in capsys.readouterr().out


def test_without_live_fits_the_table_is_empty_and_has_its_columns(stored):
    table = attributions.collect(stored.head(0))
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == attributions.COLUMNS
