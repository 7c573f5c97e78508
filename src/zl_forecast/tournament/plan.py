"""Compare the fits that the buckets' tournaments need with the store; monitoring.run_plan decides on these facts."""

import json

import pandas as pd

from zl_forecast.store import artifacts, read_table
from zl_forecast.tournament.contest import Competitor, Contest
from zl_forecast.tournament.runner import needs_training
from zl_forecast.tournament.specialist import Inputs, Tournament

FOLD = ["bucket", "family", "fold_type", "fold_start"]
CAUSES = ("refused", "library_versions", "code", "data", "missing")  # in order of priority
COLUMNS = {
    "bucket": "string",
    "family": "string",
    "fold_type": "string",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "artifact_id": "string",
    "is_fitted": "bool",
    "cause": "string",
    "cause_rank": "int32",
    "reason": "string",
    "is_table_cached": "bool",
}


def planned_fits(live: pd.DataFrame, inputs: dict[str, Inputs]) -> pd.DataFrame:
    """List every first-level fit that the buckets' tournaments depend on, and whether the store has it.

    Stacking families depend on first-level forecasts, so their cache status is unknown at planning time.

    Parameters
    ----------
    live : DataFrame
        int_plan__live: bucket, live_from; only buckets that passed the data gate.
    inputs : dict of str to Inputs
        By bucket.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per fit. `is_table_cached` is true if the bucket's whole table is in the store.
    """
    entries = artifacts.entries()
    parts = [pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})]
    for row in live.sort_values("bucket").itertuples():
        own, live_from = inputs[row.bucket], pd.Timestamp(row.live_from)
        table = read_table(own.key(live_from))
        if table is not None:
            parts.append(_known_fits(table, own))
        else:
            parts.append(_facts_of_fits(Tournament.of(own, live_from), entries))
    return pd.concat(parts, ignore_index=True)


def _known_fits(table: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """List the fits behind a bucket's cached table; all of them exist."""
    first = [name for name, family in inputs.enrolled().items() if not family.is_second_level]
    names = {"subject": "bucket", "competitor": "family"}
    fits = table[table["competitor"].isin(first)].drop_duplicates("artifact_id").rename(columns=names)
    facts = {"is_fitted": True, "cause": "", "cause_rank": len(CAUSES), "reason": "", "is_table_cached": True}
    return fits.assign(**facts)[list(COLUMNS)].astype(COLUMNS)


def _facts_of_fits(tournament: Tournament, entries: pd.DataFrame) -> pd.DataFrame:
    """List the first-level fits of a tournament: whether each is usable, and if not, the reason."""
    before = entries.sort_values("written_at").drop_duplicates(FOLD, keep="last").set_index(FOLD)
    rows = []
    for contest in tournament.contests:
        for own in contest.competitors():
            stored = artifacts.look_up(own.key)
            is_fitted = not needs_training(own, stored)
            cause, reason = ("", "") if is_fitted else _cause(contest, own, stored, before)
            rows.append(
                (
                    contest.subject,
                    own.name,
                    contest.fold.fold_type,
                    contest.fold.start,
                    contest.fold.train_until,
                    own.key,
                    is_fitted,
                    cause,
                    CAUSES.index(cause) if cause else len(CAUSES),
                    reason,
                    False,
                )
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _cause(contest: Contest, own: Competitor, stored: artifacts.Stored, before: pd.DataFrame) -> tuple[str, str]:
    what = f"{own.name} on {contest.fold.fold_type} {contest.fold.start:%Y-%m}"
    if stored.refused:
        return "refused", f"{what}, artifact {own.key}: {stored.refused}"
    key = (contest.subject, own.name, contest.fold.fold_type, str(contest.fold.start.date()))
    if key not in before.index:
        return "missing", f"{what} has not been fitted"
    last = before.loc[key]
    if changed := artifacts.changed_versions(json.loads(last["library_versions"])):
        return "library_versions", f"{what}: {changed}"
    if last["code_fingerprint"] != own.described["code_fingerprint"]:
        return "code", f"{what}: the code or the settings of the family have changed"
    if last["data_fingerprint"] != own.described["data_fingerprint"]:
        return "data", f"{what}: the features or their values have changed"
    return "missing", f"{what} is no longer in the store"
