"""Helpers that `check_family` and `check_method` share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from threadpoolctl import threadpool_limits

from zl_forecast import settings
from zl_forecast.errors import CheckError
from zl_forecast.workers import run_in_background

FRESH_PROCESS_CHECKS = {"loads": "the saved model", "repeats": "a second fit"}
ROUNDING = 1e-6  # sums in a network may depend on the number of rows per batch


@dataclass(frozen=True)
class Subject:
    """A family or method under test. `title` names it in messages, for example "family 'toy'"."""

    title: str

    def fail(self, check: str, problem: str, cause: BaseException | None = None) -> NoReturn:
        """Report a failed check.

        Parameters
        ----------
        check : str
            Name of the check, for example 'own_row'.
        problem : str
            Completes the sentence "it ...".
        cause : BaseException, optional
            The original error, kept as `__cause__`.

        Raises
        ------
        CheckError
            Always.
        """
        raise CheckError(self.title, check, problem) from cause

    @contextmanager
    def failing(self, check: str, problem: str) -> Iterator[None]:
        """Report any exception raised in the body of the `with` statement as a failure of a check.

        Parameters
        ----------
        check : str
            Name of the check.
        problem : str
            Completes the sentence "it ..."; the original error is appended.

        Yields
        ------
        None

        Raises
        ------
        CheckError
            If the body raises an exception.
        """
        try:
            yield
        except Exception as error:
            self.fail(check, f"{problem}: {type(error).__name__}: {error}", error)

    def check_quantiles(self, check: str, quantiles: np.ndarray, n_rows: int, where: str = "") -> np.ndarray:
        """Fail unless quantiles are finite, ascending and of shape (n_rows, n_levels).

        Parameters
        ----------
        check : str
            Name of the check.
        quantiles : array
            Forecasts at `settings.QUANTILE_LEVELS`, standardised returns.
        n_rows : int
            Expected number of rows.
        where : str
            Appended to the message, for example " in a single row".

        Returns
        -------
        array of shape (n_rows, n_levels)
            The quantiles, unchanged.

        Raises
        ------
        CheckError
            If the shape is wrong, a value is not finite, or quantiles cross.
        """
        shape = (n_rows, len(settings.QUANTILE_LEVELS))
        if np.shape(quantiles) != shape:
            self.fail(check, f"forecasts an array of shape {np.shape(quantiles)}, not {shape}{where}")
        if n_bad := (~np.isfinite(quantiles)).any(axis=1).sum():
            self.fail(check, f"forecasts quantiles that are not finite in {n_bad} of {n_rows} rows{where}")
        if n_crossed := (np.diff(quantiles, axis=1) < 0).any(axis=1).sum():
            self.fail(check, f"forecasts quantiles that cross in {n_crossed} of {n_rows} rows{where}")
        return quantiles

    def check_same(self, check: str, quantiles: np.ndarray, other: np.ndarray, problem: str, gap: float = 0.0) -> None:
        """Fail unless two arrays agree up to a tolerance.

        Parameters
        ----------
        check : str
            Name of the check.
        quantiles, other : arrays of the same shape
        problem : str
            Completes the sentence "it ..."; the largest difference is appended.
        gap : float
            Largest absolute difference allowed, in the unit of the arrays.

        Raises
        ------
        CheckError
            If the largest absolute difference exceeds `gap`.
        """
        if (difference := np.abs(quantiles - other).max()) > gap:
            self.fail(check, f"{problem}, by up to {difference:.2g}")

    def check_fresh_process(self, work: Callable[[Any, bool], np.ndarray], task: Any, quantiles: np.ndarray) -> None:
        """Fail unless a fresh process reproduces the forecasts, from the saved model and from a second fit.

        Parameters
        ----------
        work : callable (task, is_second_fit) -> array
            Returns the forecasts; must be importable by name.
        task : object
            First argument of `work`; must be picklable.
        quantiles : array of shape (n_rows, n_levels)
            Forecasts to reproduce.

        Raises
        ------
        CheckError
            'loads' if the saved model fails or differs, 'repeats' if the second fit does.
        """
        results = run_in_background(_run_with_both_fits, (work, task))
        for (check, what), result in zip(FRESH_PROCESS_CHECKS.items(), results, strict=True):
            if isinstance(result, str):
                self.fail(check, f"cannot forecast with {what} in a fresh process: {result}")
            self.check_same(check, result, quantiles, f"forecasts differently with {what} in a fresh process")

    @contextmanager
    def check_random_state(self) -> Iterator[None]:
        """Fail unless the `with` statement leaves NumPy's global random state unchanged.

        Other code may have seeded it.

        Yields
        ------
        None

        Raises
        ------
        CheckError
            If the state has changed.
        """
        before = np.random.get_state()
        yield
        if any(not np.array_equal(a, b) for a, b in zip(before, np.random.get_state(), strict=True)):
            self.fail("random_state", "changes NumPy's global random state. Draw from a local seeded generator.")


def _run_with_both_fits(task: tuple[Callable[[Any, bool], np.ndarray], Any]) -> list[np.ndarray | str]:
    """Run `work` with the saved model and with a second fit; return each result, or the error as text."""
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
    """Limit every numerical library to one thread, as in a worker; sums depend on the number of threads.

    Yields
    ------
    None
        The previous number of threads is restored on exit.
    """
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
