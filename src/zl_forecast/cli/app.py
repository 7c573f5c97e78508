"""The `zl` command line. Each command is a module of this package; this one parses and imports only what it needs.

Reading commands (summary, health, leaderboard, plan, status, check) write nothing. They never call `find_landing`, which may
simulate a market. With `--json` they print the rows that they show, with the names of the tables' columns.

Exit codes: 0 success; 1 an error, a failed build or a refused landing folder; 2 an invalid command line or an unknown
name; 130 after Ctrl-C.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from zl_forecast.cli.names import choose, horizon_codes, known_names
from zl_forecast.errors import InvalidArgument, ZlForecastError, printable

READ, CHECK, OPERATE = "Read", "Check", "Operate"
PRESETS = ("quick", "standard", "full")

app = typer.Typer(
    help="Soybean-oil forecasts (CBOT ZL): read results, check landing files, build forecasts.",
    epilog="Exit codes: 0 success; 1 error, failed build or refused landing folder; 2 invalid command line or unknown name.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Json = Annotated[
    bool, typer.Option("--json", metavar="", help="Print JSON: rows by table, with the names of the tables' columns.")
]
Horizon = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HORIZON",
        help="1w, 1m, 3m or 6m, or in words such as 'one month'. May be repeated; default: all.",
        autocompletion=lambda: known_names("horizons", "horizon_code"),
    ),
]
Flags = Annotated[list[str] | None, typer.Argument(metavar="-- DBT_FLAGS", help="Passed on to `dbt build`.")]
PASS_ON = {"ignore_unknown_options": True}


def main(arguments: list[str] | None = None) -> int:
    """Run one `zl` command.

    Parameters
    ----------
    arguments : list of str, optional
        Command line without the program; sys.argv if omitted.

    Returns
    -------
    int
        Exit code, see the module's docstring.
    """
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="zl", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except (TyperException, InvalidArgument) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        _print_error(f"{message}\n    `zl --help` lists the commands, `zl COMMAND --help` what each accepts.")
        return 2
    except ZlForecastError as error:
        _print_error(str(error))
        return 1
    except SystemExit as ended:  # the reader of a pipe has ended
        return int(ended.code or 0)


def _print_error(text: str) -> None:
    print("zl:", "\n".join(map(printable, text.split("\n"))), file=sys.stderr)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"zl-forecast {installed('zl-forecast')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
        return
    if version:
        raise typer.Exit


@app.command(rich_help_panel=READ)
def summary(horizon: Horizon = None, json: Json = False) -> None:
    """Show the newest forecasts, and what to know before relying on them."""
    from zl_forecast.cli.output import print_json
    from zl_forecast.cli.summary import print_summary, read_summary
    from zl_forecast.databases import open_snapshot

    with open_snapshot() as con:
        read = read_summary(con, horizon_codes(horizon or ()))
    (print_json if json else print_summary)(read)


@app.command(rich_help_panel=READ)
def health(
    subject: Annotated[str | None, typer.Argument(help="A bucket, or `published`; default: all.")] = None,
    horizon: Horizon = None,
    all_: Annotated[bool, typer.Option("--all", metavar="", help="List what is healthy as well.")] = False,
    json: Json = False,
) -> None:
    """Show what is not healthy or not known to be, and a count of the rest."""
    from zl_forecast.cli.health import print_health, read_health
    from zl_forecast.cli.output import print_json
    from zl_forecast.databases import open_snapshot

    with open_snapshot() as con:
        read = read_health(con, subject, horizon_codes(horizon or ()))
    if json:
        print_json(read)
    else:
        print_health(read, shows_all=all_)


@app.command(rich_help_panel=READ)
def leaderboard(
    bucket: Annotated[
        str,
        typer.Argument(
            help="A bucket of seeds/buckets.csv, or `ensemble` for the ensemble methods and the record of the published forecast.",
            autocompletion=lambda: [*known_names("buckets", "bucket"), "ensemble"],
        ),
    ],
    horizon: Horizon = None,
    family: Annotated[
        list[str] | None, typer.Option(metavar="FAMILY", help="Only this family. May be repeated.")
    ] = None,
    tournament: Annotated[
        bool,
        typer.Option("--tournament", metavar="", help="Read the last `make tournament` instead of the last build."),
    ] = False,
    autogluon: Annotated[
        bool, typer.Option("--autogluon", metavar="", help="Add AutoGluon's own leaderboard, which takes some seconds.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the leaderboard of a bucket or of the ensemble by horizon, with reasons."""
    from zl_forecast.cli import leaderboard as boards
    from zl_forecast.cli.output import print_json
    from zl_forecast.databases import open_snapshot
    from zl_forecast.queries import read_row

    codes = horizon_codes(horizon or ())
    if bucket != boards.ENSEMBLE:
        tables = boards.read_families(bucket, codes, family or (), tournament)
        if json:
            print_json(tables)
        else:
            boards.print_families(tables, tournament, boards.autogluon_board(bucket, tournament) if autogluon else "")
        return
    if tournament or autogluon or family:
        raise InvalidArgument(
            "--tournament, --autogluon and --family belong to a bucket: `make tournament` runs one bucket and no ensemble. "
            "Run `zl leaderboard ensemble` for the last build."
        )
    with open_snapshot() as con:
        tables = boards.read_methods(con, codes)
        facts = read_row(con, "select any_value(as_of_date), any_value(data_source) from forecasts.zl_forecast")
    if json:
        print_json(tables)
    else:
        boards.print_methods(tables, *facts)


