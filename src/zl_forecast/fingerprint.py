"""Fingerprints: the same data, settings, code and library versions give the same name, so finished work is found again."""

import hashlib
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import pandas as pd

LIBRARIES = (
    "autogluon.tabular",
    "autogluon.timeseries",
    "catboost",
    "lightgbm",
    "xgboost",
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
def of_code(*packages: str) -> str:
    """Hash of this package's source: settings.py and the modules below the named subfolders."""
    root = Path(__file__).parent
    files = [root / "settings.py", *(f for package in packages for f in sorted((root / package).rglob("*.py")))]
    return hashlib.sha256(b"".join(f.relative_to(root).as_posix().encode() + f.read_bytes() for f in files)).hexdigest()


def combine(*parts: object) -> str:
    """One short fingerprint of several parts, by their representation."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:24]
