"""Shared fixtures: real data if present, a small simulated market, and dbt."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import duckdb
import forked
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from zl_forecast.databases import open_warehouse
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.landing import TABLES, LandingFolder, read_table
from zl_forecast.sample import simulate, write_landing

PROJECT = Path(__file__).parents[2]
BUCKETS = tuple(pd.read_csv(PROJECT / "seeds" / "buckets.csv")["bucket"])
MARTS = {bucket: f"features.mart_{bucket}__daily" for bucket in BUCKETS}
TARGETS = "intermediate.int_targets__daily"
FEATURES = ("build", "--resource-type", "model", "--resource-type", "seed")
FEATURES += (
    "--select",
    "+path:models/marts/buckets",
    "+int_carry__daily",  # reads the targets
)  # models without training, about 10 s


PARSED = "TEST_PARSED_PROJECTS"
PARSE = "target/partial_parse.msgpack"
WHOLE = "whole build"
WHOLE_BUILD = ("test_build", "test_next_session", "test_operation", "test_crash")  # modules that read or copy `built`
WHOLE_BUILD += ("test_semantic_models", "test_examples", "test_superset")
SAMPLE_FEATURES = ("test_bad_landing", "test_bars_without_contracts", "test_carry", "test_features_second_opinion")
SAMPLE_FEATURES += ("test_landing_check", "test_lineage", "test_one_way", "test_point_in_time", "test_state")
BUILD = ("build", "--exclude-resource-type", "unit_test")
UNTESTED = (*BUILD, "--exclude-resource-type", "test")  # where another test has run the data tests on the same tables
ONE_BUCKET = "{buckets: [crush]}"  # --vars of builds after the first one: what they show, one bucket shows
OPERATED = ("+zl_forecast_ledger", "+health_history", "+model_registry", "+promotions", "+zl_forecast_accuracy")
OPERATED += ("+zl_backtest",)
START, END = "2018-01-02", "2023-05-30"  # of the small market: three test years and a live month
NEXT = "2023-05-31"  # the session after END


@dataclass(frozen=True)
class DbtResult:
    """Result of a finished dbt command.

    Attributes
    ----------
    returncode : int
        0 if everything passed.
    stdout : str
        dbt's output including errors, without colours.
    data_dir : Path
        Its ZL_DATA_DIR, which contains the warehouse.
    status : dict[str, str]
        Status by node name (`success`, `error`, `skipped` ...); empty if dbt ran no node.
    manifest : dict
        dbt's manifest.json; empty if it was not written.
    compiled : list of (str, str, str)
        Name, relation and compiled code of each model that was built, in order of completion.
    """

    returncode: int
    stdout: str
    data_dir: Path
    status: dict[str, str]
    manifest: dict
    compiled: list[tuple[str, str, str]]

    @property
    def warehouse(self) -> Path:
        return self.data_dir / "warehouse.duckdb"

    def models_after(self, name: str) -> set[str]:
        """Names of the models that depend on the model `name`, directly or not."""
        children, found = self.manifest["child_map"], set()
        todo = [f"model.zl_forecast.{name}"]
        while todo:
            for child in children.get(todo.pop(), []):
                if child.startswith("model.") and child not in found:
                    found.add(child)
                    todo.append(child)
        return {node.rsplit(".", 1)[-1] for node in found}


def dbt_command(
    args, *, landing: Path | None, data_dir: Path, project: Path = PROJECT, **env: str
) -> tuple[list[str], dict]:
    """Return dbt's command line, and folder and environment for `subprocess`. Parameters as in `dbt`.

    Gives the data folder the parse of these variables; a copied one may have that of others.
    """
    (data_dir / "target").mkdir(parents=True, exist_ok=True)
    if (parsed := _parse_of(args, project)).exists():
        shutil.copyfile(parsed, data_dir / PARSE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZL_", "DBT_"))}
    environment |= {
        "ZL_DATA_DIR": ".",  # the same text in every data folder, so that one parse of the project serves all
        "DBT_PROJECT_DIR": str(project),
        "DBT_TARGET_PATH": str(data_dir / "target"),
        "DBT_LOG_PATH": str(data_dir / "logs"),
        "DBT_PROFILES_DIR": str(project / "profiles"),
        "DBT_USE_COLORS": "false",
        "COLUMNS": "400",
        "ZL_CORES": "1",  # every worker process imports for five seconds, and the tests run two builds at once
        **env,
    }
    if landing is not None:
        environment["ZL_LANDING_DIR"] = str(landing)
    command = [sys.executable, "-Wignore::RuntimeWarning:runpy", "-m", "dbt.cli.main", *args]
    return command, {"cwd": data_dir, "env": environment}


def dbt(
    args,
    *,
    landing: Path | None,
    data_dir: Path,
    project: Path = PROJECT,
    expect_failure: bool = False,
    **env: str,
) -> DbtResult:
    """Run dbt in its own process; it writes only below `data_dir`.

    Parameters
    ----------
    args : sequence of str
        dbt's arguments, for example ("build", "--select", "stg_landing__bars").
    landing : Path or None
        ZL_LANDING_DIR; None leaves it unset.
    data_dir : Path
        ZL_DATA_DIR, created here; target and logs go below it too.
    project : Path
        Folder of dbt_project.yml.
    expect_failure : bool
        Whether the command must fail; otherwise it must succeed.
    **env : str
        Further environment variables.
    """
    _, settings = dbt_command(args, landing=landing, data_dir=data_dir, project=project, **env)
    output = data_dir / "output.txt"
    returncode = forked.run(["dbt", *args], settings["cwd"], settings["env"], output, timeout=900)
    stdout = output.read_text()
    if (own := data_dir / PARSE).exists() and not (parsed := _parse_of(args, project)).exists():
        shutil.copyfile(own, new := parsed.with_suffix(f".{os.getpid()}"))
        new.replace(parsed)
    target = data_dir / "target"
    results, manifest = (_json(target / name) for name in ("run_results.json", "manifest.json"))
    results = results.get("results", [])
    status = {result["unique_id"].split(".")[2]: result["status"] for result in results}
    compiled = [
        (result["unique_id"].split(".")[2], result["relation_name"], result["compiled_code"])
        for result in results
        if result["unique_id"].startswith("model.") and result["status"] == "success"
    ]
    assert (returncode != 0) == expect_failure, f"dbt {' '.join(args)} ended with {returncode}:\n{stdout}"
    return DbtResult(returncode, stdout, data_dir, status, manifest, compiled)


def repeated(build: DbtResult, landing: Path, to: Path) -> Path:
    """Run the SQL that dbt compiled for `build`, with its constraints, on other landing files: one second instead of ten.

    `test_sql_run_without_dbt_equals_the_dbt_build` checks that this equals dbt. Returns the path of the warehouse.
    """
    to.mkdir(parents=True)
    folder = LandingFolder(landing, "simulated" if (landing / "SIMULATED.json").exists() else "market")
    with duckdb.connect(str(to / "warehouse.duckdb")) as con:
        con.execute(f"attach '{build.warehouse}' as built (read_only)")
        for schema in ("landing", "registry", "staging", "intermediate", "features"):
            con.execute(f"create schema {schema}")
        for name in TABLES:
            rows = read_table(name, folder)
            con.register("rows", rows)
            con.execute(f"create table landing.{name} as from rows")
        for seed in (n for n in build.manifest["nodes"].values() if n["resource_type"] == "seed"):
            if build.status.get(seed["name"]) == "success":
                con.execute(f"create table registry.{seed['name']} as from built.registry.{seed['name']}")
        for name, relation, sql in build.compiled:
            model = build.manifest["nodes"][f"model.zl_forecast.{name}"]
            if model["language"] == "python":
                sql = f"from built.{relation.split('.', 1)[1]}"
            con.execute(f"create table {relation} as {sql}")
            for column in model["columns"].values():
                if any(constraint["type"] == "not_null" for constraint in column["constraints"]):
                    con.execute(f"alter table {relation} alter {column['name']} set not null")
        con.execute("detach built")
    return to / "warehouse.duckdb"


def read(warehouse: Path, query: str) -> pa.Table:
    """Query a warehouse that no process is writing to; the state beside it is the database `state`."""
    with open_warehouse("", warehouse) as con:
        return con.sql(query).to_arrow_table()


def listing(folder: Path) -> dict[str, tuple]:
    """List everything below a folder with the attributes that a write would change."""
    return {
        str(path.relative_to(folder)): (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for path in [folder, *folder.rglob("*")]
        for stat in [path.lstat()]
    }


def _parse_of(args: Sequence[str], project: Path) -> Path:
    """Return the file of the parsed project for these variables and this target; parsing takes 5 s, loading 1 s."""
    settings = [value for option, value in pairwise(args) if option in ("--vars", "--target")]
    name = hashlib.sha256(repr((str(project), settings)).encode()).hexdigest()[:16]
    return Path(os.environ[PARSED]) / f"{name}.msgpack"


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the modules with a whole build first, because they take longest."""
    items.sort(key=lambda item: item.path.stem not in WHOLE_BUILD)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `pytest -n 2`, run each module in one process, and all that share a build in the same one.

    Marks of `--dist loadgroup` have no effect with pytest 9.2 and xdist 3.8: both processes made each fixture.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = Path(nodeid.partition("::")[0]).stem
            return WHOLE if module in WHOLE_BUILD else "sample features" if module in SAMPLE_FEATURES else module

    return ByModule(config, log)


