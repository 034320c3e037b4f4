"""Tables of faces on disk: Parquet, NumPy or JSON lines."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from lineament.cli.pictures import write_bytes
from lineament.core.template import ModelId
from lineament.pipeline.records import POINT_NAMES

SUFFIXES = (".parquet", ".npz", ".jsonl")


def write_table(path: Path, records: list[dict[str, Any]], model: ModelId) -> None:
    """One row a face; a photograph without one has a row with face −1 and its status.

    Args:
        path: `.parquet` (with the model in the schema's metadata), `.npz` (arrays, no pickle) or `.jsonl`.
        records: one per photograph: path, status, message, faces as of `face_record` with templates.
        model: whose templates they are.

    Raises:
        OutputFailed: the place cannot be written.
    """
    rows = [row for record in records for row in _rows(record)]
    identity = {"model": model.name, "digest": model.digest}
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        lines = [json.dumps({**row, **identity}, ensure_ascii=False) for row in rows]
        write_bytes(path, "".join(line + "\n" for line in lines).encode(), private=True)
    elif suffix == ".npz":
        write_bytes(path, _npz(rows, identity), private=True)
    else:
        write_bytes(path, _parquet(rows, identity), private=True)


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    base = {"path": record["path"], "status": record["status"], "message": record["message"]}
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


def _parquet(rows: list[dict[str, Any]], identity: dict[str, str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = sorted({name for row in rows for name in row["quality"] or {}})
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
            *((name, pa.float32()) for name in facts),
        ],
        metadata=identity,
    )
    flat = [_flat(row, facts) for row in rows]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(flat, schema), sink, compression="zstd")
    return sink.getvalue()


def _flat(row: dict[str, Any], facts: list[str]) -> dict[str, Any]:
    quality = row["quality"] or {}
    return {k: v for k, v in row.items() if k != "quality"} | {name: quality.get(name) for name in facts}


def _npz(rows: list[dict[str, Any]], identity: dict[str, str]) -> bytes:
    embedded = [row for row in rows if row["template"] is not None]
    dimension = len(embedded[0]["template"]) if embedded else 0
    templates = np.array([row["template"] for row in embedded], dtype=np.float32)
    sink = io.BytesIO()
    np.savez(
        sink,
        path=np.array([row["path"] for row in embedded], dtype=np.str_),
        face=np.array([row["face"] for row in embedded], dtype=np.int32),
        score=np.array([row["score"] for row in embedded], dtype=np.float32),
        box=np.array([row["box"] for row in embedded], dtype=np.float32).reshape(-1, 4),
        points=np.array([row["points"] for row in embedded], dtype=np.float32).reshape(-1, 5, 2),
        norm=np.array([row["norm"] for row in embedded], dtype=np.float32),
        template=templates.reshape(len(embedded), dimension),
        failed_path=np.array([row["path"] for row in rows if row["template"] is None], dtype=np.str_),
        failed_status=np.array([row["status"] for row in rows if row["template"] is None], dtype=np.str_),
        model=np.array([identity["model"], identity["digest"]], dtype=np.str_),
    )
    return sink.getvalue()
