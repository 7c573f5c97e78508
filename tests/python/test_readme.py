"""Targets, tables, files, variables and commands that README.md names exist."""

import re

import pandas as pd
import pytest
import yaml
from conftest import PROJECT

README = (PROJECT / "README.md").read_text()


def test_make_commands_of_the_readme_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"it"} <= targets


def test_every_table_that_the_readme_names_is_published():
    published = (PROJECT / "python_models/marts/monitoring/published_snapshot.py").read_text()
    named = set(re.findall(r"`((?:forecasts|monitoring)\.[a-z_]+)`", README))
    assert named
    assert {table for table in named if f'"{table}"' not in published} == set()


def test_every_file_that_the_readme_names_exists():
    paths = re.findall(r"`((?:src|seeds|models|macros|expectations|python_models|tests)/[\w/.]+)`", README)
    assert paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_every_var_of_the_readme_has_that_default():
    project_vars = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    for names, defaults in re.findall(r"^\| `([\w`, ]+)` \| ([\w`., ]+) \|", README.split("| var |")[1], flags=re.M):
        for name, default in zip(
            names.replace("`", "").split(", "), defaults.replace("`", "").split(", "), strict=True
        ):
            if name in project_vars:
                assert str(project_vars[name]).replace("None", "none").replace("False", "false") == default, name


def test_the_families_and_their_presets_are_those_of_the_seeds():
    families = pd.read_csv(PROJECT / "seeds/families.csv").set_index("family")["from_preset"].dropna()
    candidates = pd.read_csv(PROJECT / "seeds/buckets.csv").set_index("bucket")["candidates"].str.split()
    expected = {}
    for family, preset in families.items():
        quick = [bucket for bucket, names in candidates.items() if family in names]
        everywhere = family in ("reference", "lightgbm") or len(quick) == len(candidates)
        if preset == "quick" and not everywhere:
            preset = "standard"
        expected[family] = preset if everywhere or not quick else f"{preset}; quick in some buckets"
    table = README.split("| family | what it is |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", table, flags=re.M)
    assert rows == list(expected.items())


def test_every_status_of_the_readme_is_one_of_the_leaderboard():
    allowed = re.search(r"values: \[(ok[\w, ]+)\]", (PROJECT / "models/marts/monitoring/leaderboard.yml").read_text())[
        1
    ]
    table = README.split("| status |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.M) == allowed.split(", ")


def test_zl_commands_of_the_readme_exist():
    source = (PROJECT / "src/zl_forecast/cli.py").read_text()
    named = set(re.findall(r"(?:^|`)zl ([a-z]+)", README, flags=re.M))
    assert named
    assert named <= set(re.findall(r'add_parser\(\s*"([a-z]+)"', source))


def test_only_the_agreed_folders_are_at_the_top():
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    written = {"data", "target", "logs", "dbt_packages", "build"}
    assert folders - written == {
        "benchmarks",
        "docs",
        "examples",
        "models",
        "seeds",
        "macros",
        "python_models",
        "expectations",
        "tests",
        "profiles",
        "src",
    }


def test_the_ensemble_methods_are_those_of_the_seed():
    seed = pd.read_csv(PROJECT / "seeds/ensemble_methods.csv")["ensemble_method"]
    table = README.split("| method | what it does |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, flags=re.M)) == sorted(seed)


@pytest.mark.parametrize("example", sorted((PROJECT / "examples").iterdir()), ids=lambda path: path.name)
def test_the_examples_of_schedules_call_targets_that_exist(example):
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    text = example.read_text()
    called = set(re.findall(r"\bmake ([a-z]+)", text)) | set(re.findall(r"'(build|health|reselection)'", text))
    assert {"build", "health", "reselection"} <= called <= targets
