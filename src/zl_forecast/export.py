"""`zl export`: copy the published tables to PostgreSQL, or to files of Parquet or CSV."""

import shutil
from pathlib import Path

import duckdb

from zl_forecast.databases import open_snapshot
from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import serving_dir
from zl_forecast.postgres import publish_to_postgres


def export_tables(to: str, folder: Path | None) -> None:
    """Copy all tables of the current snapshot, and print what was written and what to do next.

    Parameters
    ----------
    to : str
        'postgres' (the database that ZL_POSTGRES_DSN names), 'parquet' or 'csv'.
    folder : Path, optional
        New or empty folder for the files <schema>.<table>.parquet or .csv; for postgres none.

    Raises
    ------
    ZlForecastError
        Nothing is published yet, the folder is missing, has files or cannot be written, or PostgreSQL refuses.
    """
    with open_snapshot() as con:  # says what to do if nothing is published yet
        current = (serving_dir() / "current").resolve()
        if to == "postgres":
            if folder:
                raise ZlForecastError("postgres takes no folder. Set ZL_POSTGRES_DSN and run `zl export postgres`.")
            written = publish_to_postgres(current)
            print(
                f"{len(written)} tables written: {', '.join(written)}"
                if written
                else "The database had all tables already."
            )
            return
        if folder is None:
            raise ZlForecastError(f"`zl export {to}` needs a folder, for example: zl export {to} tables")
        try:
            files = _write_files(con, current, to, folder)
        except (OSError, duckdb.IOException) as error:
            raise ZlForecastError(
                f"the tables could not be written to {folder}: {error}. Remove what is there, and name a folder with enough space in "
                "which this user may write."
            ) from error
    print(f"{len(files)} tables written to {folder}. Columns are described in docs/bi.md and in the Parquet files.")


def _write_files(con: duckdb.DuckDBPyConnection, current: Path, to: str, folder: Path) -> list[Path]:
    """Write one file per table into a new or empty folder; return the snapshot's Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ZlForecastError(f"{folder} is not empty, and nothing is overwritten. Name a new folder.")
    files = sorted((current / "parquet").glob("*.parquet"))
    for file in files:
        if to == "parquet":
            shutil.copyfile(file, folder / file.name)
        else:
            _write_csv(con, file, folder / f"{file.stem}.csv")
    return files


def _write_csv(con: duckdb.DuckDBPyConnection, parquet: Path, file: Path) -> None:
    """Write a table as CSV: UTF-8, a header, points as decimal separators, an empty field for a missing value."""
    con.read_parquet(str(parquet)).to_csv(str(file), header=True)
