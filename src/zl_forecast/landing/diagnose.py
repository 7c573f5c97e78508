"""Explain why a CSV file cannot be read, for the typical files of vendors and spreadsheets."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SNIFFED_BYTES = 65_536
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MAGIC = {
    b"\x1f\x8b": ("gzip", "unpack it (gunzip)"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV UTF-8"),
    b"PAR1": ("Parquet", "rename it to .parquet"),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file itself (git lfs pull)"),
    b"<": ("HTML or XML", "the download failed or needs a login; get the file again"),
    b"{": ("JSON", "write its rows as CSV"),
    b"[": ("JSON", "write its rows as CSV"),
    b"BZh": ("bzip2", "unpack it (bunzip2)"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it (unzstd)"),
}
WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MAX_QUOTED_CHARACTERS = 60  # characters of a line that a message quotes


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a file as a whole.

    Attributes
    ----------
    problem : str
        What was found.
    remedy : str
        How to write the file instead.
    rows : int or None
        Number of lines concerned.
    """

    problem: str
    remedy: str
    rows: int | None = None


def diagnose(file: Path, columns: Sequence[str]) -> Diagnosis | None:
    """Find out why a CSV file does not have the columns of the contract.

    Parameters
    ----------
    file : Path
        A file with a name that ends in .csv.
    columns : sequence of str
        The contract's columns.

    Returns
    -------
    Diagnosis or None
        None if the fault is not one of the known ones.
    """
    with file.open("rb") as stream:
        head = stream.read(SNIFFED_BYTES)
    for magic, (kind, remedy) in MAGIC.items():
        if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(magic):
            return Diagnosis(f"is {kind}, named as a CSV file", f"It must be plain CSV: {remedy}.")
    if head.startswith(WIDE_MARKS) or b"\x00" in head:
        return Diagnosis(
            "is UTF-16 or binary, not plain text",
            "Save it as CSV UTF-8 (Excel: 'CSV UTF-8 (comma delimited)', not 'Unicode text').",
        )
    try:
        return _of_text(file, columns)
    except UnicodeDecodeError:
        return Diagnosis(f"is not UTF-8 text, first in line {_first_odd_line(file)}", "Save it as CSV UTF-8.")
    except csv.Error as error:
        return Diagnosis(f"is not valid CSV: {error}", "Write it again; quote text that holds commas or line ends.")


def _of_text(file: Path, columns: Sequence[str]) -> Diagnosis | None:
    lines = list(_first_lines(file, 20))
    header = next((number for number, line in lines if _names(line.split(","), columns)), None)
    first_number, first = lines[0] if lines else (1, "")
    if header is None:
        for number, line in lines:
            for delimiter, called in OTHER_DELIMITERS.items():
                if _names(line.split(delimiter), columns):
                    return Diagnosis(
                        f"{called} separate its columns (line {number})",
                        "Write commas between columns, decimal points in numbers, and dates as YYYY-MM-DD "
                        "(pandas: to_csv(index=False)).",
                    )
        return None
    if header > first_number:
        if first.lower().startswith("sep="):
            kind, what = f"'{first}', a hint for Excel", "it"
        elif first.startswith(("#", "//", "%")):
            kind, what = f"a comment, '{first[:MAX_QUOTED_CHARACTERS]}'", "comments"
        else:
            kind, what = f"a title, '{first[:MAX_QUOTED_CHARACTERS]}'", "the lines above the header"
        return Diagnosis(
            f"line {first_number} is {kind}; the header is line {header}",
            f"Remove {what}: the first line must name the columns.",
            rows=header - first_number,
        )
    return _ragged(file)


def _ragged(file: Path) -> Diagnosis | None:
    """Diagnose lines that have more or fewer values than the header."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader)
        odd: list[tuple[int, list[str]]] = []
        n_rows, first = 0, 0
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                first = first if odd else n_rows
                odd.append((reader.line_num, row))
            n_rows += 1
    if not odd:
        return None
    line, row = odd[0]
    counts = f"line {line} has {len(row)} {'value' if len(row) == 1 else 'values'} for {len(header)} columns"
    if len(row) == len(header) + 1 and len(odd) == n_rows and odd[0][1][0].strip().isdigit():
        return Diagnosis(
            f"{counts}: row names precede the columns",
            "Write it without them (pandas: index=False; R: row.names=FALSE).",
            rows=len(odd),
        )
    if len(row) > len(header) and first + len(odd) == n_rows and all(len(other) == len(row) for _, other in odd):
        return Diagnosis(
            f"{counts}: a column was added from there on",
            "Write the file again with one header for all rows, or the newer rows to a separate file.",
            rows=len(odd),
        )
    if len(odd) == 1 and first + 1 == n_rows and not _ends_with_newline(file):
        return Diagnosis(
            f"cannot be read as csv: {counts}, and the last line has no newline",
            "It may be half written or damaged: write it again to a temporary name and rename it when complete.",
            rows=1,
        )
    if len(row) < len(header) and first + len(odd) == n_rows:
        return Diagnosis(
            f"{counts}, '{','.join(row)[:MAX_QUOTED_CHARACTERS]}': a footer",
            "Remove the lines below the data.",
            rows=len(odd),
        )
    return Diagnosis(
        f"{counts}, '{','.join(row)[:MAX_QUOTED_CHARACTERS]}'",
        "Every line needs one value per column; quote text that holds commas.",
        rows=len(odd),
    )


def _names(values: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a line could be the header: it holds at least two of the contract's names."""
    found = {value.strip().strip('"').lower() for value in values}
    return len(found & set(columns)) >= 2


def _first_lines(file: Path, most: int) -> Iterator[tuple[int, str]]:
    """Yield the first lines that are not empty, with their numbers."""
    with file.open(encoding="utf-8-sig", newline=None) as stream:
        for number, line in enumerate(stream, start=1):
            if number > most:
                return
            if line.strip():
                yield number, line.strip()


def _first_odd_line(file: Path) -> int:
    """Return the number of the first line that is not UTF-8."""
    for number, line in enumerate(file.open("rb"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() in (b"\n", b"\r")
