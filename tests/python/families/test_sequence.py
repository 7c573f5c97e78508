"""Shared parts of LSTM, GRU, Transformer and TFT: anchored quantiles, loss, training and inputs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sequence_worlds as worlds
import through_autogluon as tournament
import torch

from zl_forecast import settings
from zl_forecast.families import gru, lstm, sequence, tft, transformer
from zl_forecast.families.lookback import CHANNEL_LAGS
from zl_forecast.families.scaling import OUTLIER
from zl_forecast.families.sequence import Anchor, Batch, Scaling, anchored_quantiles, matured_mean, pinball

FAMILIES = {"lstm": lstm.FAMILY, "gru": gru.FAMILY, "transformer": transformer.FAMILY, "tft": tft.FAMILY}
ANCHOR = torch.tensor([-1.6, -1.3, -0.7, 0.0, 0.6, 1.2, 1.8], dtype=torch.float64)


# ---- the shared parts


def test_an_output_of_zero_is_the_anchor_to_the_last_bit():
    assert torch.equal(anchored_quantiles(torch.zeros(5, 7), ANCHOR, 3), ANCHOR.expand(5, 7))


def test_quantiles_ascend_and_stay_in_bounds_whatever_the_output():
    raw = 100 * torch.randn(1000, 7, generator=torch.Generator().manual_seed(0))
    quantiles = anchored_quantiles(raw, ANCHOR, 3)
    assert (quantiles.diff(dim=1) > 0).all()
    assert quantiles.abs().max() <= sequence.MAX_SHIFT + np.exp(sequence.MAX_LOG_FACTOR) * 1.8


def test_the_shift_moves_every_quantile_and_a_factor_leaves_the_median():
    shifted = anchored_quantiles(torch.tensor([0.1, 0, 0, 0, 0, 0, 0]), ANCHOR, 3)
    assert (shifted - ANCHOR).numpy() == pytest.approx(np.full(7, np.tanh(0.1)), abs=1e-6)
    stretched = anchored_quantiles(torch.tensor([0.0, 0, 0, 0.1, 0, 0.1, 0]), ANCHOR, 3) - ANCHOR
    factor = np.exp(0.7 * np.tanh(0.1 / 0.7))
    below, above = (factor - 1) * 0.7, (factor - 1) * 0.6  # factors of two distances below and above the median
    assert stretched.numpy() == pytest.approx([-below, -below, -below, 0, 0, above, above], abs=1e-6)


def test_pinball_worked_by_hand_and_missing_for_missing_targets():
    target = torch.tensor([[1.0, np.nan]], dtype=torch.float64)
    quantiles = torch.tensor([[[0.0, 3.0], [0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    loss = pinball(target, quantiles, torch.tensor([0.1, 0.9], dtype=torch.float64))
    assert loss[0, 0].item() == pytest.approx((0.1 * 1 + 0.1 * 2) / 2)
    assert loss[0, 1].isnan()
    matured_mean(loss, torch.tensor([1.0, 5.0])).backward()
    assert quantiles.grad[0, 0].abs().sum() > 0
    assert (quantiles.grad[0, 1] == 0).all()  # zero gradient, not NaN


def test_horizons_are_weighed_by_their_independent_samples():
    loss = torch.tensor([[1.0, 2.0], [1.0, np.nan]])
    assert matured_mean(loss, torch.tensor([1.0, 0.5])).item() == pytest.approx((1 + 1 + 0.5 * 2) / 2.5)
    table = np.where(np.arange(100)[:, None] < [100, 60], 0.0, np.nan)
    assert sequence.credibility(table, (5, 60)) == pytest.approx([20 / (20 + 20), 1 / (1 + 20)])


def test_a_session_enters_once_with_the_horizons_that_matured():
    table = sequence.target_table(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), np.array([0, 2, 0]))
    np.testing.assert_array_equal(table, [[1.0, np.nan, 2.0], [3.0, np.nan, np.nan]])


def test_inputs_are_clipped_standard_scores_with_the_mean_for_missing_values():
    scaling = Scaling.learn(np.array([[1.0, 7.0, np.nan], [3.0, 7.0, np.nan]]))
    scores = scaling.apply(np.array([[3.0, 9.0, 1.0], [np.nan, 7.0, np.nan], [99.0, -9.0, 5.0]]))
    assert scores.tolist() == [[1, 0, 0], [0, 0, 0], [OUTLIER, 0, 0]]  # constant inputs are ignored


def test_validated_share_depends_on_skill_and_on_the_number_of_rows():
    loss_reduction = np.random.default_rng(0).normal(0.2, 0.5, (400, 1))
    assert sequence.validated_share(loss_reduction, (1,))[0] == pytest.approx(400 / 420)
    assert sequence.validated_share(-loss_reduction, (1,))[0] == 0
    assert sequence.validated_share(loss_reduction, (100,))[0] == pytest.approx(
        4 / 24
    )  # the same loss reduction on four independent samples
    assert sequence.validated_share(np.full((400, 1), np.nan), (1,))[0] == 0


class Line(torch.nn.Module):
    """One weight: shifts the median by a multiple of the first feature."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, path, features):
        shift = self.weight * features[:, :1]
        return torch.cat([shift, torch.zeros(len(shift), 6)], dim=1)[:, None], {}


def _line(sign: float) -> Batch:
    x = torch.randn(600, 1, generator=torch.Generator().manual_seed(1))
    return Batch(torch.zeros(600, 1, 1), x, (sign * x).double())


