"""Checks of arguments that several settings share."""

from lineament.core.errors import InvalidArgument


def require_bool(**named: object) -> None:
    """Refuse anything but True and False: the text "false" counts as true in an `if`.

    Raises:
        InvalidArgument: naming the argument.
    """
    for name, value in named.items():
        if not isinstance(value, bool):
            raise InvalidArgument(f"{name} is True or False, not {value!r}")
