"""Progress of a build: a line per finished stage and, on a terminal, a line at the bottom with the time left."""

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from zl_forecast.cli.output import open_console, print_indented
from zl_forecast.dbt_run import FAILED, Node, last_error, shorten
from zl_forecast.workers import PROGRESS

STAGES = (
    "landing files",
    "features",
    "gates",
    "plan",
    "bucket tournaments",
    "core",
    "ensemble",
    "evaluation",
    "publication",
)
# by path below the folder of models or seeds; the first match counts, and everything else is evaluation
STAGE_OF_PATH = (
    (r"published_snapshot|finished_build", "publication"),
    (r"\.csv$|^staging/|int_landing__|/(landing|ingest)_\w+\.sql$|int_calendar__exchange", "landing files"),
    (r"/validation/|gx_results", "gates"),
    (r"/plan/|run_plan", "plan"),
    (r"/specialists/|int_tournament__|int_novelty__|int_features__", "bucket tournaments"),
    (r"int_core__|int_carry__forecasts", "core"),
    (r"int_ensemble__", "ensemble"),
    (r"^intermediate/int_|^marts/buckets/", "features"),
    (r"", "evaluation"),
)
PLANNED_FITS = "int_plan__fits"
SPECIALIST = "specialist_"
NOTES = ("JinjaLogInfo", "JinjaLogWarning")  # dbt's events of `log` and `exceptions.warn` in macros
RESULTS = ("LogTestResult", "RunResultWarning", "RunResultWarningMessage")  # warnings that `NodeFinished` has as well
DONE = ("success", "pass", "warn")
DURATIONS = ".durations.json"
PARALLELISM = 1.5  # of two dbt threads, measured


def stage_of(node: Node) -> str:
    """Return the stage of a node: the latest one of its paths, so that a test counts with the models that it reads.

    Parameters
    ----------
    node : Node

    Returns
    -------
    str
        A member of `STAGES`.
    """
    found = {next(stage for pattern, stage in STAGE_OF_PATH if re.search(pattern, path)) for path in node.paths}
    return max(found or {STAGES[0]}, key=STAGES.index)


