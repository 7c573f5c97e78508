"""Errors in modules that a seed names are reported with the module's name, its error and a fix."""

import sys

import pandas as pd
import pytest

from zl_forecast.ensembles import load_methods
from zl_forecast.errors import TournamentError
from zl_forecast.families import load_families
from zl_forecast.store import fingerprint


def _family(module):
    return load_families(pd.DataFrame({"family": ["mine"], "module": [module]}))


def _method(module):
    required = [(name, f"zl_forecast.ensembles.{name}", None) for name in ("reference_alone", "average")]
    rows = [*required, ("mine", module, None)]
    return load_methods(pd.DataFrame(rows, columns=["ensemble_method", "module", "base_method"]))


LOADERS = {
    "family 'mine' of seeds/families.csv": _family,
    "ensemble method 'mine' of seeds/ensemble_methods.csv": _method,
}


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Return a function that writes the module mine_written.own and returns its name."""
    package = tmp_path / "mine_written"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda source: (package / "own.py").write_text(source) and "mine_written.own"
    for name in ("mine_written", "mine_written.own"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("row", LOADERS)
@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "import math\n\nmath.no_such_thing\n",
            r"AttributeError: module 'math' has no attribute 'no_such_thing'. Fix .*own \(own.py, line 3\)",
        ),
        (
            "class Model:\n    pass\n\nFAMILY = METHOD = Model.build()\n",
            r"AttributeError: type object 'Model' has no attribute 'build'. Fix .*own \(own.py, line 4\)",
        ),
        ("from math import no_such_thing", r"ImportError: cannot import name 'no_such_thing'.* \(own.py, line 1\)"),
        (
            "import not_installed",
            r"ModuleNotFoundError: No module named 'not_installed'. Fix .*own \(own.py, line 1\)",
        ),
        ("import mine", r"ModuleNotFoundError: No module named 'mine'. Fix mine_written.own"),
        ("FAMILY = = 1", r"SyntaxError: invalid syntax \(own.py, line 1\). Fix mine_written.own,"),
        ("FAMILY = '\0'", r"SyntaxError: .*null bytes.* Fix mine_written.own,"),
        (
            "1 / 0",
            r"ZeroDivisionError: division by zero. Fix .*own \(own.py, line 1\), or remove its row from the seed",
        ),
        ("import sys; sys.exit('no licence')", r"SystemExit: no licence. Fix .*own \(own.py, line 1\)"),
        ("x = 1", "module mine_written.own has no constant (FAMILY|METHOD). Add (FAMILY|METHOD) = "),
        ("FAMILY = METHOD = dict", "(FAMILY|METHOD) of module mine_written.own is <class 'dict'>. Write "),
        ("FAMILY = METHOD = None", "(FAMILY|METHOD) of module mine_written.own is None. Write (FAMILY|METHOD) = "),
    ],
)
def test_a_module_that_cannot_be_used_is_named_with_its_own_error(write_module, row, source, text):
    with pytest.raises(TournamentError, match=f"^{row}: {text}"):
        LOADERS[row](write_module(source))


@pytest.mark.parametrize("row", LOADERS)
@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("zl_forecast.alchemy", ": ModuleNotFoundError: .* Create zl_forecast.alchemy, or correct the column module"),
        ("no_such_package.alchemy", ": ModuleNotFoundError: .* Create no_such_package.alchemy"),
        ("zl_forecast.errors.alchemy", ": ModuleNotFoundError: .* Create zl_forecast.errors.alchemy"),
        (".relative", ": TypeError: .* Fix .relative, or remove its row from the seed"),
        (float("nan"), " names no module. Fill in its column module"),
        ("", " names no module. Fill in its column module"),
    ],
)
def test_a_missing_module_is_named_with_what_to_write(row, module, text):
    with pytest.raises(TournamentError, match=f"^{row}{text}"):
        LOADERS[row](module)


@pytest.mark.parametrize("source", ["FAMILY = = 1", "FAMILY = '\0'"])
def test_a_module_with_a_syntax_error_has_a_fingerprint_so_that_its_import_reports_the_error(write_module, source):
    name = write_module("x = 1")
    before = fingerprint.of_code(name)
    write_module(source)
    fingerprint.of_code.cache_clear()
    assert fingerprint.of_code(name) != before


def test_a_package_that_raises_has_a_fingerprint_so_that_its_import_reports_the_error(write_module, tmp_path):
    name = write_module("x = 1")
    (tmp_path / "mine_written" / "__init__.py").write_text("import math; math.no_such_thing")
    assert fingerprint.of_code(name)
    with pytest.raises(TournamentError, match=r"AttributeError: .*no_such_thing.* \(__init__.py, line 1\)"):
        _family(name)
