"""Fingerprints: the same data, settings, code and library versions give the same name, so finished work is found again."""

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

PACKAGE = "zl_forecast"
# Infrastructure modules; they do not affect results, so a change to them refits nothing.
INFRASTRUCTURE = (
    "errors", "imports", "paths", "registry", "store", "store.artifacts", "store.fingerprint", "store.inventory", "store.tables", "workers",
)  # fmt: skip
MAKE_NO_RESULTS = {f"{PACKAGE}.{name}" for name in INFRASTRUCTURE}
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
AUTOGLUON = "autogluon"
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
def library_versions(*modules: str) -> dict[str, str]:
    """Versions of what results depend on: of the packages that modules import, in turn; without modules, of all that fits may use.

    AutoGluon imports its libraries when it needs them, so a module that imports it depends on all of `LIBRARIES`.
    """
    imported = _closure(*modules)[1] if modules else {AUTOGLUON}
    names = {*imported, *LIBRARIES} - {AUTOGLUON} if AUTOGLUON in imported else imported
    return {name: installed for name in sorted(names) if (installed := version_of(name))}


@cache
def version_of(library: str) -> str | None:
    """Version of the distribution that provides a top-level package; None where none does. XGBoost is `xgboost` or `xgboost-cpu`."""
    try:
        return version(_provided_by().get(library, [library])[0])
    except PackageNotFoundError:
        return None


@cache
def of_code(*modules: str) -> str:
    """Hash of the code of the named modules and of all that they import in turn, but for the standard library and other packages.

    So a change to one family leaves the finished fits of the others valid. Comments, docstrings and layout are not code. A module that
    belongs to no installed package is somebody's own, like the families that are found on PYTHONPATH.
    """
    code = _closure(*modules)[0]
    return hashlib.sha256("".join(name + code[name] for name in sorted(code)).encode()).hexdigest()


def _closure(*modules: str) -> tuple[dict[str, str], set[str]]:
    """Code of modules and all that they import in turn, by name, and the other packages among it."""
    own = {PACKAGE, *(module.split(".")[0] for module in modules)}
    code: dict[str, str] = {}
    libraries: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        top = name.split(".")[0]
        if not _is_followed(top, own):
            if top not in sys.stdlib_module_names:
                libraries.add(top)
            continue
        if name in code or name in MAKE_NO_RESULTS:
            continue
        origin = _origin(name)
        if origin is None:
            continue
        code[name], imports = _parsed(origin, name if origin.stem == "__init__" else name.rpartition(".")[0])
        todo.extend(imports)
    return code, libraries


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
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _parsed(file: Path, package: str) -> tuple[str, list[str]]:
    """Code of a source file without comments and docstrings, and the names that it imports: modules, and what may be one.

    Parameters
    ----------
    package : str
        What the file's relative imports start from.
    """
    source = file.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # it cannot be imported: whoever tries says so, see `registry`
        return source.hex(), []
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = node.module or ""
            base = resolve_name("." * node.level + named, package) if node.level else named
            imports += [base, *(f"{base}.{alias.name}" for alias in node.names)]  # `from package import module`
        elif isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree), imports


def of_array(values: np.ndarray) -> str:
    """Hash of the values of an array, in their order."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def combine(*parts: object) -> str:
    """One short fingerprint of several parts, by their representation."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:24]
