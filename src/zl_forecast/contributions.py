"""Split forecasts of the published method into contributions of its inputs: Shapley values. No forecast depends on it.

A coalition of inputs is worth the forecast that the fitted method makes when the reference replaces all other
inputs, which is what happens to a missing input. The contribution of an input is the mean, over orders, of the
change when it enters. Contributions and the forecast without any input sum to the forecast, whatever the method. For a
method with fixed weights they equal weight times distance from the reference.
Sources: Shapley (1953), Contributions to the Theory of Games II, 307-317; sampled orders as in Castro, Gomez and
Tejada (2009), Computers and Operations Research 36, 1726-1730, each with its reverse as in Mitchell, Cooper, Frank
and Holmes (2022), Journal of Machine Learning Research 23(43).
"""

import json
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.ensembles import EnsembleMethod, Registered, Rows, load_methods
from zl_forecast.ensembles.average import Average
from zl_forecast.ensembles.base import REFERENCE
from zl_forecast.store import find, stored
from zl_forecast.tournament.contest import KEY, QUANTILES
from zl_forecast.tournament.runner import FACTS, MODEL

CALIBRATION = "calibration"  # change of the bands by the method itself, without any input
N_ORDERS = 16  # half of them are reverses; methods that are linear in their inputs need one
SHIFT = 0.1  # of an input, standardised return, to measure its weight
SESSIONS_BACK = (0, 1, 5)  # the newest session, the one before, and a week ago
SHOWN = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
COLUMNS = {
    "as_of_date": "datetime64[us]",
    "horizon_days": "int32",
    "input": "object",
    "weight": "float64",
    **dict.fromkeys(settings.SCORED_COLUMNS, "float64"),
    "status": "object",
    "reason": "object",
}

Forecast = Callable[[np.ndarray], np.ndarray]  # (m, n_inputs, n_levels) to (m, n_levels)


@stored
def contributions(
    inputs: pd.DataFrame, names: pd.DataFrame, chosen: pd.DataFrame, methods: pd.DataFrame, registry: pd.DataFrame
) -> pd.DataFrame:
    """Split the newest forecasts, and those that they are compared with, into contributions of the inputs.

    A method that adjusts a base method's bands does not read the inputs: its base method is split.

    Parameters
    ----------
    inputs : DataFrame
        Rows of int_ensemble__inputs: the live fold, and out-of-fold rows that matured during it.
    names : DataFrame
        Column input: all inputs that int_ensemble__inputs has in any row; the methods were fitted on them.
    chosen : DataFrame
        Live rows of int_ensemble__chosen: as_of_date, horizon_days, ensemble_method.
    methods : DataFrame
        Live rows of int_ensemble__methods: competitor, as_of_date, horizon_days, artifact_id, shrinkage_weight.
    registry : DataFrame
        seeds/ensemble_methods.csv: ensemble_method, module, base_method.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: one row per session (`SESSIONS_BACK`), horizon and input with a forecast. q10, q50 and q90 are
        contributions in standardised returns; those of the reference are its own quantiles. A row 'calibration'
        has what the method changes if all inputs equal the reference. `weight` is the change of the median per unit by
        which the input shifts. If a method cannot be loaded or fails on other inputs than today's, the status of its
        rows is 'failed', with a reason, and only the reference has a row.
    """
    registered = load_methods(registry)
    known = tuple(sorted(names["input"].unique()))
    base_of = {name: own.base_method or name for name, own in registered.items()}
    split = chosen[["as_of_date", "horizon_days", "ensemble_method"]]
    split = split[split["as_of_date"].isin(_sessions(split["as_of_date"]))]
    split = split.assign(competitor=split["ensemble_method"].map(base_of)).merge(methods, on=["competitor", *KEY])
    live = inputs[inputs["fold_type"] == "live"]
    matured = inputs[(inputs["fold_type"] == "oof") & inputs["z_return"].notna()]
    parts = [
        pd.DataFrame(row)
        for (name, artifact), own in split.groupby(["competitor", "artifact_id"])
        for row in _split_method(registered[name], artifact, own.sort_values(KEY), live, matured, known)
    ]
    return pd.DataFrame(pd.concat(parts) if parts else {}).reindex(columns=list(COLUMNS)).astype(COLUMNS)


