"""The seeds of thresholds and reasons contain exactly the names in use."""

import re
from pathlib import Path

import pandas as pd
import pytest

from zl_forecast.errors import ZlForecastError
from zl_forecast.thresholds import threshold

PROJECT = Path(__file__).parents[2]
SEED = pd.read_csv(PROJECT / "seeds" / "thresholds.csv", index_col="name")


def test_thresholds_in_use_and_in_the_seed_are_the_same():
    sources = [file for folder in ("models", "tests/dbt") for file in (PROJECT / folder).rglob("*.sql")]
    sources += (PROJECT / "src").rglob("*.py")
    asked = {name for file in sources for name in re.findall(r"\bthreshold\([\"'](\w+)[\"']\)", file.read_text())}
    assert asked == set(SEED.index)


def test_every_template_of_the_seed_is_used():
    models = "".join(file.read_text() for file in (PROJECT / "models").rglob("*.sql"))
    codes = pd.read_csv(PROJECT / "seeds" / "reasons.csv")["reason_code"]
    assert [code for code in codes if f"'{code}'" not in models] == []


def test_python_reads_the_value_of_the_seed():
    assert threshold("max_stale_days") == SEED.loc["max_stale_days", "value"]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ZlForecastError, match=r"has no row max_age\. Its rows are ewma_decay, max_stale_days"):
        threshold("max_age")