class Durations:
    """Seconds that each node and fit took in earlier builds, in a file of the data folder.

    Parameters
    ----------
    file : Path
        Created by `save`; a missing or damaged one counts as empty.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        known: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            known = json.loads(file.read_text())
        self.nodes: dict[str, float] = known.get("nodes", {})
        self.seconds_per_fit: float | None = known.get("seconds_per_fit")

    def save(self) -> None:
        """Write the file completely or not at all; without a data folder do nothing."""
        fresh = self._file.with_name(f"{self._file.name}-{os.getpid()}")
        with suppress(OSError):
            fresh.write_text(json.dumps({name: value for name, value in vars(self).items() if name != "_file"}))
            fresh.replace(self._file)


class BuildProgress:
    """Follows a build through dbt's events and the fits of the workers.

    Parameters
    ----------
    nodes : dict of str to Node
        What dbt runs, by unique_id.
    durations : Durations
        Of earlier builds; updated by this one.
    count_planned : callable
        Returns the number of planned fits by bucket, once the plan has been made.
    """

    def __init__(
        self,
        nodes: dict[str, Node],
        durations: Durations,
        count_planned: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self._nodes, self._durations, self._count_planned = nodes, durations, count_planned
        self._stages = {key: stage_of(node) for key, node in nodes.items()}
        self._left = Counter(self._stages.values())
        self._lock = threading.RLock()
        self._console = open_console()
        self._started: dict[str, tuple[float, int]] = {}  # time, and fits finished by then
        self._done: dict[str, str] = {}  # status by unique_id
        self._fits: Counter[str] = Counter()
        self._planned: dict[str, int] = {}
        self._fit_seconds, self._n_timed_fits, self._last_task_at = 0.0, 0, 0.0
        self._notes: list[str] = []
        self._skipped: list[str] = []
        self._began = time.monotonic()
        self._bar = Progress(
            BarColumn(16),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal or self._console.is_dumb_terminal,
        )
        self._task = self._bar.add_task("", total=len(nodes), left="")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show progress, with what models print above it.

        Yields
        ------
        None
        """
        with self._bar, redirect_stdout(_Lines(self.note)), PROGRESS.reported_to(self.count_task):
            yield
        if self._n_timed_fits:
            self._durations.seconds_per_fit = round(self._fit_seconds / self._n_timed_fits, 3)
        self._durations.save()

    def follow(self, event: Any) -> None:
        """Take note of an event of dbt.

        Parameters
        ----------
        event : dbt_common.events.base_types.EventMsg
        """
        name = event.info.name
        if name == "NodeStart":
            self._start(event.data.node_info.unique_id)
        elif name == "NodeFinished":
            result = event.data.run_result
            self._finish(event.data.node_info.unique_id, result.status, result.message)
        elif name in NOTES or (event.info.level == "warn" and name not in RESULTS):
            self.note(event.info.msg)

    def note(self, text: str) -> None:
        """Show a line that a model or dbt has printed; `conclude` repeats it.

        Parameters
        ----------
        text : str
        """
        if text := text.strip():
            with self._lock:
                if text not in self._notes:
                    self._notes.append(text)
                    self._print(text, "yellow", indent=8)

    def count_task(self, label: str, task: Any, done: int) -> None:
        """Count a finished task of the workers if it is a fit.

        Parameters
        ----------
        label : str
            Its subject and more, for example 'crush oof 2019-01 ridge'.
        task : object
            With `competitors`: one is fitted, several forecast with what was fitted.
        done : int
            Number of tasks finished since there was last none to do.
        """
        with self._lock:
            subject, now = label.split()[0], time.monotonic()
            if len(getattr(task, "competitors", ())) == 1:
                self._fits[subject] += 1
                if done > 1:  # the time since the task before; the first one may have waited for other models
                    self._fit_seconds += now - self._last_task_at
                    self._n_timed_fits += 1
            self._last_task_at = now
            self._update(self._of_plan(subject))

    def _start(self, key: str) -> None:
        if key not in self._nodes:
            return  # an exposure
        with self._lock:
            self._started[key] = (time.monotonic(), self._fits.total())
            self._update(self._stages[key])

    def _finish(self, key: str, status: str, message: str) -> None:
        if key not in self._nodes or key in self._done:
            return
        with self._lock:
            node, stage = self._nodes[key], self._stages[key]
            self._done[key] = status
            started_at, n_fits = self._started.get(key, (time.monotonic(), -1))
            # no fit has ended meanwhile, for which the node would have waited
            if status in DONE and n_fits == self._fits.total():
                self._durations.nodes[key] = round(time.monotonic() - started_at, 2)
            if status in FAILED:
                self._print(f"FAILED: {node.resource_type} {node.name} ({node.file})", "bold red")
                self._print(_message(message, node), "red", indent=2)
            elif status == "warn":
                self.note(f"{node.name}: {shorten(message)} ({node.file})")
            if node.name == PLANNED_FITS:
                self._planned = self._count_planned()
            bucket = node.name.removeprefix(SPECIALIST)
            if node.name.startswith(SPECIALIST) and self._fits[bucket]:
                self._print(f"{self._of_plan(bucket)}, {_duration(time.monotonic() - started_at)}", "dim", indent=8)
            self._left[stage] -= 1
            if not self._left[stage]:
                self._print_stage(stage)
            self._update(stage)

    def _of_plan(self, bucket: str) -> str:
        planned = self._planned.get(bucket, 0)
        return f"{bucket}: {self._fits[bucket]}{f' of {planned}' if planned >= self._fits[bucket] > 0 else ''} fits"

    def _print_stage(self, stage: str) -> None:
        own = [key for key, name in self._stages.items() if name == stage]
        n_failed = sum(self._done.get(key) in FAILED for key in own)
        n_skipped = sum(self._done.get(key, "skipped") == "skipped" for key in own)
        if n_skipped and not n_failed:
            self._skipped.append(f"{stage} ({n_skipped} of {len(own)})")
            return
        counts = Counter("test" if self._nodes[key].resource_type == "test" else "model" for key in own)
        listed = ", ".join(f"{count:3} {what}{'s' * (count > 1)}" for what, count in sorted(counts.items()))
        state = f"{n_failed} FAILED" if n_failed else "done"
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        self._print(f"{minutes:3}:{seconds:02}  {stage:20}{listed:24}  {state}", "red" if n_failed else "green")

    def _update(self, stage: str) -> None:
        # core and ensemble are not in the plan: what they have fitted counts on both sides
        n_fits = sum(max(self._planned.get(name, 0), self._fits[name]) for name in {*self._planned, *self._fits})
        left = self._seconds_left(n_fits - self._fits.total())
        self._bar.update(
            self._task,
            completed=len(self._done) + self._fits.total(),
            total=len(self._nodes) + n_fits,
            description=f"{stage}, {len(self._done)}/{len(self._nodes)} steps"
            + (f", {self._fits.total()}/{n_fits} fits" if n_fits else ""),
            left=f"about {_duration(left)} left" if left is not None else "",
        )

    def _seconds_left(self, n_fits: int) -> float | None:
        """Estimate the remaining time; None if earlier builds and this one say nothing about it."""
        known, now = self._durations, time.monotonic()
        per_fit = self._fit_seconds / self._n_timed_fits if self._n_timed_fits else known.seconds_per_fit
        if not known.nodes.keys() - self._done.keys() and not (n_fits and per_fit):
            return None
        of_nodes = sum(
            max(0.0, seconds - (now - self._started[key][0] if key in self._started else 0))
            for key, seconds in known.nodes.items()
            if key in self._nodes and key not in self._done
        )
        return of_nodes / PARALLELISM + max(n_fits, 0) * (per_fit or 0)

    def conclude(self) -> None:
        """Print unfinished stages, and repeat all notes."""
        for stage in STAGES:
            if self._left[stage]:
                self._print_stage(stage)
        if self._skipped:
            self._print(f"Skipped because of what failed: {', '.join(self._skipped)}", "red")
        if self._notes:
            self._print(f"\nNotes of this build ({len(self._notes)}):", "yellow")
        for text in self._notes:
            self._print(text, "yellow", indent=2)

    def _print(self, text: str, style: str = "", indent: int = 0) -> None:
        print_indented(self._console, text, indent, style)


def _message(message: str, node: Node) -> str:
    """Return dbt's message without a traceback, and without a first line that repeats the node and its file."""
    first, *rest = last_error(message).strip().split("\n")
    return dedent("\n".join(rest)) if rest and node.file in first else "\n".join((first, *rest))


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class _Lines(StringIO):
    """Stream that hands over whole lines; each thread has its own."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take, self._own = take, threading.local()

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self._own, "rest", "") + text).split("\n")
        self._own.rest = rest
        for line in lines:
            self._take(line)
        return len(text)
