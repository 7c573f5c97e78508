"""The ensemble tournament: every method fitted on the matured rows before a block, forecasting the block, block after block."""

import json
import pickle
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.distribution import probabilities
from zl_forecast.ensembles import EnsembleMethod, Registered, Rows, load_methods
from zl_forecast.ensembles.base import REFERENCE
from zl_forecast.ensembles.shrinkage import share_of_combination
from zl_forecast.errors import TournamentError
from zl_forecast.tournament.fit import FORECASTS, KEY

QUANTILES = list(settings.QUANTILE_COLUMNS)
BLOCK = ["kind", "fold_start", "trained_until"]
COLUMNS = {
    "ensemble_method": "object",
    "kind": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "as_of_date": "datetime64[us]",
    "horizon_days": "int32",
    **dict.fromkeys(QUANTILES, "float64"),
    "prob_up": "float64",
    "share": "float64",
    "weights": "object",
    "inputs": "object",
    "fit_seconds": "float64",
    "score_seconds": "float64",
    "status": "object",
    "reason": "object",
    "fingerprint": "object",
}
FITTED = "fitted.pkl"
LEAST_SHOWN_WEIGHT = 5e-4
OUT_OF_MEANS = ("MemoryError", "NotEnoughMemoryError", "OSError")  # of the machine, not of the method


@dataclass(frozen=True)
class Block:
    """One test block, with the methods that compete in it and the out-of-fold rows that matured before its end.

    Attributes
    ----------
    history : Rows
        In the order in which they matured. What matured before `trained_until` is fitted on; the rest reaches the methods that
        learn daily, on the day on which it became known.
    test : Rows
        In order of as_of_date, horizon_days.
    """

    kind: str
    start: pd.Timestamp
    trained_until: pd.Timestamp
    methods: dict[str, Registered]
    history: Rows
    test: Rows

    def __str__(self) -> str:
        return f"ensemble {self.kind} {self.start:%Y-%m}, {len(self.methods)} methods"

    @property
    def name(self) -> str:
        return fingerprint.combine(
            "ensemble",
            self.kind,
            self.start,
            self.trained_until,
            {
                name: (own.module, fingerprint.of_code(own.module, own.method.__module__))
                for name, own in self.methods.items()
            },
            [(rows.inputs, _of_rows(rows)) for rows in (self.history, self.test)],
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )

    def matured(self, after: np.datetime64 | None, upto: np.datetime64) -> Rows:
        """Rows of the history that became known after one day, or ever, and on or before another."""
        days = self.history.target_date
        first = 0 if after is None else np.searchsorted(days, after, side="right")
        return self.history.take(slice(first, np.searchsorted(days, upto, side="right")))


def run_ensembles(inputs: pd.DataFrame, targets: pd.DataFrame, registry: pd.DataFrame) -> pd.DataFrame:
    """Hold the ensemble tournament: first the methods that combine the inputs, then those that feed on one of them.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs: input, kind, fold_start, trained_until, as_of_date, horizon_days, q05 ... q95 (scaled units).
    targets : DataFrame
        int_targets__daily.
    registry : DataFrame
        seeds/ensemble_methods.csv: ensemble_method, module, over.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: a row a method, block, as_of_date and horizon. Quantiles ascend and are as they would be published:
        those of the first level pulled towards the reference by 1 - share. The first block has only methods without a fit.

    Raises
    ------
    TournamentError
        The registry names what is not there, or the reference lacks rows.
    """
    methods = load_methods(registry)
    outcome = targets.set_index(KEY)[["z", "target_date"]]
    first = {name: own for name, own in methods.items() if own.over is None}
    finished = _pulled_towards_reference(_hold(_blocks(inputs, outcome, first)), inputs, targets)
    second = [_fed(name, own, finished, inputs, outcome) for name, own in methods.items() if own.over is not None]
    table = pd.concat([finished, *second], ignore_index=True)
    done = table["status"] == "ok"
    chance = probabilities(table.loc[done, QUANTILES].to_numpy(), np.zeros((done.sum(), 1)))[:, 0]
    table.loc[done, "prob_up"] = 1 - chance
    return table.reindex(columns=list(COLUMNS)).astype(COLUMNS)


