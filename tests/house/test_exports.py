"""The public door: what `lineament` exports is what the reference documents, and all of it is described."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lineament

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "lineament"
API = (REPOSITORY / "docs" / "reference" / "api.md").read_text("utf-8")
DOCUMENTED = re.findall(r"^::: (lineament\.[A-Za-z_.0-9]+)$", API, re.MULTILINE)


def exported(module: ModuleType) -> set[str]:
    """Public names of a module that are no modules themselves."""
    return {
        name
        for name in dir(module)
        if not name.startswith("_") and not isinstance(getattr(module, name), ModuleType)
    }


def documented(module: str) -> set[str]:
    """Names directly under `module` that the reference describes."""
    return {path.rpartition(".")[2] for path in DOCUMENTED if path.rpartition(".")[0] == module}


@pytest.mark.parametrize("name", ["lineament", "lineament.app"])
def test_what_a_door_exports_is_what_the_reference_documents(name: str) -> None:
    assert exported(importlib.import_module(name)) == documented(name)


@pytest.mark.parametrize("path", DOCUMENTED)
def test_documented_names_can_be_imported(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


def test_the_reference_documents_nothing_twice() -> None:
    assert len(DOCUMENTED) == len(set(DOCUMENTED))


def test_exports_are_marked_as_such() -> None:
    # `from x import X as X` is what type checkers read as a re-export.
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lineament"):
            assert all(alias.asname == alias.name for alias in node.names), ast.unparse(node)


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert lineament.__version__ == version("lineament")


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(body: list[ast.stmt], where: str) -> Iterator[str]:
    """Public definitions without a docstring; what lies inside functions is nobody's surface."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(d) for d in node.decorator_list}
        repeated = any(d.endswith((".setter", ".deleter", "overload")) for d in decorators)
        if not repeated and not ast.get_docstring(node):
            yield f"{where}:{node.lineno} {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, where)


def missing_docstrings(source: str, where: str) -> list[str]:
    """Everything public in a module that says nothing about itself."""
    tree = ast.parse(source)
    head = [] if ast.get_docstring(tree) else [f"{where}: the module"]
    return head + list(undocumented(tree.body, where))


def test_everything_public_has_a_docstring() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 50
    missing = [
        line
        for path in files
        for line in missing_docstrings(path.read_text("utf-8"), str(path.relative_to(REPOSITORY)))
    ]
    assert missing == []


def test_a_missing_docstring_is_noticed() -> None:
    source = '"""A module."""\nclass A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\n'
    assert missing_docstrings(source, "x") == ["x:4 b"]
    assert missing_docstrings("x = 1\n", "x") == ["x: the module"]
