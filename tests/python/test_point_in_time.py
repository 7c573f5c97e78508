"""Point in time: features and targets at T are bit-identical, whatever data come after T.

Three checks: build without later data (time travel), build with other later data (perturbation), and build from SQL with
a planted look-ahead, which time travel must detect.
"""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import MARTS, TARGETS, read, repeated

from zl_forecast.databases import open_warehouse

KNOWN_AT_ORIGIN = ("horizon_code", "last_price", "ewma_volatility", "horizon_volatility", "data_source")
KNOWN_AT_TARGET = (
    *KNOWN_AT_ORIGIN,
    "target_date",
    "is_matured",
    "realised_price",
    "realised_log_return",
    "z_return",
)
CARRY = "intermediate.int_carry__daily"
# a Thursday in the middle: Tuesday's positions are published on Friday
SAMPLE_CUTS = (date(2019, 3, 13), date(2020, 3, 19), date(2021, 9, 30))
REAL_CUT = date(2020, 4, 21)  # the session after WTI settled below zero
MORE_REAL_CUTS = (date(2013, 7, 5), date(2018, 6, 15), date(2021, 6, 30))

# ---------------------------------------------------------------- how landing files are changed


def truncated(landing: Path, cut: date, to: Path) -> Path:
    """Write the landing files as they were on the evening of `cut`."""
    with _landing_tables(landing, to) as con:
        con.execute("delete from bars_daily where as_of_date > $cut", {"cut": cut})
        con.execute("delete from series where available_on > $cut", {"cut": cut})
        con.execute("delete from policy_events where available_on > $cut", {"cut": cut})
        con.execute("delete from curve_daily where as_of_date > $cut", {"cut": cut})
    return to


def perturbed(landing: Path, cut: date, to: Path) -> Path:
    """Write the same files up to `cut` and perturbed data afterwards, which only just meet the contract for ZL."""
    with _landing_tables(landing, to) as con:
        con.execute("select setseed(0.5)")
        con.execute(
            """
            update bars_daily set
                open = open * k, high = high * k, low = low * k, close = close * k, volume = volume * 3 + 17
            from (
                select symbol as s, as_of_date as d,
                    case when symbol = 'ZL' then 0.97 + 0.06 * random() else 2 + 5 * random() end as k
                from bars_daily
            )
            where symbol = s and as_of_date = d and as_of_date > $cut
            """,
            {"cut": cut},
        )
        con.execute("delete from bars_daily where symbol = 'ZC' and as_of_date > $cut", {"cut": cut})
        con.execute("update bars_daily set close = -37.63 where symbol = 'CL' and as_of_date > $cut", {"cut": cut})
        con.execute("update series set value = -2 * value + 1000 * random() where available_on > $cut", {"cut": cut})
        # a revision of each series' past, published after the cut
        con.execute(
            """
            insert into series
            select series_id, max(obs_date), $cut + 1, any_value(-999) from series
            where available_on <= $cut group by series_id
            """,
            {"cut": cut},
        )
        con.execute("update policy_events set severity = 100 where available_on > $cut", {"cut": cut})
        con.execute(
            "insert into policy_events values ($cut - 3, $cut + 1, 'tariff', 'announcement', 'later', 9), "
            "($cut - 3, $cut + 1, 'biofuel', 'waiver', 'later', 9)",
            {"cut": cut},
        )
        # all meetings of the next months are withdrawn the day after the cut, and there is one on the day after that
        con.execute(
            "insert into policy_events select $cut + 1 + i::int, $cut + 1, 'fomc', 'meeting', 'later', (i = 1)::int "
            "from range(100) as days(i)",
            {"cut": cut},
        )
        con.execute(
            "update curve_daily set settle = settle * (0.97 + 0.06 * random()) where as_of_date > $cut", {"cut": cut}
        )
    return to


