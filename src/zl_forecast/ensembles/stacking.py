"""Stacking: AutoGluon learners that read the inputs' P10/P50/P90 and the horizon, and forecast the quantiles.

The learners are as strongly regularised as in the buckets. They see all horizons together, because long
horizons alone have few independent samples.
Source: Wolpert (1992), Neural Networks 5, 241-259.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.ensembles.base import EnsembleMethod, Rows
from zl_forecast.families import catboost, lightgbm
from zl_forecast.tournament.splits import without_drift

PREDICTOR, MODELS = "predictor", "models.json"
LEARNERS = {"lightgbm": lightgbm.FAMILY, "catboost": catboost.FAMILY}


class Stacking(EnsembleMethod):
    """The mean of two AutoGluon boosters over the inputs' quantiles; fixed equal weights need no validation rows."""

    def fit(self, rows: Rows) -> Self:
        """Fit both boosters, validate on the newest part of the rows, and refit on all."""
        from autogluon.tabular import TabularPredictor

        data = without_drift(rows.frame(settings.SCORED_LEVELS).assign(z_return=rows.z_return))
        dates = pd.Series(rows.as_of_date)
        cut = dates.quantile(1 - settings.TUNING_SHARE)
        newest = dates >= cut
        # 1.6 calendar days per session: targets of the fit part end before the newest part begins
        before = dates + pd.to_timedelta(1.6 * rows.horizon_days, "D") < cut
        self._folder = tempfile.TemporaryDirectory()
        self._predictor = TabularPredictor(
            label="z_return",
            problem_type="quantile",
            quantile_levels=list(settings.QUANTILE_LEVELS),
            path=self._folder.name,
            verbosity=0,
            log_to_file=False,
        )
        self._predictor.fit(
            data[before.to_numpy()],
            tuning_data=data[newest.to_numpy()],
            hyperparameters={
                family.model: {**family.hyperparameters, "ag_args": {"name": name, "name_suffix": ""}}
                for name, family in LEARNERS.items()
            },
            num_cpus=settings.THREADS_PER_FIT,
            num_gpus=0,
            fit_weighted_ensemble=False,
            dynamic_stacking=False,
            calibrate=False,
        )
        refitted = self._predictor.refit_full(
            "all", set_best_to_refit_full=False, num_cpus=settings.THREADS_PER_FIT, num_gpus=0
        )
        self._models = [refitted[name] for name in LEARNERS]
        return self

    def save(self, folder: Path) -> None:
        """Copy AutoGluon's predictor into `folder`; nothing if the method was not fitted."""
        if not hasattr(self, "_predictor"):  # not fitted: no horizon had enough rows
            return
        self._predictor.save_space()  # without the training rows
        shutil.copytree(self._folder.name, folder / PREDICTOR)
        (folder / MODELS).write_text(json.dumps(self._models))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the predictor that `save` wrote."""
        from autogluon.tabular import TabularPredictor

        method = cls()
        if (folder / PREDICTOR).exists():
            method._predictor = TabularPredictor.load(str(folder / PREDICTOR), verbosity=0)
            method._models = json.loads((folder / MODELS).read_text())
        return method

    def predict(self, rows: Rows) -> np.ndarray:
        """Mean of both boosters' quantiles."""
        data = rows.frame(settings.SCORED_LEVELS)
        return np.mean([self._predictor.predict(data, model=model).to_numpy() for model in self._models], axis=0)


METHOD = Stacking
