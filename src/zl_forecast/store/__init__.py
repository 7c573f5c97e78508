"""The result store: results computed from the same inputs, code and library versions are cache hits.

A key is a fingerprint (`store.fingerprint`) of inputs, code without comments and docstrings, and library
versions. Each key has one folder (`store.artifacts`) with a table, a JSON text or the files of a fitted model.
One index holds the file digests of all folders, and one policy prunes them.
"""

from zl_forecast.store.artifacts import entries, find, look_up, prune, write
from zl_forecast.store.tables import cached_table, read_table, stored, with_text_columns, write_table

__all__ = [
    "cached_table",
    "entries",
    "find",
    "look_up",
    "prune",
    "read_table",
    "stored",
    "with_text_columns",
    "write",
    "write_table",
]