class _landing_tables:
    """Load landing files as DuckDB tables, and write the tables to `to` at the end."""

    def __init__(self, landing: Path, to: Path):
        self.landing, self.to, self.con = landing, to, duckdb.connect()

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        for table, columns, order in (
            (
                "bars_daily",
                "symbol, as_of_date, open, high, low, close, volume, contract_id",
                "symbol, as_of_date",
            ),
            ("series", "series_id, obs_date, available_on, value", "series_id, available_on, obs_date"),
            (
                "policy_events",
                "event_date, available_on, bucket, kind, title, severity",
                "available_on, bucket",
            ),
        ):
            suffix = "csv" if table == "policy_events" else "parquet"
            files = str(self.landing / f"{table}*.{suffix}")
            self.con.execute(f"create table {table} as select {columns} from '{files}' order by {order}")
        self.con.execute(
            "create table curve_daily (symbol varchar, as_of_date date, contract_month date, settle double, open_interest bigint)"
        )
        for file in self.landing.glob("curve_daily*.parquet"):  # optional
            self.con.execute(f"insert into curve_daily by name from '{file}'")
        return self.con

    def __exit__(self, *failed):
        self.to.mkdir(parents=True)
        self.con.execute(f"copy (from bars_daily order by symbol, as_of_date) to '{self.to}/bars_daily.parquet'")
        self.con.execute(f"copy (from series order by series_id, available_on, obs_date) to '{self.to}/series.parquet'")
        if self.con.sql("select count(*) from policy_events").fetchone()[0]:
            self.con.execute(f"copy policy_events to '{self.to}/policy_events.csv' (header)")
        if self.con.sql("select count(*) from curve_daily").fetchone()[0]:
            self.con.execute(f"copy (from curve_daily order by all) to '{self.to}/curve_daily.parquet'")
        if (self.landing / "SIMULATED.json").exists():
            shutil.copy(self.landing / "SIMULATED.json", self.to)
        self.con.close()


# ---------------------------------------------------------------- how two builds are compared


def differences(left: pa.Table, right: pa.Table) -> dict[str, int]:
    """Count differing rows by column, floats by their bits; `rows` and `columns` if the shapes differ."""
    if left.column_names != right.column_names:
        return {"columns": len(set(left.column_names) ^ set(right.column_names)) or len(left.column_names)}
    if left.num_rows != right.num_rows:
        return {"rows": abs(left.num_rows - right.num_rows)}
    found = {name: _n_different(left[name], right[name]) for name in left.column_names}
    return {name: n for name, n in found.items() if n}


def _n_different(left: pa.ChunkedArray, right: pa.ChunkedArray) -> int:
    if left.type != right.type:
        return max(len(left), 1)
    nulls = [column.is_null().to_numpy(zero_copy_only=False) for column in (left, right)]
    if pa.types.is_floating(left.type):
        a, b = (
            np.where(null, 0.0, column.to_numpy()).view("int64")
            for null, column in zip(nulls, (left, right), strict=True)
        )
        unequal = a != b
    else:
        unequal = pc.not_equal(left, right).fill_null(False).to_numpy()
    return int(np.count_nonzero((nulls[0] != nulls[1]) | unequal))


def differences_at_or_before(cut: date, full: Path, other: Path) -> dict[str, dict[str, int]]:
    """Return the differences between two builds in rows up to `cut`, by table; targets as far as they were known."""
    days = f"as_of_date <= date '{cut}'"
    queries = {bucket: f"from {mart} where {days} order by as_of_date" for bucket, mart in MARTS.items()}
    key = "as_of_date, horizon_days"
    queries["targets, as known at the origin"] = (
        f"select {key}, {', '.join(KNOWN_AT_ORIGIN)} from {TARGETS} where {days} order by {key}"
    )
    queries["targets, once matured"] = (
        f"select {key}, {', '.join(KNOWN_AT_TARGET)} from {TARGETS} "
        f"where {days} and target_date <= date '{cut}' order by {key}"
    )
    queries["carry"] = f"from {CARRY} where {days} and target_date <= date '{cut}' order by {key}"
    with open_warehouse("", full) as left, open_warehouse("", other) as right:
        tables = {name: tuple(con.sql(sql).to_arrow_table() for con in (left, right)) for name, sql in queries.items()}
    assert all(one.num_rows for one, _ in tables.values()), "nothing to compare: the cut lies before the first row"
    found = {name: differences(*both) for name, both in tables.items()}
    return {name: columns for name, columns in found.items() if columns}


@pytest.fixture(scope="module")
def builds(sample_landing, sample_features, tmp_path_factory):
    """Build warehouses of the sample truncated at each cut, and of the perturbed one."""
    folder = tmp_path_factory.mktemp("time_travel")
    landings = {cut: truncated(sample_landing, cut, folder / f"landing_{cut}") for cut in SAMPLE_CUTS}
    landings["perturbed"] = perturbed(sample_landing, SAMPLE_CUTS[1], folder / "landing_perturbed")
    built = {name: repeated(sample_features, landing, folder / f"data_{name}") for name, landing in landings.items()}
    return built | {"full": sample_features.warehouse}


