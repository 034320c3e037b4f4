"""Checks of a head's settings."""

import math
from typing import get_args

from lineament.core.errors import InvalidArgument


def require_between(low: float, high: float, **named: float | int) -> None:
    """Refuse what is not a number from low to high.

    Raises:
        InvalidArgument: naming the setting and its range.
    """
    for name, value in named.items():
        if not low <= value <= high:
            raise InvalidArgument(f"{name} = {value!r}: set it between {low:g} and {high:g}")


def require_scale(scale: float) -> None:
    """Refuse a scale that is not a positive, finite number.

    Raises:
        InvalidArgument: naming the scale.
    """
    if not 0.0 < scale < math.inf:
        raise InvalidArgument(f"scale = {scale!r}: set it above 0, for example to 64.0")


def require_choice(choices: object, **named: str) -> None:
    """Refuse a word that is not among the choices (a `Literal`).

    Raises:
        InvalidArgument: naming the setting and the choices.
    """
    for name, value in named.items():
        if value not in get_args(choices):
            raise InvalidArgument(f"{name} = {value!r}: choose one of {', '.join(get_args(choices))}")
