"""`FaceAnalysis`: pictures in, lists of `Face` out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from lineament.app.common import Face
from lineament.app.devices import Devices
from lineament.app.drawing import draw_faces
from lineament.app.model_zoo.arcface_onnx import ArcFaceONNX
from lineament.app.model_zoo.base import TASK_NAMES, Model
from lineament.app.model_zoo.model_zoo import open_model
from lineament.app.model_zoo.scrfd import SCRFD
from lineament.app.packs import find_pack
from lineament.app.pictures import bgr_pixels, rgb_pixels
from lineament.attributes.gender_age import GenderAge
from lineament.attributes.landmarks import Landmarks
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.packs.card import Pack
from lineament.packs.store import Store
from lineament.pipeline.batch import in_order

COLUMNS: Final[Mapping[str, str]] = {
    "landmarks_106": "landmark_2d_106",
    "landmarks_68": "landmark_3d_68",
    "pose": "pose",
    "gender": "gender",
    "age": "age",
}
"""Columns of `Attributes` → items of a `Face`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The faces of one picture and their crops, before they are embedded."""

    faces: list[Face]
    crops: UInt8[np.ndarray, "k s s 3"] | None
    usable: np.ndarray


class FaceAnalysis:
    """Finds, embeds and describes faces with the networks of a pack.

    Args:
        name: a pack: its name in `<root>/models`, a folder, or a name in this package's own store
            (`default` is the pack that is always there).
        root: insightface's folder.
        allowed_modules: insightface's names of the tasks to load (`detection` must be among them); None
            loads all that the pack has.
        providers: execution providers, first choice first; see `lineament.app.devices`. None tries CUDA,
            then the processor; `app.device` says what runs.
        provider_options: one mapping per provider, or a mapping from name to mapping.
        sess_options: an `onnxruntime.SessionOptions`.
        threads: threads inside one network call; 0 means every processor this process may use.
        store: this package's packs; None for the user's own store.
        addons: must be empty: insightface's add-ons are not offered here.
        liveness_mode, liveness_threshold, static_shape_sessions, resolution_session_factory, download,
            download_zip: accepted and ignored, so that existing calls keep working. Sessions take any size
            here, and nothing is downloaded.

    Raises:
        PackNotFound: no such pack; the message has the command that installs it.
        PackBroken, PackUnrecognised: the folder is there and cannot be used; the message lists what it holds.
        InvalidArgument: an argument is out of range.

    Networks are loaded by `prepare`, or at the first call. One object may be used by many threads at once,
    also while `prepare` runs, and can be pickled into other processes.
    """

    def __init__(
        self,
        name: str | Path | Pack = "buffalo_l",
        root: str | Path = "~/.insightface",
        allowed_modules: Sequence[str] | None = None,
        *,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        sess_options: Any = None,
        threads: int = 0,
        store: Store | None = None,
        addons: Sequence[str] | None = None,
        liveness_mode: str = "normal",
        liveness_threshold: float = 0.8,
        static_shape_sessions: bool = True,
        resolution_session_factory: Any = None,
        download: bool = False,
        download_zip: bool = False,
    ) -> None:
        if addons:
            raise InvalidArgument(f"add-ons of insightface are not offered here: {', '.join(addons)}")
        devices = Devices.of(providers, provider_options, sess_options, threads)
        self.pack = find_pack(name, root, store)
        self.model_dir = str(self.pack.folder)
        self.models: dict[str, Model[Any]] = {
            TASK_NAMES[card.task]: open_model(self.pack, card, devices)
            for card in self.pack.card.models
            if _allowed(TASK_NAMES[card.task], allowed_modules)
        }
        detector = self.models.get("detection")
        if not isinstance(detector, SCRFD):
            raise InvalidArgument("faces cannot be found without 'detection': add it to allowed_modules")
        self.det_model = detector
        self.addons: dict[str, Any] = {}
        self.model_package = None

    def __repr__(self) -> str:
        return f"FaceAnalysis({self.pack.card.name}: {', '.join(self.models)})"

    @property
    def det_thresh(self) -> float:
        """Smallest confidence of a face, 0..1."""
        return self.det_model.det_thresh

    @property
    def det_size(self) -> Any:
        """(width, height) of detection, or a list of such pairs when there are several passes."""
        sizes = self.det_model.input_sizes
        return sizes[0] if len(sizes) == 1 else sizes

    @property
    def device(self) -> str:
        """What really runs the networks, for example `onnxruntime:CPUExecutionProvider`."""
        return self.det_model.device

    def prepare(
        self, ctx_id: int = 0, det_thresh: float | None = None, det_size: Any = None, **settings: Any
    ) -> None:
        """Choose the device, load the networks, and say how to search for faces.

        Args:
            ctx_id: below 0 the processor; n ≥ 0 the graphics processor number n where one is among the
                providers, and without effect where none is.
            det_thresh: smallest confidence; None for the detector's own (SCRFD 0.5, YuNet 0.6).
            det_size: (width, height) pixels into which a picture is fitted before detection, keeping its
                aspect ratio; a list of such pairs for several passes; None or (0, 0) for the automatic two
                passes, 128×128 and 640×640, which also find faces that fill the frame. Any size works; it
                is rounded up to the network's stride.
            **settings: fields of `DetectionSettings`, for example `angles=(0, 90, 180, 270)` for turned
                pictures, `clip=True` for boxes inside the picture, `min_size=40`.

        Raises:
            RuntimeUnavailable: a provider is not there and no fallback is allowed.
            InvalidArgument: a setting is unknown or out of range.
        """
        for model in self.models.values():
            if model is not self.det_model:
                model.prepare(ctx_id)
        self.det_model.prepare_anew(ctx_id, det_thresh, det_size, settings)

    def get(
        self,
        img: Any,
        max_num: int = 0,
        det_metric: str = "default",
        *,
        color: str = "bgr",
        value_range: tuple[float, float] | None = None,
    ) -> list[Face]:
        """The faces of one picture, with everything that the pack's networks say of them.

        Args:
            img: an array (blue-green-red unless `color="rgb"`), a path, encoded bytes, a file object or a
                Pillow image.
            max_num: keep at most this many; 0 keeps all.
            det_metric: which stay: `default`, area less twice the squared distance from the middle of the
                picture; `max`, area.
            color: order of an array's channels, `bgr` or `rgb`.
            value_range: the values that mean black and white in an array that is not uint8.

        Returns:
            By score; by the metric when `max_num` cuts. Empty when there is no face.

        Raises:
            ImageError: the picture cannot be used.
            InvalidArgument: an argument is out of range.
        """
        seen = self._look(rgb_pixels(img, color, value_range), max_num, det_metric)
        self._embed([seen])
        return seen.faces

    def get_batch(
        self,
        images: Iterable[Any],
        batch_size: int = 32,
        max_num: int = 0,
        det_metric: str = "default",
        *,
        color: str = "bgr",
        value_range: tuple[float, float] | None = None,
    ) -> list[list[Face]]:
        """The faces of many pictures, in order, equal to `get` on each up to the last digits.

        Pictures are searched side by side, one thread each, and their faces embedded together.

        Args:
            images: as for `get`.
            batch_size: pictures held at a time.
            max_num, det_metric, color, value_range: as for `get`.

        Raises:
            ImageError: a picture cannot be used; nothing is returned for the others. Use
                `Recognizer.analyze_many` to have bad ones reported in their place.
            InvalidArgument: an argument is out of range.
        """
        if batch_size < 1:
            raise InvalidArgument(f"a batch holds 1 picture or more, not {batch_size}")

        def look(img: Any) -> _Seen:
            return self._look(rgb_pixels(img, color, value_range), max_num, det_metric, threads)

        workers = self.det_model.runtime.thread_count
        threads = 1 if workers > 1 else None
        found: list[list[Face]] = []
        held: list[_Seen] = []
        for result in in_order(images, look, workers):
            if result.error is not None:
                raise result.error
            if result.value is not None:
                held.append(result.value)
                found.append(result.value.faces)
            if len(held) == batch_size:
                self._embed(held)
                held = []
        self._embed(held)
        return found

    def embed_aligned(self, crops: Any, *, color: str = "bgr") -> np.ndarray:
        """Raw embeddings (n, d) of faces that are already aligned; see `ArcFaceONNX.get_feat`.

        Raises:
            InvalidArgument: the pack has no recognition network, or a crop has another size.
        """
        recogniser = self._recogniser
        if recogniser is None:
            raise InvalidArgument("this analysis has no 'recognition' network, so it cannot embed")
        return recogniser.get_feat(crops, color=color)

    def draw_on(self, img: Any, faces: Iterable[Face]) -> UInt8[np.ndarray, "h w 3"]:
        """A blue-green-red copy of a picture with boxes, points, and sex and age where known."""
        return draw_faces(bgr_pixels(img), faces)

    @property
    def _recogniser(self) -> ArcFaceONNX | None:
        model = self.models.get("recognition")
        return model if isinstance(model, ArcFaceONNX) else None

    def _look(
        self, pixels: UInt8[np.ndarray, "h w 3"], max_num: int, metric: str, threads: int | None = None
    ) -> _Seen:
        """Everything about one picture but the embeddings."""
        settings = self.det_model.settings
        found = self.det_model.find(pixels, max_num, metric, settings, threads)
        turned = len(settings.angles) > 1
        faces = [self._face(found, row, turned) for row in range(len(found))]
        for model in self.models.values():
            _describe(faces, found, pixels, model, threads)
        recogniser = self._recogniser
        if recogniser is None or not faces:
            return _Seen(faces, None, np.zeros(0, bool))
        return _Seen(faces, *recogniser.crops(pixels, found.points))

    def _face(self, found: Faces, row: int, turned: bool) -> Face:
        # Columns are shared and read-only; a face's own arrays may be changed.
        face = Face(bbox=found.boxes[row].copy(), det_score=found.scores[row])
        if self.det_model.use_kps:
            face["kps"] = found.points[row].copy()
        if turned and found.angles is not None:
            face["angle"] = int(found.angles[row])
        return face

    def _embed(self, pictures: Sequence[_Seen]) -> None:
        """Embed the faces of several pictures together."""
        recogniser = self._recogniser
        cut = [seen for seen in pictures if seen.crops is not None]
        if recogniser is None or not cut:
            return
        crops = np.concatenate([seen.crops for seen in cut if seen.crops is not None])
        usable = np.concatenate([seen.usable for seen in cut])
        recogniser.embed_into([face for seen in cut for face in seen.faces], (crops, usable))


def _allowed(task: str, allowed: Sequence[str] | None) -> bool:
    return allowed is None or task in allowed


def _describe(
    faces: list[Face],
    found: Faces,
    pixels: UInt8[np.ndarray, "h w 3"],
    model: Model[Any],
    threads: int | None,
) -> None:
    """Store what an attribute network says of all faces."""
    part = model.part(threads) if model.card.task not in ("detection", "recognition") else None
    if not faces or not isinstance(part, GenderAge | Landmarks):
        return
    said = part.describe(pixels, found)
    for column, item in COLUMNS.items():
        values = getattr(said, column)
        if values is None:
            continue
        for face, value in zip(faces, values, strict=True):
            face[item] = int(value) if item == "age" else np.copy(value) if value.ndim else value
