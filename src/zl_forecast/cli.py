"""The `zl` command: what a person wants to see or do outside of dbt."""

import argparse
import sys

import duckdb

from zl_forecast.errors import ZlForecastError
from zl_forecast.landing.folder import find_landing, sample_landing
from zl_forecast.paths import data_docs_dir, serving_dir, warehouse
from zl_forecast.report import missing_buckets


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="zl", description="Soybean-oil forecasts: look at what the last build published."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary", help="print the newest forecasts, where they are and what to do next")
    sample = commands.add_parser("sample", help="simulate a market and print the folder of its landing files")
    sample.add_argument("--world", default="planted", help="planted or random_walk")
    board = commands.add_parser(
        "leaderboard", help="print a bucket's leaderboards: ours by horizon with the reasons, AutoGluon's"
    )
    board.add_argument("bucket", help="a bucket of seeds/buckets.csv")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "sample":
            print(sample_landing(chosen.world).path)
        elif chosen.command == "leaderboard":
            _leaderboard(chosen.bucket)
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
        too_few = missing_buckets(con)
    as_of, source, regime, last = rows[0][11], rows[0][12], rows[0][13], rows[0][2]
    print(f"\nSoybean oil (CBOT ZL), cents/lb, as of {as_of}: last {last:.2f}, regime {regime}, {source} data\n")
    print("horizon  target       P10     P50     P90     up   verdict    pinball skill  80% coverage  method")
    for code, target, _, p10, p50, p90, up, verdict, skill, coverage, method, *_ in rows:
        print(
            f"{code:7}  {target}  {p10:6.2f}  {p50:6.2f}  {p90:6.2f}  {up:4.0%}   {verdict:9}  {skill:+12.1%}  {coverage:12.0%}  {method}"
        )
    if too_few:
        print(f"\n{too_few}")
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


def _leaderboard(bucket: str) -> None:
    from zl_forecast.tournament.leaderboard import newest_year  # brings AutoGluon, which takes seconds

    if not warehouse().exists():
        raise ZlForecastError(f"there is no warehouse {warehouse()} yet. Run `make tournament BUCKET={bucket}`.")
    with duckdb.connect(str(warehouse()), read_only=True) as con:
        rows = con.execute(
            """
            select horizon_code, place, family, score, pinball_gain, rmse_pct, coverage_80, fit_seconds_total,
                1000 * score_seconds, p_value_holm, verdict, why
            from monitoring.leaderboard where bucket = ? order by horizon_days, place
            """,
            [bucket],
        ).fetchall()
        if not rows:
            raise ZlForecastError(
                f"monitoring.leaderboard has no bucket '{bucket}'. Run `make tournament BUCKET={bucket}`."
            )
        reasons = con.execute(
            "select horizon_code, place, explanation from monitoring.forecast_explanations where bucket = ? order by all",
            [bucket],
        ).fetchall()
        board, path = newest_year(bucket, con)
    horizon = None
    for code, place, family, score, gain, rmse, coverage, fit, scoring, p_value, verdict, why in rows:
        if code != horizon:
            horizon = code
            print(f"\n{bucket}, {code}: pinball relative to the reference, 80 % coverage, seconds to fit all blocks")
            print(
                "place  family         score   pinball   RMSE %  coverage    fit s  score ms  p (Holm)  verdict   why"
            )
        numbers = ("-",) * 3 if gain is None else (f"{gain:+.1%}", f"{rmse:.2f}", f"{coverage:.0%}")
        print(
            f"{place:5}  {family:13} {'-' if score is None else f'{score:+.4f}':>7}  {numbers[0]:>8}  {numbers[1]:>7}  "
            f"{numbers[2]:>8} {fit or 0:8.1f}  {scoring or 0:8.2f}  {'-' if p_value is None else f'{p_value:.3f}':>8}  "
            f"{verdict or '-':8}  {why}"
        )
        for _, number, explanation in (r for r in reasons if place == 1 and r[0] == code):
            print(f"{'':7}{number}. {explanation}")
    print(
        f"\nAutoGluon's own leaderboard on the newest year's block, all horizons (minus pinball, scaled units):\n\n{board}"
    )
    print(
        f"\nRead on: monitoring.leaderboard, feature_attributions, forecast_explanations in {warehouse()};"
        f"\n         TabularPredictor.load('{path}') has all of these models. `make build` brings all buckets back together."
    )


if __name__ == "__main__":
    sys.exit(main())
