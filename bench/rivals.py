"""Both sides of `side_by_side.py`: the same ONNX files in the hands of insightface and of lineament."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

from lineament import Faces, Recognizer, RuntimeOptions, Store
from lineament.packs.card import Pack
from lineament.packs.insightface import import_files, read_insightface
from lineament.vision.boxes import intersection_over_union
from lineament.vision.fit import fit
from measure import best_cpu

Found = tuple[np.ndarray, np.ndarray]
"""Boxes (n, 4) and unit embeddings (n, d) of one photograph."""

DETECTOR = "scrfd_500m_kps.onnx"
RECOGNISER = "fr_feature.onnx"
FREE_OF_TINY = 1e-15
"""Weights of smaller magnitude are made zero in the copy that `without_tiny` writes."""


def make_pack(models: Path, folder: Path, recogniser: Path | None = None) -> Path:
    """A folder with the detector and a recogniser, as both sides load it."""
    folder.mkdir(parents=True)
    shutil.copyfile(models / DETECTOR, folder / DETECTOR)
    source = recogniser or models / RECOGNISER
    shutil.copyfile(source, folder / source.name)
    return folder


def quantised(source: Path, target: Path, crops: np.ndarray) -> Path:
    """A copy with 8-bit weights and activations (Q/DQ nodes), calibrated on RGB crops (n, s, s, 3)."""
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    name = onnx.load(source, load_external_data=False).graph.input[0].name

    class Crops(CalibrationDataReader):
        """One crop at a time, as insightface feeds them."""

        def __init__(self) -> None:
            self.rows = iter(crops)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next input, or None."""
            row = next(self.rows, None)
            if row is None:
                return None
            return {name: cv2.dnn.blobFromImage(row, 1 / 127.5, row.shape[:2], (127.5,) * 3)}

    logging.disable(logging.WARNING)  # the tool advises a preprocessing that this graph does not need
    quantize_static(
        str(source),
        str(target),
        Crops(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    logging.disable(logging.NOTSET)
    return target


def without_tiny(source: Path, target: Path) -> int:
    """Copy a network with its tiny weights made zero, and say how many those were.

    They change no answer, but some processors calculate with them very slowly, and insightface does not
    guard against it: with this copy it is measured at its best.
    """
    model = onnx.load(source)
    count = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tiny = (np.abs(values) < FREE_OF_TINY) & (values.view(np.int32) << 1 != 0)
            count += int(tiny.sum())
            tensor.CopyFrom(numpy_helper.from_array(np.where(tiny, np.float32(0), values), tensor.name))
    onnx.save(model, target)
    return count


def imported(folder: Path, store: Path) -> Pack:
    """The pack as our importer keeps it: batch and picture size made free where the graph allows."""
    return import_files(read_insightface(folder), Store(store), name=folder.name)


class Insightface:
    """insightface 2.1 in its natural use.

    Args:
        folder: the pack.
        det_size: (640, 640), or None for its automatic choice.
    """

    def __init__(self, folder: Path, det_size: tuple[int, int] | None = (640, 640)) -> None:
        from insightface.app import FaceAnalysis

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.app = FaceAnalysis(str(folder), providers=["CPUExecutionProvider"])
            self.app.prepare(ctx_id=-1, det_size=det_size)

    def one(self, path: Path) -> list[Any]:
        """Faces of one photograph."""
        return self.app.get(cv2.imread(str(path)))

    def folder(self, paths: list[Path]) -> list[list[Any]]:
        """Faces of every photograph, one after the other."""
        return [self.one(path) for path in paths]


def theirs(faces: list[Any]) -> Found:
    """An answer of insightface."""
    boxes = np.array([f.bbox for f in faces], np.float32).reshape(-1, 4)
    return boxes, np.array([f.normed_embedding for f in faces], np.float32).reshape(len(faces), -1)


def ours(faces: Faces) -> Found:
    """An answer of ours; faces without a template left out."""
    rows = faces.template_rows
    assert rows is not None and faces.templates is not None
    return faces.boxes[rows >= 0], faces.templates.vectors[rows[rows >= 0]]


def folder_of(recognizer: Recognizer, paths: list[Path]) -> Callable[[], list[Faces]]:
    """Our way through a folder."""
    return lambda: [result.faces for result in recognizer.analyze_many(paths)]


def agreement(a: list[Found], b: list[Found]) -> dict[str, Any]:
    """Faces on both sides, and cosines of embeddings of the same faces (overlap above a half)."""
    cosines: list[float] = []
    for (boxes_a, vectors_a), (boxes_b, vectors_b) in zip(a, b, strict=True):
        if not len(boxes_a) or not len(boxes_b):
            continue
        overlap = intersection_over_union(boxes_a, boxes_b)
        for i, j in enumerate(overlap.argmax(axis=1)):
            if overlap[i, j] > 0.5:
                cosines.append(float(vectors_a[i].astype(np.float64) @ vectors_b[j]))
    return {
        "faces": [sum(len(f[0]) for f in side) for side in (a, b)],
        "same": len(cosines),
        "cosine_min": min(cosines, default=None),
        "cosine_median": float(np.median(cosines)) if cosines else None,
    }


def floor(recognizer: Recognizer, paths: list[Path], faces: int, repeats: int) -> dict[str, float]:
    """Processor milliseconds per photograph of decoding and of the two networks alone, one thread each.

    Args:
        recognizer: whose networks and input sizes.
        paths: photographs; five of them are measured.
        faces: found in all photographs together.
        repeats: the best of so many.
    """
    parts = recognizer.parts(1)
    detector, embedder = parts.sessions[:2]
    search = getattr(parts.detector, "search", parts.detector)
    some = paths[:: max(1, len(paths) // 5)][:5]
    decoding, detection = 0.0, 0.0
    for path in some:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        decoding += best_cpu(lambda e=encoded: cv2.imdecode(e, cv2.IMREAD_COLOR), repeats)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        fixed = search.family.fixed_size
        for size in (fixed,) if fixed else search.settings.sizes:
            canvas = fit(pixels, size, search.family.stride, fixed is None and search.settings.tight).canvas
            blob = cv2.dnn.blobFromImage(canvas)
            detection += best_cpu(lambda b=blob: detector.run(b), repeats)
    side = recognizer.pack.card.model("recognition").size[0]  # type: ignore[union-attr]  (these packs have one)
    crop = np.random.default_rng(0).normal(0, 0.5, (1, 3, side, side)).astype(np.float32)
    embedding = best_cpu(lambda: embedder.run(crop), repeats) * faces / len(paths)
    return {
        "decode": decoding / len(some) * 1e3,
        "detect": detection / len(some) * 1e3,
        "embed": embedding * 1e3,
    }


def options(**values: Any) -> RuntimeOptions:
    """Runtime options, every processor."""
    return RuntimeOptions(**values)
