"""The `zl` command line; `app` has the commands."""

from zl_forecast.cli.app import main

__all__ = ["main"]
