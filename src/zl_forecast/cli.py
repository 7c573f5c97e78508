"""The `zl` command line.

The reading commands (summary, check, leaderboard, plan, health) write nothing. They never call
`find_landing`, which may simulate a market. Text from tables is printed through `printable`.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd

from zl_forecast.databases import open_snapshot, open_warehouse, snapshot_file
from zl_forecast.errors import ZlForecastError, printable
from zl_forecast.health import format_or_dash, print_health
from zl_forecast.landing.folder import landing_path, sample_landing
from zl_forecast.landing.report import print_check
from zl_forecast.notices import active_fallbacks, missing_buckets
from zl_forecast.paths import data_docs_dir, serving_dir, tournament_warehouse, warehouse
from zl_forecast.queries import read_row, read_value
from zl_forecast.run_plan import print_plan


def main(arguments: list[str] | None = None) -> int:
    """Run one `zl` command.

    Parameters
    ----------
    arguments : list of str, optional
        Command line without the program; sys.argv if omitted.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error or a refused landing folder, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        The command line is not valid, or `--help` was asked for.
    """
    parser = argparse.ArgumentParser(
        prog="zl", description="Soybean-oil forecasts: show results, check landing files, replay the past."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary", help="print the newest forecasts and where to find more")
    check = commands.add_parser(
        "check", help="check landing files against the contract, without a build; exit code 1 if a build would stop"
    )
    check.add_argument("folder", nargs="?", help="folder of landing files; default: the folder that a build would read")
    sample = commands.add_parser("sample", help="simulate a market and print the folder of its landing files")
    sample.add_argument(
        "--world",
        default="planted",
        help="planted, random_walk or broken (as planted, but the effect of crude oil reverses in October 2021)",
    )
    board = commands.add_parser(
        "leaderboard", help="print the leaderboards of a bucket or of the ensemble, by horizon, with reasons"
    )
    board.add_argument(
        "bucket",
        help="bucket of seeds/buckets.csv, or `ensemble` for the ensemble methods and the record of the published forecast",
    )
    board.add_argument(
        "--tournament", action="store_true", help="read the last `make tournament` instead of the last build"
    )
    commands.add_parser(
        "plan",
        help="print what the last build did with each bucket or, after `make plan`, what the next build would do, and why",
    )
    commands.add_parser("health", help="show the health of each bucket and of the published forecast")
    past = commands.add_parser(
        "replay",
        help="rebuild past sessions with the data available then, in a separate folder; report reselections and accuracy",
    )
    past.add_argument("--from", dest="start", required=True, metavar="DATE", help="first day, YYYY-MM-DD")
    past.add_argument("--to", dest="end", required=True, metavar="DATE", help="last day")
    past.add_argument("--step", default="week", help="day, week or month; a step is the last session of each")
    past.add_argument("--buckets", default="", help="names in seeds/buckets.csv, separated by commas; default: all")
    past.add_argument("--preset", choices=("quick", "standard", "full"), help="which families compete")
    export = commands.add_parser(
        "export", help="copy the published tables to PostgreSQL, or to files of Parquet or CSV"
    )
    export.add_argument("to", choices=("postgres", "parquet", "csv"), help="postgres reads ZL_POSTGRES_DSN")
    export.add_argument("folder", nargs="?", type=Path, help="for parquet and csv: a new or empty folder")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            return 0 if print_check(Path(options.folder) if options.folder else landing_path()) else 1
        if options.command == "sample":
            print(sample_landing(options.world).path)
        elif options.command == "replay":
            from zl_forecast.replay import replay  # only this command needs it

            buckets = tuple(bucket.strip() for bucket in options.buckets.split(",") if bucket.strip())
            replay(options.start, options.end, options.step, buckets, options.preset)
        elif options.command == "export":
            from zl_forecast.export import export_tables  # only this command needs it

            export_tables(options.to, options.folder)
        elif options.command == "plan":
            with open_warehouse("Run `make plan`.") as con:
                print_plan(con)
        elif options.command == "health":
            with open_snapshot() as con:
                print_health(con)
        elif options.command == "leaderboard" and options.bucket == "ensemble":
            if options.tournament:
                raise ZlForecastError(
                    "`make tournament` runs one bucket and no ensemble. Run `zl leaderboard ensemble` for the last build."
                )
            _ensemble_leaderboard()
        elif options.command == "leaderboard":
            _leaderboard(options.bucket, options.tournament)
        else:
            _summary()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has ended, as in `zl summary | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python prints an error at exit
    except ZlForecastError as error:
        print("zl:", _printable_lines(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # exit code of a shell for SIGINT
    return 0


def _printable_lines(text: str) -> str:
    """Escape text like `printable`, but keep line breaks."""
    return "\n".join(map(printable, text.split("\n")))


def _summary() -> None:
    with open_snapshot() as con:
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
        fallback = active_fallbacks(con)
        renewed = con.execute(
            """
            select string_agg(bucket, ', ' order by bucket), trigger from monitoring.run_plan
            where action = 'reselection' group by trigger order by trigger
            """
        ).fetchall()
        landing = _landing(con)
        notices = _notices(con)
    as_of, source, regime, last = rows[0][11], rows[0][12], rows[0][13], rows[0][2]
    print(
        f"\nSoybean oil (CBOT ZL), cents/lb, as of {as_of}: last {last:.2f}, regime {printable(regime)}, {printable(source)} data\n"
    )
    print("horizon  target       P10     P50     P90     up   verdict    pinball skill  80% coverage  method")
    for code, target, _, p10, p50, p90, up, verdict, skill, coverage, method, *_ in rows:
        print(
            f"{printable(code):7}  {target}  {p10:6.2f}  {p50:6.2f}  {p90:6.2f}  {up:4.0%}   {printable(verdict):9}  "
            f"{format_or_dash(skill, '+z.1%'):>12}  {format_or_dash(coverage, '.0%'):>12}  {printable(method)}"
        )
    if fallback:
        print(f"\n{printable(fallback)}")
    for buckets, trigger in renewed:
        print(
            f"\nReselected on {as_of} ({printable(trigger)}): {printable(buckets)}. "
            "See monitoring.run_history, monitoring.promotions."
        )
    if too_few:
        print(f"\n{printable(too_few)}")
    if quarantined:
        print(
            f"\nQuarantined buckets (left out of the forecast): {printable(', '.join(quarantined))}. See monitoring.gx_results."
        )
    for notice in notices:
        print(f"\n{printable(notice)}")
    if source == "simulated":
        print(
            "\nThis is the simulated market. To forecast real data: ZL_LANDING_DIR=<folder with bars_daily files> make build"
        )
    print(
        f"\nRead on: {serving_dir() / 'report.html'} (page), {snapshot_file()} (for BI: schemas forecasts, monitoring),"
        f"\n         {data_docs_dir()} (data quality), `make docs` (lineage)."
    )
    print(printable(landing))


def _notices(con: duckdb.DuckDBPyConnection) -> list[str]:
    """List notices on an outdated forecast date and on forecasts of another market in the data folder."""
    notices = []
    with suppress(duckdb.BinderException):  # published by an earlier version
        as_of, newest_seen_on = read_row(con, "select max(as_of_date), max(newest_seen_on) from forecasts.zl_forecast")
        if newest_seen_on and newest_seen_on > as_of:
            notices.append(
                f"This forecast is older than the newest session in this data folder ({newest_seen_on}), because the var "
                "allow_earlier_as_of is set. Its rows in the ledgers are marked is_hindsight."
            )
    others = con.execute(
        """
        select data_source, count(*) from forecasts.zl_forecast_ledger
        where data_source not in (select data_source from forecasts.zl_forecast)
        group by data_source order by data_source
        """
    ).fetchall()
    notices += [
        f"This data folder also holds {n_forecasts} forecasts of another market (data_source = '{other}'); plan, accuracy "
        "and health exclude them."
        for other, n_forecasts in others
    ]
    return notices


def _landing(con: duckdb.DuckDBPyConnection) -> str:
    """Name the landing files behind the snapshot, and count their findings."""
    try:
        folder, files = read_row(
            con,
            "select any_value(folder), string_agg(file_name, ', ' order by file_name) from monitoring.landing_files where status = 'read'",
        )
        n_findings = read_value(con, "select count(*) from monitoring.landing_findings where severity <> 'info'")
    except duckdb.CatalogException:  # published by an earlier version
        return "Landing: unknown; the next build records it."
    counted = f"; {n_findings} findings in monitoring.landing_findings (`zl check` prints them)" if n_findings else ""
    return f"Landing: {folder} ({files}){counted}"


def _ensemble_leaderboard() -> None:
    database = snapshot_file()
    with open_snapshot() as con:
        try:
            board = con.sql("from monitoring.ensemble_leaderboard order by horizon_days, rank").df()
        except duckdb.CatalogException as error:
            raise ZlForecastError(
                f"{database} is from an older version without an ensemble leaderboard. Run `make build` (or `dbt build`)."
            ) from error
        if board.empty:
            raise ZlForecastError(
                "monitoring.ensemble_leaderboard is empty: no ensemble method competed. Run `make build`."
            )
        as_of, source = read_row(con, "select any_value(as_of_date), any_value(data_source) from forecasts.zl_forecast")
        # the published forecast's own record, out of sample
        records = con.sql(
            """
            with coverage as (
                select horizon_days, avg(is_inside_90::int) as coverage_90
                from forecasts.zl_backtest group by horizon_days
            )
            select horizon_days, n_rows, pinball_skill, coverage_80, coverage_90, p_value, verdict
            from monitoring.verdicts left join coverage using (horizon_days)
            where subject = 'published'
            """
        ).df()
    print(f"\nEnsemble leaderboard as of {as_of}, {printable(source)} data")
    board[["ensemble_method", "reason"]] = board[["ensemble_method", "reason"]].map(printable)
    width = board["ensemble_method"].str.len().max()
    for (days, code), own in board.groupby(["horizon_days", "horizon_code"]):
        print(
            f"\nensemble, {printable(code)}: pinball skill, coverage of the 50, 80 and 90 % bands, width of the 80 % band "
            f"relative to the reference's, mean seconds per fold\nrank   {'method':{width}}    skill  coverage 50/80/90  "
            "width    fit s  score s  p (reference)  p (benchmark)  weight  reason"
        )
        for row in own.itertuples():
            covers = "/".join(
                format_or_dash(share, ".0%") for share in (row.coverage_50, row.coverage_80, row.coverage_90)
            )
            print(
                f"{row.rank:5}  {row.ensemble_method:{width}}  {format_or_dash(row.pinball_skill, '+z.2%'):>7}"
                f"  {covers:>17}  {format_or_dash(row.relative_width_80, '.2f'):>5}  {format_or_dash(row.fit_seconds, '.2f'):>7}"
                f"  {format_or_dash(row.score_seconds, '.2f'):>7}  {format_or_dash(row.dm_p_value, '.3f'):>13}"
                f"  {format_or_dash(row.benchmark_p_value_holm, '.3f'):>13}"
                f"  {format_or_dash(row.shrinkage_weight, '.0%'):>6}  {row.reason}"
            )
        print(f"{'':7}Published forecast, out of sample: {_record(records[records['horizon_days'] == days])}")
    print(
        "\nSkills of methods are in-sample for the selection; only the published forecast's record is out of sample."
        "\np (reference): Diebold-Mariano test against the reference, not adjusted for the number of methods."
        "\np (benchmark): the same against the average, or a method's base method, adjusted for all methods and horizons (Holm)."
        "\nweight: shrinkage weight of the combination in today's forecast; the average has the rest."
        f"\n\nRead on: monitoring.ensemble_leaderboard, ensemble_weights, ensemble_results, verdicts in {database};"
        f"\n         {serving_dir() / 'report.html'} shows them as a map with the weights."
    )


def _record(records: pd.DataFrame) -> str:
    """Describe the published forecast's record at a horizon; without a row nothing has matured."""
    if records.empty:
        return "nothing has matured yet"
    line = records.iloc[0]
    return (
        f"{line['n_rows']} forecasts, pinball skill {format_or_dash(line['pinball_skill'], '+z.1%')}, coverage of the 80 % band "
        f"{format_or_dash(line['coverage_80'], '.0%')}, of the 90 % band {format_or_dash(line['coverage_90'], '.0%')}, p "
        f"{format_or_dash(line['p_value'], '.3f')}: {printable(line['verdict'])}"
    )