@pytest.fixture(scope="module")
def real_full(sample_features, real_landing, tmp_path_factory) -> Path:
    return repeated(sample_features, real_landing, tmp_path_factory.mktemp("real_full") / "data")


# ---------------------------------------------------------------- time travel and perturbation


def test_sql_run_without_dbt_equals_the_dbt_build(features, sample_landing, sample_features, builds, tmp_path):
    cut = SAMPLE_CUTS[1]
    by_dbt = features(landing=truncated(sample_landing, cut, tmp_path / "landing"), data_dir=tmp_path / "data")
    for table in (*MARTS.values(), TARGETS):
        query = f"from {table} order by all"
        assert differences(read(by_dbt.warehouse, query), read(builds[cut], query)) == {}, table


@pytest.mark.parametrize("cut", SAMPLE_CUTS, ids=str)
def test_truncating_later_data_leaves_sample_features_bit_identical(builds, cut):
    assert differences_at_or_before(cut, builds["full"], builds[cut]) == {}


def test_perturbing_later_data_leaves_sample_features_bit_identical(builds):
    assert differences_at_or_before(SAMPLE_CUTS[1], builds["full"], builds["perturbed"]) == {}


@pytest.mark.parametrize("name", [*SAMPLE_CUTS, "perturbed"], ids=str)
def test_carry_of_live_rows_is_that_of_the_whole_history(builds, name):
    cut = SAMPLE_CUTS[1] if name == "perturbed" else name
    live = f"from {CARRY} where as_of_date <= date '{cut}' and target_date > date '{cut}'"
    then, full = (read(warehouse, live).to_pandas() for warehouse in (builds[name], builds["full"]))
    # the exchange calendar's target_date may have had no session; such rows are left out
    both = then.merge(full, on=["as_of_date", "horizon_days", "target_date"], suffixes=("_then", "_full"))
    assert len(both) > 100
    assert (both["source_then"] == "curve").mean() > 0.9
    assert (both["carry_then"] == both["carry_full"]).all()


def test_the_perturbation_reaches_every_mart_after_the_cut(builds):
    # otherwise the test above would pass for a build that reads nothing
    for bucket, mart in MARTS.items():
        if bucket == "control":  # has no features but ZL's own
            continue
        query = f"from {mart} where as_of_date > date '{SAMPLE_CUTS[1]}' order by as_of_date"
        found = differences(read(builds["full"], query), read(builds["perturbed"], query))
        assert len([name for name in found if not name.startswith("base_")]) >= 5, bucket


def test_truncating_later_data_leaves_real_features_bit_identical(real_landing, sample_features, real_full, tmp_path):
    then = repeated(sample_features, truncated(real_landing, REAL_CUT, tmp_path / "landing"), tmp_path / "data")
    assert differences_at_or_before(REAL_CUT, real_full, then) == {}


@pytest.mark.full
@pytest.mark.parametrize("cut", MORE_REAL_CUTS, ids=str)
def test_truncating_at_more_dates_leaves_real_features_bit_identical(
    real_landing, sample_features, real_full, tmp_path, cut
):
    then = repeated(sample_features, truncated(real_landing, cut, tmp_path / "landing"), tmp_path / "data")
    assert differences_at_or_before(cut, real_full, then) == {}


@pytest.mark.full
def test_perturbing_later_data_leaves_real_features_bit_identical(real_landing, sample_features, real_full, tmp_path):
    other = repeated(sample_features, perturbed(real_landing, REAL_CUT, tmp_path / "landing"), tmp_path / "data")
    assert differences_at_or_before(REAL_CUT, real_full, other) == {}


# ---------------------------------------------------------------- and a look-ahead would be seen


