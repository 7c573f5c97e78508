"""The `zl` command: what a person wants to see or do outside of dbt."""

import argparse
import sys

import duckdb

from zl_forecast.errors import ZlForecastError
from zl_forecast.landing.folder import find_landing, sample_landing
from zl_forecast.paths import data_docs_dir, serving_dir


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="zl", description="Soybean-oil forecasts: look at what the last build published."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary", help="print the newest forecasts, where they are and what to do next")
    sample = commands.add_parser("sample", help="simulate a market and print the folder of its landing files")
    sample.add_argument("--world", default="planted", help="planted or random_walk")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "sample":
            print(sample_landing(chosen.world).path)
        else:
            _summary()
    except ZlForecastError as error:
        print(f"zl: {error}", file=sys.stderr)
        return 1
    return 0


def _summary() -> None:
    database = serving_dir() / "serving.duckdb"
    if not database.exists():
        raise ZlForecastError(f"nothing has been published in {serving_dir()} yet. Run `make build` (or `dbt build`).")
    with duckdb.connect(str(database), read_only=True) as con:
        rows = con.execute(
            """
            select horizon_code, target_date, last_price, p10, p50, p90, prob_up, verdict, backtest_pinball_skill,
                backtest_coverage_80, ensemble_method, as_of_date, data_source, regime
            from forecasts.zl_forecast order by horizon_days
            """
        ).fetchall()
        quarantined = [
            row[0]
            for row in con.execute(
                "select distinct bucket from monitoring.gx_results where bucket_status = 'quarantined' order by 1"
            ).fetchall()
        ]
    as_of, source, regime, last = rows[0][11], rows[0][12], rows[0][13], rows[0][2]
    print(f"\nSoybean oil (CBOT ZL), cents/lb, as of {as_of}: last {last:.2f}, regime {regime}, {source} data\n")
    print("horizon  target       P10     P50     P90     up   verdict    pinball skill  80% coverage  method")
    for code, target, _, p10, p50, p90, up, verdict, skill, coverage, method, *_ in rows:
        print(
            f"{code:7}  {target}  {p10:6.2f}  {p50:6.2f}  {p90:6.2f}  {up:4.0%}   {verdict:9}  {skill:+12.1%}  {coverage:12.0%}  {method}"
        )
    if quarantined:
        print(f"\nQuarantined buckets (left out of the forecast): {', '.join(quarantined)}. See monitoring.gx_results.")
    if source == "simulated":
        print(
            "\nThis is the simulated market. To forecast real data: ZL_LANDING_DIR=<folder with bars_daily files> make build"
        )
    print(
        f"\nRead on: {serving_dir() / 'report.html'} (page), {database} (for BI: schemas forecasts, monitoring),"
        f"\n         {data_docs_dir()} (data quality), `make docs` (lineage). Landing: {find_landing().path}"
    )


if __name__ == "__main__":
    sys.exit(main())
