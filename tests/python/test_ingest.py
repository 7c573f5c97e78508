"""Ingest as a whole: what lands, what a failure leaves, and what a second run, a crash or a second source changes."""

import json
import os
import signal
import subprocess
import sys
import threading
import types
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import small_publishers as small
from conftest import PROJECT, listing
from publishers import Answer, Publishers
from small_publishers import BUSINESS_DAYS, COT_API, ECB_API, ECB_HISTORY, GRAPH

from zl_forecast import cli
from zl_forecast.ingest import ingest
from zl_forecast.ingest.adapters.base import Rows, SourceSkipped
from zl_forecast.ingest.sources import Source, SourceError, load_sources
from zl_forecast.ingest.store import Store
from zl_forecast.landing import LandingFolder, read_table

KEY = "abcdef0123456789abcdef0123456789"
FILES = ["series_cftc.parquet", "series_ecb.parquet", "series_fred.parquet"]


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and no keys of the user's."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FRED_API_KEY", "")
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    monkeypatch.setattr("zl_forecast.ingest.keys.dotenv_values", lambda file: {})
    return tmp_path / "data"


@pytest.fixture
def landing(data_dir) -> Path:
    return data_dir / "landing"


@pytest.fixture
def publishers():
    with Publishers(small.everything()) as publishers:
        yield publishers


def run(*names: str, **more) -> dict:
    return {outcome.source: outcome for outcome in ingest(names, first_wait_seconds=0.001, **more)}


def states(outcomes: dict) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


# ---------------------------------------------------------------- what lands


def test_all_sources_land_in_the_contract_and_a_second_run_changes_no_byte(publishers, landing):
    assert states(run("fred", "ecb", "cftc")) == dict.fromkeys(("fred", "ecb", "cftc"), "landed")
    assert sorted(file.name for file in landing.iterdir()) == FILES
    rows = read_table("series", LandingFolder(landing, "market")).to_pandas()
    assert rows["series_id"].nunique() == 24
    before = listing(landing)
    assert states(run("fred", "ecb", "cftc")) == dict.fromkeys(("fred", "ecb", "cftc"), "unchanged")
    assert listing(landing) == before


def test_the_command_shows_a_table_and_the_next_step(publishers, landing, capsys):
    assert cli.main(["ingest", "ecb", "cftc"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[1].split() == ["source", "state", "rows", "new", "revised", "newest", "seconds"]
    assert lines[2].split()[:4] == ["ecb", "landed", f"{7 * len(BUSINESS_DAYS):,}", f"{7 * len(BUSINESS_DAYS):,}"]
    assert "No bars of ZL yet" in shown.out
    assert "ecb               ECB_EURUSD: to " in shown.err
    (landing / "bars_daily_mine.csv").write_text("symbol\n")
    assert cli.main(["ingest", "ecb"]) == 0
    assert "Next: make build" in capsys.readouterr().out


def test_the_list_of_sources_says_which_need_a_key(capsys, monkeypatch):
    monkeypatch.setenv("FRED_API_KEY", KEY)
    assert cli.main(["ingest", "--list"]) == 0
    shown = capsys.readouterr().out
    assert "optional, FRED_API_KEY: set" in shown
    assert KEY not in shown


def test_a_revised_value_is_a_new_row_that_older_sessions_do_not_see(publishers, landing):
    run("fred")
    before = pd.read_parquet(landing / "series_fred.parquet")
    day = f"{BUSINESS_DAYS[-3]:%Y-%m-%d}"
    publishers.answers[GRAPH] = small.graph(changed={("DGS10", day): 9.99})
    outcome = run("fred")["fred"]
    assert (outcome.state, outcome.n_new, outcome.n_revised) == ("landed", 0, 1)
    after = pd.read_parquet(landing / "series_fred.parquet")
    assert len(after.merge(before, how="inner")) == len(before)  # no row on file has changed
    (added,) = after[after["value"] == 9.99].itertuples()
    assert added.available_on >= date.today() - timedelta(days=1)
    assert added.available_by == "capture"


def test_a_longer_pull_adds_rows_and_a_shorter_one_is_refused(publishers, landing):
    whole = small.graph()
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-10].date())
    run("fred")
    publishers.answers[GRAPH] = whole
    outcome = run("fred")["fred"]
    assert outcome.state == "landed"
    assert outcome.n_new > 9
    before = listing(landing)
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-10].date())
    outcome = run("fred")["fred"]
    assert outcome.state == "failed"
    assert "before the newest value on file" in outcome.reason
    assert listing(landing) == before


