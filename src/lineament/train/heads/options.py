"""From a `Part` of a recipe to the thing itself, with every wrong word named."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from lineament.core.errors import InvalidArgument, RecipeInvalid
from lineament.train.recipe import Part, Value


def constructed(what: str, kinds: Mapping[str, Callable[..., Any]], part: Part) -> Any:
    """What a part describes.

    Args:
        what: for messages, such as "head".
        kinds: constructors by name; their arguments are annotated as float, int, str, bool or a Literal.
        part: kind and options. Whole numbers are taken where a float is asked for.

    Raises:
        RecipeInvalid: an unknown kind or option, listing the known ones; or a value that does not fit.
    """
    if part.kind not in kinds:
        raise RecipeInvalid(f"there is no {what} {part.kind!r}: choose one of {', '.join(kinds)}")
    named = f"{what} {part.kind!r}"
    known = inspect.signature(kinds[part.kind]).parameters
    for name in part.options:
        if name not in known:
            has = ", ".join(known) or "none"
            raise RecipeInvalid(f"{named} has no option {name!r}: its options are {has}")
    options = {
        name: _fitting(f"{named}: {name}", value, known[name].annotation)
        for name, value in part.options.items()
    }
    try:
        return kinds[part.kind](**options)
    except InvalidArgument as error:
        raise RecipeInvalid(f"{named}: {error.message}") from error


def _fitting(named: str, value: Value, wanted: Any) -> Value:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise RecipeInvalid(f"{named} = {value!r}: choose one of {', '.join(map(str, get_args(wanted)))}")
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise RecipeInvalid(f"{named} = {value!r}: write a value of type {wanted.__name__}")
    return value
