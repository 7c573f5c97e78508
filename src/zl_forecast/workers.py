"""Runs tasks side by side in processes, as many as there are cores, each with its own thread budget, and reports progress.

The pool of the fits is one for the whole build: dbt runs several models at once in threads, and their tasks share it, so that
fits x threads never exceeds the cores. A task that dies or exceeds its limit costs itself and nobody else.
"""

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tqdm import tqdm

from zl_forecast import settings
from zl_forecast.errors import TournamentError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
POLL_SECONDS = 0.5
IDLE_SECONDS = 60  # a process that has had nothing to do for so long ends: Great Expectations takes 370 MB, and its gates come first
OOM_SCORE_OF_WORKERS = 500  # of 1,000: as if a fit used half of the memory more than it does
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
    tasks : list
        The caller may append more while it reads results.
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
    """Give this process its thread budget; called first of all in a worker, since libraries read it when they are imported."""
    os.environ.update(ENVIRONMENT)


@dataclass
class _Job:
    """A task on its way: `result` is what it gave, an exception that it raised, or `Lost`."""

    work: Callable[..., Any]
    task: Any
    seconds: float | None
    environment: dict[str, str] = field(default_factory=lambda: _our_settings())  # of now: the process may be older
    result: Future = field(default_factory=Future)
    is_abandoned: bool = False  # nobody waits for it any more


class _Pool:
    """A thread a slot, each with a process of its own.

    No process shares a pipe or a lock with another: one that dies, at work or idle, takes nothing along but its own task.
    """

    def __init__(self, most_slots: int) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self.most_slots, self._slots = most_slots, 0

    @property
    def has_begun(self) -> bool:
        return self._slots > 0

    def submit(self, job: _Job) -> None:
        self._jobs.put(job)
        with self._lock:
            if self._slots < self.most_slots:
                self._slots += 1
                threading.Thread(target=self._serve, name=f"fits-{self._slots}", daemon=True).start()

    def _serve(self) -> None:
        worker: _Worker | None = None
        while True:
            try:
                job = self._jobs.get(timeout=None if worker is None else IDLE_SECONDS)
            except Empty:  # its memory is of use to others
                if worker is not None:
                    worker.stop()
                worker = None
                continue
            if job.is_abandoned:
                continue
            try:
                worker, result = _done(worker, job)
            except Exception as error:  # no process could be started
                worker, result = None, error
            job.result.set_result(result)


