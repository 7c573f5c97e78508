"""What the buckets' tournaments ask for against what the store has: the facts that monitoring.run_plan decides on."""

import json

import pandas as pd

from zl_forecast import artifacts
from zl_forecast.tournament.fit import Task, needs_training
from zl_forecast.tournament.specialist import Tournament, enrolled_families

BLOCK = ["bucket", "family", "kind", "fold_start"]
CAUSES = ("refused", "library_versions", "code", "data", "missing")  # the most telling first
COLUMNS = {
    "bucket": "object",
    "family": "object",
    "kind": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "artifact_id": "object",
    "is_fitted": "bool",
    "cause": "object",
    "cause_rank": "int32",
    "details": "object",
    "table_ids": "object",
    "is_remembered": "bool",
}


def planned_fits(
    live: pd.DataFrame,
    *,
    marts: dict[str, pd.DataFrame],
    targets: pd.DataFrame,
    zl: pd.DataFrame,
    buckets: pd.DataFrame,
    families: pd.DataFrame,
    preset: str,
) -> pd.DataFrame:
    """Every first-level fit that the buckets' tournaments rest on, and whether the store has it.

    Second-level families are fitted on what the first level forecasts, so nobody can say before whether theirs are there.

    Parameters
    ----------
    live : DataFrame
        int_plan__live: bucket, live_from, refused_by_gate. A bucket that its gate refused has no fits.
    marts : dict
        Features by bucket.
    targets, zl, buckets, families, preset
        As in `run_specialist`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, a row a fit.
    """
    entries = artifacts.entries()
    parts = [pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})]
    for row in live[live["refused_by_gate"].isna()].sort_values("bucket").itertuples():
        enrolled = enrolled_families(row.bucket, preset, buckets, families)
        tournament = Tournament.of(
            row.bucket, marts[row.bucket], targets, zl, buckets, families, enrolled, pd.Timestamp(row.live_from)
        )
        parts.append(facts_of_fits(tournament, entries))
    return pd.concat(parts, ignore_index=True)


def facts_of_fits(tournament: Tournament, entries: pd.DataFrame) -> pd.DataFrame:
    """One row a first-level task: whether its fit can be used, and if not, why.

    Parameters
    ----------
    entries : DataFrame
        `artifacts.entries`: to say what is different from the last fit of the same family on the same block.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`.
    """
    before = entries.sort_values("written_at").drop_duplicates(BLOCK, keep="last").set_index(BLOCK)
    table_ids = [part.fingerprint for part in tournament.parts()]
    is_remembered = all(artifacts.look_up(table_id).folder for table_id in table_ids)
    rows = []
    for task in tournament.first_level():
        fold, stored = task.block.fold, artifacts.look_up(task.fingerprint)
        is_fitted = not needs_training(task, stored)
        cause, details = ("", "") if is_fitted else _cause(task, stored, before)
        rows.append(
            (
                task.block.bucket,
                task.name,
                fold.kind,
                fold.start,
                fold.train_until,
                task.fingerprint,
                is_fitted,
                cause,
                CAUSES.index(cause) if cause else len(CAUSES),
                details,
                " ".join(table_ids),
                is_remembered,
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _cause(task: Task, stored: artifacts.Stored, before: pd.DataFrame) -> tuple[str, str]:
    what = f"{task.name} on {task.block.fold.kind} {task.block.fold.start:%Y-%m}"
    if stored.refused:
        return "refused", f"{what}, artifact {task.fingerprint}: {stored.refused}"
    key = (task.block.bucket, task.name, task.block.fold.kind, str(task.block.fold.start.date()))
    if key not in before.index:
        return "missing", f"{what} has not been fitted"
    last = before.loc[key]
    if changed := artifacts.changed_versions(json.loads(last["library_versions"])):
        return "library_versions", f"{what}: {changed}"
    if last["code_fingerprint"] != task.code_fingerprint:
        return "code", f"{what}: the code or the settings of the family have changed"
    if last["data_fingerprint"] != task.data_fingerprint:
        return "data", f"{what}: the features or their values have changed"
    return "missing", f"{what} is not in the store any more"
