"""Tasks in processes: whatever happens to one of them, the others finish and no caller waits forever."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import textwrap
import threading
import time
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import pytest
from conftest import heed_interrupts
from worker_tasks import OnlyThere, Task, oom_score, work

from zl_forecast import workers
from zl_forecast.errors import TournamentError
from zl_forecast.interruption import MESSAGE


def _run(tasks, limit=None) -> dict:
    return {task.number: result for task, result in workers.run(work, tasks, lambda task: limit)}


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Start two processes that have finished a task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers.settings, "CORES", 2)
        patch.setattr(workers, "_POOL", workers._Pool(2))
        assert len(set(_run([Task(i, seconds=1.0) for i in range(2)]).values())) == 2
        yield


def test_a_process_killed_while_idle_loses_no_task():
    for process in active_children():
        os.kill(process.pid, signal.SIGKILL)
    assert all(isinstance(result, int) for result in _run([Task(i) for i in range(6)]).values())


def test_a_process_killed_at_start_loses_no_task():
    _run([Task(i, "dies") for i in range(2)])  # so that new processes must start
    others = {process.pid for process in active_children()}
    results = {}
    thread = threading.Thread(target=lambda: results.update(_run([Task(i) for i in range(6)])))
    thread.start()
    while not (starting := [process for process in active_children() if process.pid not in others]):
        time.sleep(0.01)
    os.kill(starting[0].pid, signal.SIGKILL)
    thread.join(60)
    assert all(isinstance(results[i], int) for i in range(6))


def test_a_task_that_its_process_cannot_load_is_lost_with_the_error_and_the_others_are_done():
    results = dict(workers.run(repr, [OnlyThere(), "one", "two"]))
    assert {task: result for task, result in results.items() if isinstance(task, str)} == {
        "one": "'one'",
        "two": "'two'",
    }
    (lost,) = (result for task, result in results.items() if isinstance(task, OnlyThere))
    assert lost == workers.Lost(
        "failed",
        "the worker process could not load the task. ImportError: libcuda.so.1: cannot open shared object file",
    )


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="only Linux can be told what to kill first")
def test_out_of_memory_kills_a_fit_and_not_the_larger_build():
    scores = [score for _, score in workers.run(oom_score, [0, 1])]
    assert set(scores) == {workers.OOM_SCORE_OF_WORKERS}
    assert min(scores) > oom_score(None)


@pytest.mark.parametrize(("does", "how"), [("dies", "exit code -9"), ("leaves", "exit code 3")])
def test_a_task_that_kills_its_process_is_lost_and_the_others_are_done(does, how):
    results = _run([Task(0), Task(1, does), Task(2), Task(3, does), Task(4)])
    for number in (1, 3):
        assert results[number] == workers.died(how)
    assert all(isinstance(results[number], int) for number in (0, 2, 4))


def test_an_error_that_cannot_be_pickled_keeps_its_message():
    with pytest.raises(TournamentError, match=r"LandingError: bars\.csv: the moon is in the wrong house"):
        _run([Task(0, "raises"), Task(1)])
    assert len(_run([Task(i) for i in range(4)])) == 4


def test_an_error_in_a_task_has_its_traceback():
    with pytest.raises(TimeoutError) as caught:  # not confused with the task's own time limit
        _run([Task(0, "times out")], limit=60)
    assert "line" in caught.value.__notes__[0]
    assert "in work" in caught.value.__notes__[0]


def test_a_time_limit_counts_from_the_start_of_the_task():
    """Twelve tasks of half a second on two processes, from two threads, and a limit of two seconds."""
    results = [{}, {}]

    def run(part):
        results[part].update(_run([Task(i, seconds=0.5) for i in range(6)], limit=2))

    threads = [threading.Thread(target=run, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process for part in results for process in part.values()}) == 2
    for part in results:
        assert len(part) == 6
        assert all(isinstance(result, int) for result in part.values())


def test_a_task_over_its_limit_is_killed_and_the_others_are_done():
    results = _run([Task(0, seconds=60), Task(1), Task(2)], limit=1)
    assert results.pop(0) == workers.timed_out(1)
    assert all(isinstance(result, int) for result in results.values())


def test_tasks_that_are_added_while_results_are_read_are_done_as_well():
    tasks = [Task(0)]
    done = []
    for task, _ in workers.run(work, tasks):
        done.append(task.number)
        if len(tasks) < 4:
            tasks.append(Task(len(tasks)))
    assert done == [0, 1, 2, 3]


def test_an_idle_process_ends_and_a_new_one_runs_the_next_task(monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(workers, "_POOL", workers._Pool(1))
    before = set(active_children())
    first = _run([Task(0)])[0]
    ends = time.monotonic() + 20
    while set(active_children()) - before and time.monotonic() < ends:
        time.sleep(0.1)
    assert set(active_children()) == before
    assert _run([Task(0)])[0] != first


def test_abandoned_tasks_are_cancelled():
    for _ in workers.run(work, [Task(0), *(Task(i, seconds=60) for i in range(1, 4))]):
        break
    started = time.monotonic()
    assert len(_run([Task(i) for i in range(4)])) == 4
    assert time.monotonic() - started < 20


def test_a_worker_process_does_not_import_the_command_that_started_it(tmp_path):
    (tmp_path / "build.py").write_text(
        textwrap.dedent(
            """
            import sysconfig

            from zl_forecast import workers

            print("imported", flush=True)
            sysconfig.get_path = lambda name: __file__.rpartition("/")[0]
            if __name__ == "__main__":
                print(workers.run_in_background(len, "abc"))
            """
        )
    )
    printed = subprocess.run([sys.executable, tmp_path / "build.py"], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["imported", "3"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_worker_processes_end_with_the_build(tmp_path, how):
    """Ctrl-C reaches the whole group, as from a terminal; the kernel kills the build alone."""
    (tmp_path / "build.py").write_text(
        textwrap.dedent(
            """
            import time
            from pathlib import Path

            from zl_forecast import workers


            def sleep(name):
                Path(name).touch()
                time.sleep(60)


            if __name__ == "__main__":
                list(workers.run(sleep, ["one", "two"]))
            """
        )
    )
    build = subprocess.Popen(
        [sys.executable, "build.py"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    while not all((tmp_path / name).exists() for name in ("one", "two")):
        assert build.poll() is None
        time.sleep(0.1)
    assert len(_group(build.pid)) >= 3
    started = time.monotonic()
    if how == signal.SIGINT:
        os.killpg(build.pid, how)
    else:
        build.send_signal(how)
    build.communicate()
    while _group(build.pid):
        assert time.monotonic() - started < 10, _group(build.pid)
        time.sleep(0.1)


@pytest.mark.parametrize("how", ["SIGINT of a terminal", "SIGINT", "SIGTERM"])
def test_an_interrupted_build_ends_at_once_with_all_its_processes(tmp_path, how):
    """As dbt does it: models run in threads of a pool, and after Ctrl-C it waits for them. Fits keep starting programs of their own."""
    (tmp_path / "build.py").write_text(
        textwrap.dedent(
            """
            import subprocess
            import time
            from multiprocessing.pool import ThreadPool

            from zl_forecast import workers
            from zl_forecast.interruption import end_on_interrupt

            STARTING = ["sh", "-c", "while :; do sleep 60 & sleep 0.01; done"]

            if __name__ == "__main__":
                end_on_interrupt()
                pool = ThreadPool(2)
                fits = pool.apply_async(lambda: list(workers.run(subprocess.call, [STARTING, STARTING])))
                pool.apply_async(lambda: [sum(range(10_000)) for _ in range(1_000_000)])
                try:
                    fits.get()
                except KeyboardInterrupt:
                    pool.close()
                    pool.join()
                    raise
            """
        )
    )
    build = subprocess.Popen(
        [sys.executable, "build.py"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    while not any("sleep" in line for line in _group(build.pid)):
        assert build.poll() is None
        time.sleep(0.1)
    started = time.monotonic()
    number = signal.Signals[how.split()[0]]
    os.killpg(build.pid, number) if "terminal" in how else build.send_signal(number)
    try:
        said = build.communicate(timeout=5)[1]
        while _group(build.pid):
            assert time.monotonic() - started < 5, _group(build.pid)
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(build.pid, signal.SIGKILL)
    assert build.returncode == -number
    assert said.decode().endswith(MESSAGE.decode())  # a fit that starts may complain before


def _group(leader: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "pid=,stat=,args=", "-g", str(leader)], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if " Z" not in line and "resource_tracker" not in line]


def test_a_task_that_cannot_be_pickled_is_an_error_and_the_next_ones_are_done():
    slots = workers.settings.CORES // workers.settings.THREADS_PER_FIT
    list(workers.run(time.sleep, [1.0] * slots))  # every slot has a process that waits
    for _ in range(slots + 1):  # once in every slot, and once more
        with pytest.raises(Exception, match="pickle"):
            list(workers.run(len, [lambda: None]))
    assert [result for _, result in workers.run(len, ["one", "three"])] in ([3, 5], [5, 3])


def test_on_a_terminal_progress_is_a_bar_with_the_remaining_time():
    code = (
        "import time\n"
        "from zl_forecast.workers import Progress\n"
        "progress = Progress()\n"
        "progress.expect(3)\n"
        "for family in ('ridge', 'garch', 'tft'):\n"
        "    time.sleep(0.3)\n"
        "    progress.step(f'crush oof 2019-01 {family}')\n"
    )
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 120))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=end, stderr=end)
    os.close(end)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(terminal, 4096):
            shown += chunk
    assert process.wait() == 0
    os.close(terminal)
    text = shown.decode()
    assert "crush oof 2019-01 garch:" in text
    assert "2/3" in text
    assert re.search(r"<00:0\d", text)  # the time that remains
    assert "so far" not in text


def test_run_in_background_uses_one_process_and_raises_errors():
    first = workers.run_in_background(work, Task(1))
    fits = set(_run([Task(i, seconds=0.5) for i in range(2)]).values())
    assert workers.run_in_background(work, Task(2)) == first
    assert first not in fits | {os.getpid()}
    with pytest.raises(TournamentError, match="wrong house"):
        workers.run_in_background(work, Task(3, does="raises"))
    assert workers.run_in_background(work, Task(4)) == first
    with pytest.raises(TournamentError, match=r"^work: process died \(exit code -9\), .* Run dbt build again"):
        workers.run_in_background(work, Task(5, does="dies"))
    assert workers.run_in_background(work, Task(6)) != first


def test_prepared_processes_have_imported_and_run_the_fits(monkeypatch):
    pool = workers._Pool(2)
    monkeypatch.setattr(workers, "_POOL", pool)
    workers.import_ahead("wave")
    workers.import_ahead("no_such_module")  # they are: nothing is done any more
    printed = [_run([Task(i, does="tells", seconds=0.5) for i in range(2)]) for _ in range(2)]
    assert all(knows for part in printed for _, knows in part.values())
    assert {pid for pid, _ in printed[0].values()} == {pid for pid, _ in printed[1].values()}
    assert pool._slots == 2


def test_a_failed_import_ahead_of_training_has_no_effect(monkeypatch):
    monkeypatch.setattr(workers, "_POOL", workers._Pool(2))
    workers.import_ahead("no_such_module")
    assert len(set(_run([Task(i, seconds=0.5) for i in range(2)]).values())) == 2


def test_a_running_process_uses_settings_changed_later(monkeypatch):
    tasks = [Task(i, does="tells where") for i in range(2)]
    monkeypatch.setenv("ZL_DATA_DIR", "one")
    monkeypatch.setenv("ZL_LANDING_DIR", "files")
    assert set(_run(tasks).values()) == {("one", "files")}
    monkeypatch.setenv("ZL_DATA_DIR", "another")
    monkeypatch.delenv("ZL_LANDING_DIR")
    assert set(_run(tasks).values()) == {("another", None)}
    assert workers.run_in_background(work, tasks[0]) == ("another", None)
