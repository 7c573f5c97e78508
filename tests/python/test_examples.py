"""examples/ and the reading commands of the documentation, run on the published snapshot of a build."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROJECT, query
from test_docs import PAGES, README

NOT_READING = ("zl export postgres", "zl leaderboard crush --tournament", "zl check data/landing", "zl replay")


def reading_commands() -> list[str]:
    """Return the commands of all pages that read a snapshot or check files, without comments."""
    fenced = "".join("".join(re.findall(r"```bash\n(.*?)```", page.read_text(), re.S)) for page in PAGES)
    commands = {line.split("  #")[0].strip() for line in fenced.splitlines()}
    reading = ("zl ", "python examples/query.py", "python examples/read_parquet.py")
    return sorted(line for line in commands if line.startswith(reading) and not line.startswith(NOT_READING))


@pytest.fixture(scope="module")
def folder(built, landing, tmp_path_factory) -> Path:
    """A folder that looks like the project's root after a build: data/ and examples/."""
    root = tmp_path_factory.mktemp("root")
    (root / "data").symlink_to(built.data_dir)
    (root / "examples").symlink_to(PROJECT / "examples")
    (root / "FOLDER").symlink_to(landing)
    return root


def run(folder: Path, command: str) -> str:
    """Run a command as a user would in the project's root; return what it prints."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": tools, "PYTHONPATH": str(PROJECT / "src"), "DBT_PROJECT_DIR": str(PROJECT), "COLUMNS": "200"}
    settings |= {"ZL_DATA_DIR": str(folder / "data"), "ZL_LANDING_DIR": str(folder / "FOLDER")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", reading_commands())
def test_a_reading_command_of_the_documentation_runs(folder, tmp_path, command):
    printed = run(folder, re.sub(r"(?<=export )(parquet|csv) FOLDER", rf"\1 {tmp_path / 'tables'}", command))
    assert printed.strip()


def test_the_table_in_the_readme_has_the_columns_that_a_build_prints(folder):
    shown = README.split("```text\n")[1].splitlines()[0]
    assert shown.split() == next(line.split() for line in run(folder, "zl summary").splitlines() if "P10" in line)


def example(serving: Path, name: str) -> pd.DataFrame:
    return query(serving, (PROJECT / "examples" / name).read_text())


def n_scored(serving: Path) -> int:
    """Count the horizons at which the published forecast has a history; 6m has none in the small market."""
    n = len(query(serving, "from monitoring.verdicts where subject = 'published'"))
    assert n >= 3
    return n


def test_skill_from_prices_is_the_published_one(serving):
    skill = example(serving, "skill.sql")
    assert len(skill) == n_scored(serving)
    assert skill["skill"].to_numpy() == pytest.approx(skill["published_skill"].to_numpy(), abs=1e-9)
    assert (skill["skill"] - skill["skill_in_cents"]).abs().min() > 1e-6  # cents are another measure


def test_coverage_from_prices_is_the_published_one(serving):
    coverage = example(serving, "coverage.sql")
    assert len(coverage) == n_scored(serving)
    assert coverage["coverage_80"].to_numpy() == pytest.approx(coverage["published_coverage_80"].to_numpy(), abs=1e-12)
    independent = query(serving, "select horizon_code, n_independent from forecasts.zl_forecast")
    both = coverage.merge(independent, on="horizon_code")
    assert both["n_independent_x"].to_numpy() == pytest.approx(both["n_independent_y"].to_numpy())


def test_risk_from_paths_is_the_published_one(serving):
    risk = example(serving, "var.sql")
    assert risk["horizon_code"].tolist() == ["1w", "1m", "3m", "6m"]
    for measure in ("var_95", "cvar_95", "prob_above", "prob_touch_above"):
        assert risk[measure].to_numpy() == pytest.approx(risk[f"published_{measure}"].to_numpy(), abs=1e-9), measure


def test_the_python_example_gives_the_numbers_of_the_tables(folder, serving):
    printed = run(folder, "zl export parquet tables > /dev/null && python examples/read_parquet.py tables")
    forecast = query(serving, "from forecasts.zl_forecast").set_index("horizon_code")
    for code, row in forecast.iterrows():
        (line,) = (line.split() for line in printed.splitlines() if line.startswith(f"{code} "))
        assert [float(cell) for cell in line[2:5]] == pytest.approx([row["p10"], row["p50"], row["p90"]], abs=0.005)
    tail = query(
        serving, "select value from forecasts.zl_risk where measure = 'var_95' and side = 'buyer' and horizon_days = 20"
    )
    assert f"at least {tail['value'][0] * 600 * 20:+,.0f}" in printed
