"""The core forecaster: AutoGluon's time-series models on ZL itself, and the reference.

Forecasts at all horizons come from one path. Every session of a fold is an origin with its own history. One predictor
per fold is fitted on prices before the fold and forecasts from all origins. This matches
`TimeSeriesPredictor.backtest_predictions`, but does not need a full 120-session path after each origin, so
out-of-fold and live forecasts are made in the same way.
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
CONTEXT_SESSIONS = 504  # two years, enough to estimate ZL's typical volatility
# explicit, because AutoGluon's presets download pretrained weights; n_jobs=1, so that local models start no processes
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
        Natural log of ZL's close in cents/lb, up to the end of the fold, oldest first.
    origins : array of shape (n_rows,)
        Position in `log_prices` of each row's as_of_date.
    train_part, test : DataFrame
        Training and test rows of int_targets__daily.
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
        """as_of_date and horizon_days of the rows to forecast."""
        return self.test[KEY]

    @cached_property
    def train_rows(self) -> int:
        """Number of training rows."""
        return len(self.train_part)

    @property
    def steps(self) -> tuple[int, ...]:
        """Horizons in sessions, ascending."""
        return tuple(int(h) for h in sorted(self.test["horizon_days"].unique()))

    def context(self, origin: int) -> np.ndarray:
        """Return the log prices that a forecast from one origin uses.

        Parameters
        ----------
        origin : int
            Position of the origin in `log_prices`.

        Returns
        -------
        array of shape (n,)
            Oldest first, the origin last; n is at most `CONTEXT_SESSIONS`.
        """
        return self.log_prices[max(0, origin - CONTEXT_SESSIONS + 1) : origin + 1]

    def competitors(self) -> Sequence[Competitor]:
        """The core models and the reference."""
        return self._competitors

    @cached_property
    def _competitors(self) -> tuple[Competitor, ...]:
        contexts = {origin: fingerprint.combine(self.context(origin).tobytes()) for origin in np.unique(self.origins)}
        row_inputs = pd.DataFrame(
            {
                "context": [contexts[origin] for origin in self.origins],
                "horizon_volatility": self.test["horizon_volatility"].to_numpy(),
            }
        )
        own = self.rows.reset_index(drop=True)
        training_inputs = fingerprint.of_frame(self.train_part[["horizon_days", "target_date", "z_return"]])
        return (
            self._competitor(
                "autogluon_timeseries",
                (MODELS, self.log_prices[: self.origins[0]].tobytes(), self.steps),
                own.join(row_inputs),
            ),
            self._competitor("reference", (training_inputs,), own),
        )

    def _competitor(self, name: str, training_inputs: tuple, row_inputs: pd.DataFrame) -> Competitor:
        key = fingerprint.combine(
            SUBJECT,
            self.fold.fold_type,  # in January the live fold and the year's fold start on the same date
            self.fold.start,
            name,
            *training_inputs,
            fingerprint.of_code(__name__),
            fingerprint.library_versions(),
        )
        described = {
            "bucket": SUBJECT,
            "family": name,
            "fold_type": self.fold.fold_type,
            "fold_start": self.fold.start.date(),
            "trained_until": self.fold.start.date(),
        }
        return Competitor(name, key, fingerprint.with_row_hash(row_inputs)["row_hash"].to_numpy(), described=described)

    def train(self, name: str, folder: Path) -> dict:
        """Fit one competitor and write it to `folder`."""
        return FIT[name](self, folder)

    def forecast(self, models: dict[str, Model]) -> Iterator[Forecasts]:
        """Forecast all rows with each model; a model that raises yields a `Failure`."""
        for name, model in models.items():
            try:
                table = FORECAST[name](self, model.folder)
            except Exception as error:  # one failed input must not stop the ensemble; its rows record the reason
                yield Forecasts(name, Failure.of(error))
            else:
                yield Forecasts(name, table.assign(fit_seconds=model.facts["fit_seconds"]))


def _fit_timeseries(contest: CoreContest, folder: Path) -> dict:
    from autogluon.timeseries import TimeSeriesPredictor

    started = time.perf_counter()
    predictor = TimeSeriesPredictor(
        prediction_length=max(contest.steps),
        freq="D",  # numbered sessions instead of dates, so that holidays leave no gaps
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
    scaled = own.to_numpy() / contest.test["horizon_volatility"].to_numpy()[:, None]
    return pd.DataFrame(scaled, columns=QUANTILES).assign(score_seconds=seconds)


def _fit_reference(contest: CoreContest, folder: Path) -> dict:
    """Store the reference quantiles of each horizon, from the matured standardised returns of the training rows."""
    by_horizon = {
        int(horizon): centred_quantiles(z_return.to_numpy(), settings.QUANTILE_LEVELS).tolist()
        for horizon, z_return in contest.train_part.groupby("horizon_days")["z_return"]
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
    """Build one item per origin: its last `length` log prices on an artificial daily calendar."""
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
    """Run the core models and the reference on all folds, out of fold and live.

    Parameters
    ----------
    prices : DataFrame
        as_of_date and close (cents/lb) of ZL, one row per session.
    targets : DataFrame
        int_targets__daily: one row per as_of_date and horizon_days.
    run_plan : DataFrame
        live_from of each bucket. The core's live fold begins at the newest of them, like the ensemble's.
    executor : str
        See `workers.run`.

    Returns
    -------
    DataFrame
        Columns `runner.COLUMNS`, subject 'core', competitors 'autogluon_timeseries' and 'reference'. Quantiles are
        standardised returns.

    Raises
    ------
    TournamentError
        If the history is too short, see `walk_forward`.
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
