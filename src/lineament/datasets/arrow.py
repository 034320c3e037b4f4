"""Large columns of numbers and words, read with Arrow: CSV, TSV, lines with spaces, and Parquet."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.datasets.tables import delimiter_of, pick, shown

_PARQUET: Final = b"PAR1"
_HEAD_BYTES: Final = 1 << 16
# What people write where there is no number.
_NOTHING: Final = ("", "nan", "na", "null", "none")


class Columns:
    """Columns of a file by name, converted when asked for, with line numbers in every complaint.

    Args:
        path: of the file.
        table: an Arrow table whose columns are named in lower case.
        separator: between the fields of a line; empty for Parquet.
        headed: whether the first line is a header.
    """

    def __init__(self, path: Path, table: Any, separator: str, *, headed: bool = True) -> None:
        self.path, self._table, self._separator, self._headed = path, table, separator, headed
        self.header: tuple[str, ...] = tuple(table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def find(self, aliases: tuple[str, ...]) -> str | None:
        """The column with one of these names.

        Raises:
            DatasetInvalid: there are two.
        """
        at = pick(self.header, aliases, self.path)
        return None if at is None else self.header[at]

    def metadata(self) -> dict[str, str]:
        """Notes that a Parquet file carries."""
        notes = cast(dict[bytes, bytes], self._table.schema.metadata or {})
        return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in notes.items()}

    def numbers(self, name: str, what: str) -> np.ndarray:
        """(n,) float64; NaN where the field is empty or says `nan`, `na`, `null` or `none`.

        Raises:
            DatasetInvalid: a field is no number, or infinite.
        """
        import pyarrow as pa

        pc = _compute()
        column = self._table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.utf8_trim_whitespace(column)
            nothing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(_NOTHING, column.type))
            text = pc.if_else(nothing, pa.scalar(None, column.type), text)
            if not _casts(text):
                row = _first_odd(text)
                raise self.invalid(row, f"{text[row].as_py()!r} is no {what}")
            column = text
        elif not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise DatasetInvalid(f"{self.path}: column {name!r} is of type {column.type}, not numbers")
        values = np.array(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise self.invalid(
                int(infinite[0]), f"an infinite {what}; leave the field empty where a comparison failed"
            )
        return values

    def whole(self, name: str, what: str) -> np.ndarray:
        """(n,) int64.

        Raises:
            DatasetInvalid: a field is empty or no whole number.
        """
        values = self.numbers(name, what)
        bad = np.flatnonzero(~(np.isfinite(values) & (np.floor(values) == values) & (np.abs(values) < 2**53)))
        if len(bad):
            raise self.invalid(int(bad[0]), f"no {what}; give a whole number")
        return values.astype(np.int64)

    def texts(self, name: str) -> tuple[str, ...]:
        """The fields of a column as they are."""
        return tuple(str(value) for value in self._table[name].to_pylist())

    def words(self, *names: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Each row's word as a number, and the words; empty fields are the word `""`.

        Args:
            names: of one or more columns, which share their words.

        Returns:
            (n,) int32 numbers for each column, and the words they stand for, in the order of the alphabet.
        """
        import pyarrow as pa

        pc = _compute()
        chunks: list[Any] = []
        for name in names:
            column = self._table[name]
            if pa.types.is_dictionary(column.type):
                column = pc.cast(column, column.type.value_type)
            text = pc.utf8_trim_whitespace(pc.fill_null(pc.cast(column, pa.string()), ""))
            chunks.extend(text.chunks)
        coded = pa.chunked_array(chunks, pa.string()).dictionary_encode().combine_chunks()
        words = [str(word) for word in coded.dictionary.to_pylist()]
        order = sorted(range(len(words)), key=words.__getitem__)
        rank = np.empty(len(words), dtype=np.int32)
        rank[order] = np.arange(len(words), dtype=np.int32)
        codes = rank[np.asarray(coded.indices.to_numpy(zero_copy_only=False))]
        return np.split(codes, len(names)), tuple(words[i] for i in order)

    def invalid(self, row: int, why: str) -> DatasetInvalid:
        """An error that names the line of a row, counted from 0 without the header."""
        if not self._separator:
            return DatasetInvalid(f"{self.path}, row {row + 1}: {why}")
        return DatasetInvalid(f"{self.path}, line {self._line(row)}: {why}")

    def _line(self, row: int) -> int:
        """Blank lines and quoted line breaks make lines and rows differ: count again, for the one message."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream, delimiter=self._separator)
            left = row + (1 if self._headed else 0)
            for fields in reader:
                if fields:
                    if not left:
                        break
                    left -= 1
            return reader.line_num


def read_columns(path: Path) -> Columns:
    """A table with a header, in CSV, TSV or Parquet.

    Raises:
        DatasetInvalid: no such file, not a table, or columns without a name or of one name.
    """
    head = _head(path)
    if head.startswith(_PARQUET):
        table, separator = _read_parquet(path), ""
    else:
        try:
            first = head.decode("utf-8-sig", "replace").lstrip("\r\n").split("\n", 1)[0]
            separator = delimiter_of(first) or ","
            table = _read_csv(
                path, separator, next(csv.reader([first.rstrip("\r")], delimiter=separator), [])
            )
        except csv.Error as error:
            raise DatasetInvalid(f"{path}, line 1: {error}") from error
    header = [name.strip().lower() for name in table.column_names]
    if len(set(header)) != len(header) or "" in header:
        raise DatasetInvalid(f"{path} has columns without a name or of one name: {shown(header)}")
    if not table.num_rows:
        raise DatasetInvalid(f"{path} has a header and no rows")
    notes = table.schema.metadata
    return Columns(path, table.rename_columns(header).replace_schema_metadata(notes), separator)


def read_spaced(path: Path, names: tuple[str, ...]) -> Columns:
    """Lines of fields with one space or tab between them and no header.

    Args:
        path: the file.
        names: of the columns, as many as there are fields.

    Raises:
        DatasetInvalid: no such file, nothing in it, or another number of fields.
    """
    first = _head(path).split(b"\n", 1)[0].strip()
    separator = "\t" if b"\t" in first else " "
    if not first:
        raise DatasetInvalid(f"{path} is empty")
    return Columns(path, _read_csv(path, separator, names, headed=False), separator, headed=False)


def _compute() -> Any:
    """Arrow's functions, which it makes at run time, so that its type stubs know only some of them."""
    import pyarrow.compute

    return pyarrow.compute


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error