def _sessions(as_of_date: pd.Series) -> list[pd.Timestamp]:
    newest_first = sorted(as_of_date.unique(), reverse=True)
    return [newest_first[back] for back in SESSIONS_BACK if back < len(newest_first)]


def _split_method(
    registered: Registered,
    artifact: str,
    forecasts: pd.DataFrame,
    live: pd.DataFrame,
    matured: pd.DataFrame,
    names: tuple[str, ...],
) -> Iterator[list[dict]]:
    """Split all forecasts of one fitted method, oldest first, because methods that learn daily go on learning."""
    fitted = learnt_until = None
    for row in forecasts.itertuples():
        own = live[(live["as_of_date"] == row.as_of_date) & (live["horizon_days"] == row.horizon_days)]
        today = _rows(own, names)
        try:
            if fitted is None:
                fitted = _load(registered.method, artifact)
            if registered.method.learns_daily and row.as_of_date != learnt_until:
                _learn(fitted, matured, learnt_until, row.as_of_date, names)
                learnt_until = row.as_of_date
            parts, failure = _checked(split_forecast(fitted, today, row.shrinkage_weight)), ""
        except Exception as error:  # the forecast is published all the same; without a split it is all `rest`
            parts, failure = [(REFERENCE, np.nan, today.input(REFERENCE)[0, SHOWN])], f"{type(error).__name__}: {error}"
        facts = {"as_of_date": row.as_of_date, "horizon_days": row.horizon_days, "reason": failure}
        facts["status"] = "failed" if failure else "ok"
        yield [
            {**facts, "input": name, "weight": weight, **dict(zip(settings.SCORED_COLUMNS, values, strict=True))}
            for name, weight, values in parts
        ]


def _load(method: type[EnsembleMethod], artifact: str) -> EnsembleMethod:
    folder = find(artifact)
    if folder is None or not (folder / MODEL).exists() or not json.loads((folder / FACTS).read_text())["is_saved"]:
        raise FileNotFoundError("its fit is not in the store")
    return method.load(folder / MODEL)


def _learn(
    fitted: EnsembleMethod,
    matured: pd.DataFrame,
    after: pd.Timestamp | None,
    until: pd.Timestamp,
    names: tuple[str, ...],
) -> None:
    """Update a method with the outcomes of each session up to a date, as the ensemble tournament does."""
    new = matured[matured["target_date"] <= until]
    new = new if after is None else new[new["target_date"] > after]
    for _, outcomes in new.sort_values(["target_date", "horizon_days", "as_of_date"]).groupby("target_date"):
        fitted.update(_rows(outcomes, names))


def _checked(parts: Iterator[tuple[str, float, np.ndarray]]) -> list[tuple[str, float, np.ndarray]]:
    found = list(parts)
    if not np.isfinite([values for _, _, values in found]).all():
        raise ValueError("contributions that are not finite")
    return found


def _rows(long: pd.DataFrame, names: tuple[str, ...]) -> Rows:
    """Pivot inputs to rows as `ensembles.tournament` does: the reference replaces what is missing or has no width."""
    keys = long[[*KEY, "target_date", "z_return"]].drop_duplicates(KEY)
    index = pd.MultiIndex.from_frame(keys[KEY])
    values = np.full((len(keys), len(names), len(QUANTILES)), np.nan)
    for i, name in enumerate(names):
        own = long[long["input"] == name].set_index(KEY)[QUANTILES].reindex(index)
        values[:, i] = np.sort(own.to_numpy(float), axis=-1)
    is_present = np.isfinite(values).all(axis=-1) & (values[..., -1] > values[..., 0])
    quantiles = np.where(is_present[..., None], values, values[:, [names.index(REFERENCE)]])
    return Rows(
        keys["as_of_date"].to_numpy("datetime64[us]"),
        keys["horizon_days"].to_numpy(int),
        names,
        quantiles,
        is_present,
        keys["target_date"].to_numpy("datetime64[us]"),
        keys["z_return"].to_numpy(float),
    )


