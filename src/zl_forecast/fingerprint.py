"""Fingerprints: the same data, settings, code and library versions give the same name, so finished work is found again."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

PACKAGE = "zl_forecast"
# They keep, name and move results and make none: a change to them is no reason to fit anything anew.
MAKE_NO_RESULTS = {
    f"{PACKAGE}.{name}"
    for name in ("artifacts", "errors", "fingerprint", "inventory", "late_import", "paths", "registry", "workers")
}
LIBRARIES = (
    "autogluon.tabular",
    "autogluon.timeseries",
    "catboost",
    "lightgbm",
    "xgboost",
    "quantile_forest",
    "arch",
    "gluonts",
    "prophet",
    "statsmodels",
    "scipy",
    "sklearn",
    "torch",
    "numpy",
    "pandas",
)


def of_frame(frame: pd.DataFrame) -> str:
    """Hash of column names, types, values and row order of a frame."""
    digest = hashlib.sha256(repr(list(zip(frame.columns, map(str, frame.dtypes), strict=True))).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64).tobytes())
    return digest.hexdigest()


def of_relation(relation: duckdb.DuckDBPyRelation) -> str:
    """Hash of column names, types and rows of a relation, in whatever order: DuckDB's own hash, without a data frame."""
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in relation.columns)
    rows = relation.aggregate(f"count(*), sum(hash({columns})::hugeint), bit_xor(hash({columns}))").fetchone()
    return combine(relation.columns, list(map(str, relation.types)), rows)


def with_row_hash(frame: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """The frame with `row_hash`, the hash of each row's values in some columns (default: all); once, for all parts of the frame."""
    hashes = pd.util.hash_pandas_object(frame if columns is None else frame[columns], index=False)
    return frame.assign(row_hash=hashes.to_numpy(np.uint64))


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that a fitted model depends on."""
    provided_by = _provided_by()  # XGBoost is `xgboost` or `xgboost-cpu`
    return {name: version(provided_by.get(name, [name])[0]) for name in LIBRARIES}


@cache
def of_code(*modules: str) -> str:
    """Hash of the source of the named modules and of all that they import in turn, but for the standard library and other packages.

    So a change to one family leaves the finished fits of the others in force. A module that belongs to no installed package is
    somebody's own, like the families that are found on PYTHONPATH.
    """
    own = {PACKAGE, *(module.split(".")[0] for module in modules)}
    sources: dict[str, bytes] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in sources or name in MAKE_NO_RESULTS or not _is_followed(name.split(".")[0], own):
            continue
        origin = _origin(name)
        if origin is None:
            continue
        sources[name] = origin.read_bytes()
        todo.extend(_imports(sources[name], name if origin.stem == "__init__" else name.rpartition(".")[0]))
    return hashlib.sha256(b"".join(name.encode() + sources[name] for name in sorted(sources))).hexdigest()


def _is_followed(top: str, own: set[str]) -> bool:
    return top in own or (top not in sys.stdlib_module_names and top not in _provided_by())


@cache
def _provided_by() -> dict[str, list[str]]:
    """Installed distributions by the top-level name that they provide."""
    return dict(packages_distributions())


def _origin(module: str) -> Path | None:
    """Source file of a module; None for a name that is none, like a class that is imported from one."""
    try:
        spec = find_spec(module)
    except Exception:  # its package raises: whoever imports it says so, see `registry`
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin.endswith(".py") else None


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Names that a source file imports, at its top or inside functions: modules, and what may be one.

    Parameters
    ----------
    package : str
        What the file's relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # it cannot be imported: whoever tries says so, see `registry`
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)  # `from package import module`


def combine(*parts: object) -> str:
    """One short fingerprint of several parts, by their representation."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:24]
