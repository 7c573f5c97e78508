"""LSTM, GRU, Transformer and TFT in a world where only the order of the look-back has information."""

from types import SimpleNamespace

import pytest
import sequence_worlds as worlds
import through_autogluon as tournament

from zl_forecast.families import gru, lightgbm, lstm, tft, transformer

FAMILIES = {"lstm": lstm.FAMILY, "gru": gru.FAMILY, "transformer": transformer.FAMILY, "tft": tft.FAMILY}


@pytest.fixture(scope="module")
def world(market_rows):
    return worlds.order_world(market_rows)


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request, world, tmp_path_factory):
    family = FAMILIES[request.param]
    own = tournament.fit(family, world.train, tmp_path_factory.mktemp(request.param))
    rows = tournament.shown(world.test)
    return SimpleNamespace(
        name=request.param,
        loss=tournament.loss(world.test, own.forecast(world.test)),
        weights={e.method: e.median for e in family.explain(own.model, rows)},
    )


@pytest.fixture(scope="module", params=[worlds.with_features_only, worlds.blind_to_order])
def trees_loss(request, world, tmp_path_factory):
    """LightGBM's loss at one session with features at the origin, and with a summary of the look-back without order."""
    train, test = request.param(world.train), request.param(world.test)
    fitted = tournament.fit(lightgbm.FAMILY, train, tmp_path_factory.mktemp("trees"))
    return tournament.loss(test, fitted.forecast(test))


MIN_SKILL = {"lstm": 0.10, "gru": 0.10, "transformer": 0.05, "tft": 0.10}


def test_sequence_families_find_the_order(fitted, world):
    skill = 1 - fitted.loss / world.reference_loss
    assert skill[1] > MIN_SKILL[fitted.name]
    assert skill.min() > -0.01


def test_trees_without_the_order_find_nothing(trees_loss, world):
    skill = 1 - trees_loss / world.reference_loss
    assert skill[1] < 0.02


def test_attention_is_highest_where_the_signal_is(fitted):
    """The transformer attends to the relevant sessions; the fusion transformer selects the planted past variable."""
    lags = [f"sessions_ago_{lag:02d}" for lag in (*worlds.RECENT, *worlds.BEFORE)]
    share = fitted.weights["attention"][lags].sum(axis=1).mean()
    if fitted.name == "transformer":
        assert share > 1.5 * 10 / 40
    if fitted.name == "tft":
        past = fitted.weights["variable_selection"].filter(regex="@past$").mean()
        assert past.idxmax() == "planted@past"
