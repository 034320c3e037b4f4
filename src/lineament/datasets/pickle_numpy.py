"""The few things a pair file may ask Python for, acted out on records of our own: nothing of numpy runs.

Pictures are byte strings or arrays of bytes; labels are booleans, whole numbers, numpy's scalars, or an
array. What numpy writes for those is a handful of names, listed here; every other name is refused.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lineament.core.errors import DatasetUnsafe
from lineament.datasets.pickle_bytes import Source, Span

_MULTIARRAY: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC: Final = ("numpy.core.numeric", "numpy._core.numeric")
ALLOWED: Final[dict[tuple[str, str], str]] = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    # What Python 3 writes for empty bytes under old protocols, and only without arguments.
    ("__builtin__", "bytes"): "no bytes",
    **{(module, "_reconstruct"): "reconstruct" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMERIC},
}
"""(module, name) and what it stands for."""

# Bytes of an element and whether it has a sign, by numpy's code of its type.
_KINDS: Final = {
    "b1": (1, False),
    "u1": (1, False),
    "i1": (1, True),
    "i2": (2, True),
    "i4": (4, True),
    "i8": (8, True),
}
_ARRAYS: Final = ("b1", "u1")


@dataclass(frozen=True, slots=True)
class Name:
    """A name from `ALLOWED`, asked for but not called yet."""

    stands_for: str


@dataclass(slots=True)
class Kind:
    """numpy's dtype: its code, and the byte order that its state adds."""

    code: str
    order: str = "|"


@dataclass(slots=True)
class Array:
    """numpy's array of bytes: where they lie, and how many there should be."""

    shape: tuple[int, ...] = ()
    kind: str = ""
    data: Span | None = None


Plain: TypeAlias = bool | int | Span | Name | Kind | Array | list[Any] | tuple[Any, ...] | None
"""Everything a pair file can be made of; lists and tuples hold the same again."""


def named(module: str, name: str, file: str) -> Name:
    """A name, if it is one of the few.

    Raises:
        DatasetUnsafe: any other.
    """
    stands_for = ALLOWED.get((module, name))
    if stands_for is None:
        raise DatasetUnsafe(
            f"{file} asks for {printable(f'{module}.{name}')}, which no list of pictures needs: do not open "
            "it with anything "
            "that runs pickles; nothing was run here"
        )
    return Name(stands_for)


def printable(text: str) -> str:
    """Without what would move the cursor of a terminal: the text is a stranger's."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def called(function: Plain, arguments: Plain, source: Source) -> Plain:
    """What one of the allowed names would give for its arguments."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise DatasetUnsafe(
            f"{source.name} asks for a call of something that is no function: nothing was run"
        )
    match function.stands_for, arguments:
        case "encode", (Span() as text, Span() as encoding):
            return _encoded(text, encoding, source)
        case "dtype", (Span() as code, *_):
            return _kind(source.text_of(code), source)
        case "reconstruct", (Name("ndarray"), tuple(), Span()):
            return Array()
        case "frombuffer", (Span() as data, Kind() as kind, tuple() as shape, Span()):
            return _filled(Array(), shape, kind, data, source)
        case "scalar", (Kind() as kind, Span() as data):
            return _scalar(kind, data, source)
        case "no bytes", ():
            return Span(0, 0)
        case _:
            raise DatasetUnsafe(
                f"{source.name} asks for a call of {function.stands_for} that numpy does not write: nothing "
                "was "
                "run here"
            )


def built(target: Plain, state: Plain, source: Source) -> None:
    """Give an array or a dtype its state, as numpy's own `__setstate__` would."""
    match target, state:
        case Array() as array, (int(), tuple() as shape, Kind() as kind, bool() | int(), Span() as data):
            _filled(array, shape, kind, data, source)
        case Kind() as kind, (int(), Span() as order, None, None, None, *_):
            kind.order = source.text_of(order)
            if kind.order not in ("|", "<"):
                raise source.invalid(f"numbers of byte order {kind.order!r}")
        case Array() | Kind(), _:
            raise DatasetUnsafe(
                f"{source.name} holds an array of objects or of records, which may be anything: only arrays "
                "of "
                "bytes are read, and nothing was run"
            )
        case _:
            raise DatasetUnsafe(f"{source.name} sets the state of something that has none: nothing was run")


def _encoded(text: Span, encoding: Span, source: Source) -> Span:
    if source.text_of(encoding).lower().replace("-", "") != "latin1" or not text.text:
        raise DatasetUnsafe(f"{source.name} asks for an encoding that Python does not write for bytes")
    return Span(text.start, text.size, text.form)


def _kind(code: str, source: Source) -> Kind:
    if code not in _KINDS:
        raise DatasetUnsafe(
            f"{source.name} holds numpy data of type {code!r}: only bytes, booleans and whole numbers are "
            "read"
        )
    return Kind(code)


def _filled(array: Array, shape: tuple[Plain, ...], kind: Kind, data: Span, source: Source) -> Array:
    sides = tuple(n for n in shape if isinstance(n, int) and n >= 0)
    if kind.code not in _ARRAYS:
        raise DatasetUnsafe(
            f"{source.name} holds an array of type {kind.code!r}: only arrays of bytes are read"
        )
    if len(sides) != len(shape) or not 1 <= len(sides) <= 2 or data.text:
        raise source.invalid("an array that is no list of bytes: pictures must be encoded files, not pixels")
    count = sides[0] if len(sides) == 1 else sides[0] * sides[1]
    if len(sides) == 2 and 1 not in sides and count:
        raise source.invalid(
            f"an array of {sides[0]} × {sides[1]}: pictures must be encoded files, not pixels"
        )
    actual = data.size if data.form == "raw" else len(source.bytes_of(data))
    if count != actual:
        raise source.invalid(f"an array of {count} bytes with {actual} bytes in it")
    array.shape, array.kind, array.data = sides, kind.code, data
    return array


def _scalar(kind: Kind, data: Span, source: Source) -> int:
    size, signed = _KINDS[kind.code]
    # Written with escapes, a byte takes six characters.
    if data.text or data.size > 6 * size:
        raise source.invalid("a number that is too long")
    written = source.bytes_of(data)
    if len(written) != size:
        raise source.invalid(f"a number of {len(written)} bytes where {size} are due")
    return int.from_bytes(written, "little", signed=signed)


def described(value: Plain) -> str:
    """What kind of thing a value is, for messages: never what is in it."""
    if isinstance(value, Span):
        return "text" if value.text else "bytes"
    words: tuple[tuple[type, str], ...] = (
        (list, "a list"),
        (tuple, "a tuple"),
        (bool, "a boolean"),
        (int, "a number"),
        (Array, "an array"),
        (Name, "a function"),
        (Kind, "a type of numbers"),
    )
    return next((word for kind, word in words if isinstance(value, kind)), "nothing")
