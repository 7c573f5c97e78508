"""Fingerprints: a finished fit is found again while nothing that it depends on has changed, and only then."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zl_forecast import fingerprint, settings
from zl_forecast.families import load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.tournament import fit, specialist

HORIZONS = (5, 20, 60)
FAMILIES = load_families(pd.read_csv(Path(__file__).parents[2] / "seeds" / "families.csv"))
FIRST_LEVEL = {name: family for name, family in FAMILIES.items() if not family.is_second_level}
READERS = {name for name, family in FIRST_LEVEL.items() if family.reads_lookback}


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def market():
    """Mart, targets and ZL of 815 sessions."""
    rng, n = np.random.default_rng(2), 815
    days = pd.bdate_range("2017-01-02", periods=n + max(HORIZONS))
    mart = pd.DataFrame({"as_of_date": days[:n], "a": rng.standard_normal(n), "b": rng.standard_normal(n)})
    zl = pd.DataFrame({"as_of_date": days[:n], "log_return": 0.01 * rng.standard_normal(n), "sigma": 0.01})
    targets = pd.concat(
        pd.DataFrame(
            {
                "as_of_date": days[:n],
                "horizon_days": h,
                "target_date": days[h : n + h],
                "z": np.where(np.arange(n) < n - h, rng.standard_normal(n), np.nan),
                "is_matured": np.arange(n) < n - h,
            }
        )
        for h in HORIZONS
    )
    return mart, targets, zl


def _tasks(market, families=FIRST_LEVEL, channels="a", limit=60) -> dict[tuple[str, str], fit.Task]:
    """First-level tasks by family and block."""
    mart, targets, zl = market
    seed = pd.DataFrame({"family": list(families), "time_limit_seconds": limit})
    buckets = pd.DataFrame({"bucket": ["crush"], "candidates": ["ridge"], "channels": [channels]})
    tournament = specialist.Tournament.of("crush", mart, targets, zl, buckets, seed, families)
    return {(task.name, str(task.block)): task for task in tournament.first_level()}


def _fingerprints(*args, **kwargs) -> dict[tuple[str, str], str]:
    return {key: task.fingerprint for key, task in _tasks(*args, **kwargs).items()}


def _changed(before: dict, after: dict) -> set:
    return {key for key in before if before[key] != after[key]}


# ---------- code


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Two families somewhere on PYTHONPATH: `theirs.plain`, and `theirs.deep` that imports `theirs.sums`, which reads `constants`."""
    package = tmp_path / "theirs"
    package.mkdir()
    sources = {
        package / "__init__.py": "",
        package / "plain.py": "import numpy",
        package / "deep.py": "def fit():\n    from .sums import total",
        package / "sums.py": "import constants",
        tmp_path / "constants.py": "ONE = 1",
    }
    for file, source in sources.items():
        file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("theirs", "constants")]:
        del sys.modules[name]


def _of_code(module: str) -> str:
    return fingerprint.of_code.__wrapped__("zl_forecast.tournament.fit", module)  # without its cache


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("theirs/plain.py", {"theirs.plain"}),
        ("theirs/deep.py", {"theirs.deep"}),
        ("theirs/sums.py", {"theirs.deep"}),
        ("constants.py", {"theirs.deep"}),
    ],
)
def test_a_changed_module_changes_the_families_that_import_it_and_no_other(modules, file, changes):
    families = ("theirs.plain", "theirs.deep", "zl_forecast.families.xgboost")
    before = {name: _of_code(name) for name in families}
    with (modules / file).open("a") as stream:
        stream.write("\nTWO = 2\n")
    assert _changed(before, {name: _of_code(name) for name in families}) == changes


def test_the_code_of_a_family_is_what_it_imports_from_this_package_and_nothing_of_the_other_families(monkeypatch):
    read = set()
    original = fingerprint._origin
    monkeypatch.setattr(fingerprint, "_origin", lambda name: original(name) and (read.add(name) or original(name)))
    _of_code("zl_forecast.families.sarimax")
    families = {name.rsplit(".", 1)[1] for name in read if name.startswith("zl_forecast.families.")}
    assert families == {"sarimax", "garch", "ridge", "reference", "lookback", "scaling", "base"}
    assert {"zl_forecast.tournament.explain", "zl_forecast.tournament.splits", "zl_forecast.settings"} <= read
    assert all(name.startswith("zl_forecast") for name in read)


def test_a_network_depends_on_the_module_that_it_inherits_from(tmp_path, monkeypatch):
    original = fingerprint._origin
    changed = tmp_path / "sequence.py"
    changed.write_text(original("zl_forecast.families.sequence").read_text() + "\n# another word\n")
    before = {name: _of_code(f"zl_forecast.families.{name}") for name in FIRST_LEVEL}
    monkeypatch.setattr(
        fingerprint, "_origin", lambda name: changed if name == "zl_forecast.families.sequence" else original(name)
    )
    after = {name: _of_code(f"zl_forecast.families.{name}") for name in FIRST_LEVEL}
    assert _changed(before, after) == {"lstm", "gru", "transformer", "tft"}


# ---------- settings of a family


def test_changed_hyperparameters_change_the_family_and_no_other(market):
    other = replace(FAMILIES["xgboost"], hyperparameters={**FAMILIES["xgboost"].hyperparameters, "eta": 0.5})
    changed = _changed(_fingerprints(market), _fingerprints(market, {**FIRST_LEVEL, "xgboost": other}))
    assert {family for family, _ in changed} == {"xgboost"}


