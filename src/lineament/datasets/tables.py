"""Text files that people and spreadsheets make: read whole, with the number of every line for messages."""

import codecs
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lineament.core.errors import DatasetInvalid

MAX_TEXT_BYTES: Final = 2 * 2**30
_WIDE: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_TRUE: Final = frozenset({"1", "1.0", "true", "same", "mated"})
_FALSE: Final = frozenset({"0", "0.0", "false", "different", "non-mated", "nonmated"})
LABELS: Final = "0 or 1, true or false, same or different, mated or non-mated"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a file with a header.

    Attributes:
        path: of the file.
        header: names of the columns, lower case.
        rows: (number of the line, fields) of each row that is not blank.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[tuple[int, list[str]]]

    def column(self, aliases: Sequence[str]) -> int | None:
        """Where the column of one of these names is; None when there is none.

        Raises:
            DatasetInvalid: there are two of them, so that it is unclear which is meant.
        """
        return pick(self.header, aliases, self.path)

    def required(self, aliases: Sequence[str]) -> int:
        """Where the column of one of these names is.

        Raises:
            DatasetInvalid: there is none, or there are two.
        """
        found = self.column(aliases)
        if found is None:
            raise DatasetInvalid(
                f"{self.path} has no column {aliases[0]!r}: its header is {shown(self.header)}; call one of "
                "the "
                f"columns {shown(aliases)}"
            )
        return found


def pick(header: Sequence[str], aliases: Sequence[str], path: Path) -> int | None:
    """Position of the one column with one of these names; None when there is none.

    Raises:
        DatasetInvalid: there are two of them.
    """
    found = [number for number, name in enumerate(header) if name in aliases]
    if len(found) > 1:
        raise DatasetInvalid(
            f"{path} has the columns {shown([header[n] for n in found])}, which mean the same: keep one of "
            "them"
        )
    return found[0] if found else None


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a mark, or in UTF-16 with one; line ends become line feeds.

    Raises:
        DatasetInvalid: there is none, it is too large, or it is no text in these encodings.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DatasetInvalid(f"{path} has more than {MAX_TEXT_BYTES >> 30} GiB: split it")
        data = path.read_bytes()
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    wide = data.startswith(_WIDE)
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 0 if wide else data.count(b"\n", 0, error.start) + 1
        raise DatasetInvalid(f"{path}, line {line}: not text in UTF-8; save it as UTF-8") from error
    if "\0" in text:
        raise DatasetInvalid(f"{path} is not a text file: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def delimiter_of(line: str) -> str | None:
    """What separates the fields of a line: a tab, a comma or a semicolon; None for white space."""
    for mark in "\t,;":
        if mark in line:
            return mark
    return None


def split_rows(text: str, delimiter: str | None, path: Path) -> list[tuple[int, list[str]]]:
    """(number of the line, fields without white space around them) of every row that is not blank.

    Raises:
        DatasetInvalid: quotes that do not close.
    """
    if delimiter is None:
        lines = enumerate(text.split("\n"), 1)
        return [(number, line.split()) for number, line in lines if line.strip()]
    reader = csv.reader(text.split("\n"), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    # A row is named by its first line: a quote that does not close swallows all that follow.
    line = 1
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if any(stripped):
                rows.append((line, stripped))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetInvalid(f"{path}, line {line}: {error}; look at its quotes") from error
    return rows


def read_table(path: Path) -> Table:
    """A CSV, TSV or semicolon-separated file with a header.

    Raises:
        DatasetInvalid: as for `read_text`, nothing in it, a column without a name or named twice, or a row
            with more or fewer fields than the header.
    """
    return table_of(read_text(path), path)


def table_of(text: str, path: Path) -> Table:
    """As `read_table`, of text that has been read."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    rows = split_rows(text, delimiter_of(first) or ",", path)
    if not rows:
        raise DatasetInvalid(f"{path} is empty")
    header = tuple(field.lower() for field in rows[0][1])
    if len(set(header)) != len(header) or "" in header:
        raise DatasetInvalid(
            f"{path}, line {rows[0][0]}: columns without a name or of one name: {shown(header)}"
        )
    for number, fields in rows[1:]:
        if len(fields) != len(header):
            raise DatasetInvalid(
                f"{path}, line {number}: {len(fields)} fields where the header has {len(header)}; put "
                "fields with "
                "separators in them in quotes"
            )
    return Table(path, header, rows[1:])


def read_named(path: Path, names: Sequence[str]) -> tuple[Table, int]:
    """A list of names with more about each, or bare lines of one name each.

    Args:
        path: a table with a header, or lines without separators, which may begin with one of `names`.
        names: what the column of names may be called.

    Returns:
        The table, and where its column of names is.

    Raises:
        DatasetInvalid: as for `read_table`, no such column, or a name that is missing or there twice.
    """
    text = read_text(path)
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and delimiter_of(lines[0][1]) is not None:
        table = table_of(text, path)
    else:
        # Without a separator in the first line a comma belongs to a name.
        headed = bool(lines) and lines[0][1].lower() in names
        table = Table(path, (names[0],), [(n, [line]) for n, line in lines[headed:]])
    if not table.rows:
        raise DatasetInvalid(f"{path} lists nothing")
    key = table.required(names)
    seen: dict[str, int] = {}
    for number, fields in table.rows:
        if not fields[key]:
            raise DatasetInvalid(f"{path}, line {number}: an entry without a name")
        before = seen.setdefault(plain_name(fields[key]), number)
        if before != number:
            raise DatasetInvalid(
                f"{path}, line {number}: {fields[key]!r} is listed twice, first in line {before}"
            )
    return table, key


def label(text: str, path: Path, line: int) -> bool:
    """Whether a pair is mated.

    Raises:
        DatasetInvalid: any other word than the known ones.
    """
    known = is_mated(text)
    if known is None:
        raise DatasetInvalid(f"{path}, line {line}: {text!r} is no label; use {LABELS}")
    return known


def is_mated(text: str) -> bool | None:
    """What a label says; None for a word that is no label."""
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def whole(text: str, what: str, path: Path, line: int) -> int:
    """A whole number of at most nine digits.

    Raises:
        DatasetInvalid: anything else.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise DatasetInvalid(f"{path}, line {line}: {text!r} is no {what}; give a whole number")
    return int(text)


def plain_name(text: str) -> str:
    """The name of a picture, with `/` between folders however it was written."""
    return text.replace("\\", "/").removeprefix("./")


def shown(words: Iterable[str], most: int = 10) -> str:
    """A few words in a row, for messages."""
    listed = list(words)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(repr(word) for word in listed[:most]) + rest
