"""Lists of people, and tables of their templates, as they come from a spreadsheet or from `lineament embed`.

A list of people is CSV, TSV or semicolon-separated with a header. Its column `subject` names the person;
`file`, where there is one, a photograph; `retain_until` a date; `consent.WORD` what was agreed to; every
other column is metadata and stays text, so that a number with leading zeros keeps them. Empty fields say
nothing.

A table of templates is Parquet or CSV. Columns: `subject`, or `path` as `lineament embed` writes it;
`template`, `vector` or `embedding`, a list of numbers; and, where there are such, `norm`, `source_digest`,
`model_digest`.
"""

import csv
import unicodedata
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float32

from lineament.core.errors import DatasetInvalid
from lineament.datasets.tables import delimiter_of, pick, plain_name, read_table, shown

SUBJECT: Final = ("subject",)
FILE: Final = ("file", "path", "picture")
VECTOR: Final = ("template", "vector", "embedding")
CONSENT: Final = "consent."
RETAIN: Final = "retain_until"


@dataclass(slots=True)
class Person:
    """What a list says of one person.

    Attributes:
        metadata, sensitive: fields by name.
        consent: what was agreed to, or None.
        retain_until: a date as written, or None.
    """

    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    sensitive: dict[str, Any] = field(default_factory=dict[str, Any])
    consent: dict[str, Any] | None = None
    retain_until: str | None = None


@dataclass(frozen=True, slots=True)
class PeopleList:
    """A list of people.

    Attributes:
        people: by subject, in the order of the list.
        files: the subject of each photograph, in the order of the list; None when the list names none.
    """

    people: dict[str, Person]
    files: dict[str, str] | None


@dataclass(slots=True, eq=False)
class TemplateRows:
    """Some samples of a table.

    Attributes:
        subjects: whose.
        sources: where each is from, for people.
        vectors: float32 (n, d), as they stand; a row that has none is zero.
        wrong: (stable name, sentence) of each row that cannot be used, by its number.
        norms: lengths of the raw outputs, NaN where unknown, or None.
        digests, models: digests of pictures and of models, or None without such a column.
        quality: capture facts, or None.
    """

    subjects: list[str]
    sources: list[str]
    vectors: Float32[np.ndarray, "n d"]
    wrong: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    norms: np.ndarray | None = None
    digests: list[str | None] | None = None
    models: list[str] | None = None
    quality: list[dict[str, Any]] | None = None


@runtime_checkable
class _Source(Protocol):
    """A file of templates."""

    total: int
    model: str | None
    names_models: bool

    def rows(self, size: int, width: int, policy: str) -> Iterator[TemplateRows]:
        """All rows, a part at a time."""
        ...


class TemplateTable:
    """A table of templates, open.

    Attributes:
        total: rows; 0 where that is not known before they are read.
        model: digest of the model that the file names, or None.
        names_models: whether each row names its model.
        seen: subjects read so far.
    """

    def __init__(self, source: _Source) -> None:
        self._source = source
        self.total, self.model, self.names_models = source.total, source.model, source.names_models
        self.seen: set[str] = set()

    def batches(self, size: int, width: int, policy: str = "exactly_one") -> Iterator[TemplateRows]:
        """The samples, about `size` at a time.

        Args:
            size: rows that are read together.
            width: length of a template; rows of another are marked.
            policy: of several faces of one photograph, `exactly_one` refuses the photograph and `largest`
                takes the largest.

        Raises:
            DatasetInvalid: the file is damaged, or holds nothing.
        """
        for rows in self._source.rows(size, width, policy):
            self.seen.update(rows.subjects)
            yield rows


@contextmanager
def open_templates(path: Path) -> Generator[TemplateTable]:
    """Open a table of templates.

    Raises:
        DatasetInvalid: no such file, another kind of file, or columns that are missing.
    """
    from lineament.datasets.people_parquet import ParquetTemplates

    try:
        stream = path.open("rb")
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    with stream:
        if stream.read(4) == b"PAR1":
            stream.seek(0)
            yield TemplateTable(ParquetTemplates(path, stream))
            return
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise DatasetInvalid(f"{path} is neither Parquet nor called .csv or .tsv: give a table of templates")
    yield TemplateTable(_CsvTemplates(path))


def same_name(text: str) -> str:
    """A name in the one form that every file system and spreadsheet can be brought to (Unicode NFC)."""
    return unicodedata.normalize("NFC", text)


def subject_of(path: str) -> str:
    """Whose a photograph is by where it lies: the first folder, or else the file's name without suffix."""
    parts = plain_name(path).strip("/").split("/")
    return same_name(parts[0] if len(parts) > 1 else Path(parts[0]).stem)


def read_people(path: Path, sensitive: Sequence[str] = ()) -> PeopleList:
    """A list of people.

    Args:
        path: of the list.
        sensitive: columns whose fields shall be sealed.

    Raises:
        DatasetInvalid: no table, no column `subject`, a column of `sensitive` that is not there, a row
            without a subject, or two rows that contradict each other.
    """
    table = read_table(path)
    key, at_file = table.required(SUBJECT), table.column(FILE)
    hidden = {name.lower() for name in sensitive}
    if missing := sorted(hidden - set(table.header)):
        raise DatasetInvalid(f"{path} has no column {shown(missing)}: its header is {shown(table.header)}")
    if not table.rows:
        raise DatasetInvalid(f"{path} has a header and no rows")
    people: dict[str, Person] = {}
    files: dict[str, str] = {}
    said: dict[tuple[str, str], tuple[str, int]] = {}
    for line, fields in table.rows:
        name = same_name(fields[key])
        if not name:
            raise DatasetInvalid(f"{path}, line {line}: a row without a subject")
        person = people.setdefault(name, Person())
        if at_file is not None and fields[at_file]:
            _list_file(files, plain_name(fields[at_file]), name, path, line)
        for column, text in zip(table.header, fields, strict=True):
            if not text or column in (table.header[key], None if at_file is None else table.header[at_file]):
                continue
            before = said.setdefault((name, column), (text, line))
            if before[0] != text:
                raise DatasetInvalid(
                    f"{path}, line {line}: another {column!r} of subject {name!r} than in line {before[1]}; "
                    "keep one of them"
                )
            _say(person, column, text, hidden)
    return PeopleList(people, None if at_file is None else files)