def _read_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A path would be taken for a data set whose folders are columns.
        with path.open("rb") as stream:
            return pq.read_table(stream)
    except (OSError, pa.ArrowException) as error:
        raise DatasetInvalid(
            f"{path} is not a Parquet file that can be read ({error}): get it again"
        ) from error


def _read_csv(path: Path, separator: str, names: Sequence[str], *, headed: bool = True) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pc

    if len(set(names)) != len(names):
        raise DatasetInvalid(f"{path} has columns of one name: {shown(names)}")
    # Everything as text first: what a field means is decided, and complained about, here and not in Arrow.
    convert = pc.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=True
    )
    try:
        with path.open("rb") as stream:
            return pc.read_csv(
                stream,
                pc.ReadOptions(column_names=None if headed else list(names)),
                pc.ParseOptions(delimiter=separator),
                convert,
            )
    except (OSError, pa.ArrowException) as error:
        line = _odd_line(path, separator, len(names))
        if line is None:
            raise DatasetInvalid(f"{path} cannot be read as a table ({error})") from error
        raise DatasetInvalid(
            f"{path}, line {line[0]}: {line[1]} fields where {len(names)} were expected"
        ) from error


def _odd_line(path: Path, separator: str, fields: int) -> tuple[int, int] | None:
    """(number, fields) of the first line with more or fewer fields than the others."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream, delimiter=separator)
            return next(((reader.line_num, len(row)) for row in reader if row and len(row) != fields), None)
    except (csv.Error, OSError):
        return None


def _casts(text: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _first_odd(text: Any) -> int:
    """The first row that is no number, by halves: one at a time would take long."""
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        if _casts(text[low:middle]):
            low = middle
        else:
            high = middle
    return low