_POOL = _Pool(max(1, settings.CORES // settings.THREADS_PER_FIT))
_ASIDE = _Pool(1)


def run_aside(work: Callable[..., Any], task: Any) -> Any:
    """`work(task)` in a process for all such work, one after the other, while the threads of this process go on.

    For what holds the interpreter for seconds and is no fit. An exception in it is raised here.

    Raises
    ------
    TournamentError
        The process died, twice where it had not begun.
    """
    job = _Job(work, task, None)
    _ASIDE.submit(job)
    result = job.result.result()
    if isinstance(result, Lost):
        raise TournamentError(f"{work.__name__}: {result.reason}. Run dbt build again.")
    if isinstance(result, BaseException):
        raise result
    return result


def get_ready(*packages: str) -> None:
    """Start the processes of the fits, if none runs yet, and let them import packages; returns at once.

    For one who knows that fits will come: four seconds of imports are over when they do.
    """
    if not _POOL.has_begun:
        for _ in range(_POOL.most_slots):
            _POOL.submit(_Job(_import, packages, None))


def _import(packages: tuple[str, ...]) -> None:
    for package in packages:
        import_module(package)


def _done(worker: "_Worker | None", job: _Job) -> tuple["_Worker | None", Any]:
    """Let a worker do a job: the worker for the next one, None where it did not survive, and the result."""
    for is_last in (False, True):
        worker = worker or _Worker()
        try:
            return worker, worker.do(job)
        except _Stopped as stopped:
            worker.stop()
            worker = None
            if stopped.had_begun or is_last:  # else the process had died while it waited: another one does it
                return None, stopped.lost
        except Exception as error:  # what went over the pipe could not be pickled: worker and slot are out of step
            worker.stop()
            return None, error
    raise AssertionError("unreachable")


class _Stopped(Exception):
    """A worker that is of no more use."""

    def __init__(self, lost: Lost, had_begun: bool):
        self.lost, self.had_begun = lost, had_begun


class _Worker:
    """A process that does one task after the other; it ends with this one."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, other_end = context.Pipe()
        # a daemon may not start processes of its own through multiprocessing: a fit keeps to its budget
        self._process = context.Process(target=_work, args=(other_end,), name="fits", daemon=True)
        self._process.start()
        other_end.close()

    def do(self, job: _Job) -> Any:
        """Result of a job, or the exception that it raised; raises _Stopped where the process did not survive it."""
        has_begun = False
        try:
            self._receive(job)  # ready
            self._pipe.send((job.environment, pickle.dumps((job.work, job.task))))
            self._receive(job)  # begun: from here on its time counts, not from the start of the process
            has_begun = True
            return self._receive(job, job.seconds)
        except TimeoutError:
            assert job.seconds is not None  # without a limit nothing times out
            raise _Stopped(timed_out(job.seconds), has_begun) from None
        except (EOFError, ConnectionError):
            self._process.join()
            raise _Stopped(died(f"exit code {self._process.exitcode}"), has_begun) from None

    def _receive(self, job: _Job, seconds: float | None = None) -> Any:
        ends = None if seconds is None else time.monotonic() + seconds
        while not self._pipe.poll(POLL_SECONDS):
            if ends is not None and time.monotonic() > ends:
                raise TimeoutError
            if job.is_abandoned:
                raise _Stopped(Lost("failed", "the build gave it up"), had_begun=True)
        return self._pipe.recv()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: Connection) -> None:
    """What a worker process does, until it is killed or the process that started it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build, which ends its workers
    with suppress(OSError):  # where memory runs out, Linux ends a fit, and not the build for being larger
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_OF_WORKERS))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(
        threading.RLock()
    )  # the default is a semaphore between processes, which is reported as leaked when this one is killed
    prepare_process()
    while True:
        pipe.send(None)  # ready
        environment, pickled = pipe.recv()
        for name in _our_settings().keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        pipe.send(None)  # begun
        try:
            work, task = pickle.loads(pickled)
        except Exception as error:  # a module that can be imported there cannot be here
            pipe.send(Lost("failed", f"its process could not load it. {type(error).__name__}: {error}"))
            continue
        try:
            result = work(task)
        except Exception as error:
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            result = _sendable(error)
        pipe.send(result)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """The error, or one of ours with its words where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return TournamentError(f"{type(error).__name__}: {error}")
    return error


def _in_pool(work: Callable, tasks: list[Any], limit: Callable) -> Iterator[tuple[Any, Any]]:
    given = 0
    running: dict[Future, _Job] = {}
    try:
        while running or given < len(tasks):
            new = [_Job(work, task, limit(task)) for task in tasks[given:]]
            given += len(new)
            PROGRESS.expect(len(new))
            for job in new:
                running[job.result] = job
                _POOL.submit(job)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, result = running.pop(future).task, future.result()
                PROGRESS.step(f"{task} {result.status}" if isinstance(result, Lost) else str(task))
                yield task, result
    finally:
        for job in running.values():
            job.is_abandoned = True


def died(how: str) -> Lost:
    return Lost("failed", f"its process died: {how} (killed, or out of memory?)")


def timed_out(seconds: float) -> Lost:
    return Lost(
        "timed_out", f"not finished after {seconds:.0f} s, its limit in seeds/families.csv; a longer one tries again"
    )


def _on_ray(work: Callable, tasks: list[Any], limit: Callable) -> Iterator[tuple[Any, Any]]:
    """The same tasks on a Ray cluster. As many are in flight as fit, so that a task's time begins when it is handed over."""
    import ray

    slots = _ray_slots()
    remote = ray.remote(num_cpus=settings.THREADS_PER_FIT, max_retries=0)(_prepared)
    expected = given = 0
    running: dict[Any, tuple[Any, float]] = {}
    try:
        while running or given < len(tasks):
            PROGRESS.expect(len(tasks) - expected)
            expected = len(tasks)
            while given < len(tasks) and slots.acquire(timeout=0 if running else None):
                task = tasks[given]
                given += 1
                running[remote.remote(work, task)] = (task, time.monotonic())
            ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
            for reference in ended:
                task, _ = running.pop(reference)
                slots.release()
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
                    slots.release()
                    PROGRESS.step(f"{task} timed_out")
                    yield task, timed_out(seconds)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
            slots.release()


_RAY_LOCK = threading.Lock()
_RAY_SLOTS: dict[str, threading.Semaphore] = {}


def _ray_slots() -> threading.Semaphore:
    """The tasks that the cluster takes at a time, from all of dbt's threads together; starts Ray where it does not run."""
    import ray

    with _RAY_LOCK:
        if not ray.is_initialized():
            ray.init(
                num_cpus=None if os.environ.get("RAY_ADDRESS") else settings.CORES,
                include_dashboard=False,
                log_to_driver=False,
                runtime_env={"env_vars": ENVIRONMENT | _handed_on()},
            )
        cluster = ray.get_runtime_context().get_job_id()
        if cluster not in _RAY_SLOTS:
            cpus = int(ray.cluster_resources().get("CPU", 1))
            _RAY_SLOTS[cluster] = threading.Semaphore(max(1, cpus // settings.THREADS_PER_FIT))
        return _RAY_SLOTS[cluster]


def _handed_on() -> dict[str, str]:
    """What a Ray worker must know of this process: where modules are, and where the project keeps its files."""
    return _our_settings() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _our_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ZL_")}


def _prepared(work: Callable, task: Any) -> Any:
    prepare_process()
    return work(task)