def _list_file(files: dict[str, str], file: str, name: str, path: Path, line: int) -> None:
    if files.setdefault(file, name) != name:
        raise DatasetInvalid(
            f"{path}, line {line}: {file!r} is listed for {name!r} and for {files[file]!r}; whose is it?"
        )


def _say(person: Person, column: str, text: str, hidden: set[str]) -> None:
    if column in hidden:
        person.sensitive[column] = text
    elif column == RETAIN:
        person.retain_until = text
    elif column.startswith(CONSENT):
        person.consent = {**(person.consent or {}), column.removeprefix(CONSENT): text}
    else:
        person.metadata[column] = text


class _CsvTemplates:
    """Lines with a subject and a vector, read one by one."""

    total = 0
    model: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as stream, self._named(0):
            first = stream.readline()
        self._mark = delimiter_of(first) or ","
        self._header = [n.strip().lower() for n in next(csv.reader([first], delimiter=self._mark), [])]
        if len(set(self._header)) != len(self._header) or "" in self._header:
            raise DatasetInvalid(
                f"{path}, line 1: columns without a name or of one name: {shown(self._header)}"
            )
        self._at = {
            "subject": self._required(SUBJECT),
            "vector": self._required(VECTOR),
            "norm": pick(self._header, ("norm",), path),
            "digest": pick(self._header, ("source_digest",), path),
            "model": pick(self._header, ("model_digest",), path),
        }
        self.names_models = self._at["model"] is not None

    def rows(self, size: int, width: int, policy: str) -> Iterator[TemplateRows]:
        """All rows, a part at a time; the lines of a CSV are faces already, so `policy` says nothing."""
        count, part = 0, list[tuple[int, list[str]]]()
        with self._open() as stream:
            reader = csv.reader(stream, delimiter=self._mark, strict=True)
            while True:
                line = reader.line_num
                with self._named(line + 1):
                    fields = next(reader, None)
                if fields is None:
                    break
                if line and any(f.strip() for f in fields):
                    part.append((line + 1, fields))
                    count += 1
                if len(part) == size:
                    yield self._rows(part, width)
                    part = []
        if part:
            yield self._rows(part, width)
        if not count:
            raise DatasetInvalid(f"{self.path} has a header and no rows")

    def _open(self) -> Any:
        return self.path.open(encoding="utf-8-sig", newline="")

    @contextmanager
    def _named(self, line: int) -> Generator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise DatasetInvalid(
                f"{self.path}, in or after line {line}: not text in UTF-8; save it as UTF-8"
            ) from error
        except csv.Error as error:
            raise DatasetInvalid(f"{self.path}, line {line}: {error}; look at its quotes") from error
        except OSError as error:
            raise DatasetInvalid(f"cannot read {self.path}: {error.strerror or error}") from error

    def _required(self, aliases: tuple[str, ...]) -> int:
        found = pick(self._header, aliases, self.path)
        if found is None:
            raise DatasetInvalid(
                f"{self.path} has no column {aliases[-1]!r}: its header is {shown(self._header)}; call "
                f"one of the columns {shown(aliases)}"
            )
        return found

    def _rows(self, part: list[tuple[int, list[str]]], width: int) -> TemplateRows:
        found = TemplateRows([], [], np.zeros((len(part), width), np.float32))
        at, norms = self._at, np.full(len(part), np.nan)
        digests, models = list[str | None](), list[str]()
        for i, (line, fields) in enumerate(part):
            found.sources.append(f"line {line}")
            if len(fields) != len(self._header):
                found.wrong[i] = (
                    "dataset_invalid", f"{len(fields)} fields where the header has {len(self._header)}"
                )  # fmt: skip
                fields = [*fields, *[""] * len(self._header)][: len(self._header)]
            found.subjects.append(same_name(fields[cast(int, at["subject"])].strip()))
            problem = _parse(fields[cast(int, at["vector"])], found.vectors[i])
            if problem and i not in found.wrong:
                found.wrong[i] = ("template_invalid", problem)
            norms[i] = _number(None if at["norm"] is None else fields[at["norm"]])
            digests.append(None if at["digest"] is None else fields[at["digest"]].strip() or None)
            models.append("" if at["model"] is None else fields[at["model"]].strip())
        found.norms = None if at["norm"] is None else norms
        found.digests = None if at["digest"] is None else digests
        found.models = models if self.names_models else None
        return found


def _parse(text: str, out: np.ndarray) -> str:
    """Write the numbers of a field into `out`; what is wrong with them, or an empty text."""
    words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").replace(";", " ").split()
    if len(words) != len(out):
        return f"it has {len(words)} numbers, the collection's templates have {len(out)}"
    try:
        out[:] = [float(word) for word in words]
    except (ValueError, OverflowError):
        return "its numbers cannot be read"
    return ""


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
