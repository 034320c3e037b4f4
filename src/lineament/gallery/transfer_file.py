"""The file that carries a collection elsewhere: a ZIP of JSON and Parquet, closed by a digest of all of it.

    head.json                          what it is: model, settings, counts, the wrapped key
    00000.subjects                     JSON lines: some subjects
    00000.references.00000 …           Parquet: their samples

The archive's comment, its last 64 bytes, is the SHA-256 of everything before it. Nothing is compressed. Where
the file is sealed, every part but the head is sealed with a key of this file's own, at a place that names the
part and the head, so that no part fits another file or another head.
"""

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from lineament.core.errors import GalleryBroken, GalleryVersion, InvalidArgument, KeyUnavailable
from lineament.gallery.keys import KeySource, new_data_key
from lineament.gallery.seal import Seal

FORMAT: Final = "lineament collection"
VERSION: Final = 1
HEAD: Final = "head.json"
LARGEST_PART: Final = 1 << 30
ENTRY: Final = (
    "reason", "source", "valid_from", "valid_until", "state", "proposed_by", "decided_by", "decided_at",
)  # fmt: skip
"""Columns of a watchlist entry that go along."""
_DIGEST: Final = 64
_BLOCK: Final = 1 << 20


class ExportWriter:
    """Writes one file.

    Args:
        stream: where, readable and writable by its descriptor, at its beginning.
        head: what `head.json` says besides format, version and key.
        keys: wraps the key of a sealed file; None for one that anybody can read.
    """

    def __init__(self, stream: BinaryIO, head: Mapping[str, Any], keys: KeySource | None) -> None:
        self._stream = stream
        self._seal, sealed = None, None
        if keys is not None:
            secret = new_data_key()
            self._seal = Seal(secret)
            wrapped = keys.wrap(secret, _key_place(str(head["export"])))
            sealed = {"key_id": keys.key_id, "wrapped": base64.b64encode(wrapped).decode("ascii")}
        full = {"format": FORMAT, "version": VERSION, **head, "sealed": sealed}
        text = json.dumps(full, indent=1, ensure_ascii=False).encode()
        self._of = hashlib.sha256(text).hexdigest()
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED)
        self._zip.comment = b"0" * _DIGEST
        self._zip.writestr(_member(HEAD), text)

    def add(self, name: str, data: bytes) -> None:
        """One part."""
        sealed = data if self._seal is None else self._seal.seal(data, _place(name, self._of))
        self._zip.writestr(_member(name), sealed)

    def finish(self) -> str:
        """Close the archive with its digest; the SHA-256 of the whole file."""
        self._zip.close()
        self._stream.flush()
        handle = self._stream.fileno()
        body = os.fstat(handle).st_size - _DIGEST
        found = _digest(handle, body)
        mark = found.hexdigest().encode("ascii")
        os.pwrite(handle, mark, body)
        found.update(mark)
        return found.hexdigest()


class ExportFile:
    """One file, checked and open; made by `open_export`.

    Attributes:
        head: what it says of itself.
        sha256: of the whole file.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, sha256: str) -> None:
        self.path, self._zip, self.sha256 = path, archive, sha256
        text = self._read(HEAD)
        self._of = hashlib.sha256(text).hexdigest()
        self.head = _head(path, text)
        self._seal: Seal | None = None

    def unlock(self, keys: KeySource | None) -> None:
        """Open the key of a sealed file.

        Raises:
            KeyUnavailable: there is none, or another one.
        """
        sealed = self.head["sealed"]
        if sealed is None:
            return
        if keys is None:
            raise KeyUnavailable(
                f"{self.path} is sealed with the key {sealed['key_id']}: give the key it was exported with"
            )
        wrapped = base64.b64decode(sealed["wrapped"])
        self._seal = Seal(keys.unwrap(wrapped, _key_place(str(self.head["export"]))))

    @property
    def names(self) -> list[str]:
        """All parts but the head, in order."""
        return sorted(n for n in self._zip.namelist() if n != HEAD)

    def part(self, name: str) -> bytes:
        """A part as it was added.

        Raises:
            GalleryBroken: it is missing, or does not open.
        """
        data = self._read(name)
        return data if self._seal is None else self._seal.open(data, _place(name, self._of))

    def _read(self, name: str) -> bytes:
        try:
            info = self._zip.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > LARGEST_PART:
                raise GalleryBroken(
                    f"{self.path}: its part {name} is not as an export has it: export it again"
                )
            return self._zip.read(info)
        except (KeyError, zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise GalleryBroken(f"{self.path}: its part {name} cannot be read: export it again") from error


@contextmanager
def open_export(path: Path, *, check: bool = True) -> Generator[ExportFile]:
    """Open an exported file.

    Args:
        path: of the file.
        check: read all of it first and compare its digest.

    Raises:
        InvalidArgument: there is no such file, or it is something else.
        GalleryBroken: it was changed or cut short after it was written.
        GalleryVersion: a newer package wrote it.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror or error}") from error
    with stream:
        sha256 = _checked(path, stream) if check else ""
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError) as error:
            raise _not_ours(path) from error
        with archive:
            yield ExportFile(path, archive, sha256)