def test_one_series_is_loaded_again_on_request(publishers, landing):
    run("ecb")
    before = pd.read_parquet(landing / "series_ecb.parquet")
    doubled = small.ecb_api

    def other_unit(query):  # the rate of the real changes its unit
        lines = doubled(query).splitlines(keepends=True)
        return "".join(line.replace(",1.", ",1001.") if ",BRL," in line else line for line in lines)

    publishers.answers[ECB_API] = other_unit
    outcome = run("ecb")["ecb"]
    assert outcome.state == "partial"
    assert "of a series that is rarely revised" in outcome.reason
    assert "--reload ECB_EURBRL" in outcome.reason
    assert states(run("ecb", reload=["ECB_EURBRL"])) == {"ecb": "landed"}
    after = pd.read_parquet(landing / "series_ecb.parquet")
    assert (after.loc[after["series_id"] == "ECB_EURBRL", "value"] > 1000).all()
    others = before["series_id"] != "ECB_EURBRL"
    assert len(after.merge(before[others], how="inner")) == others.sum()
    assert len(after) == len(before)
    publishers.answers[ECB_API] = lambda query: "".join(
        line for line in small.ecb_api(query).splitlines(keepends=True) if ",BRL," not in line
    )
    before = listing(landing)[FILES[1]]
    assert states(run("ecb", reload=["ECB_EURBRL"])) == {"ecb": "partial"}  # no rate to load: the old ones stay
    assert listing(landing)[FILES[1]] == before


# ---------------------------------------------------------------- failures


def test_one_source_that_fails_leaves_the_others_landed_and_is_in_the_exit_code_and_the_record(
    publishers, landing, capsys
):
    publishers.answers[ECB_API] = publishers.answers[ECB_HISTORY] = Answer("<html>maintenance</html>")
    assert cli.main(["ingest", "fred", "ecb", "cftc"]) == 1
    shown = capsys.readouterr().out
    assert "ecb, failed: eurofxref-hist.zip: www.ecb.europa.eu sent a web page instead of ZIP data" in shown
    assert sorted(file.name for file in landing.iterdir()) == [FILES[0], FILES[2]]
    record = Store().runs().to_pandas().set_index("source")
    assert record["state"].to_dict() == {"fred": "landed", "ecb": "failed", "cftc": "landed"}
    assert "web page" in record.loc["ecb", "reason"]
    assert record.loc["cftc", "n_rows"] == 6 * len(small.TUESDAYS)
    assert record.loc["cftc", "newest_on"] == small.TUESDAYS[-1].date()
    assert (record["ended_at"] >= record["started_at"]).all()


def test_a_publisher_that_is_down_is_given_up_after_two_series(publishers, landing):
    publishers.answers[GRAPH] = Answer("down", 503)
    outcome = run("fred")["fred"]
    assert outcome.state == "failed"
    assert "answered 503, after 5 attempts" in outcome.reason
    assert len(publishers.requests) == 10


def test_a_defect_of_an_adapter_does_not_stop_the_others(publishers, landing, monkeypatch):
    monkeypatch.setattr("zl_forecast.ingest.adapters.ecb.pull", lambda request: [][0])
    outcomes = run("ecb", "cftc")
    assert states(outcomes) == {"ecb": "failed", "cftc": "landed"}
    assert "IndexError: list index out of range" in outcomes["ecb"].reason
    assert "This is a defect" in outcomes["ecb"].reason


def test_a_damaged_landing_file_is_named_and_not_replaced(publishers, landing):
    run("ecb")
    file = landing / "series_ecb.parquet"
    file.write_bytes(file.read_bytes()[:200])
    outcome = run("ecb")["ecb"]
    assert outcome.state == "failed"
    assert "series_ecb.parquet cannot be read" in outcome.reason
    assert "Restore it from a backup, or delete it" in outcome.reason
    assert file.stat().st_size == 200


