"""Options of a part, checked against what the function that makes it takes."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lineament.core.errors import RecipeInvalid


def checked(where: str, make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as `make` takes them by keyword; whole numbers become float where it wants that.

    Args:
        where: for the message, for example `backbone vit_t`.
        make: a function whose keywords are annotated with plain types.
        options: from a recipe.

    Raises:
        RecipeInvalid: an option that it has not, one that is missing, or one of another type.
    """
    parameters = {p.name: p for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY}
    if unknown := sorted(set(options) - set(parameters)):
        raise RecipeInvalid(f"{where} has no option {unknown[0]!r}: its options are {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in options:
            raise RecipeInvalid(f"{where} needs the option {name!r}: add --set backbone.{name}=…")
    return {name: _fitting(where, name, parameters[name].annotation, v) for name, v in options.items()}


def _fitting(where: str, name: str, wanted: type, value: Any) -> Any:
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise RecipeInvalid(f"{where}: {name} = {value!r} must be of type {wanted.__name__}")
    return value
