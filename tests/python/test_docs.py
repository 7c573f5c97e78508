"""README.md, DECISIONS.md and docs/ against the project: links, commands, names, tables of seeds, and their form.

tests/python/test_examples.py runs the commands that read a snapshot; tests/python/test_new_bucket.py those that add a bucket.
"""

import configparser
import contextlib
import io
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from dotenv import dotenv_values

from zl_forecast import cli
from zl_forecast.landing.tables import TABLES
from zl_forecast.sample.market import WORLDS

PAGES = [PROJECT / name for name in ("README.md", "DECISIONS.md", "examples/README.md")]  # CHANGELOG.md has old names
PAGES += sorted((PROJECT / "docs").glob("*.md"))
README = (PROJECT / "README.md").read_text()
DOCS = {page.stem: page.read_text() for page in [PROJECT / "DECISIONS.md", *(PROJECT / "docs").glob("*.md")]}
PARTS = ("Number", "Alternatives", "Revisit when")
FOLDERS = "src|seeds|models|macros|expectations|python_models|tests|examples|docs|benchmarks|profiles"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(text: str) -> str:
    """Return a page without its fenced code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def code(text: str) -> str:
    """Return the fenced commands and the code in sentences, one per line."""
    fenced = re.findall(r"^```bash\n(.*?)^```", text, flags=re.M | re.S)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", prose(text))])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: str, header: str) -> list[list[str]]:
    """Return the cells of a page's table by the cells of its header's beginning."""
    lines = DOCS[page].split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


@every_page
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in re.findall(r"(?:\]\(|src=\")([^)\"]+)", prose(page.read_text())):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            assert re.fullmatch(r"https://[\w.-]+\.\w+(/[\w./#%?=&-]*)?", target), target
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    linked = set(re.findall(r"\]\(([\w/]+\.md)", README))
    assert {str(page.relative_to(PROJECT)) for page in PAGES} - {"README.md"} <= linked


def test_the_readme_has_at_most_900_words():
    assert len(README.split()) <= 900


@every_page
def test_files_that_a_page_names_exist(page):
    named = re.findall(rf"`((?:{FOLDERS})/[\w/.-]+)`", page.read_text())
    assert [path for path in named if not (PROJECT / path).exists()] == []


@every_page
def test_make_commands_are_targets(page):
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", code(page.read_text()))) <= targets


@cache
def help_of(*command: str) -> str:
    """Return what `zl <command> --help` prints; it fails for a command that does not exist."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            ended = cli.main([*command, "--help"])
        except SystemExit as stop:
            ended = stop.code
    assert not ended, command
    return printed.getvalue()


@every_page
def test_zl_commands_and_their_options_exist(page):
    for command, rest in re.findall(r"\bzl ([a-z]+)([^\n#]*)", code(page.read_text())):
        described = help_of(command)
        assert [option for option in re.findall(r"--[a-z-]+", rest) if option not in described] == [], command


@every_page
def test_tables_and_models_that_a_page_names_exist(page):
    models = {path.stem for folder in ("models", "python_models") for path in (PROJECT / folder).rglob("*.*")}
    text = page.read_text()
    named = set(re.findall(r"`(?:forecasts|monitoring|tournament|features)\.([a-z_]+)`", text))
    named |= set(re.findall(r"`((?:int|stg|mart|specialist)_[a-z_]+[a-z])`", text))
    assert {name for name in named if name not in models} == set()


@every_page
def test_dbt_vars_and_benchmarks_that_a_page_names_exist(page):
    text = page.read_text()
    known = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    for given in re.findall(r"--vars '([^']+)'", text):
        assert set(yaml.safe_load(given)) <= set(known), given
    for name in re.findall(r"python -m benchmarks\.(\w+)", text):
        assert (PROJECT / f"benchmarks/{name}.py").exists(), name


