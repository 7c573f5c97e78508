"""The ensemble tournament: on each fold, every method is fitted on the rows that matured before it and forecasts it."""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.ensembles import DEFAULT, FALLBACK, Registered, Rows, evidence, load_methods
from zl_forecast.ensembles.base import REFERENCE
from zl_forecast.ensembles.contest import SUBJECT, EnsembleContest
from zl_forecast.ensembles.shrinkage import estimate_shrinkage_weight
from zl_forecast.errors import TournamentError
from zl_forecast.scoring import pinball
from zl_forecast.store import cached_table, fingerprint, stored
from zl_forecast.tournament.contest import KEY, QUANTILES
from zl_forecast.tournament.runner import COLUMNS as RUNNER_COLUMNS
from zl_forecast.tournament.runner import run
from zl_forecast.tournament.splits import Fold

FOLD = evidence.FOLD
SHOWN = {name: dtype for name, dtype in evidence.COLUMNS.items() if name not in RUNNER_COLUMNS}
COLUMNS = RUNNER_COLUMNS | {"shrinkage_weight": "float64", "weights": "object", "inputs": "object"} | SHOWN


@stored
def run_ensembles(
    inputs: pd.DataFrame, targets: pd.DataFrame, registry: pd.DataFrame, thresholds: pd.DataFrame
) -> pd.DataFrame:
    """Run the ensemble tournament: base methods first, then methods that adjust a base method's forecasts.

    Each row also has the evidence on its method that was available when its fold began, see `evidence`.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs: input, fold_type, fold_start, trained_until, as_of_date, horizon_days, q05 ... q95
        (standardised returns).
    targets : DataFrame
        int_targets__daily.
    registry : DataFrame
        seeds/ensemble_methods.csv: ensemble_method, module, base_method.
    thresholds : DataFrame
        seeds/thresholds.csv; first_scored_fold is used.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per method, fold, as_of_date and horizon. Quantiles ascend and are ready to
        be published: first-level combinations are shrunk towards the average of the inputs, with `shrinkage_weight` as
        the weight of the combination. In the first fold only methods without a fit have forecasts.

    Raises
    ------
    TournamentError
        If the registry names an unknown module or method, or the reference lacks rows.
    """
    methods = load_methods(registry)
    outcome = targets.set_index(KEY)[["z_return", "target_date"]]
    first = {name: own for name, own in methods.items() if own.base_method is None}
    finished = _shrink_towards_average(run(_contests(inputs, outcome, first)), targets)
    second = [
        _run_second_level(name, own, finished, inputs, outcome)
        for name, own in methods.items()
        if own.base_method is not None
    ]
    table = pd.concat([finished, *second], ignore_index=True)
    table["weights"] = table["weights"].fillna("{}")  # failed rows have no weights
    first_scored = int(thresholds.set_index("name").at["first_scored_fold", "value"])
    base_methods = {name: own.base_method for name, own in methods.items()}
    table = table.merge(
        _evidence(table, targets, first_scored, base_methods), on=[*FOLD, "horizon_days", "competitor"], how="left"
    )
    return table.reindex(columns=list(COLUMNS)).astype(COLUMNS)


def _evidence(
    table: pd.DataFrame, targets: pd.DataFrame, first_scored: int, base_methods: dict[str, str | None]
) -> pd.DataFrame:
    """`ensemble_evidence` of all folds, cached until the next fold begins; later outcomes do not count yet."""
    folds = table[[*FOLD, "horizon_days"]].drop_duplicates().sort_values([*FOLD, "horizon_days"], ignore_index=True)
    past = matured_losses(table, targets, first_scored)
    past = past[past["target_date"] < folds["trained_until"].max()]
    versions = fingerprint.library_versions(evidence.__name__)
    parts = (fingerprint.of_code(evidence.__name__), versions, fingerprint.of_frame(past), fingerprint.of_frame(folds))
    key = fingerprint.combine("evidence", base_methods, *parts)
    return cached_table(key, lambda: evidence.ensemble_evidence(past, folds, base_methods), versions)


def matured_losses(table: pd.DataFrame, targets: pd.DataFrame, first_scored: int) -> pd.DataFrame:
    """Compute the losses of matured out-of-fold rows, from the first scored fold on.

    Parameters
    ----------
    table : DataFrame
        Forecasts with columns `COLUMNS`; quantiles are standardised returns.
    targets : DataFrame
        int_targets__daily.
    first_scored : int
        Number of the first out-of-fold fold that counts, starting at 1.

    Returns
    -------
    DataFrame
        competitor, as_of_date, horizon_days, target_date and pinball_pct (percent of price), sorted by the
        first three.
    """
    starts = np.sort(table.loc[table["fold_type"] == "oof", "fold_start"].unique())[first_scored - 1 :]
    rows = table[(table["fold_type"] == "oof") & (table["status"] == "ok") & table["fold_start"].isin(starts)]
    rows = rows.merge(targets[targets["is_matured"]], on=KEY)
    loss = (
        100
        * rows["horizon_volatility"]
        * pinball(rows["z_return"].to_numpy(), rows[list(settings.SCORED_COLUMNS)].to_numpy())
    )
    rows = rows.assign(pinball_pct=loss)[["competitor", *KEY, "target_date", "pinball_pct"]]
    return rows.sort_values(["competitor", *KEY], ignore_index=True)


