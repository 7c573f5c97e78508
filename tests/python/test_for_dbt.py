"""Python models import from one module, and that module lets no two threads import at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from zl_forecast import for_dbt

PROJECT = Path(__file__).parents[2]
MODELS = sorted((PROJECT / "python_models").rglob("*.py"))


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_a_python_model_imports_from_for_dbt_alone(model):
    imports = re.findall(r"^[ \t]*(?:from|import)\s.*$", model.read_text(), re.MULTILINE)
    assert imports
    for line in imports:
        names = re.fullmatch(r"from zl_forecast\.for_dbt import ([\w, ]+)", line)
        assert names, line
        assert set(names[1].split(", ")) <= set(for_dbt.HOMES)


def test_what_is_handed_out_is_what_its_module_has():
    from zl_forecast.risk import risk_table

    assert for_dbt.risk_table is risk_table


def test_an_unknown_name_says_where_to_add_it():
    with pytest.raises(AttributeError, match="no run_moon: add it to HOMES"):
        _ = for_dbt.run_moon


def test_all_models_may_import_at_once_in_a_fresh_process():
    code = (
        "import threading\n"
        "from zl_forecast import for_dbt\n"
        "start, failed = threading.Barrier(len(for_dbt.HOMES)), []\n"
        "def load(name):\n"
        "    start.wait()\n"
        "    try:\n"
        "        getattr(for_dbt, name)\n"
        "    except BaseException as error:\n"
        "        failed.append(f'{name}: {error}')\n"
        "threads = [threading.Thread(target=load, args=(name,)) for name in for_dbt.HOMES]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "raise SystemExit('; '.join(failed) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["calendar.py", "ensembles/evidence.py", *(f"validation/{n}.py" for n in ("gate", "suites", "data_docs"))]
)
def test_what_runs_in_dbts_threads_imports_late_under_the_one_lock(module):
    source = (PROJECT / "src" / "zl_forecast" / module).read_text()
    late = re.findall(r"^ +(?:import \S+|from (\S+) import) ?.*$", source, re.MULTILINE)
    # parts of a package that has been imported under the lock just before
    assert all(name.startswith("great_expectations.") for name in late), late
