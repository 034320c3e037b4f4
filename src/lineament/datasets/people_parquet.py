"""Parquet tables of templates, a part at a time: of `lineament embed`, or any with `subject` and a vector."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.core.faces import Quality
from lineament.datasets.people_tables import VECTOR, TemplateRows, same_name, subject_of
from lineament.datasets.tables import pick, shown

FACTS: Final = tuple(sorted(Quality.__slots__))
OTHERS: Final = (
    "subject", "path", "status", "message", "face", "box", "norm", "source_digest", "model_digest",
)  # fmt: skip


class ParquetTemplates:
    """A Parquet file of templates.

    Args:
        path: for messages.
        stream: the file, open.

    Raises:
        DatasetInvalid: not Parquet, or without the columns.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            # Without reading ahead only one part of a row group is in memory.
            self._file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        except (OSError, pa.ArrowException) as error:
            raise DatasetInvalid(
                f"{path} is not a Parquet file that can be read ({error}): get it again"
            ) from error
        schema = self._file.schema_arrow
        names = list(schema.names)
        vector = pick(names, VECTOR, path)
        if vector is None or not ("subject" in names or "path" in names):
            raise DatasetInvalid(
                f"{path} is no table of templates: it needs the columns subject (or path) and one of "
                f"{shown(VECTOR)}, and has {shown(names)}"
            )
        self._vector = names[vector]
        if not _is_list_of_numbers(schema.field(self._vector).type):
            raise DatasetInvalid(f"{path}: the column {self._vector!r} is not one of lists of numbers")
        self._by_path = "subject" not in names
        self._columns = [n for n in (*OTHERS, *FACTS, self._vector) if n in names]
        self.total = int(self._file.metadata.num_rows)
        if not self.total:
            raise DatasetInvalid(f"{path} holds no rows")
        self.names_models = "model_digest" in names
        notes: dict[bytes, bytes] = schema.metadata or {}
        told = notes.get(b"model_digest", notes.get(b"digest"))
        self.model = None if told is None else told.decode("ascii", "replace")

    def rows(self, size: int, width: int, policy: str) -> Iterator[TemplateRows]:
        """All rows, about `size` at a time; the faces of one photograph stay together."""
        import pyarrow as pa

        rest: Any = None
        for batch in self._batches(size):
            table = pa.Table.from_batches([batch])
            if rest is not None:
                table = pa.concat_tables([rest, table])
            if not self._by_path:
                yield self._plain(table, width)
                continue
            paths = [str(p) for p in table["path"].to_pylist()]
            cut = len(paths) - 1
            while cut and paths[cut - 1] == paths[-1]:
                cut -= 1
            rest = table.slice(cut)
            if cut:
                yield self._photographs(table.slice(0, cut), paths[:cut], width, policy)
        if rest is not None:
            yield self._photographs(rest, [str(p) for p in rest["path"].to_pylist()], width, policy)

    def _batches(self, size: int) -> Iterator[Any]:
        import pyarrow as pa

        try:
            yield from self._file.iter_batches(batch_size=size, columns=self._columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise DatasetInvalid(f"{self.path} is damaged ({error}): get it again") from error

    def _plain(self, table: Any, width: int) -> TemplateRows:
        subjects = [same_name("" if s is None else str(s)) for s in table["subject"].to_pylist()]
        paths = table["path"].to_pylist() if "path" in table.column_names else None
        sources = [f"row {i}" for i in range(len(subjects))] if paths is None else [str(p) for p in paths]
        return self._filled(table, subjects, sources, width, {})

    def _photographs(self, table: Any, paths: list[str], width: int, policy: str) -> TemplateRows:
        """One row per photograph, and why those without one have none."""
        import pyarrow as pa

        kept, wrong = list[int](), dict[int, tuple[str, str]]()
        start = 0
        while start < len(paths):
            end = start + 1
            while end < len(paths) and paths[end] == paths[start]:
                end += 1
            if end - start > 1 and policy == "exactly_one":
                message = f"{end - start} faces were found: choose the policy largest knowingly, or crop it"
                wrong[len(kept)] = ("multiple_faces", message)
                kept.append(start)
            else:
                kept.append(
                    start if end - start == 1 else start + self._largest(table.slice(start, end - start))
                )
            start = end
        chosen = table.take(pa.array(kept, pa.int64()))
        names = [paths[i] for i in kept]
        return self._filled(chosen, [subject_of(n) for n in names], names, width, wrong)

    def _largest(self, faces: Any) -> int:
        if "box" not in faces.column_names:
            raise DatasetInvalid(f"{self.path} has no column box, which the policy largest needs")
        boxes = np.array(faces["box"].to_pylist(), np.float64)
        return int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))

    def _filled(
        self,
        table: Any,
        subjects: list[str],
        sources: list[str],
        width: int,
        wrong: dict[int, tuple[str, str]],
    ) -> TemplateRows:
        vectors, lengths = _vectors(table[self._vector], width)
        for i in np.flatnonzero(lengths != width).tolist():
            if i in wrong:
                continue
            why = self._told(table, i) if lengths[i] == 0 else None
            said = f"it has {lengths[i]} numbers, the collection's templates have {width}"
            wrong[i] = why or ("template_invalid", said if lengths[i] else "it has no template")
        names = table.column_names
        norms = None
        if "norm" in names:
            norms = np.array([np.nan if v is None else v for v in table["norm"].to_pylist()], np.float64)
        facts = [name for name in FACTS if name in names]
        return TemplateRows(
            subjects, sources, vectors, wrong, norms,
            [None if d is None else str(d) for d in table["source_digest"].to_pylist()]
            if "source_digest" in names else None,
            [str(d or "") for d in table["model_digest"].to_pylist()] if self.names_models else None,
            table.select(facts).to_pylist() if facts else None,
        )  # fmt: skip

    def _told(self, table: Any, row: int) -> tuple[str, str] | None:
        """Why `lineament embed` has no template of a photograph."""
        if "status" not in table.column_names:
            return None
        status = str(table["status"][row].as_py() or "")
        message = str(table["message"][row].as_py() or "") if "message" in table.column_names else ""
        if status in ("", "ok"):
            return None
        return status, message or "no face was found" if status == "no_face" else message or status


def _is_list_of_numbers(kind: Any) -> bool:
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _vectors(column: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, width) with zeros where a list is missing or of another length, and all lengths."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0).to_numpy(), np.int64)
    numbers = pc.cast(pc.list_flatten(column), pa.float32(), safe=False)
    values = np.asarray(pc.fill_null(numbers, float("nan")).to_numpy(), np.float32)
    good = lengths == width
    vectors = np.zeros((len(lengths), width), np.float32)
    vectors[good] = values[np.repeat(good, lengths)].reshape(-1, width)
    return vectors, lengths
