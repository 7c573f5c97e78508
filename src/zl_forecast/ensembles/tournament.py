"""The ensemble tournament: every method fitted on the matured rows before a block, forecasting the block, block after block."""

import json
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.ensembles import METHODS, Rows
from zl_forecast.ensembles.base import REFERENCE
from zl_forecast.ensembles.shrinkage import share_of_combination, small_sample_factor, widen
from zl_forecast.errors import TournamentError
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.tournament.fit import FORECASTS, KEY

QUANTILES = list(settings.QUANTILE_COLUMNS)
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
    "widening": "float64",
    "weights": "object",
    "inputs": "object",
    "fit_seconds": "float64",
    "score_seconds": "float64",
    "status": "object",
    "reason": "object",
    "fingerprint": "object",
}


@dataclass(frozen=True)
class Block:
    """One test block of the ensemble, with the matured rows before it."""

    kind: str
    start: pd.Timestamp
    trained_until: pd.Timestamp
    methods: tuple[str, ...]
    present: tuple[str, ...]  # inputs that have forecasts in this block; for the others the reference stands in
    train: Rows
    test: Rows

    def __str__(self) -> str:
        return f"ensemble {self.kind} {self.start:%Y-%m}"

    @property
    def name(self) -> str:
        return fingerprint.combine(
            "ensemble",
            self.kind,
            self.start,
            (self.methods, self.present),
            [(rows.inputs, fingerprint.of_frame(rows.frame().assign(z=rows.z))) for rows in (self.train, self.test)],
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )


def run_ensembles(inputs: pd.DataFrame, targets: pd.DataFrame, methods: tuple[str, ...]) -> pd.DataFrame:
    """Hold the ensemble tournament.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs: input, kind, fold_start, trained_until, as_of_date, horizon_days, q05 ... q95 (scaled units).
    targets : DataFrame
        int_targets__daily.
    methods : tuple of str
        Keys of `METHODS`, from seeds/ensemble_methods.csv.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: a row a method, block, as_of_date and horizon. Quantiles are final: pulled towards the
        reference by 1 - share, widened by `widening`, ascending. The first block has only methods without a fit.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise TournamentError(
            f"ensemble method {', '.join(unknown)} of seeds/ensemble_methods.csv has no module in zl_forecast.ensembles. "
            f"Registered are {', '.join(METHODS)}."
        )
    outcome = targets.set_index(KEY)[["z", "target_date", "is_matured"]]
    blocks = _blocks(inputs, outcome, methods)
    done = {block.name: _finished(block) for block in blocks}
    to_fit = [block for block in blocks if done[block.name] is None]
    for block, raw in workers.run(forecast_block, to_fit):
        if isinstance(raw, workers.Lost):
            raise TournamentError(f"{block}: {raw.reason}. Run dbt build again; what was finished is kept.")
        done[block.name] = raw
    raw = pd.concat(
        [
            done[block.name].assign(
                kind=block.kind, fold_start=block.start, trained_until=block.trained_until, fingerprint=block.name
            )
            for block in blocks
        ],
        ignore_index=True,
    )
    return _finish(raw, inputs, targets)


def forecast_block(block: Block) -> pd.DataFrame:
    """Raw combined quantiles of every method for one block; a method that fails leaves rows with its reason."""
    frames = []
    counts = block.train.key["horizon_days"].value_counts()
    few = min(counts.get(horizon, 0) for horizon in block.test.key["horizon_days"].unique())
    for name in block.methods:
        method = METHODS[name]()
        frame = block.test.key.copy()
        status, reason, weights = "ok", "", {}
        started = time.perf_counter()
        quantiles = np.full((len(block.test), len(QUANTILES)), np.nan)
        fitted = scored = started
        if method.needs_fit and few < settings.MATURED_FOR_ENSEMBLE:
            status, reason = (
                "stepped_aside",
                f"{few} matured rows at a horizon, {settings.MATURED_FOR_ENSEMBLE} are needed",
            )
        else:
            try:
                method.fit(block.train)
                fitted = time.perf_counter()
                weights = method.weights()
                quantiles = method.predict(block.test)
                scored = time.perf_counter()
                if not np.isfinite(quantiles).all():
                    raise ValueError(f"{(~np.isfinite(quantiles)).any(axis=1).sum()} rows without a finite forecast")
            except Exception as error:  # one method less must not stop the forecast; the row says why
                status, reason = "failed", f"{type(error).__name__}: {error}"
                quantiles = np.full((len(block.test), len(QUANTILES)), np.nan)
        frame[QUANTILES] = np.sort(quantiles, axis=1)
        frames.append(
            frame.assign(
                ensemble_method=name,
                fit_seconds=fitted - started,
                score_seconds=scored - fitted,
                status=status,
                reason=reason,
                weights=json.dumps({k: round(v, 4) for k, v in weights.items()}),
                inputs=" ".join(block.present),
            )
        )
    result = pd.concat(frames, ignore_index=True)
    artifacts.write(block.name, lambda folder: result.to_parquet(folder / FORECASTS))
    return result


def _finished(block: Block) -> pd.DataFrame | None:
    folder = artifacts.find(block.name)
    return None if folder is None else pd.read_parquet(folder / FORECASTS)


def _blocks(inputs: pd.DataFrame, outcome: pd.DataFrame, methods: tuple[str, ...]) -> list[Block]:
    history = _rows(inputs[inputs["kind"] == "oof"], outcome)
    target_date = outcome["target_date"].reindex(pd.MultiIndex.from_frame(history.key)).to_numpy()
    blocks = []
    for (kind, start, until), rows in inputs.groupby(["kind", "fold_start", "trained_until"]):
        matured = ~np.isnan(history.z) & (target_date < np.datetime64(until))
        present = tuple(sorted(rows["input"].unique()))
        test = _rows(rows, outcome, history.inputs)
        blocks.append(Block(kind, start, until, methods, present, history.take(matured), test))
    return sorted(blocks, key=lambda block: (block.kind == "live", block.start))


def _rows(long: pd.DataFrame, outcome: pd.DataFrame, names: tuple[str, ...] | None = None) -> Rows:
    """Pivot the inputs; where an input has no forecast the reference stands in."""
    names = names or tuple(sorted(long["input"].unique()))
    key = long[KEY].drop_duplicates().sort_values(KEY, ignore_index=True)
    index = pd.MultiIndex.from_frame(key)
    by_input = {name: part.set_index(KEY)[QUANTILES].reindex(index).to_numpy() for name, part in long.groupby("input")}
    if REFERENCE not in by_input or np.isnan(by_input[REFERENCE]).any():
        raise TournamentError(
            "the reference lacks forecasts for some ensemble rows; rebuild core_zl (dbt build -s core_zl+)"
        )
    reference = by_input[REFERENCE]
    filled = [by_input.get(name, reference) for name in names]
    quantiles = np.stack([np.where(np.isnan(q).any(axis=1, keepdims=True), reference, q) for q in filled], axis=1)
    return Rows(key, names, quantiles, outcome["z"].reindex(index).to_numpy(float))


def _finish(raw: pd.DataFrame, inputs: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Pull towards the reference and widen, with what was known before each block."""
    reference = inputs.loc[inputs["input"] == REFERENCE, ["kind", "fold_start", *KEY, *QUANTILES]]
    rows = raw.merge(reference, on=["kind", "fold_start", *KEY], suffixes=("", "_reference"))
    rows = rows.merge(targets[[*KEY, "z", "target_date", "is_matured"]], on=KEY)
    reference_columns = [f"{column}_reference" for column in QUANTILES]
    history = rows[(rows["kind"] == "oof") & rows["is_matured"] & rows["q50"].notna()]
    finished = []
    for (_, horizon, _, _), part in rows.groupby(["ensemble_method", "horizon_days", "kind", "fold_start"]):
        until = part["trained_until"].iloc[0]
        past = history[
            (history["ensemble_method"] == part["ensemble_method"].iloc[0])
            & (history["horizon_days"] == horizon)
            & (history["target_date"] < until)
        ]
        share = share_of_combination(
            past["z"].to_numpy(), past[QUANTILES].to_numpy(), past[reference_columns].to_numpy(), horizon
        )
        known = targets[(targets["horizon_days"] == horizon) & targets["is_matured"] & (targets["target_date"] < until)]
        z = known["z"].to_numpy()
        factor = small_sample_factor(z, centred_quantiles(z, settings.QUANTILE_LEVELS), horizon)
        blend = share * part[QUANTILES].to_numpy() + (1 - share) * part[reference_columns].to_numpy()
        part = part.copy()
        part[QUANTILES] = np.sort(widen(blend, np.full(len(part), factor)), axis=1)
        at_last_price = [np.interp(0.0, row, settings.QUANTILE_LEVELS) for row in part[QUANTILES].to_numpy()]
        finished.append(part.assign(share=share, widening=factor, prob_up=1 - np.array(at_last_price)))
    return pd.concat(finished, ignore_index=True)[list(COLUMNS)].astype(COLUMNS)