@pytest.fixture(scope="module")
def look_ahead(sample_landing, sample_features, tmp_path_factory) -> dict[str, dict[str, int]]:
    """Return the differences found if the project's SQL joins on obs_date and uses lead instead of lag."""
    changes = {
        "int_series__asof": (
            "wanted_values.known_on >= newest.available_on",
            "wanted_values.known_on >= newest.obs_date",
        ),
        "mart_crush__daily": (
            "oil_share - lag(oil_share, 5) over (order by as_of_date)",
            "lead(oil_share, 5) over (order by as_of_date) - oil_share",
        ),
    }
    compiled = {name: (relation, sql) for name, relation, sql in sample_features.compiled}
    for name, (right, wrong) in changes.items():
        relation, sql = compiled[name]
        assert sql.count(right) == 1, f"{name}.sql has changed: teach this test its join anew"
        compiled[name] = relation, sql.replace(right, wrong)
    wrong_build = replace(sample_features, compiled=[(name, *rest) for name, rest in compiled.items()])
    folder, cut = tmp_path_factory.mktemp("look_ahead"), SAMPLE_CUTS[1]
    full = repeated(wrong_build, sample_landing, folder / "full")
    then = repeated(wrong_build, truncated(sample_landing, cut, folder / "landing"), folder / "then")
    return differences_at_or_before(cut, full, then)


def test_time_travel_detects_a_join_on_the_observation_date(look_ahead):
    assert {"cftc_zl_net_share", "usda_sbo_stocks_to_use"} & set(look_ahead["crush"])
    assert {"fed", "fx", "tariff", "biofuel"} <= set(look_ahead)


def test_time_travel_detects_a_lead_in_place_of_a_lag(look_ahead):
    assert look_ahead["crush"]["cbot_zl_oil_share_change_5"] == 5


def test_time_travel_reports_nothing_for_unchanged_models(look_ahead):
    assert "energy" not in look_ahead  # reads only bars, and its model is unchanged


def test_a_difference_in_the_last_bit_is_a_difference():
    x = pa.table({"x": [0.1, None, 0.3]})
    assert differences(x, pa.table({"x": [0.1, None, 0.3]})) == {}
    assert differences(x, pa.table({"x": [0.1, None, np.nextafter(0.3, 1)]})) == {"x": 1}
    assert differences(x, pa.table({"x": [0.1, 0.0, 0.3]})) == {"x": 1}
    assert differences(x, pa.table({"x": [0.1, None]})) == {"rows": 1}
    y = pa.table({"y": ["a", None, "c"]})
    assert differences(y, y) == {}
    assert differences(y, pa.table({"y": ["a", "b", None]})) == {"y": 2}
    assert differences(y, pa.table({"y": ["b", None, "c"]})) == {"y": 1}


# ---------------------------------------------------------------- dates of a row


def assert_dates_are_in_order(warehouse: Path) -> None:
    for bucket, mart in MARTS.items():
        late, blank = "count_if(latest_input_on > as_of_date) as late", "count_if(latest_input_on is null) as blank"
        (counted,) = read(warehouse, f"select {late}, {blank} from {mart}").to_pylist()
        assert counted["late"] == 0, f"{bucket} reads what is not yet known"
        assert counted["blank"] == 0, f"{bucket} does not say what it read"
    wrong = read(
        warehouse,
        f"""
        select count(*) as n from {TARGETS}
        where target_date <= as_of_date or not ewma_volatility > 0 or not isfinite(ewma_volatility)
            or is_matured != (realised_price is not null) or is_matured != (z_return is not null) or not isfinite(z_return)
        """,
    )
    assert wrong["n"][0].as_py() == 0


def test_sample_rows_read_no_later_data_and_targets_are_in_the_future(builds):
    assert_dates_are_in_order(builds["full"])
    assert_dates_are_in_order(builds[SAMPLE_CUTS[1]])


def test_real_rows_read_no_later_data_and_targets_are_in_the_future(real_full):
    assert_dates_are_in_order(real_full)


def test_a_live_target_date_is_the_actual_session_or_an_earlier_one_without_a_bar(builds):
    # the exchange calendar counts a session that later had no bar; such a target moves later, never earlier
    cut = SAMPLE_CUTS[1]
    live = read(
        builds[cut],
        f"select as_of_date, horizon_days, target_date from {TARGETS} where target_date > date '{cut}'",
    )
    with duckdb.connect(str(builds["full"]), read_only=True) as con:
        slipped, kept = con.execute(
            f"""
            select count(*) filter (where came.target_date < live.target_date),
                count(*) filter (where came.target_date = live.target_date)
            from live inner join {TARGETS} as came using (as_of_date, horizon_days)
            """
        ).fetchone()
    assert slipped == 0
    assert kept > 0.5 * live.num_rows
