"""What `check_family` and `check_method` have in common."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from threadpoolctl import threadpool_limits

from zl_forecast import settings
from zl_forecast.errors import CheckError
from zl_forecast.workers import run_aside

AGAIN = {"loads": "the saved model", "repeats": "a second fit"}
ROUNDING = 1e-6  # the sums of a network may depend on how many rows come at once


@dataclass(frozen=True)
class Subject:
    """What is checked, by what it is called in messages: "family 'toy'"."""

    title: str

    def fail(self, check: str, problem: str, cause: BaseException | None = None) -> NoReturn:
        """Raise a `CheckError`; the problem completes the sentence "it ..."."""
        raise CheckError(self.title, check, problem) from cause

    @contextmanager
    def failing(self, check: str, problem: str) -> Iterator[None]:
        """Whatever is raised within is a failure of this check."""
        try:
            yield
        except Exception as error:
            self.fail(check, f"{problem}: {type(error).__name__}: {error}", error)

    def check_quantiles(self, check: str, quantiles: np.ndarray, n_rows: int, where: str = "") -> np.ndarray:
        """Fail unless quantiles are finite, ascending and of shape (n_rows, n_levels)."""
        shape = (n_rows, len(settings.QUANTILE_LEVELS))
        if np.shape(quantiles) != shape:
            self.fail(check, f"forecasts an array of shape {np.shape(quantiles)}, not {shape}{where}")
        if n_bad := (~np.isfinite(quantiles)).any(axis=1).sum():
            self.fail(check, f"forecasts quantiles that are not finite in {n_bad} of {n_rows} rows{where}")
        if n_crossed := (np.diff(quantiles, axis=1) < 0).any(axis=1).sum():
            self.fail(check, f"forecasts quantiles that cross in {n_crossed} of {n_rows} rows{where}")
        return quantiles

    def check_same(self, check: str, quantiles: np.ndarray, other: np.ndarray, problem: str, gap: float = 0.0) -> None:
        """Fail unless two arrays are the same, up to a gap."""
        if (found := np.abs(quantiles - other).max()) > gap:
            self.fail(check, f"{problem}, by up to {found:.2g}")

    def check_fresh_process(self, work: Callable[[Any, bool], np.ndarray], task: Any, quantiles: np.ndarray) -> None:
        """Fail unless `work(task, is_second_fit)` returns the same quantiles in a fresh process, by the saved model and by a second fit."""
        results = run_aside(_twice, (work, task))
        for (check, what), result in zip(AGAIN.items(), results, strict=True):
            if isinstance(result, str):
                self.fail(check, f"cannot forecast with {what} in a fresh process: {result}")
            self.check_same(check, result, quantiles, f"forecasts otherwise with {what} in a fresh process")

    @contextmanager
    def check_random_state(self) -> Iterator[None]:
        """Fail unless NumPy's global random state, which others may have seeded, is afterwards as it was."""
        before = np.random.get_state()
        yield
        if any(not np.array_equal(a, b) for a, b in zip(before, np.random.get_state(), strict=True)):
            self.fail("random_state", "changes NumPy's global random state. Draw from a seeded generator of its own.")


def _twice(task: tuple[Callable[[Any, bool], np.ndarray], Any]) -> list[np.ndarray | str]:
    """In the fresh process: what `work` returns, or what it raises."""
    work, own = task
    results: list[np.ndarray | str] = []
    for is_second_fit in (False, True):
        try:
            with one_thread():
                results.append(work(own, is_second_fit))
        except Exception as error:
            results.append(f"{type(error).__name__}: {error}")
    return results


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for each library, as in a worker: sums depend on their number."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    if torch:
        torch.set_num_threads(settings.THREADS_PER_FIT)
    try:
        with threadpool_limits(settings.THREADS_PER_FIT):
            yield
    finally:
        if torch:
            torch.set_num_threads(threads)