@app.command(rich_help_panel=READ)
def plan(json: Json = False) -> None:
    """Show what the last build did with each bucket or, after `make plan`, what the next would do, and why."""
    from zl_forecast.cli.output import print_json
    from zl_forecast.cli.plan import REMEDY, print_plan, read_plan
    from zl_forecast.databases import open_warehouse

    with open_warehouse(REMEDY) as con:
        state = read_plan(con)
    (print_json if json else print_plan)(state)


@app.command(rich_help_panel=CHECK)
def status(
    all_: Annotated[bool, typer.Option("--all", metavar="", help="List every series and symbol as well.")] = False,
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Exit code 1 if something is stale or missing, for schedulers.")
    ] = False,
    json: Json = False,
) -> int:
    """Show how old the data of each source are against its schedule, what is missing, and the last error."""
    from zl_forecast.cli.output import print_json
    from zl_forecast.cli.status import print_status
    from zl_forecast.freshness import read_freshness

    read = read_freshness()
    if json:
        print_json(read.rows())
    else:
        print_status(read, shows_all=all_)
    return int(check and bool(read.overdue()))


@app.command(rich_help_panel=CHECK)
def check(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of landing files; default: the folder that a build would read.")
    ] = None,
    json: Json = False,
) -> int:
    """Check landing files against the contract, without a build; exit code 1 if a build would stop."""
    from zl_forecast.cli.check import print_check, read_check
    from zl_forecast.cli.output import print_json
    from zl_forecast.landing.folder import landing_path

    read = read_check(folder or landing_path())
    (print_json if json else print_check)(read)
    return 0 if read["is_accepted"] else 1


@app.command(rich_help_panel=OPERATE)
def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sources of seeds/sources.csv; default: all.", autocompletion=lambda: known_names("sources", "source")
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the sources, and which of them need an access key; read nothing.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Read the whole history again, to find revised values.")] = False,
    reload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERIES",
            help="Drop the rows of this series or symbol and load it again; its vintages on file are lost. May be repeated.",
        ),
    ] = None,
    history_from: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First day of the history, YYYY-MM-DD.")
    ] = None,
) -> int:
    """Read publishers, and land what they sent; exit code 1 if a source failed (the others have landed)."""
    from zl_forecast.cli import ingest as ingesting

    known = known_names("sources", "source")
    chosen = [choose("source", source, known) for source in sources or ()]
    if list_:
        ingesting.list_sources()
        return 0
    return ingesting.ingest_sources(chosen, full, reload or (), history_from)


