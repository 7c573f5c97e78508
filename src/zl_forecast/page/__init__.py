"""The page: one static HTML file that answers a buyer's questions, with the evidence for each answer.

Modules named after a section read the section's rows from the snapshot and shape them; `templates` has one template
per section, `style.css` and `script.js` are written into the page, and `charts` draws. Nothing is read from the network,
neither when the page is made nor when it is opened.
"""

import hashlib
from importlib.resources import files

import duckdb

from zl_forecast.imports import ONE_IMPORT_AT_A_TIME
from zl_forecast.store import fingerprint

SOURCES = ("style.css", "script.js")


def render(con: duckdb.DuckDBPyConnection) -> str:
    """Render the page of a snapshot.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        A complete HTML document without external resources.
    """
    with ONE_IMPORT_AT_A_TIME:  # charts need 0.3 s to import, and a build that publishes nothing new does not need them
        from zl_forecast.page.document import render_document
    return render_document(con)


def code_fingerprint() -> str:
    """Hash what the page is made by: the Python code, templates, stylesheet and script.

    Returns
    -------
    str
        24 hex digits.
    """
    folder = files(__name__)
    sources = [folder / name for name in SOURCES] + sorted((folder / "templates").iterdir(), key=lambda file: file.name)
    texts = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in sources]
    return fingerprint.combine(
        fingerprint.of_code(f"{__name__}.document"), fingerprint.library_versions(f"{__name__}.document"), texts
    )
