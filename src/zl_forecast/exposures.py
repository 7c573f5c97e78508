"""Write the exposures and the publishing model from the one list of what is published, `meta.published`.

dbt takes refs from the text of a file, so a loop over the list would leave the lineage without them. They are
written out here, and a test compares. Run `make exposures` after adding or removing a table. Remove a deleted
model from both files first, otherwise dbt cannot parse the project.
"""

import json
import os
import re
from pathlib import Path

from zl_forecast import notices, page
from zl_forecast.paths import project_dir

MODEL = Path("python_models/marts/monitoring/published_snapshot.py")
EXPOSURES = Path("models/marts/_exposures.yml")
MODEL_TEXT = '''\
"""Publishes what BI reads, last of all. The work is in zl_forecast.publish; `make exposures` writes the refs."""

from zl_forecast.publish import publish, read_descriptions

KEYS = {{  # of the tables' tests `key` and `unique_key`
{keys}
}}


def model(dbt, session):
    dbt.config(materialized="table")
    return publish(
        {{
{tables}
        }},
        read_descriptions(session),
        KEYS,
    )
'''
EXPOSURES_TEXT = """\
# Written by `make exposures` from meta.published. All three are one snapshot, which a build
# switches atomically at its end.
exposures:
  - name: zl_report
    label: Soybean-oil forecast report
    type: dashboard
    maturity: medium
    description: >
      The page serving/report.html: a buyer's questions, fan chart, drivers, position, skill,
      calibration, risk, methods, tournament and data checks.
    owner: {{name: zl-forecast}}
    depends_on:
{page}

  - name: zl_bi
    label: Tables for BI tools
    type: dashboard
    maturity: medium
    description: >
      BI tools on serving/serving.duckdb, with a comment on every table and column. Other tables
      are not published.
    owner: {{name: zl-forecast}}
    depends_on:
{everything}

  - name: zl_files
    label: Parquet files
    type: application
    maturity: medium
    description: >
      The same tables as serving/parquet/<schema>.<table>.parquet, with the descriptions as
      metadata of schema and fields.
    owner: {{name: zl-forecast}}
    depends_on:
{everything}
"""


def render(manifest: dict) -> dict[Path, str]:
    """Render the files that follow from what is published.

    Parameters
    ----------
    manifest : dict
        dbt's manifest.json.

    Returns
    -------
    dict of Path to str
        Text by path within the project: the publishing model and the exposures.
    """
    nodes = [node for node in manifest["nodes"].values() if node["config"].get("meta", {}).get("published")]
    published = sorted((node["schema"], node["name"]) for node in nodes)
    sources = [Path(notices.__file__), *sorted(Path(page.__file__).parent.glob("*.py"))]
    code = "".join(source.read_text() for source in sources)
    keys = _keys(manifest)
    on_page = [(schema, name) for schema, name in published if re.search(rf'\b{schema}\.{name}\b|"{name}"', code)]
    return {
        MODEL: MODEL_TEXT.format(
            tables="\n".join(f'            "{schema}.{name}": dbt.ref("{name}"),' for schema, name in published),
            keys="\n".join(
                f'    "{schema}.{name}": {json.dumps(keys[name])},' for schema, name in published if name in keys
            ),
        ),
        EXPOSURES: EXPOSURES_TEXT.format(page=_refs(on_page), everything=_refs(published)),
    }


def _keys(manifest: dict) -> dict[str, list[str]]:
    """Return the columns of each model's key, from its test `key` or `unique_key`."""
    keys = {}
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        if test.get("name") in ("key", "unique_key"):
            arguments = test["kwargs"].get("arguments", test["kwargs"])
            keys[node["attached_node"].split(".")[-1]] = arguments.get("columns") or [arguments["column_name"]]
    return keys


def _refs(tables: list[tuple[str, str]]) -> str:
    return "\n".join(f"      - ref('{name}')" for name in ["published_snapshot", *(name for _, name in tables)])


def main() -> None:
    """Write the files, from the manifest of the last `dbt parse`."""
    manifest = Path(os.environ.get("DBT_TARGET_PATH", "target")) / "manifest.json"
    for path, text in render(json.loads(manifest.read_text())).items():
        (project_dir() / path).write_text(text)


if __name__ == "__main__":
    main()
