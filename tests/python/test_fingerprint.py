"""Fingerprints: a fit is a cache hit exactly if nothing that it depends on has changed."""

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_tournament import families_seed, inputs, targets_of

from zl_forecast import settings
from zl_forecast.families import load_families
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.store import fingerprint
from zl_forecast.tournament.bucket import BucketContest
from zl_forecast.tournament.contest import KEY, Competitor
from zl_forecast.tournament.specialist import Tournament

HORIZONS = (5, 20, 60)
SEED = pd.read_csv(Path(__file__).parents[2] / "seeds" / "families.csv")
FAMILIES = load_families(SEED)
FIRST_LEVEL = {  # module by name
    name: module
    for name, module in zip(SEED["family"], SEED["module"], strict=True)
    if name in FAMILIES and not FAMILIES[name].is_second_level
}
READERS = {name for name in FIRST_LEVEL if FAMILIES[name].reads_lookback}
FOLDS = ("crush oof 2019-01", "crush oof 2020-01", "crush live 2020-02")


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def market():
    """Mart, targets and ZL of 815 sessions."""
    rng, n = np.random.default_rng(2), 815
    days = pd.bdate_range("2017-01-02", periods=n)
    mart = pd.DataFrame({"as_of_date": days, "a": rng.standard_normal(n), "b": rng.standard_normal(n)})
    zl = pd.DataFrame({"as_of_date": days, "log_return": 0.01 * rng.standard_normal(n), "ewma_volatility": 0.01})
    return mart, targets_of(days, rng.standard_normal((n, len(HORIZONS))), HORIZONS), zl


def _competitors(market, modules=FIRST_LEVEL, channels="a", limit=60) -> dict[tuple[str, str], Competitor]:
    """First-level competitors by family and fold."""
    mart, targets, zl = market
    seed = families_seed(modules, dict.fromkeys(modules, limit))
    contests = Tournament.of(inputs(mart, targets, seed, zl, channels)).contests
    return {(own.name, str(contest)): own for contest in contests for own in contest.competitors()}


def _fingerprints(*args, **kwargs) -> dict[tuple[str, str], str]:
    return {key: own.key for key, own in _competitors(*args, **kwargs).items()}


@pytest.fixture(scope="module")
def before(market):
    return _fingerprints(market)


def _changed(before: dict, after: dict) -> set:
    return {key for key in before if before[key] != after[key]}


