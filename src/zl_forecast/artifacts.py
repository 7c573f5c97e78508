"""Finished work on disk: one folder a fingerprint below the artifact folder, complete or not there at all.

A fitted model is a pickle, and a pickle is code. So a folder carries a manifest with the SHA-256 of each of its files and
the library versions it was written with, and nothing is loaded that does not match; it is then computed again.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from zl_forecast.fingerprint import library_versions
from zl_forecast.paths import artifacts_dir

MANIFEST = "manifest.json"
LEFT_BEHIND_SECONDS = 86_400


def find(fingerprint: str) -> Path | None:
    """Folder of this fingerprint if it is complete and vouched for by its manifest, else None."""
    folder = artifacts_dir() / fingerprint
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if manifest.get("versions") != library_versions():
        print(f"Artifact {fingerprint}: written with other library versions; it is made again", flush=True)
        return None
    present = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()} - {MANIFEST}
    if present != set(manifest.get("sha256", {})):
        print(f"Artifact {fingerprint}: files missing or added; it is made again", flush=True)
        return None
    for name, expected in manifest["sha256"].items():
        if _sha256(folder / name) != expected:
            print(f"Artifact {fingerprint}: {name} was changed since it was written; it is made again", flush=True)
            return None
    return folder


def write(fingerprint: str, fill: Callable[[Path], None]) -> Path:
    """Let `fill` write into a temporary folder, seal it with a manifest and rename it into place.

    An interrupted write leaves only a temporary folder, which no one reads; those older than a day are removed.
    """
    root = artifacts_dir()
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(".writing-*"):
        with suppress(FileNotFoundError):  # another process has finished it in between
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        fill(temporary)
        digests = {f.relative_to(temporary).as_posix(): _sha256(f) for f in sorted(temporary.rglob("*")) if f.is_file()}
        (temporary / MANIFEST).write_text(json.dumps({"versions": library_versions(), "sha256": digests}, indent=1))
        final = root / fingerprint
        if final.exists():  # an older, refused copy
            shutil.rmtree(final)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