def test_a_file_with_the_name_of_a_source_that_ingest_did_not_write_is_left_alone(publishers, landing):
    landing.mkdir(parents=True)
    file = landing / "series_ecb.parquet"
    pd.DataFrame(
        {"series_id": ["X"], "obs_date": ["2024-05-06"], "available_on": ["2024-05-06"], "value": [1.0]}
    ).to_parquet(file)
    before = file.read_bytes()
    outcome = run("ecb")["ecb"]
    assert outcome.state == "failed"
    assert (
        "was not written by ingest: it has no column available_by. Rename it, for example to series_mine.parquet"
        in outcome.reason
    )
    assert file.read_bytes() == before


def test_the_record_of_runs_is_empty_before_the_first_one(data_dir):
    assert Store().runs().num_rows == 0
    (data_dir / "ingest").mkdir(parents=True)
    (data_dir / "ingest/ingest.sqlite").touch()
    assert Store().runs().num_rows == 0


def test_a_damaged_record_of_runs_is_named(publishers, data_dir, capsys):
    run("ecb")
    for file in (data_dir / "ingest").glob("ingest.sqlite*"):
        file.unlink()
    (data_dir / "ingest/ingest.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 100)
    assert cli.main(["ingest", "ecb"]) == 1
    assert "ingest.sqlite cannot be used: file is not a database" in capsys.readouterr().err


def test_a_full_disk_is_named(publishers, landing, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "data/ingest/raw")

    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = run("ecb")["ecb"]
    assert outcome.state == "failed"
    assert outcome.reason == "data/ingest/raw: No space left on device. Check permissions and free disk space."


def test_an_unknown_source_is_refused_with_the_list_of_sources(capsys):
    assert cli.main(["ingest", "fred", "bloomberg"]) == 2
    assert f"source 'bloomberg' does not exist. Known: {', '.join(load_sources())}." in capsys.readouterr().err
    assert cli.main(["ingest", "fred", "--reload", "DGS100"]) == 1
    assert "there is no series or symbol DGS100" in capsys.readouterr().err
    assert cli.main(["ingest", "--from", "1.1.2010"]) == 2
    assert "--from '1.1.2010' is no date. Write it as YYYY-MM-DD." in capsys.readouterr().err


def test_a_simulated_market_is_not_mixed_with_real_data(landing, capsys):
    landing.mkdir(parents=True)
    (landing / "SIMULATED.json").write_text("{}")
    assert cli.main(["ingest", "ecb"]) == 1
    assert "must not be mixed with real data" in capsys.readouterr().err
    assert [file.name for file in landing.iterdir()] == ["SIMULATED.json"]


def test_a_second_ingest_at_the_same_time_is_refused(publishers, data_dir, capsys):
    with Store().locked():
        assert cli.main(["ingest", "ecb"]) == 1
    assert "another ingest is running" in capsys.readouterr().err
    assert cli.main(["ingest", "ecb"]) == 0


# ---------------------------------------------------------------- crashes


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "zl_forecast.cli", "ingest", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_ingest_that_is_killed_leaves_old_files_and_the_next_one_completes(publishers, landing, data_dir):
    run("ecb", "cftc")
    before = listing(landing)
    whole, reached, go_on = small.graph(), threading.Event(), threading.Event()

    def stuck(query):
        if query["id"] == "NFCI":  # after seven series
            reached.set()
            go_on.wait(60)
        return whole(query)

    publishers.answers[GRAPH] = stuck
    publishers.answers[COT_API] = small.cot_api(page_rows=100)
    process = start("cftc", "fred")
    assert reached.wait(60), process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait()
    go_on.set()
    process.stdout.close(), process.stderr.close()
    assert listing(landing) == before
    publishers.answers[GRAPH] = whole
    assert states(run("fred", "ecb", "cftc")) == {"fred": "landed", "ecb": "unchanged", "cftc": "unchanged"}
    assert sorted(file.name for file in landing.iterdir()) == FILES
    record = Store().runs().to_pandas()
    assert record.loc[record["source"] == "fred", "state"].tolist() == ["interrupted", "landed"]


def test_a_file_that_was_being_written_is_neither_read_nor_left(publishers, landing, monkeypatch):
    run("ecb")
    before = listing(landing)[FILES[1]]
    last = f"{BUSINESS_DAYS[-1]:%Y-%m-%d}"
    publishers.answers[ECB_API] = lambda query: small.ecb_api(query).replace(f"{last},1.", f"{last},2.")
    rename = Path.replace

    def die(part, file):
        if file.parent == landing:
            os._exit(9)
        return rename(part, file)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "replace", die)
        run("ecb")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = [file.name for file in landing.iterdir()]
    assert len(left) == 2  # the landing file and the folder of the process that died
    assert listing(landing)[FILES[1]] == before
    folder = LandingFolder(landing, "market")
    assert folder.unread() == []
    assert [file.name for file in folder.files("series")] == [FILES[1]]
    run("fred")
    assert sorted(file.name for file in landing.iterdir()) == FILES[1:]


