"""Tables are computed once per rows, code and library versions; imports are preloaded for dbt's threads."""

import ast
import json
import subprocess
import sys
from importlib import import_module, metadata

import duckdb
import pandas as pd
import pytest
from conftest import PROJECT

from zl_forecast.store import cached_table, entries, fingerprint, read_table, write_table

MODELS = sorted((PROJECT / "python_models").rglob("*.py"))
SOURCE = """
import numpy
import pandas as pd

from zl_forecast.store import stored

CALLS, STATUS = [], ["ok"]


@stored
def total(*tables):
    CALLS.append([len(table) for table in tables])
    return pd.DataFrame({"total": [sum(table["loss"].sum() for table in tables)], "verdict": [None], "status": STATUS})


@stored
def double(*tables):
    return total(*tables).assign(total=lambda table: 2 * table["total"])
"""
LOSSES = "select loss::integer as loss, family from (values (1, 'a'), (2, null)) as losses (loss, family)"


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def work(monkeypatch, tmp_path):
    """Return a function that writes the module `work_on_tables` and imports it as a new process would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # Python would use the cached bytecode of a file with the same size and second

    def write(source: str = SOURCE):
        (tmp_path / "work_on_tables.py").write_text(source)
        sys.modules.pop("work_on_tables", None)
        forget()
        return import_module("work_on_tables")

    yield write
    sys.modules.pop("work_on_tables", None)
    forget()


def forget() -> None:
    """Clear the caches of code and library versions, which a process reads once."""
    for known in (fingerprint.of_code, fingerprint.library_versions, fingerprint.version_of):
        known.cache_clear()


# ---------- the decorator


def test_the_same_rows_in_another_order_are_a_cache_hit(work):
    module = work()
    first = module.total(duckdb.sql(LOSSES))
    again = module.total(duckdb.sql(f"from ({LOSSES}) order by loss desc"))
    pd.testing.assert_frame_equal(first, again)
    assert first["total"].tolist() == [3]
    assert module.CALLS == [[2]]


@pytest.mark.parametrize(
    "other",
    [
        LOSSES.replace("2", "3"),
        LOSSES.replace("(1, 'a'), (2, null)", "(1, null), (2, 'a')"),
        f"from ({LOSSES}) union all from ({LOSSES})",
        f"from ({LOSSES}) limit 0",
        f"select loss, family as bucket from ({LOSSES})",
        LOSSES.replace("integer", "bigint"),
    ],
)
def test_changed_rows_are_computed_again(work, other):
    module = work()
    module.total(duckdb.sql(LOSSES))
    module.total(duckdb.sql(other))
    assert len(module.CALLS) == 2


def test_the_same_tables_in_another_order_or_for_another_function_are_computed_again(work):
    module = work()
    one, other = duckdb.sql("select 1 as loss"), duckdb.sql("select 2 as loss")
    assert module.total(one, other)["total"].tolist() == module.total(other, one)["total"].tolist() == [3]
    assert len(module.CALLS) == 2
    assert module.double(one, other)["total"].tolist() == [6]


def test_changed_code_of_the_module_is_computed_again_and_a_comment_is_not_code(work):
    work().total(duckdb.sql(LOSSES))
    commented = work(SOURCE + "# another comment\n")
    assert commented.total(duckdb.sql(LOSSES))["total"].tolist() == [3]
    assert commented.CALLS == []
    changed = work(SOURCE.replace("[sum(", "[-sum("))
    assert changed.total(duckdb.sql(LOSSES))["total"].tolist() == [-3]


def test_changed_code_of_a_registered_module_is_computed_again(work, tmp_path):
    module = work()
    registry = duckdb.sql("select 'somebodys_method' as module")
    for content in ("A = 1", "A = 1", "A = 2"):
        (tmp_path / "somebodys_method.py").write_text(content)
        forget()
        module.total(duckdb.sql(LOSSES), registry.select("module, 0 as loss"))
    assert len(module.CALLS) == 2


@pytest.mark.parametrize(("library", "calls"), [("numpy", 2), ("scipy", 1)])
def test_another_version_of_a_library_that_the_module_imports_is_computed_again(monkeypatch, work, library, calls):
    module = work()
    assert set(fingerprint.library_versions("work_on_tables")) == {"numpy", "pandas"}
    module.total(duckdb.sql(LOSSES))
    forget()
    monkeypatch.setattr(fingerprint, "version", lambda name: "0.1" if name == library else metadata.version(name))
    for _ in range(2):
        module.total(duckdb.sql(LOSSES))
    assert len(module.CALLS) == calls
    monkeypatch.setattr(fingerprint, "version", metadata.version)
    forget()
    module.total(duckdb.sql(LOSSES))
    assert len(module.CALLS) == calls  # the tables of both versions are kept


@pytest.mark.parametrize(("status", "calls"), [("failed", 2), ("timed_out", 2), ("skipped", 1)])
def test_a_table_with_failures_is_not_cached(work, status, calls):
    module = work()
    module.STATUS[0] = status
    for _ in range(2):
        assert module.total(duckdb.sql(LOSSES))["status"].tolist() == [status]
    assert len(module.CALLS) == calls


def test_data_frames_are_computed_without_cache(work):
    module = work()
    for _ in range(2):
        assert module.total(duckdb.sql(LOSSES).df())["total"].tolist() == [3]
    assert len(module.CALLS) == 2
    assert entries().empty


def test_a_text_column_without_any_value_is_text_in_duckdb(work):
    module = work()
    for _ in range(2):  # computed, then read from the store
        found = module.total(duckdb.sql(LOSSES))  # noqa: F841
        kinds = {name: dtype for name, dtype, *_ in duckdb.sql("describe from found").fetchall()}
        assert kinds == {"total": "BIGINT", "verdict": "VARCHAR", "status": "VARCHAR"}


# ---------- tables


def test_a_table_is_read_as_it_was_written():
    table = pd.DataFrame({"a": ["x", None], "b": [0.1, float("nan")], "c": pd.to_datetime(["2020-01-01", None])})
    assert read_table("abc") is None
    write_table("abc", table)
    pd.testing.assert_frame_equal(read_table("abc"), table)


def test_a_cached_table_is_computed_once_for_a_key_and_versions():
    calls = []

    def compute():
        calls.append(len(calls))
        return pd.DataFrame({"n": [len(calls)]})

    for key, known in (("abc", 1), ("abc", 1), ("def", 2)):
        assert cached_table(key, compute)["n"].tolist() == [known]
    versions = {"numpy": metadata.version("numpy")}
    for own, known in ((versions, 3), (versions, 3)):
        assert cached_table("ghi", compute, own)["n"].tolist() == [known]
    (stored,) = entries().query("artifact_id == 'ghi'").to_dict("records")
    assert json.loads(stored["library_versions"]) == versions


def test_an_exception_is_raised_and_not_cached():
    with pytest.raises(ZeroDivisionError):
        cached_table("abc", lambda: 1 / 0)
    assert read_table("abc") is None


def test_a_library_is_identified_by_its_import_name():
    assert fingerprint.version_of("sklearn") == metadata.version("scikit-learn")
    assert fingerprint.version_of("no_such_library") is None


# ---------- imports in dbt's threads


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_python_models_import_only_from_zl_forecast(model):
    tree = ast.parse(model.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert imports
    for node in imports:
        assert node in tree.body
        assert isinstance(node, ast.ImportFrom)
        assert f"{node.module}.".startswith("zl_forecast.")


def test_the_plugin_preloads_all_imports_of_the_python_models():
    lines = {line for model in MODELS for line in model.read_text().splitlines() if line.startswith("from ")}
    code = (
        "import sys\n"
        "import zl_forecast.landing.plugin\n"
        "known = set(sys.modules)\n"
        f"{chr(10).join(sorted(lines))}\n"
        "print(*sorted(set(sys.modules) - known))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_zl_command_does_not_preload_them():
    large = {"autogluon", "torch", "scipy", "great_expectations", "dbt", "matplotlib", "pandas_market_calendars"}
    code = "import sys, zl_forecast.cli; print(*sys.modules)"
    assert large & set(subprocess.check_output([sys.executable, "-c", code], text=True).split()) == set()


@pytest.mark.parametrize("module", ["calendar.py", *(f"validation/{n}.py" for n in ("gate", "suites", "data_docs"))])
def test_modules_in_dbts_threads_import_inside_functions_under_one_lock(module):
    tree = ast.parse((PROJECT / "src" / "zl_forecast" / module).read_text())
    guarded = {
        node
        for lock in ast.walk(tree)
        if isinstance(lock, ast.With)
        and "ONE_IMPORT_AT_A_TIME" in {ast.unparse(item.context_expr) for item in lock.items}
        for node in ast.walk(lock)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in tree.body and node not in guarded:
            # submodules of a package that was just imported under the lock
            assert node.module.startswith("great_expectations."), ast.unparse(node)
