"""Builds of some buckets parse, and one bucket's tournament changes nothing that users read."""

import pytest

from zl_forecast.cli.build import OF_TOURNAMENT

PROJECT_SUBSET = ("--vars", "{buckets: [crush], preset: full}")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("selection")


def listed(run_dbt, data_dir, *selection: str) -> set[str]:
    found = run_dbt(
        ("ls", "--resource-type", "model", *PROJECT_SUBSET, *selection), landing=None, data_dir=data_dir
    ).stdout
    return {line.rsplit(".", 1)[-1] for line in found.splitlines() if line.startswith("zl_forecast.")}


def test_a_project_of_one_bucket_parses_without_a_warning(run_dbt, data_dir):
    assert "WARNING" not in run_dbt(("parse", *PROJECT_SUBSET), landing=None, data_dir=data_dir).stdout


def test_a_build_of_one_bucket_has_one_specialist_and_publishes(run_dbt, data_dir):
    models = listed(run_dbt, data_dir, "--select", "+published_snapshot")
    assert {name for name in models if name.startswith("specialist_")} == {"specialist_crush", "specialist_forecasts"}
    assert {"published_snapshot", "zl_forecast_ledger", "leaderboard"} <= models


def test_a_tournament_neither_publishes_nor_writes_to_the_ledger(run_dbt, data_dir):
    models = listed(run_dbt, data_dir, "--target", "tournament", "--select", *OF_TOURNAMENT)
    assert {"specialist_crush", "leaderboard", "feature_attributions", "forecast_explanations"} <= models
    assert not {name for name in models if name.startswith(("zl_", "published_", "ensemble_", "int_ensemble__"))}
