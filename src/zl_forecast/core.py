"""The core forecaster: AutoGluon's time-series models on ZL itself, the horizons read off the path; and the reference.

Every session of a test block is an origin with its own history, and one predictor a block, fitted on prices before the
block, forecasts from all of them. That is `TimeSeriesPredictor.backtest_predictions` without its need of a full
120-session path after each origin, so history and live forecasts come the same way.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings, workers
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.tournament.fit import FORECASTS, KEY
from zl_forecast.tournament.specialist import COLUMNS
from zl_forecast.tournament.splits import Fold, walk_forward

CONTEXT_SESSIONS = 504  # two years: long enough to know ZL's usual volatility
# explicit: AutoGluon's presets would fetch pretrained weights; n_jobs: local models would start processes of their own
MODELS = {
    "Naive": {"n_jobs": 1},
    "AutoETS": {"seasonal_period": 1, "n_jobs": 1},
    "Theta": {"seasonal_period": 1, "n_jobs": 1},
}


@dataclass(frozen=True)
class CoreTask:
    """One block: log prices up to its end, and the position of each origin in them.

    Attributes
    ----------
    known : DataFrame
        What was forecast before, of any origin of the block; the others are left to do.
    """

    fold: Fold
    models: dict
    log_prices: np.ndarray
    first_origin: int
    origins: tuple[int, ...]
    steps: tuple[int, ...]
    known: pd.DataFrame | None = None

    def __str__(self) -> str:
        return f"core {self.fold.kind} {self.fold.start:%Y-%m}"

    @cached_property
    def name(self) -> str:
        """Of all that the fitted models depend on."""
        return fingerprint.combine(
            "core",
            self.fold.kind,  # in January the live block starts with the year's
            self.fold.start,
            self.models,
            self.log_prices[: self.first_origin].tobytes(),
            self.steps,
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )

    def context(self, origin: int) -> np.ndarray:
        """The log prices that a forecast from this origin is made from."""
        return self.log_prices[max(0, origin - CONTEXT_SESSIONS + 1) : origin + 1]

    def contexts(self, origins) -> pd.Series:
        """Hash of each origin's context, by origin."""
        return pd.Series({o: fingerprint.combine(self.context(o).tobytes()) for o in origins}, dtype=object)


def run_core(prices: pd.DataFrame, targets: pd.DataFrame, run_plan: pd.DataFrame) -> pd.DataFrame:
    """Out-of-fold and live forecasts of the core and of the reference.

    Parameters
    ----------
    prices : DataFrame
        as_of_date and close (cents/lb) of ZL, one row a session.
    targets : DataFrame
        int_targets__daily.
    run_plan : DataFrame
        live_from of each bucket. The core's live block begins with the newest of them, as the ensemble's does.

    Returns
    -------
    DataFrame
        Columns of the specialists' tables, bucket 'core', families 'autogluon_timeseries' and 'reference'.
    """
    prices = prices.sort_values("as_of_date", ignore_index=True)
    log_prices = np.log(prices["close"].to_numpy())
    position = pd.Series(prices.index, index=prices["as_of_date"])
    targets = targets.sort_values(KEY, ignore_index=True)
    steps = tuple(int(h) for h in sorted(targets["horizon_days"].unique()))
    newest = run_plan["live_from"].max()
    folds = walk_forward(pd.DatetimeIndex(targets["as_of_date"].drop_duplicates()), pd.Timestamp(newest))

    tasks, tests = [], []
    for fold in folds:
        test = targets[fold.test_rows(targets)]
        origins = tuple(position[test["as_of_date"].drop_duplicates()])
        tasks.append(CoreTask(fold, MODELS, log_prices[: origins[-1] + 1], origins[0], origins, steps))
        tests.append(test)
    tasks = [replace(task, known=_known(task)) for task in tasks]
    paths = {str(task): task.known for task in tasks}
    to_fit = [task for task in tasks if not set(task.origins) <= set(task.known["origin"])]
    for task, path in workers.run(forecast_block, to_fit):
        paths[str(task)] = _failed(task, path.reason) if isinstance(path, workers.Lost) else path

    frames = []
    for task, test in zip(tasks, tests, strict=True):
        path = paths[str(task)]
        path = path[path["origin"].isin(task.origins)].assign(
            as_of_date=lambda p: prices["as_of_date"].to_numpy()[p["origin"]]
        )
        scaled = test[[*KEY, "scale"]].merge(path, on=KEY)
        scaled[list(settings.QUANTILE_COLUMNS)] = scaled[list(settings.QUANTILE_COLUMNS)].div(scaled["scale"], axis=0)
        train = targets[task.fold.train_rows(targets)]
        frames.append(_labelled(scaled, task, "autogluon_timeseries", len(train)))
        frames.append(_labelled(_reference(train, test), task, "reference", len(train)))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)].astype(COLUMNS)


