"""`zl mapping FILE`: write a mapping for a CSV file of bars, from its first lines.

What the file does not show is marked with `check`. Save the output as a *.toml beside the file.
"""

import csv
import re
from pathlib import Path

import pandas as pd

from zl_forecast.errors import LandingError
from zl_forecast.ingest.bars.futures import parse_symbol

SAMPLE_LINES = 400
SEPARATORS = ",;\t|"
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
# names of columns, in lower case, best first; English, German, Polish, Spanish, Portuguese, French, Chinese
NAMES = {
    meaning: names.split(" | ")
    for meaning, names in {
        "date": "date | trade date | time | datum | data | fecha | 日期 | timestamp | ts_event | zeit",
        "open": "open | first | eröffnung | eroeffnung | otwarcie | apertura | abertura | ouverture | 开盘 | 开盘价",
        "high": "high | hoch | najwyzszy | najwyższy | máximo | maximo | máxima | plus haut | 最高 | 最高价",
        "low": "low | tief | najnizszy | najniższy | mínimo | minimo | mínima | plus bas | 最低 | 最低价",
        "close": "settle | settlement | settlement price | close | latest | last | price | schluss | zuletzt | "
        "zamkniecie | zamknięcie | cierre | último | ultimo | fechamento | dernier | 收盘 | 收盘价",
        "volume": "volume | vol. | vol | volumen | wolumen | 成交量",
        "open_interest": "open interest | open_interest | openint | oi | lop | previous day open interest | "
        "prev. day open interest",
        "symbol": "symbol | ticker | contract | instrument",
    }.items()
}
DATE_FORMATS = (
    *(
        "%Y-%m-%d",
        "%Y%m%d",
        "%d.%m.%Y",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d-%b-%y",
        "%d-%b-%Y",
        "%b %d, %Y",
    ),
    *("%Y/%m/%d", "%d-%m-%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M"),
)


def propose_mapping(path: Path) -> str:
    """Write a mapping for a file.

    Parameters
    ----------
    path : Path
        A CSV file of bars.

    Returns
    -------
    str
        TOML, see `zl_forecast.ingest.bars.mapped_csv`. Lines that need a decision say `check`.

    Raises
    ------
    LandingError
        The file has no line with the names of columns that are known.
    """
    encoding, lines = _decode(path)
    found = _find_header(lines)
    if found is None:
        raise LandingError(
            str(path),
            "has no line with names such as Date, Open, High, Low, Close",
            "Write the mapping by hand: see docs/ingest.md.",
        )
    separator, skipped, columns = found
    rows = list(csv.reader(lines[skipped:], delimiter=separator))
    header, body = [name.strip() for name in rows[0]], [row for row in rows[1:] if any(cell.strip() for cell in row)]
    sample = {
        name: [row[header.index(name)] for row in body if len(row) > header.index(name)] for name in columns.values()
    }
    decimal, thousands = _number_style(
        [cell for name in ("close", "open", "high", "low") if name in columns for cell in sample[columns[name]]]
    )
    mark = "." if decimal == "," else ","
    volumes = sample.get(columns.get("volume", ""), [])
    if not thousands and any(re.fullmatch(rf"\d{{1,3}}(\{mark}\d{{3}})+", cell.strip()) for cell in volumes):
        thousands = mark
    formats = _date_formats(sample[columns["date"]])
    written = [
        f'files = "{path.name}"',
        *_symbol_lines(path, columns),
        f"separator = {_quoted(separator)}",
        f'decimal = "{decimal}"',
        f'thousands = "{thousands}"',
        f'encoding = "{encoding}"',
        f"skip_lines = {skipped}",
        f'date_format = "{formats[0] if formats else "?"}"{_note_on_format(formats)}',
    ]
    if formats and "%H" in formats[0]:
        written.append('time_zone = "UTC"  # check: zone of the times, which are the starts of the intervals')
    written += ["", "[columns]"]
    for meaning, name in columns.items():
        written.append(f"{meaning} = {_quoted(name)}")
        if meaning == "close" and name.lower().startswith("settle"):
            written.append(f"settle = {_quoted(name)}")
    return "\n".join(written) + "\n"


def _decode(path: Path) -> tuple[str, list[str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LandingError(str(path), f"cannot be read: {error.strerror}", "Name another file.") from error
    is_utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ENCODINGS:
        if (encoding == "utf-16") != is_utf_16:
            continue
        try:
            return encoding, content.decode(encoding).splitlines()[:SAMPLE_LINES]
        except UnicodeDecodeError:
            continue
    raise LandingError(str(path), "is not text", "Save it as CSV.")


def _find_header(lines: list[str]) -> tuple[str, int, dict[str, str]] | None:
    """Find the line that names the most columns; return its separator, its number from 0 on, and the columns by meaning."""
    best: tuple[str, int, dict[str, str]] | None = None
    for number, line in enumerate(lines[:30]):
        for separator in SEPARATORS:
            names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
            known = {name.lower(): name for name in names}
            columns = {
                meaning: known[next(alias for alias in aliases if alias in known)]
                for meaning, aliases in NAMES.items()
                if any(alias in known for alias in aliases)
            }
            if {"date", "close"} <= set(columns) and (best is None or len(columns) > len(best[2])):
                best = separator, number, columns
    return best


def _number_style(cells: list[str]) -> tuple[str, str]:
    """Return the decimal and the thousands mark: the last of two marks in a number is the decimal one."""
    cells = [cell.strip() for cell in cells]
    for cell in cells:
        if "," in cell and "." in cell:
            return (",", ".") if cell.rindex(",") > cell.rindex(".") else (".", ",")
    if any("," in cell for cell in cells):
        return ",", ""
    return ".", ""


def _date_formats(cells: list[str]) -> list[str]:
    """Return the formats that read every date; of two that differ in day and month the one with even steps is first."""
    texts = pd.Series([cell.strip() for cell in cells if cell.strip()], dtype=object)
    fits = []
    for form in DATE_FORMATS:
        dates = pd.to_datetime(texts, format=form, errors="coerce")
        if len(texts) and dates.notna().mean() > 0.98:  # a footer is no date
            steps = dates.dropna().diff().dt.days.abs().dropna()
            fits.append((steps.median() if len(steps) else 0.0, form))
    return [form for _, form in sorted(fits, key=lambda fit: fit[0])]


def _note_on_format(formats: list[str]) -> str:
    if not formats:
        return "  # check: %d day, %m month, %Y year, %b Jan"
    return f"  # check: {' or '.join(formats[1:])} also fits" if len(formats) > 1 else ""


def _symbol_lines(path: Path, columns: dict[str, str]) -> list[str]:
    if "symbol" in columns:
        return []
    tokens = [path.stem, *re.split(r"[^A-Za-z0-9=@#!]+", path.stem)]
    named = [found for token in tokens if (found := parse_symbol(token))]
    if any(found.month for found in named):
        return ['symbol = "file name"']
    if parse_symbol(path.stem):
        return [f'symbol = "{named[0].symbol}"']
    guess = next((found.symbol for found in named if len(found.symbol) == 2), "ZL")
    return [f'symbol = "{guess}"  # check: which future is it?']


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