# ---------- code


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write the families `theirs.plain` and `theirs.deep`; the latter imports `theirs.sums`, which reads `constants`."""
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
    return fingerprint.of_code.__wrapped__("zl_forecast.tournament.bucket", module)  # without its cache


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("theirs/plain.py", {"theirs.plain"}),
        ("theirs/deep.py", {"theirs.deep"}),
        ("theirs/sums.py", {"theirs.deep"}),
        ("constants.py", {"theirs.deep"}),
    ],
)
def test_a_changed_module_changes_only_the_families_that_import_it(modules, file, changes):
    families = ("theirs.plain", "theirs.deep", "zl_forecast.families.xgboost")
    before = {name: _of_code(name) for name in families}
    with (modules / file).open("a") as stream:
        stream.write("\nTWO = 2\n")
    assert _changed(before, {name: _of_code(name) for name in families}) == changes


def test_a_family_in_a_folder_without_init_is_followed(modules):
    folder = modules / "theirs" / "more"
    folder.mkdir()
    (folder / "shallow.py").write_text("import constants")
    before = _of_code("theirs.more.shallow")
    (modules / "constants.py").write_text("ONE = 2")
    assert _of_code("theirs.more.shallow") != before


def test_the_code_of_a_family_is_its_imports_from_this_package_without_other_families(monkeypatch):
    read = set()
    original = fingerprint._origin
    monkeypatch.setattr(fingerprint, "_origin", lambda name: original(name) and (read.add(name) or original(name)))
    _of_code("zl_forecast.families.sarimax")
    families = {name.rsplit(".", 1)[1] for name in read if name.startswith("zl_forecast.families.")}
    assert families == {"sarimax", "garch", "ridge", "reference", "lookback", "scaling", "base"}
    assert {"zl_forecast.tournament.explain", "zl_forecast.tournament.splits", "zl_forecast.settings"} <= read
    assert all(name.startswith("zl_forecast") for name in read)


def test_code_is_hashed_without_importing_it():
    code = "import sys; from zl_forecast.store.fingerprint import of_code; of_code('zl_forecast.families.tft'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert not {"zl_forecast.families", "autogluon", "torch"} & set(done.stdout.split())


def test_a_network_depends_on_the_module_that_it_inherits_from(tmp_path, monkeypatch):
    original = fingerprint._origin
    changed = tmp_path / "sequence.py"
    changed.write_text(original("zl_forecast.families.sequence").read_text() + "\nANOTHER = 1\n")
    before = {name: _of_code(module) for name, module in FIRST_LEVEL.items()}
    monkeypatch.setattr(
        fingerprint, "_origin", lambda name: changed if name == "zl_forecast.families.sequence" else original(name)
    )
    after = {name: _of_code(module) for name, module in FIRST_LEVEL.items()}
    assert _changed(before, after) == {"lstm", "gru", "transformer", "tft"}


CODE = '''"""What it is."""
def fit(x):
    """How."""
    return {"a": x + 1}
class Model:
    """Which."""
    levels = (1, 2)
'''


@pytest.mark.parametrize(
    ("old", "new", "is_code"),
    [
        ("What it is.", "What it was.", False),
        ("How.", "How not.\n\n    Parameters\n    ", False),
        ("Which.", "Whose.", False),
        ('    """How."""\n', "", False),
        ("return", "# because\n    return", False),
        ('{"a": x + 1}', "{\n        'a': (x + 1),  # one more\n    }", False),
        ("x + 1", "x + 2", True),
        ('"a"', '"b"', True),
        ("class Model", "class Models", True),
        ("return {", "'not a docstring any more'\n    return {", True),
    ],
)
def test_comments_docstrings_and_layout_are_not_code_and_all_else_is(modules, old, new, is_code):
    file = modules / "theirs" / "plain.py"
    file.write_text(CODE)
    before = _of_code("theirs.plain")
    assert CODE.count(old) == 1
    file.write_text(CODE.replace(old, new))
    assert (_of_code("theirs.plain") != before) == is_code


def test_library_versions_are_those_of_the_packages_that_modules_import(modules):
    def of(*names):
        fingerprint.library_versions.cache_clear()
        return set(fingerprint.library_versions(*names))

    assert of("theirs.plain") == {"numpy"}
    (modules / "constants.py").write_text("def scale():\n    import scipy.stats")
    assert of("theirs.deep") == {"scipy"}  # imported indirectly and inside a function
    assert of("theirs.plain", "theirs.deep") == {"numpy", "scipy"}
    assert {"catboost", "torch", "autogluon.tabular"} <= of("zl_forecast.families.base")  # AutoGluon's imports may vary
    assert of() == set(fingerprint.library_versions("zl_forecast.families.base")) | {"statsmodels", "gluonts"}


# ---------- settings of a family


def _another_explanation(model, X): ...


_another_explanation.__module__ = FAMILIES["catboost"].explain.__module__


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("xgboost", {"hyperparameters": {"eta": 0.5}}),
        ("catboost", {"explain": _another_explanation}),
        ("lightgbm", {"explain": None}),
    ],
)
def test_changed_settings_change_only_their_family(monkeypatch, market, before, name, change):
    module = importlib.import_module(FIRST_LEVEL[name])
    monkeypatch.setattr(module, "FAMILY", replace(module.FAMILY, **change))
    assert _changed(before, _fingerprints(market)) == {(name, fold) for fold in FOLDS}


def test_an_additional_family_changes_no_other(market, before):
    assert not _changed(before, _fingerprints(market, {"toy": FIRST_LEVEL["ridge"], **FIRST_LEVEL}))


def test_the_time_limit_changes_no_finished_fit(market, before):
    assert not _changed(before, _fingerprints(market, limit=7))


def test_no_two_fits_share_a_fingerprint(before):
    assert set(before) == {(name, fold) for name in FIRST_LEVEL for fold in FOLDS}
    assert len(set(before.values())) == len(before)


# ---------- rows


def test_another_channel_changes_only_families_that_read_the_look_back(market, before):
    changed = _changed(before, _fingerprints(market, channels="a b"))
    assert changed == {(name, fold) for name in READERS for fold in FOLDS}


def test_a_changed_return_changes_only_families_that_read_the_look_back(market, before):
    mart, targets, zl = market
    moved = zl.assign(log_return=zl["log_return"].where(zl.index != 300, 0.5))
    changed = _changed(before, _fingerprints((mart, targets, moved)))
    assert changed == {(name, fold) for name in READERS for fold in FOLDS}


def test_the_order_of_the_tables_rows_does_not_matter(market, before):
    shuffled = tuple(frame.sample(frac=1, random_state=1, ignore_index=True) for frame in market)
    assert not _changed(before, _fingerprints(shuffled))


def test_the_order_of_features_and_their_names_matter(market, before):
    mart, targets, zl = market
    swapped = mart[["as_of_date", "b", "a"]].set_axis(["as_of_date", "a", "b"], axis=1)
    for changed in (mart[["as_of_date", "b", "a"]], swapped):
        assert _changed(before, _fingerprints((changed, targets, zl))) == set(before)


def test_another_target_date_changes_the_training_rows(market, before):
    """target_date decides which rows are purged between fit and tuning part."""
    mart, targets, zl = market
    is_day = targets["as_of_date"] == mart["as_of_date"].iloc[300]
    later = targets.assign(target_date=targets["target_date"] + is_day * pd.Timedelta(7, "D"))
    assert _changed(before, _fingerprints((mart, later, zl))) == set(before)


def test_rows_after_a_folds_training_rows_do_not_change_its_fits(market, before):
    mart, targets, zl = market
    later = mart["as_of_date"] >= "2019-01-01"
    perturbed = mart.assign(a=mart["a"].where(~later, 9.0))
    moved = zl.assign(log_return=zl["log_return"].where(~later, 0.3))
    changed = _changed(before, _fingerprints((perturbed, targets, moved)))
    assert changed == {
        (name, fold) for name in FIRST_LEVEL for fold in FOLDS[1:]
    }  # these folds are trained on the changed sessions


@pytest.mark.parametrize("what", ["return", "channel"])
def test_a_changed_value_changes_the_rows_whose_window_contains_it(what):
    n, at = 400, 100
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2017-01-02", periods=n)
    zl = pd.DataFrame({"as_of_date": days, "log_return": rng.standard_normal(n), "ewma_volatility": 0.01})
    mart = pd.DataFrame({"as_of_date": days, "shown": rng.standard_normal(n), "channel": rng.standard_normal(n)})
    rows = pd.concat([mart[["as_of_date", "shown"]].assign(horizon_days=h) for h in HORIZONS], ignore_index=True)

    def hashes(mart, zl, family):
        seen = fingerprint.with_row_hash(lookback_columns(mart, zl, ("channel",)))
        hashed = fingerprint.with_row_hash(rows, [*KEY, "shown"])
        return BucketContest("crush", None, ("shown",), hashed, hashed, seen, True, {}, {}).row_hashes(FAMILIES[family])

    frame, column, window = {"return": (zl, "log_return", 252), "channel": (mart, "channel", 40)}[what]
    other = frame.assign(**{column: frame[column].where(frame.index != at, 7.0)})
    after = (mart, other) if what == "return" else (other, zl)
    for family, expected in (("garch", set(range(at, at + window))), ("xgboost", set())):
        changed = hashes(mart, zl, family) != hashes(*after, family)
        for part in np.split(changed, len(HORIZONS)):  # one row per horizon and session
            assert set(np.flatnonzero(part)) == expected


def test_infrastructure_is_not_part_of_the_code_and_settings_are(monkeypatch):
    read = set()
    original = fingerprint._origin
    monkeypatch.setattr(fingerprint, "_origin", lambda name: read.add(name) or original(name))
    _of_code("zl_forecast.families.xgboost")
    for name in ("settings", "tournament.bucket", "tournament.predictor", "tournament.splits", "tournament.explain"):
        assert f"zl_forecast.{name}" in read
    for name in ("workers", "tournament.runner", "store", "store.artifacts", "store.fingerprint", "errors", "paths"):
        assert f"zl_forecast.{name}" not in read
