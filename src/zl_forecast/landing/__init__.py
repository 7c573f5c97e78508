"""Landing files: where they are, and the contract that they must meet before anything is built on them."""

from zl_forecast.landing.contract import Landing, read_table
from zl_forecast.landing.folder import LandingFolder, find_landing
from zl_forecast.landing.tables import TABLES

__all__ = ["TABLES", "Landing", "LandingFolder", "find_landing", "read_table"]
