"""A family that fails in any way leaves rows with its reason; what failed for want of memory or time alone is tried again."""

import numpy as np
import pandas as pd
import pytest
import torch

from zl_forecast import artifacts, settings
from zl_forecast.families import load_families
from zl_forecast.families.stacking import FAMILY as STACKING
from zl_forecast.families.stacking import column
from zl_forecast.fingerprint import with_row_hash
from zl_forecast.tournament import fit
from zl_forecast.tournament.splits import Fold

FAMILIES = load_families(
    pd.DataFrame(
        [(name, f"outside.{name}") for name in ("toy", "refit", "starving", "silent")], columns=["family", "module"]
    )
)
QUANTILES = list(settings.QUANTILE_COLUMNS)


def _block(n_test: int = 20) -> fit.Block:
    """300 training sessions and a live block whose feature drives z."""
    rng, n = np.random.default_rng(1), 330
    days = pd.bdate_range("2020-01-01", periods=n + 10)
    mart = pd.DataFrame({"as_of_date": days[:n], "driver": rng.standard_normal(n)})
    rows = pd.concat(
        mart.assign(horizon_days=h, target_date=days[h : n + h], z=mart["driver"] + rng.standard_normal(n))
        for h in (1, 5, 10)
    ).sort_values(fit.KEY, ignore_index=True)
    rows = with_row_hash(rows)
    fold = Fold(days[300], days[-1], "live", days[295])
    test = rows[(rows["as_of_date"] >= fold.start) & (rows["as_of_date"] < days[300 + n_test])]
    return fit.Block("crush", fold, ("driver",), rows[rows["target_date"] < fold.train_until], test, None, True)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    torch.set_num_threads(1)
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))


def _task(name: str, n_test: int = 20) -> fit.Task:
    return fit.Task(_block(n_test), name, FAMILIES[name], seconds=60)


def test_a_refit_that_raises_is_a_failed_row_with_its_reason_and_not_tried_again():
    forecasts = fit.fit_and_score(_task("refit"))
    assert set(forecasts["status"]) == {"failed"}
    assert set(forecasts["reason"]) == {"ValueError: the newest rows make it singular"}
    assert set(fit.finished(_task("refit"))["status"]) == {"failed"}


def test_a_failed_family_has_a_row_a_day_later_too():
    fit.fit_and_score(_task("refit"))
    assert fit.finished(_task("refit", n_test=21)) is None
    later = fit.fit_and_score(_task("refit", n_test=21))
    assert len(later) == 21 * 3
    assert set(later["reason"]) == {"ValueError: the newest rows make it singular"}


def test_what_failed_for_want_of_memory_is_tried_again():
    forecasts = fit.fit_and_score(_task("starving"))
    assert set(forecasts["status"]) == {"failed"}
    assert set(forecasts["reason"]) == {"MemoryError: no room for 3 GB"}
    assert fit.finished(_task("starving")) is None
    assert not any(f.is_dir() for f in artifacts.artifacts_dir().iterdir())


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("autogluon.tabular.TabularPredictor.fit", RuntimeError("XGBoostError: std::bad_alloc")),
        ("autogluon.tabular.TabularPredictor.predict", MemoryError("no room")),
        ("autogluon.tabular.TabularPredictor.predict", OSError(28, "No space left on device")),
        ("zl_forecast.tournament.fit.Block.rows", MemoryError("no room")),
    ],
)
def test_want_of_memory_or_disk_at_any_point_is_a_failed_row_that_is_tried_again(monkeypatch, where, error):
    def starve(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(where, starve)
        forecasts = fit.fit_and_score(_task("toy"))
    assert set(forecasts["status"]) == {"failed"}
    assert set(forecasts["reason"]) == {f"{type(error).__name__}: {error}"}
    assert fit.finished(_task("toy")) is None
    assert set(fit.fit_and_score(_task("toy"))["status"]) == {"ok"}


def test_an_explanation_that_raises_costs_no_forecast_and_is_replaced_by_a_permutation(capsys):
    forecasts = fit.fit_and_score(_task("silent"))
    assert set(forecasts["status"]) == {"ok"}
    assert "explained by permutation, its own explanation failed. KeyError: 'no words'" in capsys.readouterr().out
    table = pd.read_parquet(artifacts.find(_task("silent").fingerprint) / fit.ATTRIBUTIONS)
    assert set(table["method"]) == {"permutation"}
    assert set(table["feature"]) == {"driver"}


def test_a_model_that_stands_is_not_given_up_because_scoring_a_new_day_did_not_end():
    before = fit.fit_and_score(_task("toy"))
    fit.give_up(_task("toy", n_test=21), "not finished after 60 s")
    again = fit.finished(_task("toy"))
    pd.testing.assert_frame_equal(again[QUANTILES], before[QUANTILES])
    assert fit.finished(_task("toy", n_test=21)) is None  # the next build tries again


@pytest.mark.parametrize("n_rows", [1, 3, 9, 30])
def test_stacking_on_its_first_few_rows_forecasts_or_says_why_not(n_rows):
    """The first month after the first block has begun: a handful of forecasts have matured."""
    block, rng = _block(), np.random.default_rng(0)
    names = [column(family, q) for family in ("a", "b") for q in QUANTILES]

    def second(rows):
        drawn = np.sort(rng.standard_normal((len(rows), 2, len(QUANTILES))), axis=2).reshape(len(rows), -1)
        return rows.reset_index(drop=True).join(pd.DataFrame(drawn, columns=names))

    train = second(block.train.head(n_rows))
    forecasts = fit.fit_and_score(
        fit.Task(
            fit.Block("crush", block.fold, tuple(names), train, second(block.test), None, True),
            "stacking",
            STACKING,
            60,
        )
    )
    (status,) = set(forecasts["status"])
    assert status == "ok" or (status == "failed" and forecasts["reason"].str.len().min() > 10)
