"""Run a SQL file on the published snapshot: python examples/query.py examples/skill.sql [SNAPSHOT.duckdb]"""

import sys
from pathlib import Path

import duckdb

snapshot = sys.argv[2] if len(sys.argv) > 2 else "data/serving/serving.duckdb"
with duckdb.connect(snapshot, read_only=True) as con:
    con.sql(Path(sys.argv[1]).read_text()).show(max_width=200)
