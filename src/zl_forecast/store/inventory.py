"""List the content of a folder, to compare it with what was written.

Links are not followed, and only plain files are opened.
"""

import hashlib
import os
import stat
from pathlib import Path

EMPTY_FOLDER = "an empty folder"
KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def kind_of(path: Path) -> str:
    """Describe the type of a path; links are not followed.

    Parameters
    ----------
    path : Path
        Must exist.

    Returns
    -------
    str
        'a file', 'a folder', 'a link to ...', 'a named pipe', 'a socket' or 'a device'.
    """
    mode = path.lstat().st_mode
    return f"a link to {printable(os.readlink(path))}" if stat.S_ISLNK(mode) else KINDS[stat.S_IFMT(mode)]


def inventory(folder: Path) -> dict[str, str]:
    """List everything below a folder with its digest.

    Links and named pipes are not opened: a pipe could block for ever, and a link could lead anywhere. Changes
    that another process makes during or after this call are not detected.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to str
        By relative path. The SHA-256 in hex of a plain file; a description of anything else: `EMPTY_FOLDER`, 'a
        link to ...', 'a named pipe', 'not readable: ...'. A folder that is not empty appears only through its
        content.
    """
    found: dict[str, str] = {}
    todo = [folder]
    while todo:
        path = todo.pop()
        name = path.relative_to(folder).as_posix()
        try:
            kind = kind_of(path)
            if kind == "a folder":
                entries = list(path.iterdir())
                todo.extend(entries)
                if not entries and path != folder:
                    found[name] = EMPTY_FOLDER
            else:
                found[name] = sha256(path) if kind == "a file" else kind
        except OSError as error:
            found[name] = f"not readable: {error.strerror}"
    return dict(sorted(found.items()))


def is_digest(content: str) -> bool:
    """Return whether an entry of an inventory describes a plain file.

    Parameters
    ----------
    content : str
        A value of `inventory`.

    Returns
    -------
    bool
    """
    return len(content) == 64 and set(content) <= set("0123456789abcdef")


def difference(written: dict[str, str], found: dict[str, str]) -> str:
    """Describe the first difference between two inventories.

    Parameters
    ----------
    written : dict
        Inventory when the folder was written.
    found : dict
        Inventory now.

    Returns
    -------
    str
        Names the files concerned; empty if there is no difference.

    Examples
    --------
    >>> difference({"model.pkl": "0" * 64}, {})
    'files missing or added: model.pkl'
    """
    for name, content in found.items():
        if written.get(name) != content and not is_digest(content):
            return f"{printable(name)} is {content}"
    if names := sorted(written.keys() ^ found.keys()):
        return f"files missing or added: {', '.join(map(printable, names))}"
    changed = [printable(name) for name in written if written[name] != found[name]]
    return f"{', '.join(changed)} was changed since it was written" if changed else ""


def sha256(file: Path) -> str:
    """Hash the content of a file.

    Parameters
    ----------
    file : Path

    Returns
    -------
    str
        SHA-256 in hex.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def printable(name: str) -> str:
    """Escape a file name that has control characters, so that it can be printed safely.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        The name itself if it is printable, else its ASCII representation.
    """
    return name if name.isprintable() else ascii(name)
