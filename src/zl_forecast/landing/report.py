"""`zl check`: the landing contract alone, without a build."""

from pathlib import Path

from zl_forecast.errors import LandingError, printable
from zl_forecast.landing.contract import Landing, sentences
from zl_forecast.landing.folder import LandingFolder, data_source_of

STATUS = {"read": "read", "refused": "REFUSED", "not_read": "not read"}


def print_check(path: Path) -> bool:
    """Check a landing folder; print its files and all findings.

    Parameters
    ----------
    path : Path
        A folder with landing files.

    Returns
    -------
    bool
        Whether a build can read it.

    Raises
    ------
    LandingError
        The folder does not exist.
    """
    if not path.is_dir():
        raise LandingError(
            file=str(path),
            problem="no such folder",
            remedy="Name a folder with landing files: zl check FOLDER. Without such a folder, builds use the simulated market.",
        )
    landing = Landing(LandingFolder(path, data_source_of(path)))
    files, findings = landing.files().to_pylist(), landing.findings()
    print(printable(f"Landing folder {path.resolve()}, {landing.folder.data_source} data"))
    width = max([len(printable(file["file_name"])) for file in files], default=4)
    print(f"\n{'file':{width}}  status       rows  names  from        to")
    for file in files:
        counts = (
            f"{file['n_rows']:8,}  {file['n_subjects']:5}  {file['first_date']}  {file['last_date']}"
            if file["n_rows"] is not None
            else f"{'-':>8}  {'-':>5}  -           -"
        )
        print(f"{printable(file['file_name']):{width}}  {STATUS[file['status']]:8}  {counts}")
    counted = findings["severity"].to_pylist()
    if counted:
        print()
    for line in sentences(findings):
        print(line)
    refused, quarantined = counted.count("refused"), counted.count("quarantined")
    if refused:
        print(f"\n{refused} refused: `make build` would stop. Correct them and run `zl check` again.")
    elif quarantined:
        print(f"\n{quarantined} quarantined: `make build` would leave out the buckets that read these symbols.")
    else:
        print("\nNothing is refused. Next: make build")
    return not refused