@app.command(rich_help_panel=OPERATE)
def mapping(file: Annotated[Path, typer.Argument(help="A CSV file of bars.")]) -> None:
    """Propose the mapping with which `zl ingest own_csv` reads a CSV file, from the file's first lines."""
    from zl_forecast.ingest.propose import propose_mapping

    print(propose_mapping(file), end="")


@app.command(rich_help_panel=OPERATE, context_settings=PASS_ON)
def build(
    flags: Flags = None,
    only_plan: Annotated[
        bool, typer.Option("--only-plan", metavar="", help="Stop at the plan: what a build would do. Trains nothing.")
    ] = False,
    reselect: Annotated[
        bool,
        typer.Option(
            "--reselect", metavar="", help="Select and refit all families and methods as of the newest session."
        ),
    ] = False,
) -> int:
    """Make forecasts: run `dbt build` with its progress. Skipped if nothing has changed since the last build."""
    from zl_forecast.cli import build as building

    if only_plan and reselect:
        raise InvalidArgument("--only-plan and --reselect exclude each other. Name one of them.")
    if only_plan:
        return building.make_plan(flags or [])
    return building.make_forecasts((["--vars", "tournament: always"] if reselect else []) + (flags or []))


@app.command(rich_help_panel=OPERATE)
def notify(
    test: Annotated[
        bool, typer.Option("--test", metavar="", help="Send a test message to every channel, and nothing else.")
    ] = False,
    json: Json = False,
) -> int:
    """Send what is new (failures, old data, degraded models, large moves) and what has recovered to ZL_NOTIFY_URLS."""
    from zl_forecast.cli import notify as notifying

    return notifying.send_a_test() if test else notifying.send_changes(json)


@app.command(rich_help_panel=OPERATE, context_settings=PASS_ON)
def tournament(
    bucket: Annotated[
        str,
        typer.Argument(help="A bucket of seeds/buckets.csv.", autocompletion=lambda: known_names("buckets", "bucket")),
    ],
    flags: Flags = None,
    preset: Annotated[
        str, typer.Option(metavar="PRESET", help="Which families compete: quick, standard or full.")
    ] = "full",
) -> int:
    """Run one bucket's tournament in a folder of its own, and show its leaderboards."""
    from zl_forecast.cli import build as building

    choose("bucket", bucket, known_names("buckets", "bucket"))
    return building.make_tournament(bucket, choose("preset", preset, PRESETS), flags or [])


@app.command(rich_help_panel=OPERATE)
def replay(
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help="Last day.")],
    step: Annotated[
        str, typer.Option(metavar="STEP", help="day, week or month; a step is the last session of each.")
    ] = "week",
    buckets: Annotated[str, typer.Option(metavar="BUCKETS", help="Names separated by commas; default: all.")] = "",
    preset: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Which families compete: quick, standard or full.")
    ] = None,
) -> None:
    """Rebuild past sessions with the data available then, in a folder of its own."""
    from zl_forecast.replay import replay as run_replay

    named = tuple(bucket.strip() for bucket in buckets.split(",") if bucket.strip())
    run_replay(start, end, step, named, choose("preset", preset, PRESETS) if preset else None)


@app.command(rich_help_panel=OPERATE)
def sample(
    world: Annotated[
        str,
        typer.Option(
            metavar="WORLD",
            help="planted, random_walk or broken (as planted, but the effect of crude oil reverses in October 2021).",
        ),
    ] = "planted",
) -> None:
    """Simulate a market, and print the folder of its landing files."""
    from zl_forecast.landing.folder import sample_landing

    print(sample_landing(world).path)


@app.command(rich_help_panel=OPERATE)
def export(
    to: Annotated[str, typer.Argument(help="postgres (reads ZL_POSTGRES_DSN), parquet or csv.")],
    folder: Annotated[Path | None, typer.Argument(help="For parquet and csv: a new or empty folder.")] = None,
) -> None:
    """Copy the published tables to PostgreSQL, or to files of Parquet or CSV."""
    from zl_forecast.export import export_tables

    export_tables(choose("target", to, ("postgres", "parquet", "csv")), folder)
