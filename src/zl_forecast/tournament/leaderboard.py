"""AutoGluon's own leaderboard of a bucket's families, from the predictor of the newest year's fold."""

import json
from dataclasses import replace

import duckdb
import pandas as pd

from zl_forecast.errors import TournamentError
from zl_forecast.store import artifacts
from zl_forecast.tournament.bucket import BucketContest
from zl_forecast.tournament.predictor import TIMED_OUT, fold_predictor
from zl_forecast.tournament.runner import FACTS, FAILURE, MODEL
from zl_forecast.tournament.specialist import Inputs, Tournament


def newest_year(bucket: str, con: duckdb.DuckDBPyConnection) -> str:
    """Format AutoGluon's leaderboard of a bucket's last tournament, on the fold of the newest calendar year.

    Parameters
    ----------
    bucket : str
    con : DuckDBPyConnection
        To the warehouse.

    Returns
    -------
    str
        The leaderboard as a text table, and the reasons of families that are not on it.

    Raises
    ------
    TournamentError
        If the warehouse has no tournament of this bucket, or the store has none of its models.
    """
    fix = f"Run `make tournament BUCKET={bucket}`."
    try:
        competed = con.table(f"tournament.specialist_{bucket}").project("competitor").distinct()
        inputs = Inputs(
            bucket,
            mart=con.table(f"features.mart_{bucket}__daily"),
            targets=con.table("intermediate.int_targets__daily"),
            zl=con.table("intermediate.int_volatility__zl"),
            buckets=con.table("registry.buckets"),
            families=con.table("registry.families").join(competed, "family = competitor", how="semi"),
            preset="full",
        )
    except duckdb.CatalogException as error:
        raise TournamentError(f"the warehouse has no tournament of bucket '{bucket}'. {fix}") from error
    contest = Tournament.of(inputs).contests[-2]
    models = _models(contest)
    if all("failure" in facts for _, facts in models.values()):
        raise TournamentError(
            f"{artifacts.artifacts_dir()} has no models of bucket '{bucket}': code, data or a library has changed "
            f"since its tournament, or ZL_DATA_DIR has. {fix}"
        )
    board, failures = _autogluon_leaderboard(contest, models)
    missing = sorted(set(contest.families) - set(models))
    failures |= dict.fromkeys(missing, "not in the store")
    notes = "".join(f"\nNot fitted on this fold: {name} ({reason})" for name, reason in failures.items())
    return board.to_string(float_format=lambda value: f"{value:.4f}") + notes


def _models(contest: BucketContest) -> dict[str, tuple[str, dict]]:
    """Read each family from the store: the folder of its models with their facts, or the reason of its failure."""
    found: dict[str, tuple[str, dict]] = {}
    if not (artifacts.artifacts_dir() / artifacts.INDEX).exists():
        return found  # do not create a store by looking into it
    for own in contest.competitors():
        folder = artifacts.look_up(own.key, renew=False).folder
        if folder is not None and (folder / MODEL).exists():
            found[own.name] = (str(folder / MODEL), json.loads((folder / FACTS).read_text()))
        elif folder is not None and (folder / FAILURE).exists():
            record = json.loads((folder / FAILURE).read_text())
            is_timeout = record["status"] == "timed_out"
            found[own.name] = ("", {"failure": TIMED_OUT if is_timeout else record["reason"]})
    return found


def _autogluon_leaderboard(
    contest: BucketContest, models: dict[str, tuple[str, dict]]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Rank the families on the fold's matured rows with AutoGluon's leaderboard; return also the reasons of failures.

    Of AutoGluon's columns, score_test is minus the mean pinball loss over all levels and horizons of the fold, in
    standardised returns, and score_val the same on the newest eighth of the training rows. Each family has one row for
    its model on the fit part, and one with the suffix _FULL for its model on all rows.
    """
    reads_lookback = any(contest.families[name].reads_lookback for name in models)
    fit_rows, tuning_rows = contest.inner_rows(reads_lookback)
    matured = replace(contest, test=contest.test[contest.test["z_return"].notna()])
    with fold_predictor(contest.families, models, fit_rows, tuning_rows) as predictor:
        rows = matured.seen(matured.test, reads_lookback).assign(z_return=matured.test["z_return"])
        # prefer the stored reason: AutoGluon only repeats the failure it was given
        failures = {name: models[name][1].get("failure", reason) for name, reason in predictor.failures.items()}
        return predictor.leaderboard(rows), failures
