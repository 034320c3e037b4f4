"""The reference page of recipes is written from the recipes, and is up to date."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lineament.recipes import ALL
from lineament.recipes.published import COLLECTIONS

REPOSITORY = Path(__file__).resolve().parents[3]


def load(path: Path) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs_recipes = load(REPOSITORY / "scripts" / "docs_recipes.py")


def test_the_page_is_what_the_recipes_say() -> None:
    assert docs_recipes.PAGE.read_text("utf-8") == docs_recipes.page(), (
        "a recipe changed: look at the change, then run scripts/docs_recipes.py"
    )
    assert docs_recipes.main(["--check"]) == 0


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "recipes.md"
    monkeypatch.setattr(docs_recipes, "PAGE", stale)
    assert docs_recipes.main(["--check"]) == 1
    stale.write_text(docs_recipes.page().replace("99.53", "99.35"), "utf-8")
    assert docs_recipes.main(["--check"]) == 1
    assert docs_recipes.main([]) == 0
    assert docs_recipes.main(["--check"]) == 0


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_has_one_line(name: str) -> None:
    lines = [line for line in docs_recipes.page().splitlines() if line.startswith(f"| `{name}` |")]
    assert len(lines) == 1
    assert lines[0].count(" | ") == len(docs_recipes.COLUMNS) - 1


def test_every_collection_has_one_line_and_a_recipe() -> None:
    page = docs_recipes.page()
    used = {make().data.path for make in ALL.values()}
    for collection in COLLECTIONS:
        assert page.count(f"| {collection.name} | `{collection.path}` |") == 1
        assert collection.path in used


def test_figures_name_their_source_once() -> None:
    text = docs_recipes.figures({"a": "1 % (X)", "b": "2 % (X)", "c": "3 % (Y)", "d": "about 4"})
    assert text == "a 1 %, b 2 % (X); c 3 % (Y); d about 4"
    assert docs_recipes.figures({}) == "none published"
