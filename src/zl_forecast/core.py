"""The core forecaster: AutoGluon's time-series models on ZL itself, the horizons read off the path; and the reference.

Every session of a fold is an origin with its own history, and one predictor per fold, fitted on prices before the fold, forecasts from all
of them. That is `TimeSeriesPredictor.backtest_predictions` without its need of a full 120-session path after each origin, so history and
live forecasts come the same way.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.store import fingerprint
from zl_forecast.tournament.contest import KEY, QUANTILES, Competitor, Contest, Failure, Forecasts, Model
from zl_forecast.tournament.runner import run
from zl_forecast.tournament.splits import Fold, walk_forward

SUBJECT = "core"
CONTEXT_SESSIONS = 504  # two years: long enough to know ZL's usual volatility
# explicit: AutoGluon's presets would fetch pretrained weights; n_jobs: local models would start processes of their own
MODELS = {
    "Naive": {"n_jobs": 1},
    "AutoETS": {"seasonal_period": 1, "n_jobs": 1},
    "Theta": {"seasonal_period": 1, "n_jobs": 1},
}


@dataclass(frozen=True)
class CoreContest(Contest):
    """The core models on one fold.

    Attributes
    ----------
    log_prices : array of shape (n_sessions,)
        Of ZL, up to the end of the fold.
    origins : array of shape (n_rows,)
        Position in `log_prices` of each row's as_of_date.
    train_part, test : DataFrame
        Of int_targets__daily, as the fold divides them.
    """

    fold: Fold
    log_prices: np.ndarray
    origins: np.ndarray
    train_part: pd.DataFrame
    test: pd.DataFrame
    keeps_models: bool
    subject: str = SUBJECT

    @cached_property
    def rows(self) -> pd.DataFrame:
        return self.test[KEY]

    @cached_property
    def train_rows(self) -> int:
        return len(self.train_part)

    @property
    def steps(self) -> tuple[int, ...]:
        """The horizons, in sessions."""
        return tuple(int(h) for h in sorted(self.test["horizon_days"].unique()))

    def context(self, origin: int) -> np.ndarray:
        """The log prices that a forecast from this origin is made from."""
        return self.log_prices[max(0, origin - CONTEXT_SESSIONS + 1) : origin + 1]

    def competitors(self) -> Sequence[Competitor]:
        return self._competitors

    @cached_property
    def _competitors(self) -> tuple[Competitor, ...]:
        contexts = {origin: fingerprint.combine(self.context(origin).tobytes()) for origin in np.unique(self.origins)}
        seen = pd.DataFrame(
            {"context": [contexts[origin] for origin in self.origins], "scale": self.test["scale"].to_numpy()}
        )
        own = self.rows.reset_index(drop=True)
        learnt = fingerprint.of_frame(self.train_part[["horizon_days", "target_date", "z"]])
        return (
            self._competitor(
                "autogluon_timeseries",
                (MODELS, self.log_prices[: self.origins[0]].tobytes(), self.steps),
                own.join(seen),
            ),
            self._competitor("reference", (learnt,), own),
        )

    def _competitor(self, name: str, learnt: tuple, seen: pd.DataFrame) -> Competitor:
        key = fingerprint.combine(
            SUBJECT,
            self.fold.kind,  # in January the live fold starts with the year's
            self.fold.start,
            name,
            *learnt,
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )
        described = {
            "bucket": SUBJECT,
            "family": name,
            "kind": self.fold.kind,
            "fold_start": self.fold.start.date(),
            "trained_until": self.fold.start.date(),
        }
        return Competitor(name, key, fingerprint.with_row_hash(seen)["row_hash"].to_numpy(), described=described)

    def train(self, name: str, folder: Path) -> dict:
        return FIT[name](self, folder)

    def forecast(self, models: dict[str, Model]) -> Iterator[Forecasts]:
        for name, model in models.items():
            try:
                table = FORECAST[name](self, model.folder)
            except Exception as error:  # the core is one input of the ensemble; the rows say why it is missing
                yield Forecasts(name, Failure.of(error))
            else:
                yield Forecasts(name, table.assign(fit_seconds=model.facts["fit_seconds"]))


def _fit_timeseries(contest: CoreContest, folder: Path) -> dict:
    from autogluon.timeseries import TimeSeriesPredictor

    started = time.perf_counter()
    predictor = TimeSeriesPredictor(
        prediction_length=max(contest.steps),
        freq="D",  # sessions are numbered, not dated: holidays are no gaps
        quantile_levels=list(settings.QUANTILE_LEVELS),
        eval_metric="WQL",
        path=str(folder / "predictor"),
        verbosity=0,
        log_to_file=False,
    )
    first = contest.origins[0]
    history = _items(contest.log_prices, [first - 1], length=first)
    predictor.fit(history, hyperparameters=MODELS, num_val_windows=2, random_seed=settings.SEED)
    if missing := set(MODELS) - set(predictor.model_names()):
        raise RuntimeError(f"{contest}: AutoGluon did not fit {', '.join(sorted(missing))}")
    return {"fit_seconds": time.perf_counter() - started}


def _forecast_timeseries(contest: CoreContest, folder: Path) -> pd.DataFrame:
    from autogluon.timeseries import TimeSeriesPredictor

    predictor = TimeSeriesPredictor.load(str(folder / "predictor"))
    started = time.perf_counter()
    origins = np.unique(contest.origins)
    items = _items(contest.log_prices, origins, CONTEXT_SESSIONS)
    paths = predictor.predict(items, use_cache=False, random_seed=settings.SEED)
    seconds = (time.perf_counter() - started) / len(origins)
    step = paths.groupby(level="item_id").cumcount() + 1
    chosen = paths[step.isin(contest.steps)]
    levels = np.sort(chosen[[str(level) for level in settings.QUANTILE_LEVELS]].to_numpy(), axis=1)
    origin = chosen.index.get_level_values("item_id").astype(int)
    returns = levels - contest.log_prices[origin][:, None]
    by_row = pd.DataFrame(returns, columns=QUANTILES, index=[origin, step[step.isin(contest.steps)].to_numpy()])
    own = by_row.loc[list(zip(contest.origins, contest.test["horizon_days"], strict=True))]
    scaled = own.to_numpy() / contest.test["scale"].to_numpy()[:, None]
    return pd.DataFrame(scaled, columns=QUANTILES).assign(score_seconds=seconds)


def _fit_reference(contest: CoreContest, folder: Path) -> dict:
    """Reference quantiles of each horizon, from the matured z of the training rows."""
    by_horizon = {
        int(horizon): centred_quantiles(z.to_numpy(), settings.QUANTILE_LEVELS).tolist()
        for horizon, z in contest.train_part.groupby("horizon_days")["z"]
    }
    (folder / "quantiles.json").write_text(json.dumps(by_horizon))
    return {"fit_seconds": 0.0}


def _forecast_reference(contest: CoreContest, folder: Path) -> pd.DataFrame:
    by_horizon = json.loads((folder / "quantiles.json").read_text())
    values = [by_horizon[str(horizon)] for horizon in contest.test["horizon_days"]]
    return pd.DataFrame(values, columns=QUANTILES).assign(score_seconds=0.0)


FIT: dict[str, Callable[[CoreContest, Path], dict]] = {
    "autogluon_timeseries": _fit_timeseries,
    "reference": _fit_reference,
}
FORECAST: dict[str, Callable[[CoreContest, Path], pd.DataFrame]] = {
    "autogluon_timeseries": _forecast_timeseries,
    "reference": _forecast_reference,
}


def _items(log_prices: np.ndarray, origins: Iterable[int], length: int):
    """One item per origin: its last `length` log prices, on an artificial daily calendar."""
    from autogluon.timeseries import TimeSeriesDataFrame

    frames = []
    for origin in origins:
        first = max(0, origin - length + 1)
        days = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(first, origin + 1), "D")
        frames.append(pd.DataFrame({"item_id": origin, "timestamp": days, "target": log_prices[first : origin + 1]}))
    return TimeSeriesDataFrame(pd.concat(frames, ignore_index=True))


def run_core(
    prices: pd.DataFrame, targets: pd.DataFrame, run_plan: pd.DataFrame, executor: str = "local"
) -> pd.DataFrame:
    """Out-of-fold and live forecasts of the core and of the reference.

    Parameters
    ----------
    prices : DataFrame
        as_of_date and close (cents/lb) of ZL, one row per session.
    targets : DataFrame
        int_targets__daily.
    run_plan : DataFrame
        live_from of each bucket. The core's live fold begins with the newest of them, as the ensemble's does.
    executor : str
        See `workers.run`.

    Returns
    -------
    DataFrame
        Columns `runner.COLUMNS`, subject 'core', competitors 'autogluon_timeseries' and 'reference'.
    """
    prices = prices.sort_values("as_of_date", ignore_index=True)
    log_prices = np.log(prices["close"].to_numpy())
    position = pd.Series(prices.index, index=prices["as_of_date"])
    targets = targets.sort_values(KEY, ignore_index=True)
    newest = pd.Timestamp(run_plan["live_from"].max())
    folds = walk_forward(pd.DatetimeIndex(targets["as_of_date"].drop_duplicates()), newest)
    contests = []
    for fold in folds:
        train, test = targets[fold.train_rows(targets)], targets[fold.test_rows(targets)]
        origins = position[test["as_of_date"]].to_numpy()
        contests.append(CoreContest(fold, log_prices[: origins.max() + 1], origins, train, test, fold in folds[-2:]))
    return run(contests, executor=executor)