def _leaderboard(bucket: str, of_tournament: bool) -> None:
    from zl_forecast.tournament.leaderboard import newest_year  # imports AutoGluon, which takes seconds

    file = tournament_warehouse() if of_tournament else warehouse()
    remedy = f"Run {'' if of_tournament else '`make build`, or '}`make tournament BUCKET={bucket}`."
    with open_warehouse(remedy, file) as con:
        try:
            rows = con.execute(
                """
                select horizon_code, rank, family, selection_score, pinball_skill, rmse_pct, coverage_80, fit_seconds_total,
                    1000 * score_seconds, p_value_holm, verdict, reason
                from monitoring.leaderboard where bucket = ? order by horizon_days, rank
                """,
                [bucket],
            ).fetchall()
        except duckdb.CatalogException as error:
            raise ZlForecastError(f"{file} has no leaderboard yet. {remedy}") from error
        if not rows:
            raise ZlForecastError(f"monitoring.leaderboard in {file} has no bucket '{bucket}'. {remedy}")
        reasons = con.execute(
            "select horizon_code, rank, explanation from monitoring.forecast_explanations where bucket = ? order by all",
            [bucket],
        ).fetchall()
        board = newest_year(bucket, con)
    horizon = None
    for code, rank, family, score, skill, rmse, coverage, fit, scoring, p_value, verdict, reason in rows:
        if code != horizon:
            horizon = code
            print(f"\n{bucket}, {printable(code)}: pinball skill, coverage of the 80 % band, seconds to fit all folds")
            print(
                "rank  family         score     skill   RMSE %  coverage    fit s  score ms  p (Holm)  verdict   reason"
            )
        numbers = ("-",) * 3 if skill is None else (f"{skill:+.1%}", f"{rmse:.2f}", f"{coverage:.0%}")
        print(
            f"{rank:5}  {printable(family):13} {'-' if score is None else f'{score:+.4f}':>7}  {numbers[0]:>8}  {numbers[1]:>7}  "
            f"{numbers[2]:>8} {fit or 0:8.1f}  {scoring or 0:8.2f}  {'-' if p_value is None else f'{p_value:.3f}':>8}  "
            f"{printable(verdict or '-'):8}  {printable(reason)}"
        )
        for _, number, explanation in (r for r in reasons if rank == 1 and r[0] == code):
            print(f"{'':7}{number}. {printable(explanation)}")
    print(
        f"\nAutoGluon's own leaderboard on the newest year's fold, all horizons (minus pinball loss of standardised returns):\n\n"
        f"{_printable_lines(board)}"
        f"\n\nRead on: monitoring.leaderboard, feature_attributions, forecast_explanations in {file}."
    )


if __name__ == "__main__":
    sys.exit(main())
