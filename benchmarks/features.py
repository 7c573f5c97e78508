"""Benchmark: run time from staging to marts on real data repeated 1, 4 and 16 times, with dates shifted back.

python -m benchmarks.features <folder with landing files>
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

FEATURES = [
    "--resource-type",
    "model",
    "--resource-type",
    "seed",
    "--select",
    "+path:models/marts/buckets",
    "+int_targets__daily",
]
YEARS = 12  # the real data span just under twelve years


def repeat(source: Path, target: Path, times: int) -> int:
    """Write `times` copies of the landing files, each shifted back by a further YEARS; return the number of bars."""
    target.mkdir()
    con = duckdb.connect()
    shifts = f"(select (i * {YEARS})::int as years from range({times}) t(i))"
    con.execute(f"""
        copy (
            select symbol, (as_of_date - to_years(years))::date as as_of_date, open, high, low, close, volume, contract_id
            from '{source}/bars_daily.parquet', {shifts} order by symbol, as_of_date
        ) to '{target}/bars_daily.parquet'
    """)
    con.execute(f"""
        copy (
            select series_id, (obs_date - to_years(years))::date as obs_date,
                (available_on - to_years(years))::date as available_on, avg(value) as value
            from '{source}/series.parquet', {shifts} where available_on >= '2010-01-01'
            group by all order by series_id, available_on
        ) to '{target}/series.parquet'
    """)
    return con.execute(f"select count(*) from '{target}/bars_daily.parquet'").fetchone()[0]


def dbt(*arguments: str, data: Path) -> subprocess.CompletedProcess:
    """Run a dbt command on `data`/landing that writes only below `data`; raise if it fails."""
    folders = {"ZL_LANDING_DIR": "landing", "ZL_DATA_DIR": "data", "DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"}
    environment = os.environ | {name: str(data / folder) for name, folder in folders.items()}
    return subprocess.run(["dbt", *arguments], env=environment, check=True, capture_output=True, text=True)


def main() -> None:
    source = Path(sys.argv[1]).resolve()
    for times in (1, 4, 16):
        with tempfile.TemporaryDirectory() as folder:
            bars = repeat(source, Path(folder) / "landing", times)
            dbt("parse", data=Path(folder))
            started = time.perf_counter()
            result = dbt("build", *FEATURES, data=Path(folder))
            wall = time.perf_counter() - started
            inside = next(line for line in result.stdout.splitlines() if "Finished running" in line).split("(")[-1]
            print(
                f"{times:2}x {bars:9,} bars: {inside.rstrip(').')} in dbt, {wall:.1f} s including start-up", flush=True
            )


if __name__ == "__main__":
    main()
