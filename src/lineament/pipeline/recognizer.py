"""The story: picture → faces → crops → templates.

A `Recognizer` holds two sets of networks over the same files: one that gives every processor to a single
picture, and one whose networks use one thread each, for many pictures side by side (`analyze_many`), which
finishes a folder about twice as fast. Each set is opened when it is first needed.
"""

import hashlib
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Attributes, Faces, rescaled
from lineament.core.image import Image
from lineament.core.ports import Captured
from lineament.core.template import ModelId, Templates
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason, Verdict
from lineament.packs.card import Pack
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.pipeline.batch import Result, in_order
from lineament.pipeline.compare import Side, decide, find_threshold
from lineament.pipeline.parts import Parts, PartSettings, build
from lineament.pipeline.policy import POLICIES, FacePolicy, choose
from lineament.runtime.options import RuntimeOptions
from lineament.vision.align import align, alignable, motions_to, scale_of, template
from lineament.vision.decode import Limits, Picture, open_picture
from lineament.vision.quality import QualityLimits, measure, problems

# A picture is decoded so that its longer side keeps at least twice the detector's 640 pixels: detection then
# sees the same picture as from full size. Very large ones keep one and a half times: a quarter of a JPEG of
# 12 megapixels decodes sooner than a half, and shrinking it on to 640 pixels leaves no detail behind.
DETECTION_PIXELS = 1280
DETECTION_PIXELS_OF_LARGE = 960
LARGE = 4 * DETECTION_PIXELS_OF_LARGE


def for_detection(picture: Picture) -> Image:
    """The picture, decoded as far as detection needs."""
    large = max(picture.full_size) >= LARGE
    return picture.decode(at_least=DETECTION_PIXELS_OF_LARGE if large else DETECTION_PIXELS)


# Norm of the sum of both views in norms of one: the smallest ratio over LFW's 13,233 pictures (median 1.99).
MIRRORED_NORM = 1.87

# One set of networks for single pictures, one for many, and one more for a caller with a wish of its own.
SETS_KEPT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """One picture and its faces."""

    picture: Picture
    faces: Faces
    crops: Crops | None
    """Aligned crops, one per face with usable points, in the order of `faces`; None when not asked for."""


