"""Landing files: where they are, and the contract that they must keep before anything is built on them."""

from zl_forecast.landing.contract import TABLES, read_table
from zl_forecast.landing.folder import LandingFolder, find_landing

__all__ = ["TABLES", "LandingFolder", "find_landing", "read_table"]