# ---------------------------------------------------------------- keys


def test_a_key_is_in_nothing_that_a_run_shows_or_writes(publishers, data_dir):
    codes = pd.read_csv(PROJECT / "seeds/source_series.csv").query("source == 'fred'")["series_id"]
    publishers.answers |= small.vintages({code: [("2024-05-07", "2024-05-08", "9999-12-31", "1")] for code in codes})
    right = publishers.answers[f"{small.FRED_API}/observations"]
    echo = Answer(json.dumps({"error_code": 400, "error_message": f"The key {KEY} may not read this series."}), 400)
    publishers.answers[f"{small.FRED_API}/observations"] = lambda query: (
        echo if query["series_id"] == "DFF" else right(query)
    )
    process = start("fred", FRED_API_KEY=KEY)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The key *** may not read this series" in out
    assert any(query.get("api_key") == KEY for _, query in publishers.requests)
    written = [file.read_bytes() for file in data_dir.rglob("*") if file.is_file()]
    assert len(written) > 5
    for content in (out.encode(), err.encode(), *written):
        assert KEY.encode() not in content


# ---------------------------------------------------------------- two sources of the same series or symbol


def test_a_file_of_your_own_comes_before_a_source(publishers, landing):
    landing.mkdir(parents=True)
    (landing / "series_mine.csv").write_text(
        "series_id,obs_date,available_on,value\nDGS10,2024-05-06,2024-05-07,4.49\nDGS2,2024-05-06,2024-05-07,4.82\n"
    )
    outcome = run("fred")["fred"]
    rows = pd.read_parquet(landing / "series_fred.parquet")
    assert rows["series_id"].nunique() == 9
    assert not {"DGS10", "DGS2"} & set(rows["series_id"])
    assert not {"DGS10", "DGS2"} & {query["id"] for _, query in publishers.requests}
    assert "series_mine.csv supplies DGS2, DGS10" in outcome.reason or "supplies DGS10, DGS2" in outcome.reason
    read_table("series", LandingFolder(landing, "market"))  # raises if two files contradict each other


def test_a_file_of_your_own_that_comes_later_takes_its_series_over(publishers, landing):
    run("ecb")
    rows = pd.read_parquet(landing / "series_ecb.parquet").drop(columns="available_by")
    rows[rows["series_id"] == "ECB_EURBRL"].assign(value=7.0).to_parquet(landing / "series_mine.parquet")
    outcome = run("ecb")["ecb"]
    assert "series_mine.parquet supplies ECB_EURBRL" in outcome.reason
    assert pd.read_parquet(landing / "series_ecb.parquet")["series_id"].nunique() == 6
    read_table("series", LandingFolder(landing, "market"))
    rows.assign(value=7.0).to_parquet(landing / "series_mine.parquet")
    outcome = run("ecb")["ecb"]
    assert outcome.state == "skipped"
    assert outcome.reason == "other files supply its series: series_mine.parquet"
    assert not (landing / "series_ecb.parquet").exists()
    read_table("series", LandingFolder(landing, "market"))


BAR = {"open": 45.0, "high": 46.0, "low": 44.0, "close": 45.5, "volume": 1000, "contract_id": "ZLN4"}


def bars(symbol: str, *days: str, **changed: object) -> pd.DataFrame:
    rows = [{"symbol": symbol, "as_of_date": pd.Timestamp(day), **BAR, **changed} for day in days]
    return pd.DataFrame(rows)


@pytest.fixture
def sources(monkeypatch):
    """Return a function that replaces all sources by made-up ones: name, rank and what its adapter yields."""

    def replace(**pulls):
        made = {}
        for name, (rank, pull) in pulls.items():
            made[name] = Source(name, rank, name, ("bars_daily", "series"), "none", "", 0.0, 60.0, "", "")
            adapter = types.ModuleType(name)
            adapter.pull = pull
            monkeypatch.setitem(sys.modules, f"zl_forecast.ingest.adapters.{name}", adapter)
        monkeypatch.setattr("zl_forecast.ingest.run.load_sources", lambda: made)

    return replace