def _run_second_level(
    name: str, registered: Registered, finished: pd.DataFrame, inputs: pd.DataFrame, outcome: pd.DataFrame
) -> pd.DataFrame:
    """Run a second-level method on the forecasts of its base method, with the reference of the same rows."""
    reference = inputs[inputs["input"] == REFERENCE]
    base_forecasts = finished[(finished["competitor"] == registered.base_method) & (finished["status"] == "ok")]
    rows = [*FOLD, *KEY]
    reference_rows = reference.merge(base_forecasts[rows], on=rows)
    both = pd.concat(
        [
            base_forecasts.assign(input=registered.base_method)[
                inputs.columns.intersection(base_forecasts.columns).union(["input"])
            ],
            reference_rows,
        ]
    )
    raw = run(_contests(both, outcome, {name: registered}))
    if len(raw):
        raw = raw.merge(base_forecasts[[*rows, "inputs", "reason"]], on=rows, suffixes=("_own", ""))
        # inherit inputs and reason from the base method; keep the own reason on failure
        raw["reason"] = raw["reason"].where(raw["status"] == "ok", raw["reason_own"])
    missing = (
        reference[rows]
        .merge(base_forecasts[rows], on=rows, how="left", indicator=True)
        .query("_merge == 'left_only'")[rows]
    )
    skipped = missing.assign(
        subject=SUBJECT,
        competitor=name,
        status="skipped",
        reason=f"{registered.base_method} has no forecast for this row",
        weights="{}",
    )
    return pd.concat([part for part in (raw, skipped) if len(part)], ignore_index=True).assign(shrinkage_weight=1.0)


def _contests(inputs: pd.DataFrame, outcome: pd.DataFrame, methods: dict[str, Registered]) -> list[EnsembleContest]:
    """Build one contest per fold: oldest first, the live fold last."""
    if inputs.empty:
        return []
    names = tuple(sorted(inputs["input"].unique()))
    history = _rows(inputs[inputs["fold_type"] == "oof"], outcome, names)
    history = history.take(np.lexsort((history.as_of_date, history.horizon_days, history.target_date)))
    history = history.take(~np.isnan(history.z_return))
    contests = []
    for (fold_type, start, until), rows in inputs.groupby(FOLD):
        test = _rows(rows, outcome, names)
        blind = Rows(**{**vars(test), "z_return": np.full(len(test), np.nan)})
        newest = test.as_of_date.max()
        by_then = history.take(history.target_date <= newest)
        fold = Fold(start, pd.Timestamp(newest) + pd.DateOffset(days=1), fold_type, until)
        contests.append(EnsembleContest(fold, methods, by_then, blind))
    return sorted(contests, key=lambda contest: (contest.fold.fold_type == "live", contest.fold.start))


def _rows(long: pd.DataFrame, outcome: pd.DataFrame, names: tuple[str, ...]) -> Rows:
    """Pivot the inputs. If an input has no forecast, or one without width, the reference replaces it."""
    key = long[KEY].drop_duplicates().sort_values(KEY, ignore_index=True)
    index = pd.MultiIndex.from_frame(key)
    by_input = {name: part.set_index(KEY)[QUANTILES].reindex(index).to_numpy() for name, part in long.groupby("input")}
    nothing = np.full((len(key), len(QUANTILES)), np.nan)
    reference = by_input.get(REFERENCE, nothing)
    if np.isnan(reference).any():
        raise TournamentError(
            "the reference lacks forecasts for some ensemble rows. Rebuild it: dbt build -s int_core__forecasts+"
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
        known["z_return"].to_numpy(float),
    )


def _shrink_towards_average(raw: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Shrink combinations towards the average of the inputs, with a weight per method, horizon and fold.

    The weight is estimated on rows that matured before the fold. The average and the reference stay as they are.
    """
    average = raw.loc[raw["competitor"] == DEFAULT, [*FOLD, *KEY, *QUANTILES]]
    rows = raw.merge(average, on=[*FOLD, *KEY], suffixes=("", "_average"))
    rows = rows.merge(targets[[*KEY, "z_return", "target_date", "is_matured"]], on=KEY)
    finished = []
    for (competitor, horizon), own in rows.groupby(["competitor", "horizon_days"]):
        if competitor in (DEFAULT, FALLBACK):
            finished.append(own[raw.columns].assign(shrinkage_weight=1.0))
            continue
        quantiles = own[QUANTILES].to_numpy()
        base = own[[f"{column}_average" for column in QUANTILES]].to_numpy()
        z_return, target_date = own["z_return"].to_numpy(), own["target_date"].to_numpy()
        is_training_row = ((own["fold_type"] == "oof") & own["is_matured"] & (own["status"] == "ok")).to_numpy()
        weight = np.empty(len(own))
        for (_, _, until), positions in own.groupby(FOLD).indices.items():
            past = is_training_row & (target_date < np.datetime64(until))
            weight[positions] = estimate_shrinkage_weight(z_return[past], quantiles[past], base[past], int(horizon))
        blend = np.sort(weight[:, None] * quantiles + (1 - weight[:, None]) * base, axis=1)
        finished.append(own[raw.columns].assign(shrinkage_weight=weight, **dict(zip(QUANTILES, blend.T, strict=True))))
    return pd.concat(finished, ignore_index=True)
