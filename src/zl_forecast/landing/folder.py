"""The folder that a build reads, and its files: ZL_LANDING_DIR, else data/landing, else the simulated market."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from zl_forecast.errors import LandingError
from zl_forecast.paths import data_dir

STEMS = ("bars_daily", "series", "policy_events", "curve_daily")
SUFFIXES = (".parquet", ".csv")
SIMULATED_MARKER = "SIMULATED.json"  # written by zl_forecast.sample beside its files
TEMPORARY_PREFIX = ".zl_ingest_"  # folders in which ingest writes a file before it renames it
NOT_DATA = {SIMULATED_MARKER, ".gitkeep", ".gitignore", ".DS_Store", "Thumbs.db", "desktop.ini"}
REMEDIES = {
    ".gz": "unpack it (gunzip)",
    ".zip": "unpack it",
    ".bz2": "unpack it",
    ".zst": "unpack it",
    ".pq": "rename it to .parquet",
    ".parq": "rename it to .parquet",
    ".txt": "rename it to .csv if it is one",
    ".xlsx": "save it as CSV UTF-8",
    ".xls": "save it as CSV UTF-8",
}
_simulating = threading.Lock()  # dbt's threads load sources in parallel: the first simulates, the others wait


@dataclass(frozen=True)
class LandingFolder:
    """A folder with landing files.

    Attributes
    ----------
    path : Path
        The folder.
    data_source : {"market", "simulated"}
        Copied to every row, up to the forecast tables.
    """

    path: Path
    data_source: str

    def files(self, stem: str) -> list[Path]:
        """List the files of one table, by name.

        Parameters
        ----------
        stem : {"bars_daily", "series", "policy_events", "curve_daily"}
            Table of the contract; its files are `stem*.parquet` and `stem*.csv`, in upper or lower case.

        Returns
        -------
        list of Path
            Sorted; empty if there are none, or no folder.

        Raises
        ------
        LandingError
            The folder cannot be listed.
        """
        return [path for path in self._entries() if _table_of(path) == stem]

    def unread(self) -> list[tuple[str, str]]:
        """List the entries of the folder that are not read.

        Returns
        -------
        list of (str, str)
            File name, and why it is not read.

        Raises
        ------
        LandingError
            The folder cannot be listed.
        """
        return [(path.name, _reason(path)) for path in self._entries() if _table_of(path) is None]

    def state(self) -> tuple:
        """Return a value that changes when any file does, so that unchanged files are read once.

        Returns
        -------
        tuple
            The path, and name, inode, size and times of each file; compare it with an earlier one.
        """
        stats = [(path.name, path.stat()) for path in self._entries() if path.exists()]
        return (self.path, *((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats))

    def _entries(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        try:
            return sorted(
                path
                for path in self.path.iterdir()
                if path.name not in NOT_DATA and not path.name.startswith(TEMPORARY_PREFIX) and path.lstat()
            )
        except OSError as error:
            raise LandingError(
                str(self.path),
                f"cannot be listed: {error.strerror}",
                "Give this user read access to the folder (chmod u+rx).",
            ) from error


def landing_path() -> Path:
    """Return the folder for landing files: ZL_LANDING_DIR, else data/landing.

    Returns
    -------
    Path
        It may not exist.
    """
    named = os.environ.get("ZL_LANDING_DIR")
    return Path(named) if named else data_dir() / "landing"


def find_landing(may_simulate: bool = True) -> LandingFolder:
    """Find the folder that this build reads; simulate a market if there are no landing files.

    Parameters
    ----------
    may_simulate : bool
        False if the data folder already holds forecasts of a real market.

    Returns
    -------
    LandingFolder
        A folder with at least one bars_daily file.

    Raises
    ------
    LandingError
        ZL_LANDING_DIR names a folder that does not exist or has no bars_daily file; data/landing holds
        other files but no bars; or there are no landing files, and a simulated market is not allowed.
    UnknownWorld
        A market would be simulated, and ZL_SAMPLE_WORLD names a world that does not exist.
    """
    named = os.environ.get("ZL_LANDING_DIR")
    folder = _folder(landing_path())
    if folder.files("bars_daily"):
        return folder
    expected = f"{folder.path}/bars_daily*.parquet or .csv"
    others = folder.unread() + [(path.name, "") for stem in STEMS for path in folder.files(stem)]
    holds = f"the folder holds {', '.join(f'{name} ({reason})' if reason else name for name, reason in others)}"
    if named:
        raise LandingError(
            expected,
            f"no such file, but the ZL bars are required{f'; {holds}' if others else ''}",
            "Put it there, point ZL_LANDING_DIR to another folder, or unset it to use the simulated market.",
        )
    if others:
        raise LandingError(
            expected,
            f"no such file, though {holds}",
            "Put the ZL bars beside them, or empty the folder to use the simulated market.",
        )
    if not may_simulate:
        raise LandingError(
            expected,
            f"no such file, and {data_dir()} holds forecasts of a real market, which must not be mixed with simulated ones",
            "Put the landing files back or name their folder (ZL_LANDING_DIR=...); to try the simulated market, "
            "use a separate data folder (ZL_DATA_DIR=data/simulated).",
        )
    return sample_landing(os.environ.get("ZL_SAMPLE_WORLD", "planted"))


def sample_landing(world: str) -> LandingFolder:
    """Return the folder of one simulated world; the first call writes it, in about six seconds.

    Parameters
    ----------
    world : {"planted", "random_walk", "broken"}
        See `zl_forecast.sample.WORLDS`.

    Returns
    -------
    LandingFolder
        Below the data folder, with data_source `simulated`.

    Raises
    ------
    UnknownWorld
        `world` is not in `WORLDS`.
    """
    from zl_forecast import sample

    path = data_dir() / "sample" / world
    with _simulating:
        if not (path / SIMULATED_MARKER).exists():
            print(f"No landing files: simulating the market '{world}' into {path}", flush=True)
            sample.write_landing(sample.simulate(world), path)
    return _folder(path)


def data_source_of(path: Path) -> str:
    """Return the data source of a landing folder.

    Parameters
    ----------
    path : Path
        A folder with landing files.

    Returns
    -------
    {"simulated", "market"}
        `simulated` if the folder holds the marker file of the simulation.
    """
    return "simulated" if (path / SIMULATED_MARKER).exists() else "market"


def _folder(path: Path) -> LandingFolder:
    return LandingFolder(path, data_source_of(path))


def _table_of(path: Path) -> str | None:
    """Return the table that a file belongs to by its name, or None if the file is not read.

    A broken link to a table's file counts as that file, so that it is reported as missing.
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES) or (path.exists() and not path.is_file()):
        return None
    return next((stem for stem in STEMS if name.startswith(stem)), None)


def _reason(path: Path) -> str:
    if path.is_dir():
        return "a folder: move its files up"
    if path.exists() and not path.is_file():
        return "not a regular file"
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return f"not a table of the contract: names begin with {', '.join(STEMS)}"
    return REMEDIES.get(path.suffix.lower(), f"only {' and '.join(SUFFIXES)} are read")