def symbols(file: Path) -> dict[str, float]:
    return {row["symbol"]: row["close"] for row in pq.read_table(file).to_pylist()}


@pytest.mark.parametrize("order", [("free", "paid"), ("paid", "free")])
def test_the_source_of_lower_rank_supplies_a_symbol_whichever_ran_first(sources, landing, order):
    sources(
        free=(
            90,
            lambda request: [
                Rows("bars_daily", bars("ZL", "2024-05-06")),
                Rows("bars_daily", bars("ZS", "2024-05-06")),
            ],
        ),
        paid=(10, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-06", close=45.25))]),
    )
    for name in order:
        outcome = run(name)[name]
    if order[-1] == "free":
        assert "bars_daily_paid.parquet supplies ZL" in outcome.reason
    assert symbols(landing / "bars_daily_paid.parquet") == {"ZL": 45.25}
    assert symbols(landing / "bars_daily_free.parquet") == {"ZS": 45.5}
    assert len(read_table("bars_daily", LandingFolder(landing, "market"))) == 2


def test_a_source_whose_rows_break_the_contract_takes_no_symbol_from_another(sources, landing):
    sources(
        free=(90, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-06"))]),
        paid=(10, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-06", close=-1.0))]),
    )
    assert states(run()) == {"free": "landed", "paid": "failed"}
    assert symbols(landing / "bars_daily_free.parquet") == {"ZL": 45.5}


def test_a_bar_on_file_is_replaced_by_its_key_and_others_stay(sources, landing):
    sources(mine=(1, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-06", "2024-05-07"))]))
    assert run()["mine"].n_new == 2
    pull = [Rows("bars_daily", pd.concat([bars("ZL", "2024-05-07", close=45.25), bars("ZL", "2024-05-08")]))]
    sources(mine=(1, lambda request: pull))
    outcome = run()["mine"]
    assert (outcome.state, outcome.n_new, outcome.n_revised, outcome.n_rows) == ("landed", 1, 1, 3)
    assert [row["close"] for row in pq.read_table(landing / "bars_daily_mine.parquet").to_pylist()] == [
        45.5,
        45.25,
        45.5,
    ]
    assert run()["mine"].state == "unchanged"


def test_rows_that_break_the_contract_do_not_replace_the_file(sources, landing):
    sources(mine=(1, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-06"))]))
    run()
    before = listing(landing)["bars_daily_mine.parquet"]
    sources(mine=(1, lambda request: [Rows("bars_daily", bars("ZL", "2024-05-07", close=-1.0))]))
    outcome = run()["mine"]
    assert outcome.state == "failed"
    assert "the rows break the landing contract" in outcome.reason
    assert "ZL closes at zero or below" in outcome.reason
    assert listing(landing)["bars_daily_mine.parquet"] == before
    assert len(list(landing.iterdir())) == 1


def test_a_source_may_have_nothing_to_do(sources, landing, capsys):
    def pull(request):
        raise SourceSkipped("no batch files in data/databento")

    sources(mine=(1, pull))
    assert cli.main(["ingest"]) == 0
    assert "mine, skipped: no batch files in data/databento" in capsys.readouterr().out


def test_a_source_that_needs_a_key_is_skipped_without_one(sources, monkeypatch):
    paid = Source("paid", 1, "paid", ("series",), "required", "PAID_KEY", 0.0, 60.0, "", "")
    monkeypatch.setattr("zl_forecast.ingest.run.load_sources", lambda: {"paid": paid})
    outcome = run()["paid"]
    assert outcome.state == "skipped"
    assert outcome.reason == "no access key: set PAID_KEY in the environment or in .env"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SourceError("the account has no credit", "Add some."), "the account has no credit. Add some"),
        (TypeError("'NoneType' object is not iterable"), "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_what_a_source_sent_before_it_failed_is_landed(sources, landing, error, says):
    def pull(request):
        yield Rows("bars_daily", bars("ZL", "2024-05-06"))
        raise error

    sources(mine=(1, pull))
    outcome = run()["mine"]
    assert (outcome.state, outcome.n_rows) == ("partial", 1)
    assert says in outcome.reason
    assert ("This is a defect" in outcome.reason) == isinstance(error, TypeError)
    assert symbols(landing / "bars_daily_mine.parquet") == {"ZL": 45.5}
