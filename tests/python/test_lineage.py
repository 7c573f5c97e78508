"""The lineage graph is the architecture: its layers, its names, what is published, and how often SQL and Python alternate."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import PROJECT

from zl_forecast import exposures


@pytest.fixture(scope="module")
def models(sample_features) -> list[dict]:
    """All models of the manifest."""
    return [node for node in sample_features.manifest["nodes"].values() if node["resource_type"] == "model"]


def _longest(manifest: dict, last: str) -> list[tuple[str, str]]:
    """Return the path from landing with most switches of language, as (language, model); landing is Python."""
    nodes = manifest["nodes"]

    @cache
    def way(node: str) -> tuple[tuple[str, str], ...]:
        if node not in nodes or nodes[node]["resource_type"] != "model":
            return (("python", "landing"),)
        before = max((way(parent) for parent in nodes[node]["depends_on"]["nodes"]), key=len, default=())
        own = (nodes[node]["language"], nodes[node]["name"])
        return before if before and before[-1][0] == own[0] else (*before, own)

    return list(way(f"model.zl_forecast.{last}"))


def test_the_way_from_landing_to_the_snapshot_switches_between_sql_and_python_at_most_ten_times(sample_features):
    way = _longest(sample_features.manifest, "published_snapshot")
    assert len(way) - 1 <= 10, way
    assert len(way) - 1 > 7, "the way is no longer what this test takes it for"


# ---------- one list of what is published


def test_exposures_and_the_publishing_model_are_those_of_the_list_of_what_is_published(sample_features):
    for path, text in exposures.render(sample_features.manifest).items():
        assert (PROJECT / path).read_text() == text, f"{path} differs from meta.published: run `make exposures`"


def test_all_that_is_published_is_public_contracted_described_in_the_database_and_a_parent_of_the_snapshot(
    sample_features, models
):
    published = [node for node in models if node["config"]["meta"].get("published")]
    assert len(published) > 30
    parents = set(sample_features.manifest["parent_map"]["model.zl_forecast.published_snapshot"])
    for node in published:
        config = node["config"]
        assert config["access"] == "public", node["name"]
        assert config["contract"]["enforced"], node["name"]
        assert config["persist_docs"] == {"relation": True, "columns": True}, node["name"]
        assert node["schema"] in ("forecasts", "monitoring"), node["name"]
        assert node["unique_id"] in parents, node["name"]
    others = {node["name"] for node in models if node["config"]["access"] == "public"}
    assert others == {node["name"] for node in published}


# ---------- layers and names


def test_models_and_python_models_have_the_same_layers_each_with_its_group_tag_and_colour(models):
    colours = {}
    for node in models:
        layer = node["fqn"][1]
        assert layer in ("staging", "intermediate", "marts", "state"), node["original_file_path"]
        assert layer in node["tags"], node["name"]
        assert node["group"] in ("features", "forecasting"), node["name"]
        colours.setdefault(node["docs"]["node_color"], set()).add(layer)
    assert len(colours) == 6
    assert all(len(layers) == 1 for layers in colours.values())


def test_a_models_name_says_its_layer(models):
    patterns = {
        "staging": r"stg_[a-z]+__[a-z_]+",
        "intermediate": r"int_[a-z]+__[a-z_]+|specialist_[a-z]+",
        "buckets": r"mart_[a-z]+__daily",  # one row per session
        "forecasts": r"(?!int_|stg_|mart_)[a-z]+(_[a-z]+)*",  # published under the names that BI tools read
        "monitoring": r"(?!int_|stg_|mart_)[a-z]+(_[a-z]+)*",
    }
    for node in models:
        layer = node["fqn"][1] if node["fqn"][1] in ("staging", "intermediate") else node["fqn"][2]
        assert re.fullmatch(patterns[layer], node["name"]), node["original_file_path"]


def test_every_model_has_a_yml_of_its_own_beside_it(models):
    for node in models:
        model, yml = Path(node["original_file_path"]), Path(node["patch_path"].removeprefix("zl_forecast://"))
        is_specialist = model.parent.name == "specialists"  # one entry for all, so that a new bucket is one line
        assert yml == (model.parent / "_specialists__models.yml" if is_specialist else model.with_suffix(".yml"))


def test_no_two_models_have_the_same_words_in_another_order(models):
    words = [tuple(sorted(re.split("_+", node["name"]))) for node in models]
    assert len(set(words)) == len(words)


def test_the_selections_of_the_overview_name_what_exists(models):
    overview = (PROJECT / "models/_overview.md").read_text()
    selected = [unquote(link) for link in re.findall(r"g_i=([^&]+)&g_e=config.tags:test", overview)]
    assert len(selected) == 5
    known = {node["name"] for node in models} | {"exposure:zl_report", "file:zl_forecast.sql"}
    assert {re.sub(r"^\d*\+", "", selection) for selection in selected} <= known
    assert all(f"`{selection}`" in overview for selection in selected)


def test_what_the_other_group_reads_has_a_contract(sample_features, models):
    """Python models cannot have one: to dbt a contract on them is a parse error."""
    by_id = {node["unique_id"]: node for node in models}
    children = sample_features.manifest["child_map"]
    for node in models:
        groups = {by_id[child]["group"] for child in children[node["unique_id"]] if child in by_id}
        if node["language"] == "sql" and groups - {node["group"]}:
            assert node["config"]["contract"]["enforced"], node["name"]
