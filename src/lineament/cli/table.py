"""Tables of faces on disk: Parquet, NumPy or JSON lines."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lineament.cli.streams import readable
from lineament.core.faces import Quality
from lineament.core.files import replacing
from lineament.core.template import ModelId
from lineament.pipeline.records import POINT_NAMES

SUFFIXES = (".parquet", ".npz", ".jsonl")
FACTS: tuple[str, ...] = tuple(sorted(Quality.__slots__))
ROWS_AT_A_TIME = 4096  # of a Parquet row group: some 20 MB of 512-dimensional templates while it is written


def write_table(path: Path, records: Iterable[dict[str, Any]], model: ModelId) -> None:
    """One row a face; a photograph without one has a row with face −1 and its status.

    Args:
        path: `.parquet` (with the model in the schema's metadata), `.npz` (arrays, no pickle) or `.jsonl`.
        records: one per photograph: path, status, message, faces as of `face_record` with templates. Read
            once, a few at a time; only `.npz` holds all of them (as arrays) in memory.
        model: whose templates they are.

    Raises:
        OutputFailed: the place cannot be written.
    """
    rows = (row for record in records for row in _rows(record))
    identity = {"model": readable(model.name), "digest": model.digest}
    write = {".jsonl": _jsonl, ".npz": _npz}.get(path.suffix.lower(), _parquet)
    with replacing(path, private=True) as stream:
        write(stream, rows, identity)


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    base = {
        "path": readable(record["path"]),
        "status": record["status"],
        "message": readable(record["message"]),
    }
    blank = {"score": None, "angle": None, "box": None, "points": None, "norm": None, "template": None}
    if not record["faces"]:
        return [{**base, "face": -1, **blank, "quality": None}]
    return [
        {
            **base,
            "face": i,
            "score": face["score"],
            "angle": face["angle"],
            "box": face["box"],
            "points": [v for name in POINT_NAMES for v in face["points"][name]],
            "norm": face.get("norm"),
            "template": face.get("template"),
            "quality": face.get("quality"),
        }
        for i, face in enumerate(record["faces"])
    ]


def _jsonl(stream: BinaryIO, rows: Iterable[dict[str, Any]], identity: dict[str, str]) -> None:
    stream.writelines((json.dumps({**row, **identity}, ensure_ascii=False) + "\n").encode() for row in rows)


def _parquet(stream: BinaryIO, rows: Iterator[dict[str, Any]], identity: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("path", pa.string()),
            ("status", pa.string()),
            ("message", pa.string()),
            ("face", pa.int32()),
            ("score", pa.float32()),
            ("angle", pa.float32()),
            ("box", pa.list_(pa.float32())),
            ("points", pa.list_(pa.float32())),
            ("norm", pa.float32()),
            ("template", pa.list_(pa.float32())),
            *((name, pa.float32()) for name in FACTS),
        ],
        metadata=identity,
    )
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while group := [_flat(row) for row in islice(rows, ROWS_AT_A_TIME)]:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    quality = row["quality"] or {}
    return {k: v for k, v in row.items() if k != "quality"} | {name: quality.get(name) for name in FACTS}


_NUMBERS: dict[str, tuple[type, tuple[int, ...]]] = {
    "face": (np.int32, ()),
    "score": (np.float32, ()),
    "angle": (np.float32, ()),
    "box": (np.float32, (4,)),
    "points": (np.float32, (5, 2)),
    "norm": (np.float32, ()),
    **dict.fromkeys(FACTS, (np.float32, ())),
}


def _npz(stream: BinaryIO, rows: Iterable[dict[str, Any]], identity: dict[str, str]) -> None:
    """Faces with a template in one set of columns, all other rows in columns called `failed_…`."""
    embedded: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    templates: list[np.ndarray] = []
    for row in rows:
        vector = row.pop("template")
        if vector is None:
            failed.append(row)
        else:
            templates.append(np.array(vector, dtype=np.float32))
            # A fact that was not measured is None, which float32 makes NaN.
            embedded.append(_flat(row))
    columns: dict[str, np.ndarray] = {
        name: np.array([row[name] for row in embedded], dtype=kind).reshape(-1, *shape)
        for name, (kind, shape) in _NUMBERS.items()
    }
    columns["template"] = np.stack(templates) if templates else np.zeros((0, 0), np.float32)
    for name in ("path", "status", "message"):
        columns[name] = np.array([row[name] for row in embedded], dtype=np.str_)
        columns[f"failed_{name}"] = np.array([row[name] for row in failed], dtype=np.str_)
    columns["failed_face"] = np.array([row["face"] for row in failed], dtype=np.int32)
    columns["model"] = np.array([identity["model"], identity["digest"]], dtype=np.str_)
    np.savez(stream, **columns)  # type: ignore[arg-type]  (the stubs see allow_pickle among the names)