def forecast_block(task: CoreTask) -> pd.DataFrame:
    """Fit on the prices before the block, forecast from each of its origins that is not known yet, store the result.

    Returns
    -------
    DataFrame
        origin, horizon_days, q05 ... q95 of the log return from the origin, fit_seconds, score_seconds.
    """
    new = tuple(sorted(set(task.origins) - set(task.known["origin"])))
    try:
        frame = _forecast(replace(task, origins=new))
    except Exception as error:  # the core is one input of the ensemble; the rows say why it is missing
        reason = f"{type(error).__name__}: {error}"
        print(f"{task} failed: {reason}", flush=True)
        return _failed(task, reason)
    contexts = task.contexts(new)
    frame = pd.concat([task.known, frame.assign(context=frame["origin"].map(contexts))], ignore_index=True)
    artifacts.write(
        task.name,
        lambda folder: frame.to_parquet(folder / FORECASTS),
        bucket="core",
        family="autogluon_timeseries",
        kind=task.fold.kind,
        fold_start=task.fold.start.date(),
        trained_until=task.fold.start.date(),
    )
    return frame


def _failed(task: CoreTask, reason: str) -> pd.DataFrame:
    """Rows without forecasts, with why."""
    key = [(origin, step) for origin in task.origins for step in task.steps]
    frame = pd.DataFrame(key, columns=["origin", "horizon_days"]).reindex(
        columns=["origin", "horizon_days", *settings.QUANTILE_COLUMNS]
    )
    return frame.assign(fit_seconds=float("nan"), score_seconds=float("nan"), status="failed", reason=reason)


def _forecast(task: CoreTask) -> pd.DataFrame:
    import time

    from autogluon.timeseries import TimeSeriesPredictor

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        predictor = TimeSeriesPredictor(
            prediction_length=max(task.steps),
            freq="D",  # sessions are numbered, not dated: holidays are no gaps
            quantile_levels=list(settings.QUANTILE_LEVELS),
            eval_metric="WQL",
            path=folder,
            verbosity=0,
            log_to_file=False,
        )
        history = _items(task.log_prices, [task.first_origin - 1], length=task.first_origin)
        predictor.fit(history, hyperparameters=task.models, num_val_windows=2, random_seed=settings.SEED)
        missing = set(task.models) - set(predictor.model_names())
        if missing:
            raise RuntimeError(f"{task}: AutoGluon did not fit {', '.join(sorted(missing))}")
        fit_seconds = time.perf_counter() - started
        started = time.perf_counter()
        paths = predictor.predict(
            _items(task.log_prices, task.origins, CONTEXT_SESSIONS), use_cache=False, random_seed=settings.SEED
        )
        score_seconds = time.perf_counter() - started

    levels = [str(level) for level in settings.QUANTILE_LEVELS]
    step = paths.groupby(level="item_id").cumcount() + 1
    chosen = paths[step.isin(task.steps)]
    frame = pd.DataFrame(np.sort(chosen[levels].to_numpy(), axis=1), columns=list(settings.QUANTILE_COLUMNS))
    frame["origin"] = chosen.index.get_level_values("item_id").astype(int)
    frame["horizon_days"] = step[step.isin(task.steps)].to_numpy()
    last = task.log_prices[frame["origin"]]
    frame[list(settings.QUANTILE_COLUMNS)] = frame[list(settings.QUANTILE_COLUMNS)].sub(last, axis=0)
    return frame.assign(
        fit_seconds=fit_seconds, score_seconds=score_seconds / len(task.origins), status="ok", reason=""
    )


def _known(task: CoreTask) -> pd.DataFrame:
    """Stored forecasts of the block whose contexts are still what they were."""
    folder = artifacts.find(task.name)
    if folder is None:
        return pd.DataFrame({"origin": pd.Series(dtype="int64")})
    stored = pd.read_parquet(folder / FORECASTS)
    stored = stored[stored["origin"] < len(task.log_prices)]  # what lies beyond was forecast from other data
    contexts = task.contexts(stored["origin"].unique())
    return stored[stored["context"] == stored["origin"].map(contexts)]


def _items(log_prices: np.ndarray, origins, length: int):
    """One item an origin: its last `length` log prices, on an artificial daily calendar."""
    from autogluon.timeseries import TimeSeriesDataFrame

    frames = []
    for origin in origins:
        first = max(0, origin - length + 1)
        days = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(first, origin + 1), "D")
        frames.append(pd.DataFrame({"item_id": origin, "timestamp": days, "target": log_prices[first : origin + 1]}))
    return TimeSeriesDataFrame(pd.concat(frames, ignore_index=True))


def _reference(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Reference quantiles of the test rows, from the matured z of the training rows."""
    frame = test[KEY].reset_index(drop=True)
    by_horizon = {
        h: centred_quantiles(z.to_numpy(), settings.QUANTILE_LEVELS) for h, z in train.groupby("horizon_days")["z"]
    }
    frame[list(settings.QUANTILE_COLUMNS)] = np.stack([by_horizon[h] for h in frame["horizon_days"]])
    return frame.assign(fit_seconds=0.0, score_seconds=0.0, status="ok", reason="")


def _labelled(frame: pd.DataFrame, task: CoreTask, family: str, train_rows: int) -> pd.DataFrame:
    return frame.assign(
        bucket="core",
        family=family,
        kind=task.fold.kind,
        fold_start=task.fold.start,
        trained_until=task.fold.train_until,
        train_rows=train_rows,
        validation_loss=float("nan"),
        fingerprint=task.name,
    )