class Recognizer:
    """Finds, aligns, embeds and compares faces.

    Args:
        pack: a name in the store, a path, a `Pack`, or None for the default pack.
        store: where packs lie; None for the user's own store.
        runtime: engine, providers, threads, precision.
        settings: detection, refinement, views, attributes.
        quality: the quality gate of `compare`; None switches the gate (not the measurement) off. Where it
            has no limit on the norm, the model card's own is used.
        limits: how large a picture may be.
        thresholds: measured thresholds besides those of the pack's card.

    Raises:
        PackError: the pack is not there, damaged, or cannot do the job.
        RuntimeUnavailable: at the first use, when engine, provider or precision is not on this machine.

    A recognizer may be used by many threads at once, and can be pickled into other processes.
    """

    def __init__(
        self,
        pack: str | Path | Pack | None = None,
        *,
        store: Store | None = None,
        runtime: RuntimeOptions | None = None,
        settings: PartSettings | None = None,
        quality: QualityLimits | None = QualityLimits(),  # noqa: B008  (frozen)
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        thresholds: tuple[Threshold, ...] = (),
    ) -> None:
        self.pack = open_pack(pack, store)
        self.runtime = runtime or RuntimeOptions()
        self.settings = settings or PartSettings()
        self.quality_limits = quality if quality is None else self._with_norm(quality)
        self.limits = limits
        self.thresholds = (*thresholds, *self.pack.card.thresholds)
        self._lock = threading.Lock()
        self._parts: dict[int, Parts] = {}

    def _with_norm(self, limits: QualityLimits) -> QualityLimits:
        """The limits with the model's own smallest norm, where its card has one and the caller gave none."""
        card = self.pack.card.model("recognition")
        if limits.norm is not None or card is None or not card.smallest_norm:
            return limits
        if self.settings.views == "mirrored_unit_sum":
            return limits  # the length of a sum of unit vectors says nothing about the face
        views = 1.0 if self.settings.views == "one" else MIRRORED_NORM
        return replace(limits, norm=card.smallest_norm * views)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_parts")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._parts = {}

    def parts(self, threads: int | None = None) -> Parts:
        """Networks that use `threads` threads per call (None: as the runtime options say)."""
        count = threads or self.runtime.thread_count
        with self._lock:
            if count not in self._parts:
                if len(self._parts) >= SETS_KEPT:
                    self._parts.pop(next(iter(self._parts)))
                self._parts[count] = build(self.pack, self.settings, replace(self.runtime, threads=count))
            return self._parts[count]

    @property
    def model(self) -> ModelId:
        """Whose templates these are."""
        return self.parts().embedder.model

    @property
    def alignment(self) -> str:
        """Name of the alignment of crops, for example `arcface-112`."""
        return self.parts().embedder.alignment

    @property
    def dimension(self) -> int:
        """Length of a template; 0 for a pack without a recognition network."""
        card = self.pack.card.model("recognition")
        return 0 if card is None else card.dimension

    def detect(self, source: Any, **reading: Any) -> Faces:
        """Faces of one picture without templates; arguments as for `analyze`."""
        image = for_detection(open_picture(source, limits=self.limits, **reading))
        return self.parts().detector.detect(image.pixels).scaled(1 / image.scale)

    def analyze(self, source: Any, **reading: Any) -> Faces:
        """Faces of one picture, best first, with templates and quality.

        Args:
            source: a path, bytes, file object, PIL image, array or `Image`.
            reading: `colour="rgb"|"bgr"` and `value_range=(low, high)` for arrays; see `open_picture`.

        Returns:
            `Faces`, perhaps none; boxes and points in pixels of the full upright picture.

        Raises:
            ImageError: the picture cannot be used.
        """
        return self.inspect(source, **reading).faces

    def inspect(self, source: Any, *, threads: int | None = None, **reading: Any) -> Analysis:
        """As `analyze`, with the picture and the aligned crops."""
        picture = open_picture(source, limits=self.limits, **reading)
        return self._analyze(picture, self.parts(threads))

    def analyze_many(
        self, sources: Iterable[Any], *, workers: int | None = None, **reading: Any
    ) -> Iterator[Result[Analysis]]:
        """Analyse many pictures, several at a time, in order, with bad ones reported in their place.

        Args:
            sources: as for `analyze`; read only as far ahead as the workers need.
            workers: pictures at a time; None means one per thread of the runtime options.
            reading: as for `analyze`.

        Yields:
            One result per source: `result.faces`, or `result.error` when the picture cannot be used.
        """
        _check_workers(workers)
        if isinstance(sources, (str, bytes, os.PathLike)):
            raise InvalidArgument("analyze_many takes several pictures: for one, use analyze")
        count = workers or self.runtime.thread_count
        # One thread per network call: pictures run side by side, so calls need not.
        threads = 1 if count > 1 else self.runtime.thread_count
        self.parts(threads).open()
        return in_order(sources, lambda s: self.inspect(s, threads=threads, **reading), count)

    def align(self, source: Any, **reading: Any) -> Crops:
        """Aligned crops of all faces of one picture that have usable points, best first."""
        crops = self.inspect(source, **reading).crops
        size = self.parts().embedder.crop_size
        return crops or Crops(np.zeros((0, size, size, 3), np.uint8), np.zeros((0, 2, 3)))

    def embed_aligned(self, crops: Crops | np.ndarray) -> Templates:
        """Templates of faces that are already aligned.

        Args:
            crops: `Crops`, or uint8 (n, size, size, 3) RGB.

        Raises:
            InvalidArgument: an array of another type or shape.
        """
        if isinstance(crops, Crops):
            return self.parts().embedder.embed(crops)
        given = np.asarray(crops)
        if given.dtype != np.uint8 or given.ndim != 4 or given.shape[3] != 3:
            raise InvalidArgument(
                f"aligned crops are uint8 of shape (n, size, size, 3), RGB 0 to 255, not {given.dtype} of "
                f"shape {given.shape}: for one crop pass crop[None]"
            )
        crops = given
        motions = np.tile(np.eye(2, 3), (len(crops), 1, 1))
        return self.parts().embedder.embed(Crops(crops, motions))

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        fmr: float = 1e-4,
        threshold: float | Threshold | None = None,
        policy: FacePolicy = "exactly_one",
        **reading: Any,
    ) -> Verdict:
        """Are these two pictures of the same person?

        Args:
            a, b: pictures, as for `analyze`.
            fmr: false match rate to decide at: 0.0001 accepts one in ten thousand pairs of different
                people. A threshold must have been measured for it.
            threshold: overrides: a measured `Threshold`, or a bare cosine, which the verdict then marks.
            policy: which face is used; see `lineament.pipeline.policy`.
            reading: as for `analyze`.

        Raises:
            ThresholdMissing: none was measured for this model at this rate.
            ThresholdMismatch: the threshold given is for another model, or for search.
            ImageError: a picture cannot be used.
        """
        boundary = find_threshold(self.thresholds, self.model, fmr, threshold)
        first, second = self.inspect(a, **reading), self.inspect(b, **reading)
        sides = (self._side(first, policy, "a"), self._side(second, policy, "b"))
        return decide(*sides, boundary, self.model, self.parts().detector.name, policy)

    def capture_many(
        self,
        sources: Iterable[Any],
        *,
        policy: str = "exactly_one",
        gate: bool = True,
        workers: int | None = None,
    ) -> Iterator[Captured]:
        """What each picture offers to a gallery, in order; see `lineament.core.ports.Capturer`."""
        if policy not in POLICIES:
            raise InvalidArgument(f"no face policy is called {policy!r}: use one of {', '.join(POLICIES)}")
        for result in self.analyze_many(sources, workers=workers):
            if result.value is None:
                yield Captured(result.source, error=result.error)
            else:
                yield _captured(result.source, result.value, policy, self.quality_limits, gate)

    def _side(self, analysis: Analysis, policy: FacePolicy, name: str) -> Side:
        choice = choose(analysis.faces, policy, analysis.picture.full_size, self.quality_limits, name)
        return Side(analysis.picture.source, len(analysis.faces), choice)

    def _analyze(self, picture: Picture, parts: Parts) -> Analysis:
        image = for_detection(picture)
        faces = parts.detector.detect(image.pixels).scaled(1 / image.scale)
        usable = np.flatnonzero(alignable(faces.points))
        crops = crops_of_faces(picture, image, faces.points[usable], parts.embedder.alignment)
        quality = measure(crops.pixels, crops.motions, faces.points[usable], picture.full_size)
        rows = np.full(len(faces), -1)
        rows[usable] = np.arange(len(usable))
        described = replace(
            faces,
            templates=parts.embedder.embed(crops),
            template_rows=rows,
            quality=quality.spread(rows),
            attributes=_attributes(picture, faces, parts),
        )
        return Analysis(picture, described, crops)


