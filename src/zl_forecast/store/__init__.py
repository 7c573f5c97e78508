"""The one store of finished work: what was computed from the same inputs with the same code and libraries is a cache hit.

A key is a fingerprint (`store.fingerprint`) of inputs, code without comments and docstrings, and library versions. Under it lies a folder
(`store.artifacts`) with a table, a JSON text or files of a fitted model; one index vouches for all of them, one policy prunes them.
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