def test_another_explanation_is_another_artifact(market):
    other = replace(FAMILIES["catboost"], explain=None)
    changed = _changed(_fingerprints(market), _fingerprints(market, {**FIRST_LEVEL, "catboost": other}))
    assert {family for family, _ in changed} == {"catboost"}


def test_one_more_family_changes_no_other(market):
    assert not _changed(_fingerprints(market), _fingerprints(market, {"toy": FAMILIES["ridge"], **FIRST_LEVEL}))


def test_the_time_limit_changes_no_finished_fit(market):
    assert not _changed(_fingerprints(market), _fingerprints(market, limit=7))


def test_no_two_tasks_share_a_fingerprint(market):
    found = _fingerprints(market)
    assert len(found) == len(FIRST_LEVEL) * 3  # blocks
    assert len(set(found.values())) == len(found)


# ---------- rows


def test_another_channel_changes_the_families_that_read_the_look_back_and_no_other(market):
    changed = _changed(_fingerprints(market), _fingerprints(market, channels="a b"))
    assert {family for family, _ in changed} == READERS


def test_a_changed_return_changes_the_families_that_read_the_look_back_and_no_other(market):
    mart, targets, zl = market
    moved = zl.assign(log_return=zl["log_return"].where(zl.index != 300, 0.5))
    changed = _changed(_fingerprints(market), _fingerprints((mart, targets, moved)))
    assert {family for family, _ in changed} == READERS


def test_the_order_of_the_tables_rows_does_not_matter(market):
    shuffled = tuple(frame.sample(frac=1, random_state=1, ignore_index=True) for frame in market)
    assert not _changed(_fingerprints(market), _fingerprints(shuffled))


def test_the_order_of_features_and_their_names_matter(market):
    mart, targets, zl = market
    swapped = mart[["as_of_date", "b", "a"]].set_axis(["as_of_date", "a", "b"], axis=1)
    for changed in (mart[["as_of_date", "b", "a"]], swapped):
        assert len(_changed(_fingerprints(market), _fingerprints((changed, targets, zl)))) == len(FIRST_LEVEL) * 3


def test_a_target_that_ends_on_another_day_is_another_training_row(market):
    """The parts to fit and to validate on are purged by it, whatever z is."""
    mart, targets, zl = market
    day = mart["as_of_date"].iloc[300]
    later = targets.assign(
        target_date=targets["target_date"].where(
            targets["as_of_date"] != day, targets["target_date"] + pd.DateOffset(7)
        )
    )
    assert len(_changed(_fingerprints(market), _fingerprints((mart, later, zl)))) == len(FIRST_LEVEL) * 3


def test_what_comes_after_a_blocks_training_rows_does_not_change_its_fits(market):
    """Only the live block, a month later, has trained on more."""
    mart, targets, zl = market
    newest = _tasks(market)["garch", "crush oof 2019-01"].block
    later = mart["as_of_date"] >= newest.fold.start
    shaken = mart.assign(a=mart["a"].where(~later, 9.0))
    moved = zl.assign(log_return=zl["log_return"].where(~later, 0.3))
    changed = _changed(_fingerprints(market), _fingerprints((shaken, targets, moved)))
    assert "crush oof 2019-01" not in {block for _, block in changed}
    assert len(changed) == len(FIRST_LEVEL) * 2  # and the blocks that trained on these sessions did


@pytest.mark.parametrize("what", ["return", "channel"])
def test_a_changed_value_of_one_session_changes_the_rows_whose_window_holds_it(what):
    n, at = 400, 100
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2017-01-02", periods=n)
    zl = pd.DataFrame({"as_of_date": days, "log_return": rng.standard_normal(n), "sigma": 0.01})
    mart = pd.DataFrame({"as_of_date": days, "shown": rng.standard_normal(n), "channel": rng.standard_normal(n)})
    rows = pd.concat([mart[["as_of_date", "shown"]].assign(horizon_days=h) for h in HORIZONS], ignore_index=True)

    def hashes(mart, zl, family):
        seen = fingerprint.with_row_hash(lookback_columns(mart, zl, ("channel",)))
        hashed = fingerprint.with_row_hash(rows, [*fit.KEY, "shown"])
        block = fit.Block("crush", None, ("shown",), hashed, hashed, seen, True)
        return block.row_hashes(hashed, FAMILIES[family])

    frame, column, window = {"return": (zl, "log_return", 252), "channel": (mart, "channel", 40)}[what]
    other = frame.assign(**{column: frame[column].where(frame.index != at, 7.0)})
    after = (mart, other) if what == "return" else (other, zl)
    for family, expected in (("garch", set(range(at, at + window))), ("xgboost", set())):
        changed = hashes(mart, zl, family) != hashes(*after, family)
        for part in np.split(changed, len(HORIZONS)):  # a row a horizon, each as the session
            assert set(np.flatnonzero(part)) == expected


def test_modules_that_only_keep_results_are_no_part_of_the_code_and_settings_are(monkeypatch, tmp_path):
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.stem) or original(path))
    fingerprint.of_code.cache_clear()
    fingerprint.of_code("zl_forecast.tournament.fit")
    fingerprint.of_code.cache_clear()
    assert {"fit", "splits", "settings", "explain"} <= set(read)
    assert not {"artifacts", "errors", "paths", "fingerprint"} & set(read)
