"""`zl check`: the landing contract alone, without a build."""

from pathlib import Path
from typing import Any

from zl_forecast.cli.output import Column, print_table, say
from zl_forecast.errors import LandingError
from zl_forecast.landing.contract import Landing, sentences
from zl_forecast.landing.folder import LandingFolder, data_source_of

STATUS = {"read": "read", "refused": "REFUSED", "not_read": "not read"}
COLUMNS = (
    Column("file", "file_name"),
    Column("status", "status"),
    Column("rows", "n_rows", ",d"),
    Column("names", "n_subjects", "d"),
    Column("from", "first_date"),
    Column("to", "last_date"),
)


def read_check(path: Path) -> dict[str, Any]:
    """Check a landing folder.

    Parameters
    ----------
    path : Path
        A folder with landing files.

    Returns
    -------
    dict
        landing_files and landing_findings (rows), is_accepted (whether a build can read the folder), folder,
        data_source, and sentences (one line per finding).

    Raises
    ------
    LandingError
        The folder does not exist.
    """
    if not path.is_dir():
        raise LandingError(
            str(path),
            "no such folder",
            "Name a folder with landing files: zl check FOLDER. Without such a folder, builds use the simulated market.",
        )
    landing = Landing(LandingFolder(path, data_source_of(path)))
    files, findings = landing.files(), landing.findings()
    return {
        "landing_files": files.to_pylist(),
        "landing_findings": findings.to_pylist(),
        "is_accepted": "refused" not in findings["severity"].to_pylist(),
        "folder": str(path.resolve()),
        "data_source": landing.folder.data_source,
        "sentences": list(sentences(findings)),
    }


def print_check(check: dict[str, Any]) -> None:
    """Print all findings, then the files, and what to do next.

    Parameters
    ----------
    check : dict
        As from `read_check`.
    """
    say(f"Landing folder {check['folder']}, {check['data_source']} data", "bold", may_wrap=False)
    say()
    for line in check["sentences"]:
        say(line)
    if check["sentences"]:
        say()
    print_table([row | {"status": STATUS[row["status"]]} for row in check["landing_files"]], COLUMNS)
    say()
    counted = [row["severity"] for row in check["landing_findings"]]
    refused, quarantined = counted.count("refused"), counted.count("quarantined")
    if refused:
        say(f"{refused} refused: `make build` would stop. Next: correct them and run `zl check` again.", "bold red")
    elif quarantined:
        say(f"{quarantined} quarantined: `make build` would leave out the buckets that read these symbols.", "yellow")
        say("Next: correct them and run `zl check` again, or make build", "bold")
    else:
        say("Nothing is refused. Next: make build", "bold")
