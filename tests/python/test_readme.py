"""What README.md promises is there."""

import re

import yaml
from conftest import PROJECT

README = (PROJECT / "README.md").read_text()


def test_every_make_command_of_the_readme_is_a_target():
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"it"} <= targets


def test_every_table_that_the_readme_names_is_published():
    published = (PROJECT / "python_models/publication/published_snapshot.py").read_text()
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
                assert str(project_vars[name]).replace("None", "none") == default, name


def test_only_the_agreed_folders_are_at_the_top():
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    written = {"data", "target", "logs", "dbt_packages", "build"}
    assert folders - written == {
        "models",
        "seeds",
        "macros",
        "python_models",
        "expectations",
        "tests",
        "profiles",
        "src",
    }