def split_forecast(
    fitted: EnsembleMethod, row: Rows, shrinkage_weight: float
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Split the forecast of one row, after shrinkage towards the average of the inputs.

    Parameters
    ----------
    fitted : EnsembleMethod
    row : Rows
        One row.
    shrinkage_weight : float in [0, 1]
        Weight of the method; the rest is the average.

    Yields
    ------
    tuple of str, float and array of shape (3,)
        Input, its weight, and its contributions to P10, P50 and P90: first the reference, then `calibration` (weight
        NaN), then the other inputs with a forecast.
    """

    def forecast(quantiles: np.ndarray) -> np.ndarray:
        many = row.take(np.zeros(len(quantiles), int))
        many = Rows(**{**vars(many), "quantiles": np.array(quantiles), "z_return": np.full(len(quantiles), np.nan)})
        combined = np.sort(fitted.predict(many), axis=1)
        if shrinkage_weight == 1:
            return combined
        average = np.sort(Average().predict(many), axis=1)
        return np.sort(shrinkage_weight * combined + (1 - shrinkage_weight) * average, axis=1)

    own, reference = row.quantiles[0], row.input(REFERENCE)[0]
    is_player = row.is_present[0] & (np.array(row.inputs) != REFERENCE)
    players = np.flatnonzero(is_player)
    weights = dict(zip(row.inputs, _weights(forecast, own, is_player, row.inputs.index(REFERENCE)), strict=True))
    alone = forecast(np.tile(reference, (1, len(own), 1)))[0]
    values = shapley_values(forecast, own, reference, players)
    yield REFERENCE, weights[REFERENCE], reference[SHOWN]
    yield CALIBRATION, np.nan, (alone - reference)[SHOWN]
    for player, contribution in zip(players, values, strict=True):
        yield row.inputs[player], weights[row.inputs[player]], contribution[SHOWN]


def _weights(forecast: Forecast, own: np.ndarray, is_player: np.ndarray, reference: int) -> np.ndarray:
    """Change of the median per unit of shift of each input, shape (n_inputs,); missing inputs shift with the reference."""
    shifted = np.eye(len(own))
    shifted[reference, ~is_player] = 1
    shift = SHIFT * shifted[:, :, None]
    return (forecast(own + shift) - forecast(own - shift))[:, MEDIAN] / (2 * SHIFT)


def shapley_values(forecast: Forecast, own: np.ndarray, reference: np.ndarray, players: np.ndarray) -> np.ndarray:
    """Estimate the Shapley values of inputs over sampled orders; they sum exactly to the difference they explain.

    Parameters
    ----------
    forecast : callable, array (m, n_inputs, n_levels) -> array (m, n_levels)
    own : array of shape (n_inputs, n_levels)
        Quantiles of the inputs.
    reference : array of shape (n_levels,)
        What replaces an input outside a coalition.
    players : array of int, shape (n_players,)
        Positions of the inputs that count.

    Returns
    -------
    array of shape (n_players, n_levels)
        In the unit of the forecast.

    Examples
    --------
    The product of two inputs that move from 1 to 3 and to 5, so from 1 to 15: in one order the first adds 2, in the
    other 10.

    >>> product = lambda quantiles: quantiles.prod(axis=1)
    >>> shapley_values(product, np.array([[3.0], [5.0]]), np.array([1.0]), np.array([0, 1])).tolist()
    [[6.0], [8.0]]
    """
    n = len(players)
    random = np.random.default_rng(settings.SEED)
    orders = [order for _ in range(N_ORDERS // 2) for order in _both_ways(random.permutation(n))]
    rank = np.argsort(orders, axis=1)  # shape (N_ORDERS, n): when each player enters
    is_in = np.zeros((len(orders), n + 1, len(own)), bool)
    is_in[:, :, players] = rank[:, None, :] < np.arange(n + 1)[:, None]
    coalitions = np.where(is_in[..., None], own, reference).reshape(-1, *own.shape)
    worth = forecast(coalitions).reshape(len(orders), n + 1, -1)
    gained = np.diff(worth, axis=1)  # by position in the order
    return np.take_along_axis(gained, rank[:, :, None], axis=1).mean(axis=0)


def _both_ways(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return order, order[::-1]
