"""The arguments of a pickle's instructions, read from an open file without keeping what is large.

The standard library's `pickletools` would parse the same instructions, but it refuses the text form in which
Python 2 wrote byte strings under protocol 0 as soon as a byte is above 127, which every JPEG file has. So the
two dozen argument forms are read here.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

from lineament.core.errors import DatasetInvalid

Form = Literal["raw", "utf8", "quoted", "escaped"]
# Names of modules, encodings, types: nothing that is read as text is longer.
_SHORT: Final = 256
# Python 2's repr of a byte string writes these escapes and no others.
_PYTHON_2_REPR: Final = re.compile(rb"(?:[^\\\n]|\\(?:x[0-9a-fA-F]{2}|[\\'\"ntr]))*")


@dataclass(frozen=True, slots=True)
class Span:
    """A string of bytes or of text that lies somewhere in the file.

    Attributes:
        start, size: where, in bytes.
        form: how it is written there: as it is; as UTF-8; as Python 2's repr; with `\\u` escapes.
        text: a string of characters, which holds bytes only once an encoding has been applied.
    """

    start: int
    size: int
    form: Form = "raw"
    text: bool = False


class Source:
    """A file read from front to back, with its long strings passed over.

    Args:
        stream: an open file, at its start.
        size: its length; no argument may reach beyond.
        longest: bytes of the longest string that is accepted.
        name: for messages.
    """

    def __init__(self, stream: BinaryIO, size: int, longest: int, name: str) -> None:
        self.stream, self.size, self.longest, self.name = stream, size, longest, name
        self.position = 0

    def invalid(self, why: str) -> DatasetInvalid:
        """An error that says where."""
        return DatasetInvalid(f"{self.name} is not a pair file (byte {self.position}: {why})")

    def take(self, count: int) -> bytes:
        """The next few bytes."""
        data = self.stream.read(count)
        if len(data) != count:
            raise self.invalid("the file stops before its end; fetch the whole file again")
        self.position += count
        return data

    def number(self, count: int, *, signed: bool = False) -> int:
        """A little-endian whole number."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self, longest: int = _SHORT) -> bytes:
        """Up to the next line feed, without it."""
        data = self.stream.readline(longest + 1)
        if not data.endswith(b"\n"):
            raise self.invalid("a line that does not end")
        self.position += len(data)
        return data[:-1]

    def span(self, size: int, form: Form = "raw", *, text: bool = False) -> Span:
        """The next `size` bytes, passed over."""
        if not 0 <= size <= self.longest:
            raise self.invalid(f"a string of {size} bytes where pictures have at most {self.longest}")
        if self.position + size > self.size:
            raise self.invalid("the file stops before its end; fetch the whole file again")
        found = Span(self.position, size, form, text)
        self.position += size
        self.stream.seek(self.position)
        return found

    def quoted(self) -> Span:
        """A byte string as Python 2 wrote it: `S'...'` and a line feed."""
        start = self.position
        # An escaped byte is four characters.
        line = self.line(4 * self.longest)
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise self.invalid("a string without its quotes")
        if not _PYTHON_2_REPR.fullmatch(line, 1, len(line) - 1):
            raise self.invalid("a string with escapes that Python does not write")
        return Span(start + 1, len(line) - 2, "quoted")

    def escaped(self) -> Span:
        """A character string of protocol 0: `V...` and a line feed."""
        start = self.position
        return Span(start, len(self.line(6 * self.longest)), "escaped", text=True)

    def bytes_of(self, span: Span) -> bytes:
        """What a string holds, as bytes; the place in the file stays where it is."""
        self.stream.seek(span.start)
        written = self.stream.read(span.size)
        self.stream.seek(self.position)
        if len(written) != span.size:
            raise self.invalid("the file became shorter while it was read")
        return decoded(written, span.form, self.name)

    def head_of(self, span: Span, count: int) -> bytes:
        """The first few bytes of a string, about as many as asked for."""
        self.stream.seek(span.start)
        # The longest way to write a byte takes six.
        written = self.stream.read(min(span.size, 6 * count))
        self.stream.seek(self.position)
        return decoded(written, span.form, self.name, errors="ignore")[:count]

    def text_of(self, span: Span) -> str:
        """A short string of ASCII characters, whichever kind of string it is."""
        if span.size > _SHORT:
            raise self.invalid("a name that is far too long")
        try:
            return self.bytes_of(span).decode("ascii")
        except UnicodeDecodeError as error:
            raise self.invalid("a name with letters that no name has") from error


def decoded(written: bytes, form: Form, name: str, errors: Literal["strict", "ignore"] = "strict") -> bytes:
    """Bytes from the way they are written; characters stand for bytes as in Latin-1, which pickles use.

    Args:
        written: as in the file.
        form: how.
        name: of the file, for messages.
        errors: `ignore` for the beginning of a string, which may stop in the middle of an escape.

    Raises:
        DatasetInvalid: characters that stand for no byte.
    """
    if form == "raw":
        return written
    try:
        if form == "utf8":
            text = written.decode("utf-8", errors)
        elif form == "quoted":
            text = written.decode("unicode_escape", errors)
        else:
            text = written.decode("raw_unicode_escape", errors)
        return text.encode("latin-1", errors)
    except UnicodeError as error:
        raise DatasetInvalid(f"{name} is not a pair file: a string is not made of bytes") from error