@every_page
def test_environment_variables_that_a_page_names_are_read(page):
    files = [PROJECT / "Makefile", PROJECT / "tests/python/conftest.py"]
    files += [*(PROJECT / "profiles").iterdir(), *(PROJECT / "src").rglob("*.py")]
    source = "\n".join(file.read_text() for file in files)
    named = set(re.findall(r"\b(?:ZL|DBT)_[A-Z_]+\b", code(page.read_text())))
    assert [name for name in named if name not in source] == []


def test_the_table_of_settings_has_every_environment_variable_that_is_read():
    files = [PROJECT / "Makefile", *(PROJECT / "profiles").iterdir()]
    files += [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "examples/superset").glob("*.py")]
    of_ours = r"(?:ZL|DATABENTO)_[A-Z_]+|FRED_API_KEY"
    # quoted in Python, dbt's env_var and TOML; exported by make
    read = {name for file in files for name in re.findall(rf"[\"'](?:{of_ours})[\"']", file.read_text())}
    read = {name.strip("\"'") for name in read}
    read |= set(re.findall(rf"^export ({of_ours})", (PROJECT / "Makefile").read_text(), flags=re.M))
    read |= set(pd.read_csv(PROJECT / "seeds/sources.csv")["key_variable"].dropna())
    read -= {"ZL_SUPERSET_WELCOME"}  # one file of examples/superset sets it for another
    assert {"ZL_LANDING_DIR", "ZL_DATA_DIR", "FRED_API_KEY", "DATABENTO_MAX_COST_USD"} <= read
    assert read - {row[0] for row in table("operation", "| Variable | Default |")} == set()


def test_the_vars_have_these_defaults():
    known = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    rows = {name: default for name, default, _ in table("operation", "| var | default |")}
    assert set(rows) == set(known)
    assert rows.pop("buckets") == "all"
    assert rows == {name: str(known[name]).lower() for name in rows}


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
    rows = table("tournament", "| family | what it is |")
    assert [(row[0], row[-1]) for row in rows] == list(expected.items())


def test_buckets_methods_and_worlds_are_those_of_the_project():
    for page, header, seed, column in (
        ("buckets", "| Bucket | What it reads |", "buckets", "bucket"),
        ("ensembles", "| method | what it does |", "ensemble_methods", "ensemble_method"),
    ):
        names = pd.read_csv(PROJECT / f"seeds/{seed}.csv")[column]
        assert sorted(row[0] for row in table(page, header)) == sorted(names)
    worlds = [row[0].split("`")[0] for row in table("data", "| World | What drives ZL |")]
    assert sorted(worlds) == sorted(WORLDS)


def test_landing_columns_are_those_of_the_contract():
    rows = {re.match(r"\w+", row[0])[0]: row[1].split(", ") for row in table("data", "| File | Columns |")}
    assert rows == {name: list(own.columns) for name, own in TABLES.items()}


@pytest.mark.parametrize(
    ("page", "header", "model", "column"),
    [
        ("tournament", "| status | outcome", "leaderboard", "status"),
        ("operation", "| action | trigger |", "run_plan", "action"),
        ("evaluation", "| State | Meaning |", "model_health", "state"),
    ],
)
def test_values_of_a_column_are_those_that_dbt_accepts(page, header, model, column):
    text = (PROJECT / f"models/marts/monitoring/{model}.yml").read_text()
    (columns,) = (own["columns"] for own in yaml.safe_load(text)["models"])
    (own,) = (own for own in columns if own["name"] == column)
    (accepted,) = (test["accepted_values"] for test in own["data_tests"] if "accepted_values" in test)
    assert {row[0] for row in table(page, header)} - {""} == set(accepted["arguments"]["values"])


def test_every_decision_says_what_number_alternatives_and_when_to_revisit_it():
    decisions = re.split(r"^## ", DOCS["DECISIONS"], flags=re.M)[1:]
    assert len(decisions) > 50
    for decision in decisions:
        title, _, rest = re.split(r"^# ", decision, flags=re.M)[0].partition("\n")
        parts = re.findall(r"^- \*\*([\w ]+)\*\*[^:]*: +\S", rest, flags=re.M)
        assert tuple(parts) == PARTS, title


