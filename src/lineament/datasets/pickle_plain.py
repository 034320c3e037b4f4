"""A pickle read as plain data, by acting out its instructions one at a time and refusing all that run code.

Python's `pickle` is a little machine with a stack whose instructions can call any function of any module, so
that opening a stranger's file means running a stranger's program. This machine knows the instructions of
protocols 0 to 5 that make lists, tuples, numbers and strings (PEP 307, PEP 3154, PEP 574, and the comments in
CPython's `Lib/pickletools.py`). Calls are acted out for a handful of names in `pickle_numpy.py`. It makes
nothing but plain values, spends memory in proportion to the file, and looks at nothing twice.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from lineament.core.errors import DatasetInvalid, DatasetUnsafe
from lineament.datasets.pickle_bytes import Source, Span
from lineament.datasets.pickle_numpy import Plain, built, called, named

MAX_STEPS: Final = 30_000_000
"""Instructions: a picture takes between two and twenty-five."""
_NEWEST_PROTOCOL: Final = 5


class Machine:
    """Reads one pickle from a source; use `read_plain`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[Plain] = []
        self.marks: list[int] = []
        self.memo: dict[int, Plain] = {}

    def run(self) -> Plain:
        """The value that the pickle describes."""
        for _ in range(MAX_STEPS):
            code = self.source.take(1)
            if code == b".":
                return self.result()
            step = STEPS.get(code)
            if step is None:
                raise self.refused(code)
            step(self)
        raise DatasetInvalid(
            f"{self.source.name} has more than {MAX_STEPS} instructions: it is not a pair file"
        )

    def refused(self, code: bytes) -> DatasetInvalid | DatasetUnsafe:
        """Why an instruction is not followed."""
        if code in UNSAFE:
            return DatasetUnsafe(
                f"{self.source.name} {UNSAFE[code]} (byte {self.source.position - 1}), which no list of "
                "pictures "
                "needs: do not open it with anything that runs pickles; nothing was run here"
            )
        if code in NEEDLESS:
            return self.source.invalid(f"it holds {NEEDLESS[code]}, where pictures and labels were expected")
        return self.source.invalid(f"{code!r} is no instruction of a pickle")

    def result(self) -> Plain:
        """The one value left at the end."""
        if len(self.stack) != 1 or self.marks:
            raise self.source.invalid(f"{len(self.stack)} values at the end instead of one")
        return self.stack[0]

    def pop(self) -> Plain:
        """The topmost value."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.source.invalid("a value is missing")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Plain]:
        """Everything since the last mark."""
        if not self.marks:
            raise self.source.invalid("a mark is missing")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def mark(self) -> None:
        """Remember how high the stack is."""
        self.marks.append(len(self.stack))

    def push(self, value: Plain) -> None:
        """A value that is in the instruction itself."""
        self.stack.append(value)

    def empty_list(self) -> None:
        """A new list, which later instructions fill."""
        self.stack.append([])

    def protocol(self) -> None:
        """Which protocol the writer used."""
        version = self.source.number(1)
        if version > _NEWEST_PROTOCOL:
            raise self.source.invalid(f"protocol {version}, newer than {_NEWEST_PROTOCOL}")

    def frame(self) -> None:
        """How many bytes follow that belong together; a hint for readers that fetch them at once."""
        if self.source.number(8) > self.source.size - self.source.position:
            raise self.source.invalid("the file stops before its end; fetch the whole file again")

    def decimal(self, end: bytes = b"") -> None:
        """A number in digits; `01` and `00` are protocol 0's booleans."""
        digits = self.source.line(32)
        if not end and digits in (b"00", b"01"):
            return self.stack.append(digits == b"01")
        try:
            self.stack.append(int(digits.removesuffix(end)))
        except ValueError as error:
            raise self.source.invalid("a number without digits") from error

    def whole(self, count: int, *, signed: bool = False) -> None:
        """A number of a fixed number of bytes."""
        self.stack.append(self.source.number(count, signed=signed))

    def long(self) -> None:
        """A number that says how many bytes it has."""
        count = self.source.number(1)
        if count > 8:
            raise self.source.invalid("a number that is too long")
        self.stack.append(self.source.number(count, signed=True))

    def string(self, count: int, *, text: bool = False) -> None:
        """A string after its length."""
        size = self.source.number(count)
        self.stack.append(self.source.span(size, "utf8" if text else "raw", text=text))

    def quoted(self) -> None:
        """A byte string of protocol 0."""
        self.stack.append(self.source.quoted())

    def escaped(self) -> None:
        """A character string of protocol 0."""
        self.stack.append(self.source.escaped())

    def tuple_of(self, count: int) -> None:
        """The topmost few values as a tuple."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def tuple_from_mark(self) -> None:
        """Everything since the mark, as a tuple."""
        self.stack.append(tuple(self.pop_to_mark()))

    def list_from_mark(self) -> None:
        """Everything since the mark, as a list."""
        self.stack.append(self.pop_to_mark())

    def append(self) -> None:
        """One more value for the list below it."""
        value = self.pop()
        self.top_list().append(value)

    def appends(self) -> None:
        """Everything since the mark, for the list below it."""
        values = self.pop_to_mark()
        self.top_list().extend(values)

    def top_list(self) -> list[Plain]:
        """The list on top of the stack, which stays there."""
        target = self.pop()
        if not isinstance(target, list):
            raise self.source.invalid("an entry for something that is no list")
        self.stack.append(target)
        return target

    def put(self, index: int) -> None:
        """Remember the topmost value under a number."""
        value = self.pop()
        self.stack.append(value)
        self.memo[index] = value

    def get(self, index: int) -> None:
        """A value that was remembered: the same one, not a copy."""
        if index not in self.memo:
            raise self.source.invalid(f"value {index} was never remembered")
        self.stack.append(self.memo[index])

    def index(self) -> int:
        """A number in digits, of a remembered value."""
        digits = self.source.line(32)
        if not digits.isdigit():
            raise self.source.invalid("a number without digits")
        return int(digits)

    def name_in_lines(self) -> None:
        """A module and a name in it, one line each."""
        module, name = (self.source.line().decode("utf-8", "replace") for _ in range(2))
        self.stack.append(named(module, name, self.source.name))

    def name_on_stack(self) -> None:
        """A module and a name in it, from the stack."""
        name, module = self.pop(), self.pop()
        if not isinstance(name, Span) or not isinstance(module, Span):
            raise DatasetUnsafe(f"{self.source.name} asks for a name that is no string: nothing was run")
        self.stack.append(named(self.source.text_of(module), self.source.text_of(name), self.source.name))

    def call(self) -> None:
        """A call, acted out for the few allowed names."""
        arguments, function = self.pop(), self.pop()
        self.stack.append(called(function, arguments, self.source))

    def build(self) -> None:
        """The state of the value below."""
        state, target = self.pop(), self.pop()
        built(target, state, self.source)
        self.stack.append(target)

    def instance(self) -> None:
        """An old-style instance: always refused, with the name of its class."""
        module, name = (self.source.line().decode("utf-8", "replace") for _ in range(2))
        named(module, name, self.source.name)
        raise DatasetUnsafe(f"{self.source.name} asks for an instance of a class: nothing was run")


def read_plain(source: Source) -> Plain:
    """The value that a pickle describes, with its strings left in the file.

    Raises:
        DatasetUnsafe: an instruction that would run code, or a name that is not allowed.
        DatasetInvalid: not a pickle, cut short, followed by something, or too long.
    """
    value = Machine(source).run()
    if source.position != source.size:
        raise DatasetInvalid(
            f"{source.name} goes on for {source.size - source.position} bytes after its end: it was damaged "
            "or put "
            "together from two files"
        )
    return value


Step = Callable[[Machine], None]
STEPS: Final[dict[bytes, Step]] = {
    b"\x80": Machine.protocol,
    b"\x95": Machine.frame,
    b"(": Machine.mark,
    b"N": partial(Machine.push, value=None),
    b"\x88": partial(Machine.push, value=True),
    b"\x89": partial(Machine.push, value=False),
    b"I": Machine.decimal,
    b"L": partial(Machine.decimal, end=b"L"),
    b"J": partial(Machine.whole, count=4, signed=True),
    b"K": partial(Machine.whole, count=1),
    b"M": partial(Machine.whole, count=2),
    b"\x8a": Machine.long,
    b"S": Machine.quoted,
    b"T": partial(Machine.string, count=4),
    b"U": partial(Machine.string, count=1),
    b"B": partial(Machine.string, count=4),
    b"C": partial(Machine.string, count=1),
    b"\x8e": partial(Machine.string, count=8),
    b"\x96": partial(Machine.string, count=8),
    b"V": Machine.escaped,
    b"X": partial(Machine.string, count=4, text=True),
    b"\x8c": partial(Machine.string, count=1, text=True),
    b"\x8d": partial(Machine.string, count=8, text=True),
    b"]": Machine.empty_list,
    b"l": Machine.list_from_mark,
    b"a": Machine.append,
    b"e": Machine.appends,
    b")": partial(Machine.push, value=()),
    b"t": Machine.tuple_from_mark,
    b"\x85": partial(Machine.tuple_of, count=1),
    b"\x86": partial(Machine.tuple_of, count=2),
    b"\x87": partial(Machine.tuple_of, count=3),
    b"p": lambda machine: machine.put(machine.index()),
    b"q": lambda machine: machine.put(machine.source.number(1)),
    b"r": lambda machine: machine.put(machine.source.number(4)),
    b"\x94": lambda machine: machine.put(len(machine.memo)),
    b"g": lambda machine: machine.get(machine.index()),
    b"h": lambda machine: machine.get(machine.source.number(1)),
    b"j": lambda machine: machine.get(machine.source.number(4)),
    b"c": Machine.name_in_lines,
    b"\x93": Machine.name_on_stack,
    b"R": Machine.call,
    b"b": Machine.build,
    b"i": Machine.instance,
}
"""Instructions that are followed."""

UNSAFE: Final[dict[bytes, str]] = {
    b"o": "asks for an object of a class",
    b"\x81": "asks for an object of a class",
    b"\x92": "asks for an object of a class",
    b"P": "asks for an object that is kept outside of it",
    b"Q": "asks for an object that is kept outside of it",
    b"\x82": "asks for a registered extension",
    b"\x83": "asks for a registered extension",
    b"\x84": "asks for a registered extension",
    b"\x97": "asks for a buffer that is kept outside of it",
    b"\x98": "asks for a buffer that is kept outside of it",
}
"""Instructions that would run code or reach outside the file."""

NEEDLESS: Final[dict[bytes, str]] = {
    **dict.fromkeys((b"F", b"G"), "a decimal fraction"),
    **dict.fromkeys((b"}", b"d", b"s", b"u"), "a dictionary"),
    **dict.fromkeys((b"\x8f", b"\x90", b"\x91"), "a set"),
    b"\x8b": "a very long number",
    **dict.fromkeys((b"0", b"1", b"2"), "values that are thrown away"),
}
"""Harmless instructions that no pair file has."""
