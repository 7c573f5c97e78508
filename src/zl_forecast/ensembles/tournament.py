"""The ensemble tournament: every method fitted on the matured rows before a block, forecasting the block, block after block."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.distribution import probabilities
from zl_forecast.ensembles import EnsembleMethod, Rows, load_methods
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
LEAST_SHOWN_WEIGHT = 5e-4


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
    methods: dict[str, type[EnsembleMethod]]
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
            {name: fingerprint.of_code(method.__module__) for name, method in self.methods.items()},
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
    over = registry.dropna(subset="over").set_index("ensemble_method")["over"].to_dict()
    outcome = targets.set_index(KEY)[["z", "target_date"]]
    first = {name: method for name, method in methods.items() if name not in over}
    finished = _pulled_towards_reference(_hold(_blocks(inputs, outcome, first)), inputs, targets)
    results = [finished]
    reference = inputs[inputs["input"] == REFERENCE]
    for name, feeds in over.items():
        fed = finished[(finished["ensemble_method"] == feeds) & (finished["status"] == "ok")].assign(input=feeds)
        both = pd.concat([fed[[*fed.columns.intersection(inputs.columns)]], reference], ignore_index=True)
        covered = pd.MultiIndex.from_frame(both[BLOCK]).isin(pd.MultiIndex.from_frame(fed[BLOCK].drop_duplicates()))
        raw = _hold(_blocks(both[covered], outcome, {name: methods[name]}))
        aside = reference.loc[
            ~pd.MultiIndex.from_frame(reference[BLOCK]).isin(pd.MultiIndex.from_frame(fed[BLOCK].drop_duplicates())),
            [*BLOCK, *KEY],
        ].assign(ensemble_method=name, status="stepped_aside", reason=f"{feeds} has no forecasts in this block")
        results.append(pd.concat([raw, aside], ignore_index=True).assign(share=1.0))
    table = pd.concat(results, ignore_index=True)
    done = table["status"] == "ok"
    chance = probabilities(table.loc[done, QUANTILES].to_numpy(), np.zeros((done.sum(), 1)))[:, 0]
    table.loc[done, "prob_up"] = 1 - chance
    return table.reindex(columns=list(COLUMNS)).astype(COLUMNS)


def forecast_block(block: Block) -> pd.DataFrame:
    """Raw combined quantiles of every method for one block; a method that fails leaves rows with its reason."""
    train = block.matured(None, np.datetime64(block.trained_until) - np.timedelta64(1, "D"))
    counts = {horizon: len(own) for horizon, own in train.by_horizon()}
    few = min(counts.get(int(horizon), 0) for horizon in np.unique(block.test.horizon_days))
    result = pd.concat([_forecast(name, method(), block, train, few) for name, method in block.methods.items()])
    result = result.assign(
        kind=block.kind, fold_start=block.start, trained_until=block.trained_until, fingerprint=block.name
    )
    artifacts.write(block.name, lambda folder: result.to_parquet(folder / FORECASTS))
    return result


def _forecast(name: str, method: EnsembleMethod, block: Block, train: Rows, few: int) -> pd.DataFrame:
    """One method's rows of a block."""
    test = block.test
    status, reason = "ok", _stand_ins(test)
    quantiles = np.full((len(test), len(QUANTILES)), np.nan)
    weights = None
    started = fitted = scored = time.perf_counter()
    if method.needs_fit and few < settings.MATURED_FOR_ENSEMBLE:
        status = "stepped_aside"
        reason = f"{few} matured rows at a horizon, {settings.MATURED_FOR_ENSEMBLE} are needed"
    else:
        try:
            method.fit(train)
            fitted = time.perf_counter()
            quantiles, weights = (
                _walk(method, block) if method.learns_daily else (method.predict(test), method.weights(test))
            )
            scored = time.perf_counter()
            if not np.isfinite(quantiles).all():
                raise ValueError(f"{(~np.isfinite(quantiles)).any(axis=1).sum()} rows without a finite forecast")
        except Exception as error:  # one method less must not stop the forecast; the row says why
            status, reason, weights = "failed", f"{type(error).__name__}: {error}", None
            quantiles = np.full((len(test), len(QUANTILES)), np.nan)
    return pd.DataFrame(
        {
            "ensemble_method": name,
            "as_of_date": test.as_of_date,
            "horizon_days": test.horizon_days,
            **dict(zip(QUANTILES, np.sort(quantiles, axis=1).T, strict=True)),
            "weights": _told(weights, test),
            "inputs": " ".join(sorted(np.array(test.inputs)[test.is_present.any(axis=0)])),
            "fit_seconds": fitted - started,
            "score_seconds": scored - fitted,
            "status": status,
            "reason": reason,
        }
    )


def _walk(method: EnsembleMethod, block: Block) -> tuple[np.ndarray, np.ndarray | None]:
    """Session after session: what has become known by its close, then its forecast."""
    known = np.datetime64(block.trained_until) - np.timedelta64(1, "D")
    quantiles, weights = [], []
    for day in np.unique(block.test.as_of_date):
        new = block.matured(known, day)
        if len(new):
            method.update(new)
        known = day
        today = block.test.take(block.test.as_of_date == day)
        quantiles.append(method.predict(today))
        weights.append(method.weights(today))
    return np.concatenate(quantiles), None if weights[0] is None else np.concatenate(weights)


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


def _blocks(inputs: pd.DataFrame, outcome: pd.DataFrame, methods: dict[str, type[EnsembleMethod]]) -> list[Block]:
    """Oldest first, the live one last."""
    if inputs.empty:
        return []
    history = _rows(inputs[inputs["kind"] == "oof"], outcome)
    history = history.take(np.lexsort((history.as_of_date, history.horizon_days, history.target_date)))
    history = history.take(~np.isnan(history.z))
    blocks = []
    for (kind, start, until), rows in inputs.groupby(BLOCK):
        test = _rows(rows, outcome, history.inputs)
        blind = Rows(
            **{**vars(test), "z": np.full(len(test), np.nan)}
        )  # a method has no use for the outcomes of what it forecasts
        by_then = history.take(history.target_date <= test.as_of_date.max())
        blocks.append(Block(kind, start, until, methods, by_then, blind))
    return sorted(blocks, key=lambda block: (block.kind == "live", block.start))


def _rows(long: pd.DataFrame, outcome: pd.DataFrame, names: tuple[str, ...] | None = None) -> Rows:
    """Pivot the inputs. Where an input has no forecast, or one without any width, the reference stands in."""
    names = names or tuple(sorted(long["input"].unique()))
    key = long[KEY].drop_duplicates().sort_values(KEY, ignore_index=True)
    index = pd.MultiIndex.from_frame(key)
    by_input = {name: part.set_index(KEY)[QUANTILES].reindex(index).to_numpy() for name, part in long.groupby("input")}
    if REFERENCE not in by_input or np.isnan(by_input[REFERENCE]).any():
        raise TournamentError(
            "the reference lacks forecasts for some ensemble rows; rebuild core_zl (dbt build -s core_zl+)"
        )
    reference = by_input[REFERENCE]
    own = np.stack([by_input.get(name, np.full_like(reference, np.nan)) for name in names], axis=1)
    own = np.sort(own, axis=-1)
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
