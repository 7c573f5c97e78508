"""Read the published tables with pandas: python examples/read_parquet.py [FOLDER]

FOLDER has one Parquet file per table: `data/serving/parquet`, where each build publishes them, or the folder of
`zl export parquet FOLDER`, to take them elsewhere. Needs pandas and pyarrow alone.

Prints the forecast, the skill of the past by year, and what a purchase may cost beyond today's price.
"""

import sys
from pathlib import Path

import pandas as pd

POUNDS_PER_CONTRACT = 60_000
CONTRACTS = 20  # 1.2 million lb to buy in a month


def main(folder: Path) -> None:
    def table(name: str) -> pd.DataFrame:
        return pd.read_parquet(folder / f"{name}.parquet", dtype_backend="pyarrow")

    forecast = table("forecasts.zl_forecast").set_index("horizon_code")
    print("Forecast, cents/lb:", forecast["data_source"].iloc[0], "data as of", forecast["as_of_date"].iloc[0])
    print(forecast[["target_date", "p10", "p50", "p90", "verdict", "calibration_state"]].round(2), "\n")

    history = table("forecasts.zl_backtest")
    losses = history.groupby([history["as_of_date"].dt.year, "horizon_code"])[["pinball_pct", "reference_pinball_pct"]]
    sums = losses.sum()  # skills are not averaged: sum the losses first, then divide
    skill = 1 - sums["pinball_pct"] / sums["reference_pinball_pct"]
    print("Out-of-sample skill by year, %:")
    print((100 * skill).unstack()[forecast.index].round(1), "\n")

    paths = table("forecasts.zl_paths").query("horizon_code == '1m'")
    dearer_usd = (paths["price"] - paths["last_price"]) / 100 * POUNDS_PER_CONTRACT * CONTRACTS
    print(
        f"{CONTRACTS} contracts bought in a month instead of today, USD: expected {dearer_usd.mean():+,.0f}, ", end=""
    )
    print(f"in one of twenty cases at least {dearer_usd.quantile(0.95):+,.0f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/serving/parquet"))
