"""Run tasks in parallel processes, as many as there are cores, each with its own thread budget, and report progress.

The whole build has one pool for fits. dbt runs several models at once in threads, and their tasks share the
pool, so that fits x threads never exceeds the cores. A task that dies or times out does not affect the others.
"""

import os
import pickle
import signal
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

from tqdm import tqdm

from zl_forecast import settings
from zl_forecast.errors import TournamentError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
POLL_SECONDS = 0.5
IDLE_SECONDS = 60  # then an idle process ends: Great Expectations holds 370 MB and runs before the fits
OOM_SCORE_OF_WORKERS = 500  # of 1,000: a fit counts as if it used half of the machine's memory in addition
ENVIRONMENT = {name: str(settings.THREADS_PER_FIT) for name in THREAD_VARIABLES} | {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Lost:
    """Result of a task that was killed.

    Attributes
    ----------
    status : {"timed_out", "failed"}
        Outcome of the task.
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
    work : callable
        Takes a task and returns its result. Both must survive pickling.
    tasks : list
        The caller may append more while it reads results.
    limit : callable
        Takes a task and returns its time limit in seconds, after which it is killed, or None for no limit.
    executor : {"local", "ray"}
        `local` uses processes of this machine; `ray` the Ray cluster that RAY_ADDRESS names, or one started on
        this machine.

    Yields
    ------
    (task, result)
        `Lost` replaces the result if the process died or was killed.

    Raises
    ------
    TournamentError
        The executor does not exist.
    Exception
        Whatever a task raises; remaining tasks are dropped.
    """
    if executor not in ("local", "ray"):
        raise TournamentError(f"executor '{executor}' does not exist. Use local or ray.")
    if not tasks:
        return
    ended = (_on_ray if executor == "ray" else _in_pool)(work, tasks, limit)
    n_ended = 0
    try:
        for task, result in ended:
            n_ended += 1
            PROGRESS.step(f"{task} {result.status}" if isinstance(result, Lost) else str(task), task)
            if isinstance(result, BaseException):
                raise result
            yield task, result
    finally:
        PROGRESS.drop(len(tasks) - n_ended)  # those that an error, or a caller that stops reading, leaves undone


class Progress:
    """One count of finished tasks for all callers.

    `zl build` shows it with the rest of a build. Without it (plain `dbt build`) there is a bar on a terminal, and
    elsewhere one line per task with the time left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._started = 0.0
        self._bar: tqdm | None = None
        self._listener: Callable[[str, Any, int], None] | None = None

    @contextmanager
    def reported_to(self, listener: Callable[[str, Any, int], None]) -> Iterator[None]:
        """Report finished tasks to a listener, and show nothing.

        Parameters
        ----------
        listener : callable
            Takes the task's label, the task, and the number of tasks finished since there was last none to do.

        Yields
        ------
        None
            Progress is shown again at the end of the `with` block.
        """
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    def expect(self, count: int) -> None:
        """Add tasks to the total.

        Parameters
        ----------
        count : int
            Number of tasks that will be run.
        """
        with self._lock:
            if self._done >= self._total:  # all earlier tasks have ended
                self._total = self._done = 0
                self._started = time.monotonic()
            self._total += count

    def drop(self, count: int) -> None:
        """Remove tasks from the total that will not be run.

        Parameters
        ----------
        count : int
            Number of those tasks.
        """
        with self._lock:
            self._total = max(self._done, self._total - count)

    def step(self, label: str, task: Any = None) -> None:
        """Count one task as finished, and show progress.

        Parameters
        ----------
        label : str
            The task, for the terminal.
        task : object, optional
            The task itself, for a listener.
        """
        with self._lock:
            self._done += 1
            if self._listener:
                self._listener(label, task, self._done)
                return
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


def _prepare_process() -> None:
    """Set the thread budget of this process.

    Workers call it first, since libraries read these variables when they are imported.
    """
    os.environ.update(ENVIRONMENT)


@dataclass
class _Job:
    """Queued task; `result` resolves to its return value, its exception, or `Lost`."""

    work: Callable[..., Any]
    task: Any
    seconds: float | None
    environment: dict[str, str] = field(default_factory=lambda: _our_settings())  # read now: the process may be older
    result: Future = field(default_factory=Future)
    is_abandoned: bool = False  # the caller no longer waits for it


class _Pool:
    """A pool with one thread and one process per slot.

    Processes share no pipe or lock, so one that dies, working or idle, affects only its own task.
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
            except Empty:  # end the idle process to free its memory
                if worker is not None:
                    worker.stop()
                worker = None
                continue
            if job.is_abandoned:
                continue
            try:
                worker, result = _do_job(worker, job)
            except Exception as error:  # no process could be started
                worker, result = None, error
            job.result.set_result(result)


_POOL = _Pool(max(1, settings.CORES // settings.THREADS_PER_FIT))
_BACKGROUND = _Pool(1)


def run_in_background(work: Callable[..., Any], task: Any) -> Any:
    """Run `work(task)` in a separate process, while the threads of this process continue.

    It is for work that would hold the interpreter for seconds and is not a fit. All such work shares one process
    and runs one task at a time.

    Parameters
    ----------
    work : callable
        Takes the task and returns its result. Both must survive pickling.
    task : object
        Argument of `work`.

    Returns
    -------
    object
        What `work` returns.

    Raises
    ------
    TournamentError
        The process was killed. One that died before the task began is replaced once.
    Exception
        Whatever `work` raises.
    """
    job = _Job(work, task, None)
    _BACKGROUND.submit(job)
    result = job.result.result()
    if isinstance(result, Lost):
        raise TournamentError(f"{work.__name__}: {result.reason}. Run dbt build again.")
    if isinstance(result, BaseException):
        raise result
    return result


def import_ahead(*packages: str) -> None:
    """Start the worker processes, if none is running yet, and let them import packages; returns at once.

    Call this ahead of training: workers import in the background, which saves about four seconds.

    Parameters
    ----------
    *packages : str
        Modules to import in every worker.
    """
    if not _POOL.has_begun:
        for _ in range(_POOL.most_slots):
            _POOL.submit(_Job(_import, packages, None))


def _import(packages: tuple[str, ...]) -> None:
    for package in packages:
        import_module(package)


def _do_job(worker: "_Worker | None", job: _Job) -> tuple["_Worker | None", Any]:
    """Let a worker do a job; return the worker (None if it did not survive) and the result."""
    for is_last in (False, True):
        worker = worker or _Worker()
        try:
            return worker, worker.do(job)
        except _Stopped as stopped:
            worker.stop()
            worker = None
            if stopped.had_begun or is_last:  # otherwise it died while idle: try another process
                return None, stopped.lost
        except Exception as error:  # a message could not be pickled, so worker and slot are out of step
            worker.stop()
            return None, error
    raise AssertionError("unreachable")


class _Stopped(Exception):
    """A worker that cannot be used any longer."""

    def __init__(self, lost: Lost, had_begun: bool):
        self.lost, self.had_begun = lost, had_begun


class _Worker:
    """A process that runs one task after the other; it ends with this process."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, other_end = context.Pipe()
        # a daemon cannot start processes through multiprocessing, so a fit keeps to its thread budget
        self._process = context.Process(target=_work, args=(other_end,), name="fits", daemon=True)
        with _without_command():
            self._process.start()
        other_end.close()

    def do(self, job: _Job) -> Any:
        """Return a job's result, or the exception that it raised; raise _Stopped if the process did not survive."""
        has_begun = False
        try:
            self._receive(job)  # ready
            self._pipe.send((job.environment, pickle.dumps((job.work, job.task))))
            self._receive(job)  # begun: the time limit counts from here, not from the start of the process
            has_begun = True
            return self._receive(job, job.seconds)
        except TimeoutError:
            assert job.seconds is not None  # nothing times out without a limit
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
                raise _Stopped(Lost("failed", "the build no longer waits for it"), had_begun=True)
        return self._pipe.recv()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


_STARTING = threading.Lock()


@contextmanager
def _without_command() -> Iterator[None]:
    """Hide an installed command, such as dbt, which each new process would import as its main module: two seconds."""
    with _STARTING:
        main = sys.modules["__main__"]
        if Path(getattr(main, "__file__", None) or "").parent == Path(sysconfig.get_path("scripts")):
            sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _work(pipe: Connection) -> None:
    """Run tasks in a worker process, until it is killed or its parent process has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build handles Ctrl-C and ends its workers
    with suppress(OSError):  # if memory runs out, Linux kills a fit instead of the larger build
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_OF_WORKERS))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # tqdm's default lock is a semaphore between processes, reported as leaked when this process is killed
    tqdm.set_lock(threading.RLock())
    _prepare_process()
    while True:
        pipe.send(None)  # ready
        environment, pickled = pipe.recv()
        for name in _our_settings().keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        pipe.send(None)  # begun
        try:
            work, task = pickle.loads(pickled)
        except Exception as error:  # a module that the parent can import is missing here
            pipe.send(Lost("failed", f"the worker process could not load the task. {type(error).__name__}: {error}"))
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
    """Return the error, or an error of this package with the same text if it does not survive pickling."""
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
                yield running.pop(future).task, future.result()
    finally:
        for job in running.values():
            job.is_abandoned = True


def died(how: str) -> Lost:
    """Return the result of a task whose process died.

    Parameters
    ----------
    how : str
        How it ended, such as the exit code.

    Returns
    -------
    Lost
        Status `failed`.
    """
    return Lost("failed", f"process died ({how}), possibly out of memory")


def timed_out(seconds: float) -> Lost:
    """Return the result of a task that exceeded its time limit.

    Parameters
    ----------
    seconds : float
        The limit.

    Returns
    -------
    Lost
        Status `timed_out`.
    """
    return Lost(
        "timed_out", f"timed out after {seconds:.0f} s; raise time_limit_seconds in seeds/families.csv to retry"
    )


def _on_ray(work: Callable, tasks: list[Any], limit: Callable) -> Iterator[tuple[Any, Any]]:
    """Run the same tasks on a Ray cluster.

    A task is submitted only when a slot is free, since its time limit counts from then.
    """
    import ray

    slots = _ray_slots()
    remote = ray.remote(num_cpus=settings.THREADS_PER_FIT, max_retries=0)(_run_prepared)
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
                yield task, result
            for reference, (task, started) in list(running.items()):
                seconds = limit(task)
                if seconds is not None and time.monotonic() - started > seconds:
                    running.pop(reference)
                    ray.cancel(reference, force=True)
                    slots.release()
                    yield task, timed_out(seconds)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
            slots.release()


_RAY_LOCK = threading.Lock()
_RAY_SLOTS: dict[str, threading.Semaphore] = {}


def _ray_slots() -> threading.Semaphore:
    """Return the slots of the cluster, shared by all of dbt's threads; start Ray if it is not running."""
    import ray

    with _RAY_LOCK:
        if not ray.is_initialized():
            ray.init(
                num_cpus=None if os.environ.get("RAY_ADDRESS") else settings.CORES,
                include_dashboard=False,
                log_to_driver=False,
                runtime_env={"env_vars": ENVIRONMENT | _ray_environment()},
            )
        cluster = ray.get_runtime_context().get_job_id()
        if cluster not in _RAY_SLOTS:
            cpus = int(ray.cluster_resources().get("CPU", 1))
            _RAY_SLOTS[cluster] = threading.Semaphore(max(1, cpus // settings.THREADS_PER_FIT))
        return _RAY_SLOTS[cluster]


def _ray_environment() -> dict[str, str]:
    """Return the environment that a Ray worker needs from this process: module paths and ZL_ variables."""
    return _our_settings() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _our_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ZL_")}


def _run_prepared(work: Callable, task: Any) -> Any:
    _prepare_process()
    return work(task)
