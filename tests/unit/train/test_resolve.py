"""From a name to a recipe."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Recipe
from lineament.train.resolve import own_recipes, resolve

TINY = Path(__file__).parent / "programs" / "tiny.py"


def test_own_recipes() -> None:
    assert own_recipes()
    for name, make in own_recipes().items():
        assert resolve(f"recipes.{name}") == make()


def test_a_file() -> None:
    assert resolve(str(TINY)).name == resolve(f"{TINY}:recipe").name == "tiny"


def test_a_module() -> None:
    name = next(iter(own_recipes()))
    assert resolve(f"lineament.recipes:{name}") == own_recipes()[name]()


def test_a_saved_recipe(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    for values in (tiny().to_dict(), {"step": 3, "recipe": tiny().to_dict()}):
        path = tmp_path / "meta.json"
        path.write_text(json.dumps(values))
        assert resolve(str(path)) == tiny()


def test_a_file_may_have_dataclasses_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "from lineament.recipes import ALL\n"
        "@dataclass\nclass Choice:\n    names: list[str] = field(default_factory=list)\n"
        "def first():\n    return list(ALL.values())[0]()\n"
    )
    assert isinstance(resolve(f"{path}:first"), Recipe)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("recipes.nothing", "no function 'nothing'"),
        ("nothing", "no recipe is called 'nothing'"),
        ("lineament.recipes:nothing", "no function 'nothing'"),
        ("nowhere.py", "no file nowhere.py"),
        ("nowhere.py:recipe", "no file nowhere.py"),
        ("nowhere.json", r"nowhere\.json is not a saved recipe"),
        ("", "no recipe is called"),
        (":", "no recipe is called"),
        (f"{TINY}:write_people", "write_people cannot be run: TypeError"),
        (f"{TINY}:broken", "broken cannot be run: KeyError"),
        (f"{TINY}:PEOPLE", "no function 'PEOPLE' that returns a Recipe"),
        (f"{TINY}:absent", "there are: .*recipe"),
    ],
)
def test_what_is_not_there(what: str, message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        resolve(what)


@pytest.mark.parametrize(
    "text", ["1 +", "import nothing_of_this_name", "{}['a']", "1 / 0", "raise RuntimeError"]
)
def test_a_file_that_cannot_be_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(RecipeInvalid, match=r"bad\.py cannot be run"):
        resolve(str(path))


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"recipe": 3}', "\x00"])
def test_a_file_without_a_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(RecipeInvalid, match=r"bad\.json"):
        resolve(str(path))
