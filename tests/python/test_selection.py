"""Builds of some buckets parse, and one bucket's tournament changes nothing that users read."""

import pytest

from zl_forecast.cli.build import OF_TOURNAMENT

SUBSET = ("--vars", "{buckets: [crush], preset: full}")  # of no other module, whose parse would print no warning again


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("selection")


def printed(run_dbt, data_dir, *selection: str) -> str:
    """Parse the project and list models."""
    return run_dbt(("ls", "--resource-type", "model", *SUBSET, *selection), landing=None, data_dir=data_dir).stdout


def models_of(printed: str) -> set[str]:
    return {line.rsplit(".", 1)[-1] for line in printed.splitlines() if line.startswith("zl_forecast.")}


def test_a_build_of_one_bucket_parses_without_a_warning_has_one_specialist_and_publishes(run_dbt, data_dir):
    listed = printed(run_dbt, data_dir, "--select", "+published_snapshot")
    assert "WARNING" not in listed
    models = models_of(listed)
    assert {name for name in models if name.startswith("specialist_")} == {"specialist_crush", "specialist_forecasts"}
    assert {"published_snapshot", "zl_forecast_ledger", "leaderboard"} <= models


def test_a_tournament_neither_publishes_nor_writes_to_the_ledger(run_dbt, data_dir):
    models = models_of(printed(run_dbt, data_dir, "--target", "tournament", "--select", *OF_TOURNAMENT))
    assert {"specialist_crush", "leaderboard", "feature_attributions", "forecast_explanations"} <= models
    assert not {name for name in models if name.startswith(("zl_", "published_", "ensemble_", "int_ensemble__"))}