def _captured(
    source: str, analysis: Analysis, policy: FacePolicy, limits: QualityLimits | None, gate: bool
) -> Captured:
    picture, faces = analysis.picture, analysis.faces
    choice = choose(faces, policy, picture.full_size, limits if gate else None)
    reasons, face = choice.reasons, choice.face
    if not gate and limits is not None and face is not None and face.quality and face.template:
        found = problems(face.quality, face.template.norm, limits)
        reasons = (*reasons, *(Reason(p.code, p.message) for p in found))
    crop = None
    if choice.index >= 0 and analysis.crops is not None and faces.template_rows is not None:
        crop = analysis.crops.pixels[int(faces.template_rows[choice.index])]
    return Captured(source, _digest(picture), face, crop, faces, reasons)


def _digest(picture: Picture) -> str:
    if picture.sha256:
        return picture.sha256
    pixels = picture.decode().pixels
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _check_workers(workers: object) -> None:
    if workers is None:
        return
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InvalidArgument(
            f"workers is a whole number from 1 up, or None for one per thread, not {workers!r}"
        )


def crops_of_faces(picture: Picture, image: Image, points: np.ndarray, alignment: str) -> Crops:
    """Crops from a reduced decoding where it holds as many pixels as the crop, else from a larger one.

    Args:
        picture: the photograph, which may be decoded again.
        image: the decoding that was searched.
        points: (n, 5, 2) of all faces, in pixels of the photograph; each must be alignable.
        alignment: for example `arcface-112`.
    """
    motions = motions_to(points, template(alignment))
    longer, needed = max(picture.full_size), float(scale_of(motions).max()) if len(points) else 0.0
    if image.scale < min(needed, 1.0):
        # The reduced picture has fewer pixels across a face than its crop.
        image = picture.decode(at_least=min(longer, math.ceil(needed * longer)))
    crops = align(image.pixels, rescaled(points, image.scale), alignment)
    return crops if image.scale == 1 else Crops(crops.pixels, motions)


def _attributes(picture: Picture, faces: Faces, parts: Parts) -> Attributes | None:
    if not parts.attributes:
        return None
    pixels = picture.decode().pixels
    found = [model.describe(pixels, faces) for model in parts.attributes]
    columns = {
        name: value
        for part in found
        for name in Attributes.__slots__
        if (value := getattr(part, name)) is not None
    }
    return Attributes(**columns)
