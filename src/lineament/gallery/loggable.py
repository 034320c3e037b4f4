"""What may stand in the audit log: plain values, and never a template or a picture.

A log is copied to other machines and read by people who may not see biometric data, so what looks like a
template is refused where the record is made. It is a net for mistakes: whoever wants to hide numbers in words
can.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from lineament.core.errors import InvalidArgument

_DEEPEST = 8
_FLOATS_IN_LIST = 16
_FLOATS_IN_BODY = 64
# A template as text is one run without space or dot: 128 half-precision numbers are 342 characters of base64.
_BLOB = re.compile(r"[A-Za-z0-9+/=_-]{257,}")


def refuse_templates(body: Mapping[str, Any]) -> None:
    """Refuse a body that is not plain values, or that may carry a template.

    Raises:
        InvalidArgument: arrays, bytes, other objects, keys that are not text, more than 16 fractions in a
            list or 64 in all, and encoded data of more than 256 characters. No value is repeated in it.
    """
    if _floats_in(body, "body", 0) > _FLOATS_IN_BODY:
        raise InvalidArgument(
            f"a body of the audit log with more than {_FLOATS_IN_BODY} fractions could carry a template; "
            "log ids and counts instead"
        )


def _floats_in(value: object, where: str, depth: int) -> int:
    """How many floats are in a value; what cannot be logged is refused, named by its place alone."""
    if depth > _DEEPEST:
        raise InvalidArgument(f"{where} is nested more than {_DEEPEST} deep; log something flatter")
    if isinstance(value, str):
        if _BLOB.fullmatch(value):
            raise InvalidArgument(
                f"{where} is {len(value)} characters of encoded data; log its digest instead"
            )
        return 0
    if value is None or isinstance(value, int):
        return 0
    if isinstance(value, float):
        return 1
    if isinstance(value, Mapping):
        return sum(
            _floats_in(part, name, depth + 1) for name, part in _named(cast(Mapping[Any, Any], value), where)
        )
    if isinstance(value, list | tuple):
        parts = cast(list[object], value)
        count = sum(_floats_in(part, f"{where}[{i}]", depth + 1) for i, part in enumerate(parts))
        if count > _FLOATS_IN_LIST:
            raise InvalidArgument(
                f"{where} lists {count} fractions, which may be a template; log its id instead"
            )
        return count
    kind = (
        "an array" if isinstance(value, np.ndarray) else "bytes" if _is_bytes(value) else type(value).__name__
    )
    raise InvalidArgument(
        f"{where} is {kind}, which is not logged: templates and pictures stay out of the log"
    )


def _named(value: Mapping[Any, Any], where: str) -> Iterator[tuple[str, object]]:
    for name, part in value.items():
        if not isinstance(name, str):
            raise InvalidArgument(
                f"{where} has a key that is not text ({type(name).__name__}); write it as text"
            )
        if _BLOB.fullmatch(name):
            raise InvalidArgument(
                f"a key of {where} is {len(name)} characters of encoded data; log its digest"
            )
        yield f"{where}.{name}", part


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)