def _checked(path: Path, stream: BinaryIO) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if stream.read(4) != b"PK\x03\x04" or size <= _DIGEST:
        raise _not_ours(path)
    handle = stream.fileno()
    found = _digest(handle, size - _DIGEST)
    mark = os.pread(handle, _DIGEST, size - _DIGEST)
    if mark != found.hexdigest().encode("ascii"):
        raise GalleryBroken(
            f"{path} was changed or cut short after it was written: its digest does not fit; copy "
            "or export it again"
        )
    found.update(mark)
    stream.seek(0)
    return str(found.hexdigest())


def _digest(handle: int, size: int) -> Any:
    found, at = hashlib.sha256(), 0
    while at < size:
        block = os.pread(handle, min(_BLOCK, size - at), at)
        if not block:
            break
        found.update(block)
        at += len(block)
    return found


def _head(path: Path, text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except ValueError as error:
        raise GalleryBroken(f"{path}: its head cannot be read: export it again") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise _not_ours(path)
    if head.get("version") != VERSION:
        raise GalleryVersion(
            f"{path} is an export of version {head.get('version')}, and this package knows {VERSION}: "
            "update lineament"
        )
    return head


def _not_ours(path: Path) -> InvalidArgument:
    return InvalidArgument(f"{path} is no exported collection: give a file of `lineament gallery export`")


def _member(name: str) -> zipfile.ZipInfo:
    """The same bytes whenever and by whomever it is written."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o600 << 16
    return info


def _place(name: str, head: str) -> bytes:
    return f"export:{head}:{name}".encode("ascii")


def _key_place(export: str) -> bytes:
    return f"export_key:{export}".encode("ascii")


def read_head(path: str | Path) -> dict[str, Any]:
    """What an exported file says of itself: collection, model, counts, whether it is sealed."""
    with open_export(Path(path), check=False) as file:
        return {**file.head, "sealed": file.head["sealed"] is not None}


def references_as_parquet(columns: Mapping[str, Any], vectors: np.ndarray) -> bytes:
    """Samples as one Parquet file: subject, vector, norm, quality, digest, crop, created_at."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    kinds = {"norm": pa.float64(), "crop": pa.binary()}
    table = pa.table(
        {
            **{name: pa.array(column, kinds.get(name, pa.string())) for name, column in columns.items()},
            "vector": pa.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
        }
    )
    stream = BytesIO()
    pq.write_table(table, stream, compression="none", use_dictionary=False)
    return stream.getvalue()


def references_of_parquet(data: bytes, width: int, name: str) -> tuple[dict[str, list[Any]], np.ndarray]:
    """The inverse of `references_as_parquet`.

    Raises:
        GalleryBroken: not such a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        vectors = np.asarray(table["vector"].combine_chunks().flatten().to_numpy(), np.float32)
        columns = {n: table[n].to_pylist() for n in table.column_names if n != "vector"}
        return columns, vectors.reshape(table.num_rows, width)
    except (KeyError, ValueError, AttributeError, pa.ArrowException) as error:
        raise GalleryBroken(f"the part {name} of the export cannot be read: export it again") from error