def _fed(
    name: str, registered: Registered, finished: pd.DataFrame, inputs: pd.DataFrame, outcome: pd.DataFrame
) -> pd.DataFrame:
    """A method of the second level, on the finished forecasts of the one that feeds it and the reference of the same rows."""
    reference = inputs[inputs["input"] == REFERENCE]
    fed = finished[(finished["ensemble_method"] == registered.over) & (finished["status"] == "ok")]
    rows = [*BLOCK, *KEY]
    beside = reference.merge(fed[rows], on=rows)
    both = pd.concat(
        [fed.assign(input=registered.over)[inputs.columns.intersection(fed.columns).union(["input"])], beside]
    )
    raw = _hold(_blocks(both, outcome, {name: registered}))
    if len(raw):
        raw = raw.merge(fed[[*rows, "inputs", "reason"]], on=rows, suffixes=("_own", ""))
        # it rests on what its base rests on; where it failed the reason is its own
        raw["reason"] = raw["reason"].where(raw["status"] == "ok", raw["reason_own"])
    unfed = reference[rows].merge(fed[rows], on=rows, how="left", indicator=True).query("_merge == 'left_only'")[rows]
    aside = unfed.assign(
        ensemble_method=name,
        status="stepped_aside",
        reason=f"{registered.over} has no forecast of this row",
        weights="{}",
    )
    return pd.concat([part for part in (raw, aside) if len(part)], ignore_index=True).assign(share=1.0)


def forecast_block(block: Block) -> pd.DataFrame:
    """Raw combined quantiles of every method for one block; a method that fails leaves rows with its reason."""
    train = block.matured(None, _day_before(block.trained_until))
    matured = {horizon: len(own) for horizon, own in train.by_horizon()}
    parts = []
    for name, registered in block.methods.items():
        needed = settings.MATURED_FOR_ENSEMBLE if registered.method.needs_fit else 0
        able = np.array([matured.get(int(horizon), 0) >= needed for horizon in block.test.horizon_days])
        for ready, test in ((True, block.test.take(able)), (False, block.test.take(~able))):
            if len(test):
                own = _forecast(registered, block, train, test) if ready else _stepped_aside(test, matured, needed)
                parts.append(own.assign(ensemble_method=name))
    result = pd.concat(parts, ignore_index=True)
    result = result.assign(
        kind=block.kind, fold_start=block.start, trained_until=block.trained_until, fingerprint=block.name
    )
    if not result["reason"].str.startswith(OUT_OF_MEANS).any():  # else the next build tries again
        artifacts.write(
            block.name,
            lambda folder: result.to_parquet(folder / FORECASTS),
            bucket="ensemble",
            family=" ".join(block.methods),
            kind=block.kind,
            fold_start=block.start.date(),
            trained_until=block.trained_until.date(),
        )
    return result


def _forecast(registered: Registered, block: Block, train: Rows, test: Rows) -> pd.DataFrame:
    """One method's rows of a block, at the horizons at which it can be fitted."""
    status, reason = "ok", _stand_ins(test)
    fit_seconds = score_seconds = 0.0
    try:
        method, fit_seconds = _fitted(
            registered, block.kind, train.take(np.isin(train.horizon_days, test.horizon_days))
        )
        started = time.perf_counter()
        walk = _walk if method.learns_daily else _at_once
        quantiles, weights = walk(method, block, test)
        score_seconds = time.perf_counter() - started
        quantiles, weights = _checked(quantiles, weights, test)
    except Exception as error:  # one method less must not stop the forecast; the row says why
        status, reason, weights = "failed", f"{type(error).__name__}: {error}", None
        quantiles = np.full((len(test), len(QUANTILES)), np.nan)
    return _table(
        test,
        quantiles,
        weights,
        status=status,
        reason=reason,
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )


def _fitted(registered: Registered, kind: str, train: Rows) -> tuple[EnsembleMethod, float]:
    """A method fitted on matured rows, and the seconds that it took. The live block grows by the day and its matured rows do not: kept."""
    name = fingerprint.combine(
        "fitted ensemble method",
        registered.module,
        fingerprint.of_code(__name__, registered.module, registered.method.__module__),
        (train.inputs, _of_rows(train)),
        fingerprint.library_versions(),
    )
    if kind == "live" and (folder := artifacts.find(name)) is not None:
        return pickle.loads((folder / FITTED).read_bytes())
    started = time.perf_counter()
    method = registered.method()
    method.fit(train)
    fitted = method, time.perf_counter() - started
    if kind == "live":
        # somebody's own that cannot be pickled is fitted every day
        with suppress(pickle.PicklingError, AttributeError, TypeError):
            pickled = pickle.dumps(fitted)
            artifacts.write(name, lambda folder: (folder / FITTED).write_bytes(pickled))
    return fitted


