"""Public functions have docstrings, and the examples in docstrings are correct."""

import ast
import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
    for path in sorted((SOURCE / "zl_forecast").rglob("*.py"))
}


def _public_functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += _public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found.append(node)
    return found


def test_every_public_function_has_a_docstring_that_begins_with_a_sentence():
    functions = [(name, own) for name, source in MODULES.items() for own in _public_functions(ast.parse(source).body)]
    assert len(functions) > 300
    without = [
        f"{name}.{own.name}"
        for name, own in functions
        if not (ast.get_docstring(own) or "").split("\n\n")[0].endswith((".", ":"))
    ]
    assert without == []


@pytest.mark.parametrize("name", [name for name, source in MODULES.items() if ">>>" in source])
def test_examples_in_docstrings_are_true(name):
    assert doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
