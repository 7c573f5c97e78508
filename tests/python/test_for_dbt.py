"""Python models import from one module, and that module lets no two threads import at once."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from zl_forecast import fingerprint, for_dbt

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

    assert for_dbt.risk_table.__wrapped__ is risk_table


def test_an_unknown_name_says_where_to_add_it():
    with pytest.raises(AttributeError, match="no run_moon: add it to HOMES"):
        _ = for_dbt.run_moon


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """`family_verdicts` that counts its calls, and a status of what it returns."""
    from zl_forecast import verdicts as home

    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    calls, status = [], ["ok"]

    def family_verdicts(*tables):
        calls.append([len(table) for table in tables])
        return pd.DataFrame({"verdict": [None], "p_value": [0.25], "status": status})

    family_verdicts.__module__ = home.__name__
    monkeypatch.setattr(home, "family_verdicts", family_verdicts)
    return calls, status


def test_what_takes_seconds_is_computed_once_for_the_same_rows(counted):
    calls, _ = counted
    losses = "values (1.0, 'a'), (2.0, null)"
    first = for_dbt.family_verdicts(duckdb.sql(f"from ({losses}) as t (loss, family)"))
    again = for_dbt.family_verdicts(duckdb.sql(f"from ({losses}) as t (loss, family) order by loss desc"))
    pd.testing.assert_frame_equal(first, again)
    assert calls == [[2]]
    for changed in (
        "from (values (1.0, 'a'), (2.5, null)) as t (loss, family)",
        f"from ({losses}) as t (gain, family)",
        "from (values (1.0, null), (2.0, 'a')) as t (loss, family)",
        "from (values (1.0, 'a'), (2.0, null), (2.0, null)) as t (loss, family)",
    ):
        for_dbt.family_verdicts(duckdb.sql(changed))
    assert len(calls) == 5


def test_a_column_of_text_without_any_value_is_text_in_the_warehouse(counted):
    found = for_dbt.family_verdicts(duckdb.sql("select 1 as loss"))  # noqa: F841
    kinds = {name: kind for name, kind, *_ in duckdb.sql("describe from found").fetchall()}
    assert kinds == {"verdict": "VARCHAR", "p_value": "DOUBLE", "status": "VARCHAR"}


def test_what_has_failed_is_tried_again(counted):
    calls, status = counted
    status[0] = "failed"
    for _ in range(2):
        for_dbt.family_verdicts(duckdb.sql("select 1 as loss"))
    assert len(calls) == 2


def test_the_code_that_a_registry_names_counts(counted, monkeypatch, tmp_path):
    calls, _ = counted
    monkeypatch.syspath_prepend(tmp_path)
    for content in ("A = 1", "A = 1", "A = 2"):
        (tmp_path / "somebodys_method.py").write_text(content)
        fingerprint.of_code.cache_clear()
        for_dbt.family_verdicts(duckdb.sql("select 'somebodys_method' as module"))
    assert len(calls) == 2


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
