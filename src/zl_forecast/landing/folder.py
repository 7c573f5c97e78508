"""Which folder the build reads: ZL_LANDING_DIR, else data/landing, else the simulated market."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from zl_forecast.errors import LandingError
from zl_forecast.paths import data_dir

SIMULATED_MARKER = "SIMULATED.json"  # written by zl_forecast.sample beside its files
_simulating = threading.Lock()  # dbt's threads ask for their sources at once; the first simulates, the rest wait


@dataclass(frozen=True)
class LandingFolder:
    """A folder with landing files.

    Attributes
    ----------
    path : Path
        The folder.
    data_source : str
        'simulated' or 'market'; it follows every row to the forecast tables.
    """

    path: Path
    data_source: str

    def files(self, stem: str) -> list[Path]:
        """Files of one table, by name: `stem*.parquet` and `stem*.csv`."""
        return sorted(p for suffix in ("parquet", "csv") for p in self.path.glob(f"{stem}*.{suffix}"))


def find_landing() -> LandingFolder:
    """The folder this build reads; simulates a market where no landing file exists.

    Raises
    ------
    LandingError
        ZL_LANDING_DIR names a folder that does not exist or holds no bars_daily file; or data/landing holds
        other files but no bars, and a simulated market in their stead would mislead.
    """
    named = os.environ.get("ZL_LANDING_DIR")
    folder = _folder(Path(named) if named else data_dir() / "landing")
    if folder.files("bars_daily"):
        return folder
    if named:
        raise LandingError(
            file=f"{folder.path}/bars_daily*.parquet or .csv",
            problem="no such file, and it must hold the ZL bars",
            way_out="Put it there, point ZL_LANDING_DIR to another folder, or unset it to use the simulated market.",
        )
    others = sorted(path.name for suffix in ("parquet", "csv") for path in folder.path.glob(f"*.{suffix}"))
    if others:
        raise LandingError(
            file=f"{folder.path}/bars_daily*.parquet or .csv",
            problem=f"no such file, though the folder holds {', '.join(others)}",
            way_out="Put the ZL bars beside them, or empty the folder to use the simulated market.",
        )
    return sample_landing(os.environ.get("ZL_SAMPLE_WORLD", "planted"))


def sample_landing(world: str) -> LandingFolder:
    """The folder of one simulated world; written on first use (about ten seconds)."""
    from zl_forecast import sample

    path = data_dir() / "sample" / world
    with _simulating:
        if not (path / SIMULATED_MARKER).exists():
            print(f"No landing files: simulating the market '{world}' into {path}", flush=True)
            sample.write_landing(sample.simulate(world), path)
    return _folder(path)


def _folder(path: Path) -> LandingFolder:
    return LandingFolder(path, "simulated" if (path / SIMULATED_MARKER).exists() else "market")
