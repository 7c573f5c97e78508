"""What lies in a folder, so that it can be compared with what was written there: nothing is followed, and only plain files are opened."""

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
    """What lies under a path, in words; a link is a link, wherever it points."""
    mode = path.lstat().st_mode
    return f"a link to {printable(os.readlink(path))}" if stat.S_ISLNK(mode) else KINDS[stat.S_IFMT(mode)]


def inventory(folder: Path) -> dict[str, str]:
    """Everything below a folder, by its path in it.

    Opening a named pipe would wait for ever and a link may lead anywhere, so neither is opened. What another process changes while this
    one looks, or between looking and use, is not noticed.

    Returns
    -------
    dict
        Of a plain file its SHA-256 in hex; of anything else what it is: `EMPTY_FOLDER`, 'a link to ...', 'a named pipe', 'not readable: ...'.
        A folder that is not empty shows in what it holds.
    """
    found: dict[str, str] = {}
    todo = [folder]
    while todo:
        path = todo.pop()
        name = path.relative_to(folder).as_posix()
        try:
            kind = kind_of(path)
            if kind == "a folder":
                within = list(path.iterdir())
                todo.extend(within)
                if not within and path != folder:
                    found[name] = EMPTY_FOLDER
            else:
                found[name] = sha256(path) if kind == "a file" else kind
        except OSError as error:
            found[name] = f"not readable: {error.strerror}"
    return dict(sorted(found.items()))


def is_digest(content: str) -> bool:
    """Whether an entry of an inventory is a plain file."""
    return len(content) == 64 and set(content) <= set("0123456789abcdef")


def difference(written: dict[str, str], found: dict[str, str]) -> str:
    """What is not as it was written, in words and with its name; empty where everything is."""
    for name, content in found.items():
        if written.get(name) != content and not is_digest(content):
            return f"{printable(name)} is {content}"
    if names := sorted(written.keys() ^ found.keys()):
        return f"files missing or added: {', '.join(map(printable, names))}"
    changed = [printable(name) for name in written if written[name] != found[name]]
    return f"{', '.join(changed)} was changed since it was written" if changed else ""


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def printable(name: str) -> str:
    """A name as it may be shown: whoever made the file chose its characters."""
    return name if name.isprintable() else ascii(name)