def _stepped_aside(test: Rows, matured: dict[int, int], needed: int) -> pd.DataFrame:
    counts = [matured.get(int(horizon), 0) for horizon in test.horizon_days]
    reason = [f"{count} matured rows at this horizon, {needed} are needed" for count in counts]
    nothing = np.full((len(test), len(QUANTILES)), np.nan)
    return _table(test, nothing, None, status="stepped_aside", reason=reason, fit_seconds=0.0, score_seconds=0.0)


def _table(test: Rows, quantiles: np.ndarray, weights: np.ndarray | None, **columns) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "as_of_date": test.as_of_date,
            "horizon_days": test.horizon_days,
            **dict(zip(QUANTILES, np.sort(quantiles, axis=1).T, strict=True)),
            "weights": _told(weights, test),
            "inputs": " ".join(sorted(np.array(test.inputs)[test.is_present.any(axis=0)])),
            **columns,
        }
    )


def _checked(quantiles: np.ndarray, weights: np.ndarray | None, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    """What a method returned, if it is what it owes."""
    for what, values, width in (("quantiles", quantiles, len(QUANTILES)), ("weights", weights, len(test.inputs))):
        if what == "weights" and values is None:
            continue
        if np.shape(values) != (len(test), width):
            raise ValueError(f"{what} of shape {np.shape(values)}, not {(len(test), width)}")
        if not np.isfinite(values).all():
            raise ValueError(f"{(~np.isfinite(values)).any(axis=1).sum()} rows of {what} are not finite")
    return quantiles, weights


def _at_once(method: EnsembleMethod, block: Block, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    return method.predict(test), method.weights(test)


def _walk(method: EnsembleMethod, block: Block, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    """Session after session: what has become known by its close, then its forecast."""
    known = _day_before(block.trained_until)
    quantiles, weights = [], []
    for day in np.unique(test.as_of_date):
        new = block.matured(known, day)
        new = new.take(np.isin(new.horizon_days, test.horizon_days))
        if len(new):
            method.update(new)
        known = day
        today = test.take(test.as_of_date == day)
        quantiles.append(method.predict(today))
        weights.append(method.weights(today))
    return np.concatenate(quantiles), None if weights[0] is None else np.concatenate(weights)


def _day_before(day: pd.Timestamp) -> np.datetime64:
    """What matured before a day had matured on or before this one."""
    return np.datetime64(day) - np.timedelta64(1, "D")


def _stand_ins(rows: Rows) -> str:
    """Whom the reference stands in for, with the number of rows."""
    missing = {name: int((~rows.is_present[:, i]).sum()) for i, name in enumerate(rows.inputs)}
    told = [f"{name} ({count} of {len(rows)} rows)" for name, count in missing.items() if count]
    return f"the reference stands in for {', '.join(told)}" if told else ""


def _told(weights: np.ndarray | None, rows: Rows) -> Iterable[str]:
    """The weights as they worked, in JSON: where the reference stood in for an input, the weight was the reference's."""
    if weights is None:
        return ["{}"] * len(rows)
    worked = np.where(rows.is_present, weights, 0.0)
    worked[:, rows.inputs.index(REFERENCE)] += (weights - worked).sum(axis=1)
    # the reference is always told: what a method leaves of the forecast is the reference's as well
    return [
        json.dumps(
            {
                name: round(w, 4)
                for name, w in zip(rows.inputs, row, strict=True)
                if w >= LEAST_SHOWN_WEIGHT or name == REFERENCE
            }
        )
        for row in worked.tolist()
    ]


def _hold(blocks: list[Block]) -> pd.DataFrame:
    """Raw forecasts of all blocks; finished ones are read back."""
    done = {block.name: _finished(block) for block in blocks}
    to_fit = [block for block in blocks if done[block.name] is None]
    for block, raw in workers.run(forecast_block, to_fit):
        if isinstance(raw, workers.Lost):
            raise TournamentError(f"{block}: {raw.reason}. Run dbt build again; what was finished is kept.")
        done[block.name] = raw
    return pd.concat(done.values(), ignore_index=True) if done else pd.DataFrame(columns=list(COLUMNS))


def _finished(block: Block) -> pd.DataFrame | None:
    folder = artifacts.find(block.name)
    return None if folder is None else pd.read_parquet(folder / FORECASTS)


def _blocks(inputs: pd.DataFrame, outcome: pd.DataFrame, methods: dict[str, Registered]) -> list[Block]:
    """Oldest first, the live one last."""
    if inputs.empty:
        return []
    names = tuple(sorted(inputs["input"].unique()))
    history = _rows(inputs[inputs["kind"] == "oof"], outcome, names)
    history = history.take(np.lexsort((history.as_of_date, history.horizon_days, history.target_date)))
    history = history.take(~np.isnan(history.z))
    blocks = []
    for (kind, start, until), rows in inputs.groupby(BLOCK):
        test = _rows(rows, outcome, names)
        blind = Rows(
            **{**vars(test), "z": np.full(len(test), np.nan)}
        )  # a method has no use for the outcomes of what it forecasts
        by_then = history.take(history.target_date <= test.as_of_date.max())
        blocks.append(Block(kind, start, until, methods, by_then, blind))
    return sorted(blocks, key=lambda block: (block.kind == "live", block.start))


def _rows(long: pd.DataFrame, outcome: pd.DataFrame, names: tuple[str, ...]) -> Rows:
    """Pivot the inputs. Where an input has no forecast, or one without any width, the reference stands in."""
    key = long[KEY].drop_duplicates().sort_values(KEY, ignore_index=True)
    index = pd.MultiIndex.from_frame(key)
    by_input = {name: part.set_index(KEY)[QUANTILES].reindex(index).to_numpy() for name, part in long.groupby("input")}
    nothing = np.full((len(key), len(QUANTILES)), np.nan)
    reference = by_input.get(REFERENCE, nothing)
    if np.isnan(reference).any():
        raise TournamentError(
            "the reference lacks forecasts for some ensemble rows; rebuild core_zl (dbt build -s core_zl+)"
        )
    own = np.sort(np.stack([by_input.get(name, nothing) for name in names], axis=1), axis=-1)
    is_present = np.isfinite(own).all(axis=-1) & (own[..., -1] > own[..., 0])
    quantiles = np.where(is_present[..., None], own, reference[:, None, :])
    known = outcome.reindex(index)
    return Rows(
        key["as_of_date"].to_numpy("datetime64[us]"),
        key["horizon_days"].to_numpy(int),
        names,
        quantiles,
        is_present,
        known["target_date"].to_numpy("datetime64[us]"),
        known["z"].to_numpy(float),
    )


def _of_rows(rows: Rows) -> str:
    columns = {"as_of_date": rows.as_of_date, "target_date": rows.target_date, "z": rows.z}
    return fingerprint.of_frame(
        rows.frame().assign(**columns, present=rows.is_present @ (2 ** np.arange(len(rows.inputs))))
    )


def _pulled_towards_reference(raw: pd.DataFrame, inputs: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """By a share a method, horizon and block, learnt from what had matured before the block."""
    reference = inputs.loc[inputs["input"] == REFERENCE, [*BLOCK, *KEY, *QUANTILES]]
    rows = raw.merge(reference, on=[*BLOCK, *KEY], suffixes=("", "_reference"))
    rows = rows.merge(targets[[*KEY, "z", "target_date", "is_matured"]], on=KEY)
    finished = []
    for (_, horizon), own in rows.groupby(["ensemble_method", "horizon_days"]):
        quantiles = own[QUANTILES].to_numpy()
        base = own[[f"{column}_reference" for column in QUANTILES]].to_numpy()
        z, target_date = own["z"].to_numpy(), own["target_date"].to_numpy()
        may_teach = ((own["kind"] == "oof") & own["is_matured"] & (own["status"] == "ok")).to_numpy()
        share = np.empty(len(own))
        for (_, _, until), positions in own.groupby(BLOCK).indices.items():
            past = may_teach & (target_date < np.datetime64(until))
            share[positions] = share_of_combination(z[past], quantiles[past], base[past], int(horizon))
        blend = np.sort(share[:, None] * quantiles + (1 - share[:, None]) * base, axis=1)
        finished.append(own[raw.columns].assign(share=share, **dict(zip(QUANTILES, blend.T, strict=True))))
    return pd.concat(finished, ignore_index=True)
