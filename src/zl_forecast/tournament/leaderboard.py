"""One AutoGluon predictor with all fitted families of a bucket, so that they meet on AutoGluon's own leaderboard.

Each family was fitted by a predictor of its own, in a process of its own; here they are put side by side, as they are. The
predictor that holds them needs a folder; it is a temporary one, since reading a leaderboard writes nothing.
"""

import json
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from zl_forecast import artifacts, settings
from zl_forecast.errors import TournamentError
from zl_forecast.families import QuantileModel, load_families
from zl_forecast.families.stacking import column
from zl_forecast.tournament.fit import MODELS, Task
from zl_forecast.tournament.specialist import Tournament


def newest_year(bucket: str, con: duckdb.DuckDBPyConnection) -> str:
    """AutoGluon's leaderboard of a bucket's last tournament on the newest year's block, as text.

    Parameters
    ----------
    con : DuckDBPyConnection
        To the warehouse.

    Raises
    ------
    TournamentError
        No tournament of this bucket in the warehouse, or none of its models in the artifact folder.
    """

    def table(name: str) -> pd.DataFrame:
        return con.table(name).df()

    way_out = f"Run `make tournament BUCKET={bucket}`."
    try:
        forecasts, families = table(f"tournament.specialist_{bucket}"), table("registry.families")
    except duckdb.CatalogException as error:
        raise TournamentError(f"the warehouse has no tournament of a bucket '{bucket}'. {way_out}") from error
    enrolled = load_families(families[families["family"].isin(forecasts["family"])])
    tournament = Tournament.of(
        bucket,
        table(f"features.mart_{bucket}__daily"),
        table("intermediate.int_targets__daily"),
        table("intermediate.int_volatility__zl"),
        table("registry.buckets"),
        families,
        enrolled,
    )
    first = [name for name, family in enrolled.items() if not family.is_second_level]
    _, second = tournament.second_level(forecasts[forecasts["family"].isin(first)])
    fold = tournament.blocks[-2].fold
    tasks = [task for task in [*tournament.first_level(), *second] if task.block.fold == fold]
    if not any(_models(task) for task in tasks):
        raise TournamentError(
            f"none of the models of bucket '{bucket}' is in {artifacts.artifacts_dir()}: the code, the data or a library has "
            f"changed since its tournament, or the folder is another one. {way_out}"
        )
    with tempfile.TemporaryDirectory(prefix="zl-leaderboard-") as folder:
        board = autogluon_leaderboard(tasks, Path(folder))
    missing = sorted(set(enrolled) - set(board["model"]))
    note = f"\nNot fitted on this block: {', '.join(missing)}" if missing else ""
    return board.to_string(float_format=lambda value: f"{value:.4f}") + note


class FittedModel(QuantileModel):
    """AutoGluon adapter of a family that is already fitted: hyperparameter `folder` is where its predictor is.

    A second-level family is given the forecasts of `members`, by name the folders of the first level's predictors.
    """

    ag_key = "FITTED"
    ag_name = "Fitted"

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        params = self._get_model_params()
        self.model = _predictor(params["folder"])
        self._members = {name: _predictor(folder) for name, folder in params["members"].items()}

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        if self._members:
            frames = []
            for name, (predictor, model) in self._members.items():
                quantiles = np.sort(predictor.predict(X[predictor.features()], model=model), axis=1)
                frames.append(
                    pd.DataFrame(quantiles, index=X.index, columns=[column(name, q) for q in settings.QUANTILE_COLUMNS])
                )
            X = pd.concat([X[["horizon_days"]], *frames], axis=1)
        predictor, model = self.model
        X = X.reindex(columns=predictor.features())  # a member that failed is missing
        return np.sort(predictor.predict(X, model=model), axis=1)


def _predictor(folder: str):
    from autogluon.tabular import TabularPredictor

    path = Path(folder)
    facts = json.loads((path / "facts.json").read_text())
    return TabularPredictor.load(folder, verbosity=0), facts["model"]


def _models(task: Task) -> Path | None:
    """Folder of a task's fitted models; None where there are none, because it failed or they were not kept."""
    if not (artifacts.artifacts_dir() / artifacts.INDEX).exists():
        return None  # looking it up would make a store
    folder = artifacts.look_up(task.fingerprint, renew=False).folder
    if folder is None or not (folder / MODELS).exists():
        return None
    is_fitted = json.loads((folder / MODELS / "facts.json").read_text())["status"] == "ok"
    return folder / MODELS if is_fitted else None


def autogluon_leaderboard(tasks: list[Task], path: Path) -> pd.DataFrame:
    """Leaderboard of the fitted tasks of one block on its matured rows, best first.

    Parameters
    ----------
    tasks : list of Task
        Of one block whose models are kept.
    path : Path
        Folder for the predictor with all of them; may exist, empty.

    Returns
    -------
    DataFrame
        AutoGluon's columns model, score_test (minus the mean pinball loss of all levels and horizons on the block, scaled units),
        score_val (the same on the newest eighth of the training rows, before the refit), fit_time and pred_time_test (seconds).
    """
    from autogluon.features.generators import IdentityFeatureGenerator
    from autogluon.tabular import TabularPredictor

    fitted, facts = {}, {}
    for task in tasks:
        folder = _models(task)
        if folder is not None:
            facts[task.name] = json.loads((folder / "facts.json").read_text())
            fitted[task.name] = (task, str(folder))
    block = tasks[0].block
    widest = max((task.family for task, _ in fitted.values()), key=lambda family: family.reads_lookback)
    members = {name: folder for name, (task, folder) in fitted.items() if not task.family.is_second_level}
    models = [
        {
            "folder": folder,
            "members": members if task.family.is_second_level else {},
            "ag_args": {"name": name, "name_suffix": ""},
        }
        for name, (task, folder) in fitted.items()
    ]
    predictor = TabularPredictor(
        label="z",
        problem_type="quantile",
        quantile_levels=list(settings.QUANTILE_LEVELS),
        path=str(path),
        verbosity=0,
        log_to_file=False,
    )
    known = block.rows(block.train, widest).assign(z=block.train["z"])
    newest = known.tail(len(block.train) // 8)
    predictor.fit(
        known.drop(newest.index),
        tuning_data=newest,
        hyperparameters={FittedModel: models},
        feature_generator=IdentityFeatureGenerator(),
        num_cpus=settings.THREADS_PER_FIT,
        num_gpus=0,
        fit_weighted_ensemble=False,
        dynamic_stacking=False,
        calibrate=False,
        raise_on_model_failure=True,
    )
    matured = block.test[block.test["z"].notna()]
    board = predictor.leaderboard(block.rows(matured, widest).assign(z=matured["z"]))
    # put together, all models have seen the validation rows; what they scored before is in their facts
    board["score_val"] = [-facts[name]["validation_loss"] for name in board["model"]]
    board["fit_time"] = [facts[name]["fit_seconds"] for name in board["model"]]
    return board[["model", "score_test", "score_val", "fit_time", "pred_time_test"]]
