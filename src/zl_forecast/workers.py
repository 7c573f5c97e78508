"""Runs tasks side by side in processes, as many as there are cores, each with its own thread budget, and reports progress.

The pool is one for the whole build: dbt runs several models at once in threads, and their tasks share it, so that
fits x threads never exceeds the cores.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from typing import Any

from joblib.externals.loky import get_reusable_executor

from zl_forecast import settings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run(work: Callable[..., Any], tasks: list[Any], label: str) -> Iterator[tuple[Any, Any]]:
    """Run `work(task)` for every task and yield (task, result) as they finish.

    One line is printed per finished task, with an estimate of what remains. An exception in a task is raised here.
    """
    if not tasks:
        return
    executor = get_reusable_executor(
        max_workers=max(1, settings.CORES // settings.THREADS_PER_FIT),
        timeout=600,
        env={name: str(settings.THREADS_PER_FIT) for name in THREAD_VARIABLES} | {"CUDA_VISIBLE_DEVICES": ""},
        context="loky",
    )
    started = time.monotonic()
    futures = {executor.submit(_in_worker, work, task): task for task in tasks}
    for done, future in enumerate(as_completed(futures), start=1):
        task = futures[future]
        result = future.result()
        elapsed = time.monotonic() - started
        remaining = elapsed / done * (len(tasks) - done)
        print(f"{label} {done}/{len(tasks)} {task}: {elapsed:.0f} s so far, about {remaining:.0f} s remain", flush=True)
        yield task, result


def _in_worker(work: Callable[..., Any], task: Any) -> Any:
    import torch

    torch.set_num_threads(settings.THREADS_PER_FIT)
    return work(task)
