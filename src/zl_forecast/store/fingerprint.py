"""Fingerprints: the same data, settings, code and library versions give the same key, so results can be reused."""

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
INFRASTRUCTURE_MODULES = {f"{PACKAGE}.{name}" for name in INFRASTRUCTURE}
NODES_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
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
    """Hash the column names, types, values and row order of a data frame.

    Parameters
    ----------
    frame : DataFrame
        The index is ignored.

    Returns
    -------
    str
        SHA-256 in hex.

    Examples
    --------
    >>> prices = pd.DataFrame({"close": [44.1, 44.7]})
    >>> of_frame(prices) == of_frame(prices.set_axis(["a", "b"])), of_frame(prices) == of_frame(prices[::-1])
    (True, False)
    """
    digest = hashlib.sha256(repr(list(zip(frame.columns, map(str, frame.dtypes), strict=True))).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64).tobytes())
    return digest.hexdigest()


def of_relation(relation: duckdb.DuckDBPyRelation) -> str:
    """Hash the column names, types and rows of a relation, regardless of row order.

    DuckDB computes the hash, so no data frame is loaded.

    Parameters
    ----------
    relation : DuckDBPyRelation

    Returns
    -------
    str
        24 hex digits.
    """
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in relation.columns)
    rows = relation.aggregate(f"count(*), sum(hash({columns})::hugeint), bit_xor(hash({columns}))").fetchone()
    return combine(relation.columns, list(map(str, relation.types)), rows)


def with_row_hash(frame: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Add a column `row_hash` with the hash of each row.

    Computed once, so that all parts of a frame share the same hashes.

    Parameters
    ----------
    frame : DataFrame
    columns : list of str, optional
        Columns to hash; default: all.

    Returns
    -------
    DataFrame
        The frame with `row_hash` (uint64) as last column.
    """
    hashes = pd.util.hash_pandas_object(frame if columns is None else frame[columns], index=False)
    return frame.assign(row_hash=hashes.to_numpy(np.uint64))


@cache
def library_versions(*modules: str) -> dict[str, str]:
    """Return the versions of the libraries that results depend on.

    AutoGluon imports its libraries only when it needs them, so a module that imports AutoGluon depends on all
    of `LIBRARIES`.

    Parameters
    ----------
    *modules : str
        Dotted module names; their imports are followed. Without modules: all libraries that fits may use.

    Returns
    -------
    dict of str to str
        Version by top-level package, sorted by name.
    """
    imported = _closure(*modules)[1] if modules else {AUTOGLUON}
    names = {*imported, *LIBRARIES} - {AUTOGLUON} if AUTOGLUON in imported else imported
    return {name: installed for name in sorted(names) if (installed := version_of(name))}


@cache
def version_of(library: str) -> str | None:
    """Return the version of the distribution that provides a top-level package.

    Parameters
    ----------
    library : str
        Top-level package. For 'xgboost' the distribution is `xgboost` or `xgboost-cpu`.

    Returns
    -------
    str or None
        None if it is not installed.
    """
    try:
        return version(_distributions_by_package().get(library, [library])[0])
    except PackageNotFoundError:
        return None


@cache
def of_code(*modules: str) -> str:
    """Hash the code of modules and of all that they import, except the standard library and other packages.

    A change to one family therefore leaves the cached fits of the others valid. Comments, docstrings and layout
    are not hashed. A module that belongs to no installed package, such as a user's family on PYTHONPATH, is
    followed as well.

    Parameters
    ----------
    *modules : str
        Dotted module names.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    code = _closure(*modules)[0]
    return hashlib.sha256("".join(name + code[name] for name in sorted(code)).encode()).hexdigest()


def _closure(*modules: str) -> tuple[dict[str, str], set[str]]:
    """Return the code of modules and of all that they import, by name, and the other packages they use."""
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
        if name in code or name in INFRASTRUCTURE_MODULES:
            continue
        origin = _origin(name)
        if origin is None:
            continue
        package = name if origin.stem == "__init__" else name.rpartition(".")[0]
        code[name], imports = _parse_source(origin.read_bytes(), package)
        todo.extend(imports)
    return code, libraries


def _is_followed(top: str, own: set[str]) -> bool:
    return top in own or (top not in sys.stdlib_module_names and top not in _distributions_by_package())


@cache
def _distributions_by_package() -> dict[str, list[str]]:
    """Return the installed distributions by the top-level package that they provide."""
    return dict(packages_distributions())


def _origin(module: str) -> Path | None:
    """Source file of a module, found without importing it; None if the name is not a module (for example an imported class)."""
    top, *names = module.split(".")
    path, folders = _top_level(top)
    for name in names:
        files = [file for own in folders for file in (own / name / "__init__.py", own / f"{name}.py") if file.exists()]
        path = files[0] if files else None
        if path is None:  # a folder without __init__.py is a package too (PEP 420)
            folders = [own / name for own in folders if (own / name).is_dir()]
        else:
            folders = [path.parent] if path.stem == "__init__" else []
    return path


def _top_level(name: str) -> tuple[Path | None, list[Path]]:
    """Return the source file of a top-level module, and the folders of its modules if it is a package."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module without specification, such as __main__
        spec = None
    if spec is None:
        return None, []
    path = Path(spec.origin) if spec.has_location and spec.origin and spec.origin.endswith(".py") else None
    return path, [Path(folder) for folder in spec.submodule_search_locations or ()]


@cache  # by content, since most closures share most modules
def _parse_source(source: bytes, package: str) -> tuple[str, list[str]]:
    """Return a module's code without comments and docstrings, and the names it imports.

    Imported names may be modules or members of modules.

    Parameters
    ----------
    source : bytes
    package : str
        Package that relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # it cannot be imported; `registry` reports that error
        return source.hex(), []
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = node.module or ""
            base = resolve_name("." * node.level + named, package) if node.level else named
            imports += [base, *(f"{base}.{alias.name}" for alias in node.names)]  # `from package import module`
        elif isinstance(node, NODES_WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree), imports


def of_array(values: np.ndarray) -> str:
    """Hash the values of an array, in order.

    Parameters
    ----------
    values : array
        Any shape and type without Python objects.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def combine(*parts: object) -> str:
    """Combine several parts into one short fingerprint, by their `repr`.

    Parameters
    ----------
    *parts : object
        Anything whose `repr` shows its whole content.

    Returns
    -------
    str
        24 hex digits.
    """
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:24]
