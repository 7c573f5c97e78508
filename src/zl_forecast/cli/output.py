"""What all commands print with: aligned tables, lines and JSON.

On a terminal output has colour and fits its width. Elsewhere it is plain, and no line is wrapped or cut, so that
other programs can read it. Every text is printed through `printable`, because tables hold text from landing files.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from zl_forecast.errors import printable

Row = Mapping[str, Any]
PLAIN_WIDTH = 1_000_000
MIN_NOTE_WIDTH = 40  # characters; a narrower note is printed below its row
GAP = "  "
STYLES = {
    **dict.fromkeys(("skill", "ok", "healthy", "read", "done", "fresh"), "green"),
    **dict.fromkeys(("watch", "cannot_tell", "warning", "warned", "not read", "due"), "yellow"),
    **dict.fromkeys(
        ("degraded", "expired", "failed", "refused", "quarantined", "REFUSED", "timed_out", "stale", "missing"),
        "bold red",
    ),
}


@dataclass(frozen=True)
class Column:
    """Column of a printed table.

    Attributes
    ----------
    title : str
        Heading.
    field : str
        Key of the rows.
    form : str
        Format specification of a number, which is aligned to the right; empty for text.
    is_optional : bool
        Whether a terminal that is too narrow for all columns leaves it out, from the right.
    """

    title: str
    field: str
    form: str = ""
    is_optional: bool = False

    def cell(self, row: Row) -> Text:
        """Format the column's value in a row; a dash if it, or the whole column in an older snapshot, is missing."""
        text = printable(format_or_dash(row.get(self.field), self.form))
        return Text(text, STYLES.get(text, ""))


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """End without an error if the reader has ended, as in `zl summary | head`."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python prints an error at exit
        raise SystemExit(0)


def open_console() -> Console:
    """Return a console for what is standard output now.

    Returns
    -------
    rich.console.Console
        Without colours and without a limit of the width if it is not a terminal.
    """
    console = _Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def say(text: str = "", style: str = "", may_wrap: bool = True) -> None:
    """Print a line.

    Parameters
    ----------
    text : str
        Control characters are escaped.
    style : str
        Style of rich, for terminals.
    may_wrap : bool
        False for a line with a path or a command, which a reader copies: then only the terminal wraps it.
    """
    open_console().print(Text(printable(text), style), soft_wrap=not may_wrap)


def print_table(rows: Sequence[Row], columns: Sequence[Column], note: str = "") -> None:
    """Print rows as a table with one line per row.

    Parameters
    ----------
    rows : sequence of mappings
        Missing values are printed as a dash.
    columns : sequence of Column
        From left to right.
    note : str
        Field with a sentence per row: the last column, or on a narrow terminal a line below the row.
    """
    console = open_console()
    shown = list(columns)
    while (width := _width(rows, shown)) > console.width and any(column.is_optional for column in shown):
        shown.remove([column for column in shown if column.is_optional][-1])
    is_note_beside = width + len(GAP) + MIN_NOTE_WIDTH <= console.width
    heading = [(column, Text(column.title, "bold")) for column in shown]
    lines = [_line(rows, heading), *(_line(rows, [(column, column.cell(row)) for column in shown]) for row in rows)]
    notes = (
        [note if is_note_beside else "", *(format_or_dash(row[note]) for row in rows)] if note else [""] * len(lines)
    )
    indent = width + len(GAP) if is_note_beside else 4
    for line, text in zip(lines, notes, strict=True):
        wrapped = _wrap(console, text, indent, "bold" if line is lines[0] else "dim") if text else []
        if wrapped and is_note_beside:
            line.append_text(wrapped.pop(0)[width:])
        for whole in (line, *wrapped):
            whole.rstrip()
            console.print(whole)


def _wrap(console: Console, text: str, indent: int, style: str) -> list[Text]:
    """Break a text into lines of the console's width, each indented; control characters are escaped."""
    lines = Text(printable(text), style).wrap(console, console.width - indent)
    return [Text.assemble(" " * indent, line) for line in lines]


def print_indented(console: Console, text: str, indent: int, style: str = "") -> None:
    """Print lines of text, wrapped with an indent on a terminal.

    Parameters
    ----------
    console : rich.console.Console
        As from `open_console`.
    text : str
        One line or several.
    indent : int
        Blanks before each line.
    style : str
        Style of rich, for terminals.
    """
    for own in text.split("\n"):
        for line in _wrap(console, own, indent, style):
            line.rstrip()
            console.print(line)


def _width(rows: Sequence[Row], columns: Sequence[Column]) -> int:
    return sum(_column_width(rows, column) for column in columns) + len(GAP) * (len(columns) - 1)


def _column_width(rows: Sequence[Row], column: Column) -> int:
    return max([len(column.title), *(column.cell(row).cell_len for row in rows)])


def _line(rows: Sequence[Row], cells: Sequence[tuple[Column, Text]]) -> Text:
    for column, text in cells:
        text.align("right" if column.form else "left", _column_width(rows, column))
    return Text(GAP).join(text for _, text in cells)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document as JSON: dates as YYYY-MM-DD, instants in UTC, missing numbers as null.

    Parameters
    ----------
    document : mapping
        By name of a table: its rows, whose keys are the table's columns. Other names are described in the help.
    """
    open_console().out(json.dumps(document, default=_as_json, indent=2, allow_nan=False))


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat()}Z"  # instants in tables are UTC
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def in_local_time(instant: datetime) -> str:
    """Format an instant in the time zone of the reader's computer.

    Parameters
    ----------
    instant : datetime
        UTC, without a time zone.

    Returns
    -------
    str
        Date, time to the minute and name of the zone.
    """
    return f"{instant.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M %Z}"


def short_path(path: Path) -> str:
    """Return a path as a reader in the working directory would write it.

    Parameters
    ----------
    path : Path
        Absolute.

    Returns
    -------
    str
        Relative if it lies in the working directory.
    """
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def format_or_dash(value: Any, form: str = "") -> str:
    """Format a value, or return a dash if it is missing.

    Parameters
    ----------
    value : object
        None and NaN give the dash.
    form : str
        Format specification, for example '.1f'.

    Returns
    -------
    str

    Examples
    --------
    >>> format_or_dash(0.125, "+.1%"), format_or_dash(None, ".1f"), format_or_dash("ok")
    ('+12.5%', '-', 'ok')
    """
    return "-" if value is None or value != value else format(value, form)