def _trained(epochs: int, validation: Batch | None) -> tuple[int, float]:
    one = torch.ones(1, dtype=torch.float64)
    anchor = Anchor(ANCHOR[None], torch.tensor(settings.QUANTILE_LEVELS, dtype=torch.float64), one, one)
    network = Line()
    with sequence.torch_to_itself(1):
        best = sequence.train(
            network, anchor, _line(1.0), validation, epochs=epochs, patience=2, learning_rate=0.01, weight_decay=0.0
        )
    return best, network.weight.item()


def test_training_ends_at_the_epoch_that_validated_best_and_epoch_zero_takes_part():
    assert _trained(20, _line(-1.0)) == (0, 0.0)
    best, weight = _trained(20, _line(1.0))
    assert best > 10
    assert weight > 0.4


def test_without_validation_all_epochs_are_trained():
    weights = [_trained(epochs, None) for epochs in (0, 1, 3)]
    assert [epochs for epochs, _ in weights] == [0, 1, 3]
    assert 0 == weights[0][1] < weights[1][1] < weights[2][1]


def test_torchs_threads_and_random_state_are_restored():
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    with sequence.torch_to_itself(3):
        assert torch.get_num_threads() == settings.THREADS_PER_FIT
        torch.randn(4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


# ---- the families, in short trainings


@pytest.fixture(scope="module")
def small(market_rows):
    """500 training sessions with NaN in features and channels."""
    rng = np.random.default_rng(5)
    features = pd.DataFrame(rng.standard_normal((700, 3)), columns=["a", "b", "c"])
    features = features.mask(rng.random(features.shape) < 0.1)
    rows = market_rows(0.01 * rng.standard_normal(700), features, ("a", "b"), (5, 20, 60))
    return worlds.World(*tournament.split(rows, 500))


@pytest.fixture(scope="module", params=FAMILIES)
def name(request):
    return request.param


def _fit(name, world, folder, **hyperparameters):
    family = FAMILIES[name]
    return tournament.fit(
        replace(family, hyperparameters={**family.hyperparameters, **hyperparameters}), world.train, folder
    )


def _model_of_two_epochs(name, world):
    """Fit without validation, so that forecasts are not shrunk."""
    family = FAMILIES[name]
    model = family.model(
        path="",
        problem_type="quantile",
        hyperparameters={
            **family.hyperparameters,
            "epochs": 2,
            "ag.quantile_levels": list(settings.QUANTILE_LEVELS),
        },
    )
    return model.fit(X=tournament.shown(world.train), y=world.train["z_return"], num_cpus=1, num_gpus=0)


@pytest.fixture(scope="module")
def models(small):
    """Models by name."""
    return {name: _model_of_two_epochs(name, small) for name in FAMILIES}


@pytest.fixture
def model(name, models):
    return models[name]


def test_untrained_it_is_the_reference_to_the_last_bit(name, small, tmp_path):
    fitted = _fit(name, small, tmp_path, epochs=0)
    assert not fitted.model.run(tournament.shown(small.test))[0].any()
    reference = tournament.reference_forecast(small.train, small.test)
    np.testing.assert_array_equal(fitted.forecast(small.test), reference.astype(np.float32))


def test_a_second_fit_is_identical_and_the_seed_matters(name, model, small):
    rows = tournament.shown(small.test).head(300)
    forecast = model.predict_proba(rows)
    torch.manual_seed(99)  # earlier draws must not matter
    np.testing.assert_array_equal(_model_of_two_epochs(name, small).predict_proba(rows), forecast)
    assert np.abs(forecast - tournament.reference_forecast(small.train, small.test.head(300))).max() > 1e-3


def test_a_forecast_depends_on_its_own_row_alone(model, small):
    rows = tournament.shown(small.test)
    forecast = pd.DataFrame(model.predict_proba(rows), index=rows.index)
    for other in (rows.sample(frac=1.0, random_state=1), rows.iloc[7::11], rows.iloc[[5]], rows.iloc[[3, 3, 40, 3]]):
        np.testing.assert_array_equal(model.predict_proba(other), forecast.loc[other.index])


def test_quantiles_ascend_and_are_finite_on_absurd_rows(model, small):
    rows = tournament.shown(small.test).copy()
    rows.loc[rows.index[::3], ["a", "b@00", "return_lag_003"]] = 1e6
    rows.loc[rows.index[1::3], ["a", "b", "c", "a@00", "a@01"]] = np.nan
    forecast = model.predict_proba(rows)
    assert np.isfinite(forecast).all()
    assert (np.diff(forecast, axis=1) >= 0).all()


def test_weights_of_every_row_sum_to_one(name, model, small):
    rows = tournament.shown(small.test).sample(100, random_state=0)
    explanations = FAMILIES[name].explain(model, rows)
    assert [e.method for e in explanations] == (["variable_selection"] if name == "tft" else []) + ["attention"]
    for explanation in explanations:
        weights = explanation.median
        assert weights.index.equals(rows.index)
        assert weights.columns.is_unique
        assert (weights.to_numpy() >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    lags = explanations[-1].median.columns
    assert sorted(lags) == [f"sessions_ago_{lag:02d}" for lag in range(CHANNEL_LAGS)]


def test_on_noise_a_network_loses_less_than_one_percent(name, market_rows, tmp_path):
    world = worlds.noise_world(market_rows, seed=5)
    loss = tournament.loss(world.test, _fit(name, world, tmp_path).forecast(world.test))
    assert loss.mean() <= 1.01 * world.reference_loss.mean()
