"""The lineage graph is the architecture: how often the way from landing to the snapshot changes between SQL and Python."""

from functools import cache


def _longest(manifest: dict, last: str) -> list[tuple[str, str]]:
    """The way to a model that changes its language most often, from landing on, which Python reads: (language, model) at each change."""
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
