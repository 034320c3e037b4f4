"""From what a person types to a recipe: a name, a file with a function, a saved run."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Recipe

OWN = "recipes."
_OWN_PACKAGE = "lineament.recipes"
_FUNCTION = "recipe"


def resolve(what: str) -> Recipe:
    """The recipe meant.

    Args:
        what: `recipes.NAME`, one of ours; `file.py:function` or `file.py` (its function `recipe`);
            `package.module:function`; a `.json` with a recipe, such as the `meta.json` of a checkpoint.

    Raises:
        RecipeInvalid: nothing of that name, or it gives no `Recipe`.
    """
    if what.endswith(".json"):
        return _from_json(Path(what))
    if what.startswith(OWN):
        return _called(own_recipes(), what.removeprefix(OWN), "lineament has")
    # From the right, and only behind a name: a Windows path has a colon of its own.
    place, _, function = (what, "", "") if what.endswith(".py") else what.rpartition(":")
    place = place or what
    function = "" if function == what else function
    module = _from_file(Path(place)) if place.endswith(".py") else _imported(place, what)
    return _called(vars(module), function or _FUNCTION, f"{place} has")


def own_recipes() -> Mapping[str, Callable[[], Recipe]]:
    """The recipes that come with the package, by name."""
    # By name only: recipes are built from training, and training knows none of them.
    return cast(Mapping[str, Callable[[], Recipe]], importlib.import_module(_OWN_PACKAGE).ALL)


def _called(names: Mapping[str, Any], name: str, where: str) -> Recipe:
    made = names.get(name)
    if callable(made):
        try:
            made = made()
        except RecipeInvalid:
            raise
        except Exception as error:  # whatever a user's own function raises
            raise RecipeInvalid(f"{name} cannot be run: {type(error).__name__}: {error}") from error
    if not isinstance(made, Recipe):
        # What a file imports is no recipe of its own; those of the package are gathered from many files.
        own = names.get("__name__")
        known = ", ".join(
            n
            for n, v in names.items()
            if callable(v) and not n.startswith("_") and own in (None, getattr(v, "__module__", None))
        )
        raise RecipeInvalid(f"{where} no function {name!r} that returns a Recipe; there are: {known}")
    return made


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe:{path}", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise RecipeInvalid(f"there is no file {path}: name a .py file with a function that returns a Recipe")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except RecipeInvalid:
        raise
    except Exception as error:  # whatever a user's own file raises
        raise RecipeInvalid(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _imported(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise RecipeInvalid(
            f"no recipe is called {what!r} ({error}): use recipes.NAME (`lineament train list` shows them), "
            "file.py:function or package.module:function"
        ) from error


def _from_json(path: Path) -> Recipe:
    try:
        values = cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
        return Recipe.from_dict(cast(dict[str, Any], values.get("recipe", values)), str(path))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise RecipeInvalid(f"{path} is not a saved recipe: {error}") from error