def test_the_lineage_page_links_to_pages_that_exist():
    text = (PROJECT / "models/_overview.md").read_text()
    named = re.findall(r"`((?:README|DECISIONS|docs/\w+)\.md)`", text)
    assert named
    assert [path for path in named if not (PROJECT / path).exists()] == []


@pytest.mark.parametrize("example", ["crontab", "github-actions.yml"])
def test_the_examples_of_schedules_call_targets_that_exist(example):
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.M))
    text = (PROJECT / "examples" / example).read_text()
    called = set(re.findall(r"\bmake ([a-z]+)", text)) | set(re.findall(r"'(build|health|reselection)'", text))
    assert {"ingest", "build", "notify", "health", "reselection"} <= called <= targets


def test_the_schedule_of_systemd_runs_all_steps_and_says_what_failed():
    units = {}
    for path in sorted((PROJECT / "examples/systemd").iterdir()):
        units[path.name] = configparser.RawConfigParser(strict=False)
        units[path.name].optionxform = str
        units[path.name].read_string(path.read_text())
    assert set(units) == {"zl-forecast.service", "zl-forecast.timer", "zl-forecast-failed.service"}
    started = re.findall(
        r"^ExecStart=(-?).*make (\w+)$", (PROJECT / "examples/systemd/zl-forecast.service").read_text(), re.M
    )
    assert started == [("-", "ingest"), ("", "build"), ("-", "notify")]  # only a failed build fails the job
    assert units["zl-forecast.service"]["Unit"]["OnFailure"] == "zl-forecast-failed.service"
    assert units["zl-forecast-failed.service"]["Service"]["ExecStart"].endswith("make notify")
    assert units["zl-forecast.timer"]["Timer"]["OnCalendar"] == "Tue..Sat 07:00 America/Chicago"
    same = [
        {key: units[name]["Service"][key] for key in ("User", "WorkingDirectory", "EnvironmentFile")}
        for name in units
        if name.endswith("service")
    ]
    assert same[0] == same[1]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_accepts_the_units():
    units = sorted(map(str, (PROJECT / "examples/systemd").iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_workflow_keeps_the_state_and_sends_messages_also_after_a_failure():
    text = (PROJECT / "examples/github-actions.yml").read_text()
    workflow = yaml.safe_load(text)
    job = workflow["jobs"]["forecast"]
    named = [step.get("run") or step["uses"].split("@")[0] for step in job["steps"]]
    assert named == [
        *("actions/checkout", "actions/setup-python", "actions/cache/restore", "make ingest", 'make "$TARGET"'),
        *("make notify", "actions/cache/save", "actions/upload-artifact"),
    ]
    steps = dict(zip(named, job["steps"], strict=True))
    assert steps["make ingest"]["continue-on-error"]
    assert steps["make notify"]["if"] == steps["actions/cache/save"]["if"] == "always()"
    restore, save = steps["actions/cache/restore"]["with"], steps["actions/cache/save"]["with"]
    assert restore["path"] == save["path"] == "data"
    assert save["key"].startswith(restore["restore-keys"])
    assert restore["key"] != save["key"]  # a key that exists is not saved again
    assert job["env"].keys() >= set(dotenv_values(PROJECT / "examples/env.example"))


def test_the_example_of_keys_has_settings_without_values():
    settings = dotenv_values(PROJECT / "examples/env.example")
    keys = set(pd.read_csv(PROJECT / "seeds/sources.csv")["key_variable"].dropna())
    assert set(settings) == keys | {"ZL_NOTIFY_URLS"}
    assert set(settings) <= {row[0] for row in table("operation", "| Variable | Default |")}
    assert not any(settings.values())


def test_only_the_agreed_folders_are_at_the_top():
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    written = {"data", "target", "logs", "dbt_packages", "build"}
    assert folders - written == {*FOLDERS.split("|")}
