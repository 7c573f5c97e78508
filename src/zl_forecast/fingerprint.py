"""Fingerprints: the same data, settings, code and library versions give the same name, so finished work is found again."""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

PACKAGE = "zl_forecast"
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


def row_hashes(frame: pd.DataFrame) -> np.ndarray:
    """Hash of each row's values, array of shape (n_rows,)."""
    return pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64)


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that a fitted model depends on."""
    provided_by = packages_distributions()  # XGBoost is `xgboost` or `xgboost-cpu`
    return {name: version(provided_by.get(name, [name])[0]) for name in LIBRARIES}


@cache
def of_code(*modules: str) -> str:
    """Hash of the source of the named modules and of all modules of this package that they import, in turn.

    So a change to one family leaves the finished fits of the others in force.
    """
    sources: dict[str, bytes] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        spec = find_spec(name)
        if name in sources or spec is None or spec.origin is None:
            continue
        sources[name] = Path(spec.origin).read_bytes()
        todo.extend(module for module in _imports(sources[name]) if module.split(".")[0] == PACKAGE)
    return hashlib.sha256(b"".join(name.encode() + sources[name] for name in sorted(sources))).hexdigest()


def _imports(source: bytes) -> Iterator[str]:
    """Names of modules that a source file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:  # `from package import module`
                with suppress(ModuleNotFoundError):
                    if node.module.split(".")[0] == PACKAGE and find_spec(f"{node.module}.{alias.name}"):
                        yield f"{node.module}.{alias.name}"


def combine(*parts: object) -> str:
    """One short fingerprint of several parts, by their representation."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:24]
