"""Locations of files. Environment variables change them: ZL_DATA_DIR, ZL_LANDING_DIR and dbt's own DBT_PROJECT_DIR."""

import os
from pathlib import Path

from zl_forecast.errors import ZlForecastError


def data_dir() -> Path:
    """Return the folder of everything that the project writes.

    Returns
    -------
    Path
        ZL_DATA_DIR, else data/ below the working directory; absolute.
    """
    return Path(os.environ.get("ZL_DATA_DIR", "data")).resolve()


def warehouse() -> Path:
    """Return the build's own DuckDB file; BI reads the published snapshot instead.

    Returns
    -------
    Path
        warehouse.duckdb in the data folder. While a build writes, no other process can open it.
    """
    return data_dir() / "warehouse.duckdb"


def tournament_warehouse() -> Path:
    """Return the DuckDB file of the last `make tournament`.

    Returns
    -------
    Path
        tournament/warehouse.duckdb in the data folder.
    """
    return data_dir() / "tournament" / "warehouse.duckdb"


def state_beside(warehouse: Path) -> Path:
    """Return the DuckDB file of the state, whose tables cannot be computed again.

    Parameters
    ----------
    warehouse : Path
        A warehouse, which can be rebuilt.

    Returns
    -------
    Path
        state.duckdb in the same folder.

    Examples
    --------
    >>> state_beside(Path("data/warehouse.duckdb")).as_posix()
    'data/state.duckdb'
    """
    return warehouse.with_name("state.duckdb")


def serving_dir() -> Path:
    """Return the folder of the published snapshot: serving.duckdb, parquet/ and report.html.

    Returns
    -------
    Path
        serving/ in the data folder.
    """
    return data_dir() / "serving"


def artifacts_dir() -> Path:
    """Return the folder of finished fits, one subfolder per fingerprint.

    Returns
    -------
    Path
        artifacts/ in the data folder.
    """
    return data_dir() / "artifacts"


def data_docs_dir() -> Path:
    """Return the folder of the Great Expectations Data Docs.

    Returns
    -------
    Path
        gx/ in the data folder.
    """
    return data_dir() / "gx"


def project_dir() -> Path:
    """Return the folder of the dbt project, which holds seeds, suites and models.

    Returns
    -------
    Path
        DBT_PROJECT_DIR, which `state_plugin` sets to the project that dbt runs; else the working directory if it
        holds dbt_project.yml; else the project from which this package is installed.

    Raises
    ------
    ZlForecastError
        None of them holds dbt_project.yml.
    """
    named = os.environ.get("DBT_PROJECT_DIR")
    for project in [Path(named)] if named else [Path.cwd(), Path(__file__).parents[2]]:
        if (project / "dbt_project.yml").exists():
            return project.resolve()
    raise ZlForecastError(f"{named or Path.cwd()} holds no dbt_project.yml. Run the command in the project's folder.")


def seed(name: str) -> Path:
    """Find the file of one seed.

    Parameters
    ----------
    name : str
        File name without .csv.

    Returns
    -------
    Path
        In seeds/ of the project.
    """
    return project_dir() / "seeds" / f"{name}.csv"
