"""Runs tasks side by side in processes, as many as there are cores, each with its own thread budget, and reports progress.

The pool is one for the whole build: dbt runs several models at once in threads, and their tasks share it, so that
fits x threads never exceeds the cores. A task that dies or exceeds its limit costs itself and nobody else.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from zl_forecast import settings
from zl_forecast.errors import TournamentError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ENVIRONMENT = {name: str(settings.THREADS_PER_FIT) for name in THREAD_VARIABLES} | {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Lost:
    """A task without a result.

    Attributes
    ----------
    status : str
        'timed_out' or 'failed'.
    reason : str
        For the user: what happened, with the number.
    """

    status: str
    reason: str


def run(
    work: Callable[..., Any],
    tasks: list[Any],
    limit: Callable[[Any], float | None] = lambda task: None,
    executor: str = "local",
) -> Iterator[tuple[Any, Any]]:
    """Run `work(task)` for every task and yield (task, result) as they finish.

    Parameters
    ----------
    limit : callable
        Seconds that a task may run; it is then killed. None: no limit.
    executor : str
        local: processes of this machine. ray: the Ray cluster that RAY_ADDRESS names, or one started on this machine.

    Yields
    ------
    (task, result)
        `Lost` stands for the result where the process died or was killed. An exception in a task is raised here.
    """
    if executor not in ("local", "ray"):
        raise TournamentError(f"executor '{executor}' does not exist. Use local or ray.")
    if not tasks:
        return
    ended = (_on_ray if executor == "ray" else _in_pool)(work, tasks, limit)
    for count, (task, result) in enumerate(ended, start=1):
        if isinstance(result, BaseException):
            PROGRESS.drop(len(tasks) - count)
            raise result
        yield task, result


class Progress:
    """One count of finished tasks for all callers: a bar on a terminal, else a line a task, with what remains."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._started = 0.0
        self._bar: tqdm | None = None

    def expect(self, count: int) -> None:
        """More tasks are coming."""
        with self._lock:
            if self._done >= self._total:  # all that was expected before has ended
                self._total = self._done = 0
                self._started = time.monotonic()
            self._total += count

    def drop(self, count: int) -> None:
        """`count` tasks were given up."""
        with self._lock:
            self._total = max(self._done, self._total - count)

    def step(self, label: str) -> None:
        """One task has ended."""
        with self._lock:
            self._done += 1
            if sys.stdout.isatty():
                if self._bar is None:
                    self._bar = tqdm(unit="fit", dynamic_ncols=True, leave=False)
                self._bar.total = self._total
                self._bar.n = self._done
                self._bar.set_description(label)
                if self._done == self._total:
                    self._bar.close()
                    self._bar = None
                return
            elapsed = time.monotonic() - self._started
            remaining = elapsed / self._done * (self._total - self._done)
            print(
                f"{self._done}/{self._total} {label}: {elapsed:.0f} s so far, about {remaining:.0f} s remain",
                flush=True,
            )


PROGRESS = Progress()


def prepare_process() -> None:
    """Give this process its thread budget; called first of all in a worker."""
    os.environ.update(ENVIRONMENT)
    import torch

    torch.set_num_threads(settings.THREADS_PER_FIT)


class _Pool:
    """The build's pool; a fresh one replaces one that broke because a process died while it took a task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None

    def submit(self, work: Callable, task: Any, seconds: float | None) -> Future:
        with self._lock:
            if self._pool is None or not self._pool.active:
                self._pool = ProcessPool(
                    max_workers=max(1, settings.CORES // settings.THREADS_PER_FIT),
                    initializer=prepare_process,
                    context=get_context("spawn"),
                )
            return self._pool.schedule(work, args=(task,), timeout=seconds)


_POOL = _Pool()


def _in_pool(work: Callable, tasks: list[Any], limit: Callable) -> Iterator[tuple[Any, Any]]:
    PROGRESS.expect(len(tasks))
    running = {_POOL.submit(work, task, limit(task)): task for task in tasks}
    again = set()  # tasks that a broken pool took with it
    try:
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool) and id(task) not in again:
                    again.add(id(task))
                    running[_POOL.submit(work, task, limit(task))] = task
                    continue
                if isinstance(error, ProcessExpired | BrokenProcessPool):
                    result = died(f"exit code {getattr(error, 'exitcode', 'unknown')}")
                elif isinstance(error, TimeoutError) and limit(task) is not None:
                    result = timed_out(limit(task))
                else:
                    result = error or future.result()
                PROGRESS.step(f"{task} {result.status}" if isinstance(result, Lost) else str(task))
                yield task, result
    finally:
        for future in running:
            future.cancel()


def died(how: str) -> Lost:
    return Lost("failed", f"its process died: {how} (killed, or out of memory?)")


def timed_out(seconds: float) -> Lost:
    return Lost(
        "timed_out", f"not finished after {seconds:.0f} s, its limit in seeds/families.csv; a longer one tries again"
    )


def _on_ray(work: Callable, tasks: list[Any], limit: Callable) -> Iterator[tuple[Any, Any]]:
    """The same tasks on a Ray cluster. As many are in flight as fit, so that a task's time begins when it is handed over."""
    import ray

    if not ray.is_initialized():
        ray.init(
            num_cpus=None if os.environ.get("RAY_ADDRESS") else settings.CORES,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": ENVIRONMENT | _handed_on()},
        )
    PROGRESS.expect(len(tasks))
    remote = ray.remote(num_cpus=settings.THREADS_PER_FIT, max_retries=0)(_prepared)
    slots = max(1, int(ray.cluster_resources().get("CPU", 1)) // settings.THREADS_PER_FIT)
    waiting, running = list(reversed(tasks)), {}
    while waiting or running:
        while waiting and len(running) < slots:
            task = waiting.pop()
            running[remote.remote(work, task)] = (task, time.monotonic())
        ended, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
        for reference in ended:
            task, _ = running.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                result = error.cause
            except ray.exceptions.RayError as error:
                result = died(type(error).__name__)
            PROGRESS.step(f"{task} {result.status}" if isinstance(result, Lost) else str(task))
            yield task, result
        for reference, (task, started) in list(running.items()):
            seconds = limit(task)
            if seconds is not None and time.monotonic() - started > seconds:
                running.pop(reference)
                ray.cancel(reference, force=True)
                PROGRESS.step(f"{task} timed_out")
                yield task, timed_out(seconds)


def _handed_on() -> dict[str, str]:
    """What a Ray worker must know of this process: where modules are, and where the project keeps its files."""
    settings_of_ours = {name: value for name, value in os.environ.items() if name.startswith("ZL_")}
    return settings_of_ours | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _prepared(work: Callable, task: Any) -> Any:
    prepare_process()
    return work(task)