@pytest.fixture(scope="session", autouse=True)
def _parsed(tmp_path_factory):
    """A folder of parsed projects, shared by all processes of the run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "parsed"
    folder.mkdir(exist_ok=True)
    os.environ[PARSED] = str(folder)


@pytest.fixture(scope="session")
def run_dbt():
    """Return the function `dbt`."""
    return dbt


@pytest.fixture(scope="session")
def features(run_dbt):
    """Return a function (landing, data_dir, project=…) -> DbtResult that builds staging to marts and targets."""
    return partial(run_dbt, FEATURES)


@pytest.fixture(scope="session")
def real_landing() -> Path:
    """Folder with real bars and series: ZL_REAL_DATA_DIR, else shared/data/landing beside the project."""
    named = os.environ.get("ZL_REAL_DATA_DIR")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data" / "landing"
    if not list(folder.glob("bars_daily*")):
        pytest.skip(
            f"no real market data: {folder} holds no bars_daily file; point ZL_REAL_DATA_DIR to a landing folder"
        )
    return folder.resolve()


@pytest.fixture(scope="session")
def sample_landing(tmp_path_factory) -> Path:
    """Landing files of four years of the simulated world `planted`, about 1,000 sessions."""
    folder = tmp_path_factory.mktemp("sample") / "planted"
    write_landing(simulate("planted", start="2018-01-02", end="2021-12-31"), folder)
    return folder


@pytest.fixture(scope="session")
def sample_features(features, sample_landing, tmp_path_factory) -> DbtResult:
    """Build staging to marts of `sample_landing` once; read only."""
    return features(landing=sample_landing, data_dir=tmp_path_factory.mktemp("sample_features"))


@pytest.fixture(scope="session")
def landing(tmp_path_factory) -> Path:
    """Landing files of the small market in their own folder, so that tests can copy and extend them."""
    folder = tmp_path_factory.mktemp("landing") / "planted"
    write_landing(simulate("planted", start=START, end=END), folder)
    return folder


@pytest.fixture(scope="session")
def built(run_dbt, landing, tmp_path_factory) -> DbtResult:
    """Run one whole `dbt build` with all tests: the slowest fixture, about three minutes. Later tests build into it or into copies."""
    data_dir = tmp_path_factory.mktemp("built")
    return run_dbt(("build",), landing=landing, data_dir=data_dir, ZL_CORES=str(os.cpu_count()))


@pytest.fixture(scope="session")
def reselected(run_dbt, built, landing, tmp_path_factory) -> DbtResult:
    """Copy `built` and reselect one bucket in the middle of the month, without publication; tests copy it.

    The build of `day_later` runs the data tests on its tables.
    """
    data_dir = tmp_path_factory.mktemp("reselected") / "data"
    shutil.copytree(built.data_dir, data_dir, symlinks=True)
    always = ONE_BUCKET.replace("}", ", tournament: always}")
    return run_dbt((*UNTESTED, "--select", *OPERATED, "--vars", always), landing=landing, data_dir=data_dir)


@pytest.fixture(scope="session")
def next_session(tmp_path_factory) -> Path:
    """Landing files of the small market with one more session, `NEXT`."""
    folder = tmp_path_factory.mktemp("landing") / "next_session"
    write_landing(simulate("planted", start=START, end=NEXT), folder)
    return folder


@pytest.fixture(scope="session")
def serving(built) -> Path:
    """Folder of the published snapshot of `built`."""
    return built.data_dir / "serving"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass
class Server:
    """A running server: its port, and a folder to which its user has access."""

    port: int
    folder: Path


@pytest.fixture(scope="session")
def server():
    """Start a PostgreSQL server. It refuses to run as root, so there it runs as the user of Debian's package.

    Its folder is none of pytest's, which pytest closes to other users whenever it starts.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("there is no PostgreSQL server (Debian's package postgresql)")
    tools, port = found[-1], free_port()
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="zl-postgres-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, "postgres")
        data = folder / "data"

        def run(*command: str) -> None:
            subprocess.run([str(tools / command[0]), *command[1:]], check=True, capture_output=True, cwd=folder, **user)

        run("initdb", "-D", str(data), "-A", "trust", "-U", "zl", "--no-sync")
        rules = data / "pg_hba.conf"
        rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
        yield Server(port, folder)
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def heed_interrupts() -> None:
    """Enable Ctrl-C in a child process; processes that a shell starts in the background ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def query(serving: Path, sql: str) -> pd.DataFrame:
    """Query a published snapshot."""
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as con:
        return con.sql(sql).df()


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory) -> Path:
    """Copy of the dbt project without its tests, which tests may change."""
    copy = tmp_path_factory.mktemp("project") / "zl_forecast"
    copy.mkdir()
    for name in ("profiles", "seeds", "models", "macros", "python_models", "expectations", "tests/dbt"):
        shutil.copytree(PROJECT / name, copy / name)
    shutil.copy(PROJECT / "dbt_project.yml", copy)
    return copy


def follow_documentation(first: str, project: Path) -> str:
    """Run commands of docs/extending.md in a copy of the project, up to their `make tournament`; return what they print.

    Parameters
    ----------
    first : str
        How the fenced commands begin.
    project : Path
        Folder of dbt_project.yml; examples/ is copied to it.
    """
    fenced = re.findall(r"```bash\n(.*?)```", (PROJECT / "docs/extending.md").read_text(), flags=re.S)
    (commands,) = (text for text in fenced if text.startswith(first))
    commands, make, _ = commands.rpartition("make tournament")
    assert make
    shutil.copytree(PROJECT / "examples", project / "examples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": path, "PYTHONPATH": str(PROJECT / "src"), "DBT_PROJECT_DIR": str(project)}
    settings = os.environ | settings
    done = subprocess.run(["bash", "-euc", commands], cwd=project, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows_from_returns(
    returns: np.ndarray, features: pd.DataFrame | None = None, channels=(), horizons=(5, 20, 60, 120)
) -> pd.DataFrame:
    """Build tournament rows of a simulated ZL, with look-back columns.

    Parameters
    ----------
    returns : array of shape (n_sessions,)
        Daily log returns.
    features : DataFrame of shape (n_sessions, n_features), optional
        Features of the mart, known at each session; without it the only feature is `idle`, a constant zero.
    channels : sequence of str
        Features with a look-back.

    Returns
    -------
    DataFrame
        as_of_date, horizon_days, target_date, z_return, is_matured, the features and the look-back; ordered by date and horizon, from
        the 60th session on. z_return is NaN if the target is after the last session.
    """
    n = len(returns)
    days = pd.bdate_range("2000-01-03", periods=n + max(horizons))
    ewma_volatility = np.sqrt(pd.Series(returns**2).ewm(alpha=0.03).mean().to_numpy())
    zl = pd.DataFrame({"as_of_date": days[:n], "log_return": returns, "ewma_volatility": ewma_volatility})
    features = pd.DataFrame({"idle": np.zeros(n)}) if features is None else features
    mart = pd.concat([zl[["as_of_date"]], features.set_axis(range(n))], axis=1)
    known = mart.merge(lookback_columns(mart, zl, tuple(channels)), on="as_of_date")
    log_price = np.concatenate([np.cumsum(returns), np.full(max(horizons), np.nan)])
    frames = []
    for horizon in horizons:
        moved = log_price[horizon : n + horizon] - log_price[:n]
        frames.append(
            known.assign(
                horizon_days=horizon,
                target_date=days[horizon : n + horizon],
                z_return=moved / (ewma_volatility * np.sqrt(horizon)),
                is_matured=~np.isnan(moved),
            )
        )
    rows = pd.concat(frames).sort_values(["as_of_date", "horizon_days"], ignore_index=True)
    return rows[rows["as_of_date"] >= days[60]].reset_index(drop=True)


@pytest.fixture(scope="session")
def market_rows():
    """Return the function `rows_from_returns`."""
    return rows_from_returns
