"""The vocabulary check reports words with line and replacement, and accepts the exceptions."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("vocabulary", Path(__file__).parents[1] / "vocabulary.py")
vocabulary = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vocabulary)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("select * from n_blocks", "block"),
        ("where kind = 'live'", "kind"),
        ("avg(loss) as pinball_gain", "gain"),
        ("    volatility.sigma,", "sigma"),
        ('rows["z"]', "z"),
        ("any_value(combination_share)", "share"),
        ("- {name: place, data_type: integer}", "place"),
        ("judged as (", "participle as a common table expression"),
        ("{name: way_out, data_type: varchar}", "way out"),
        ("where is_judged", "judged"),
        ("is_remembered: true", "remembered"),
        ("sum(weight * value) as score", "score when it selects"),
    ],
)
def test_a_word_is_reported_with_line_and_replacement(line, word):
    (found,) = vocabulary.find("models/marts/x.sql", f"select 1\n{line}")
    assert found.startswith(f"models/marts/x.sql:2: {word}: use ")


@pytest.mark.parametrize("line", ["the base block of a mart", "renamed as (", "unless told otherwise", "all blocking"])
def test_exceptions_and_other_words_are_accepted(line):
    assert vocabulary.find("models/marts/x.sql", line) == []
