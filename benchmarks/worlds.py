"""Benchmark: skill of the published forecast in simulated worlds of other seeds, whose truth is known.

python -m benchmarks.worlds <world> [--without-curve] <seed> [<seed> ...]      for example: random_walk 1 2 3

One line per seed: skill, p-value and verdict at each horizon, and the part of the gap between reference and oracle
that is closed. In `random_walk` nothing but the curve predicts the price: it tells the step of the front price at the next
roll. Without the curve a verdict `skill` is a false one, and one in twenty per horizon is expected. To save time each bucket trains LightGBM, ridge and the reference only.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from zl_forecast.ingest.bars.sessions import instruments
from zl_forecast.sample import Market, simulate, true_quantiles, write_landing
from zl_forecast.scoring import pinball

PROJECT = Path(__file__).parents[1]
STARTS, ENDS = "2013-01-02", "2023-12-29"
PARTS = ("profiles", "seeds", "models", "macros", "python_models", "expectations", "tests/dbt")
PRICES = ("open", "high", "low", "close", "last_price", "realised_price")
HORIZONS = {5: "1w", 20: "1m", 60: "3m", 120: "6m"}


def project_with_few_families(folder: Path) -> Path:
    """Copy the dbt project, with ridge as the only candidate of each bucket and any price of ZL allowed."""
    for part in PARTS:
        shutil.copytree(PROJECT / part, folder / part)
    shutil.copy(PROJECT / "dbt_project.yml", folder)
    seed = folder / "seeds" / "buckets.csv"
    pd.read_csv(seed, dtype=str).assign(candidates="ridge").to_csv(seed, index=False)
    for suite in (folder / "expectations" / f"zl_{table}.json" for table in ("prices", "targets")):
        expected = json.loads(suite.read_text())
        for expectation in expected["expectations"]:  # a random walk leaves any range of prices
            is_range = expectation["type"] == "expect_column_values_to_be_between"
            if is_range and expectation["kwargs"]["column"] in PRICES:
                expectation["kwargs"] |= {"min_value": 0.01, "max_value": 1e6}
        suite.write_text(json.dumps(expected))
    return folder


def is_possible(market: Market) -> bool:
    """Return whether every close of ZL is one that landing files may have; a random walk can leave that range."""
    zl = instruments().loc["ZL"]
    return market.bars.loc[market.bars["symbol"] == "ZL", "close"].between(zl["min_price"], zl["max_price"]).all()


def build(market: Market, project: Path, folder: Path, with_curve: bool) -> Path:
    """Build the forecasts of a market and return the path of the warehouse."""
    write_landing(market, folder / "landing")
    if not with_curve:
        (folder / "landing" / "curve_daily.parquet").unlink()
    folders = {"ZL_LANDING_DIR": "landing", "ZL_DATA_DIR": "data", "DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"}
    environment = os.environ | {name: str(folder / own) for name, own in folders.items()}
    environment |= {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project / "profiles")}
    command = ["dbt", "build", "--resource-type", "model", "--resource-type", "seed", "--select", "+verdicts"]
    done = subprocess.run(command, env=environment, cwd=project, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:])
    return folder / "data" / "warehouse.duckdb"


def oracle_gap(market: Market, warehouse: Path) -> pd.Series:
    """Return the part of the gap between reference and oracle that the published forecast closes, by horizon."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        history = con.sql(
            """
            select as_of_date, horizon_days, pinball_pct, reference_pinball_pct,
                ln(realised_price / last_price) as outcome
            from tournament.int_ensemble__published where fold_type = 'oof' and is_matured
            """
        ).df()
    weekly = history["as_of_date"].drop_duplicates().sort_values().iloc[::5]
    truth = true_quantiles(market, weekly)
    truth = truth[truth["level"].isin([0.1, 0.5, 0.9])].pivot_table(
        index=["as_of_date", "horizon_days"], columns="level", values="log_return_quantile"
    )
    rows = history.merge(truth.reset_index(), on=["as_of_date", "horizon_days"])
    rows["oracle"] = 100 * pinball(rows["outcome"].to_numpy(), rows[[0.1, 0.5, 0.9]].to_numpy())
    losses = rows.groupby("horizon_days")[["oracle", "pinball_pct", "reference_pinball_pct"]].mean()
    gap = losses["reference_pinball_pct"] - losses["oracle"]
    return ((losses["reference_pinball_pct"] - losses["pinball_pct"]) / gap).where(gap > 1e-3 * losses["oracle"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world")
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--without-curve", action="store_true", help="carry then reads past rolls only")
    arguments = parser.parse_args()
    world, seeds = arguments.world, arguments.seeds
    skilful, n_worlds = pd.Series(0, index=list(HORIZONS)), 0
    with tempfile.TemporaryDirectory() as copy:
        project = project_with_few_families(Path(copy))
        for seed in seeds:
            started = time.perf_counter()
            market = simulate(world, seed=seed, start=STARTS, end=ENDS)
            if not is_possible(market):
                print(f"{world} {seed}: left out, because ZL leaves the range of seeds/instruments.csv", flush=True)
                continue
            n_worlds += 1
            with tempfile.TemporaryDirectory() as folder:
                warehouse = build(market, project, Path(folder), not arguments.without_curve)
                with duckdb.connect(str(warehouse), read_only=True) as con:
                    found = (
                        con.sql("from monitoring.verdicts where subject = 'published'").df().set_index("horizon_days")
                    )
                gap = oracle_gap(market, warehouse)
            skilful += (found["verdict"] == "skill").reindex(skilful.index).fillna(False)
            cells = [
                f"{code} {100 * found.at[days, 'pinball_skill']:+.1f} % p {found.at[days, 'p_value']:.3f} "
                f"{found.at[days, 'verdict']}" + ("" if np.isnan(gap[days]) else f" gap {gap[days]:.0%}")
                for days, code in HORIZONS.items()
            ]
            print(f"{world} {seed}: {'; '.join(cells)} ({time.perf_counter() - started:.0f} s)", flush=True)
    counts = ", ".join(f"{code} {skilful[days]}" for days, code in HORIZONS.items())
    print(f"verdict skill in {n_worlds} worlds: {counts}")


if __name__ == "__main__":
    main()
