"""Where things are kept. Two environment variables move everything: ZL_DATA_DIR and ZL_LANDING_DIR."""

import os
from pathlib import Path

from zl_forecast.errors import ZlForecastError


def data_dir() -> Path:
    """Folder of everything the project writes (default: data/ below the working directory)."""
    return Path(os.environ.get("ZL_DATA_DIR", "data")).resolve()


def warehouse() -> Path:
    """The build's own DuckDB file. Open to one process at a time; BI reads the published snapshot instead."""
    return data_dir() / "warehouse.duckdb"


def tournament_warehouse() -> Path:
    """The DuckDB file of the last `make tournament`."""
    return data_dir() / "tournament" / "warehouse.duckdb"


def state_beside(warehouse: Path) -> Path:
    """The DuckDB file with what cannot be made again, beside the warehouse that can."""
    return warehouse.with_name("state.duckdb")


def serving_dir() -> Path:
    """Folder of the published snapshot: serving.duckdb, parquet/, report.html."""
    return data_dir() / "serving"


def artifacts_dir() -> Path:
    """Folder of finished fits, one subfolder a fingerprint."""
    return data_dir() / "artifacts"


def data_docs_dir() -> Path:
    """Folder of the Great Expectations Data Docs."""
    return data_dir() / "gx"


def seed(name: str) -> Path:
    """File of one seed: seeds/ below the working directory, which dbt sets to the project's, else of this installation's project."""
    for project in (Path.cwd(), Path(__file__).parents[2]):
        if (file := project / "seeds" / f"{name}.csv").exists():
            return file
    raise ZlForecastError(f"{Path.cwd()} holds no seeds/{name}.csv. Run the command in the project's folder.")
