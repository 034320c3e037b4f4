"""From photographs to aligned crops that can be trained on: detect, choose the subject's face, align.

The crops are, bit for bit, those that an evaluation embeds for the same photographs (`acquire.py`): the same
decoding, detector, choice of face and alignment. Only the recognition network is left out, which takes most
of an evaluation's time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import OutputFailed
from lineament.core.faces import Faces
from lineament.core.template import ModelId, Templates
from lineament.datasets.port import Pictures
from lineament.pipeline.batch import in_order
from lineament.pipeline.policy import FacePolicy, choose
from lineament.pipeline.recognizer import (
    Recognizer,
    crops_of_faces,
    for_detection,
)
from lineament.vision.align import alignable
from lineament.vision.decode import open_picture

SIZE: Final = 112
JPEG_QUALITY: Final = 95
Encoding = Literal["jpeg", "png"]
SUFFIXES: Final[dict[Encoding, str]] = {"jpeg": ".jpg", "png": ".png"}

_NOBODY: Final = ModelId("none", "0" * 64)
# Larger than any detector's stride and smaller than anything that takes time.
_SMALL: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Cropped:
    """What became of one photograph.

    Attributes:
        pixels: uint8 (s, s, 3) RGB, the subject's aligned face; None when there is none.
        reason: why there is none, a stable name such as `no_face`; empty otherwise.
        message: the same for people.
        faces: how many were found; above 1, the policy chose among them.
    """

    pixels: UInt8[np.ndarray, "s s 3"] | None
    reason: str = ""
    message: str = ""
    faces: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class EncodedCrop:
    """The same, as it is kept.

    Attributes:
        name: of the photograph in its set.
        content: the encoded crop, or None.
        reason, message, faces: as in `Cropped`.
    """

    name: str
    content: bytes | None
    reason: str = ""
    message: str = ""
    faces: int = 0


class SubjectCrops:
    """Aligned crops of the persons whom photographs are of.

    Args:
        recognizer: whose detector is used; its recognition network is never opened.
        policy: which face of a photograph is the subject's.
        size: side of the crops, pixels: a multiple of 112 or of 128.
        workers: photographs at a time; None for one per thread.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        policy: FacePolicy = "most_central",
        size: int = SIZE,
        workers: int | None = None,
    ) -> None:
        self.recognizer = recognizer
        self.policy: FacePolicy = policy
        self.alignment = f"arcface-{size}"
        self.workers = workers or recognizer.runtime.thread_count

    def crop(self, source: Any, *, threads: int | None = None) -> Cropped:
        """The subject's face of one photograph, or why there is none.

        Args:
            source: as for `Recognizer.analyze`.
            threads: of each network call; None as the runtime options say.

        Raises:
            ImageError: the picture cannot be used.
            InvalidArgument: no such policy, or a size without an alignment.
        """
        picture = open_picture(source, limits=self.recognizer.limits)
        image = for_detection(picture)
        detector = self.recognizer.parts(threads).detector
        found = _with_stand_ins(detector.detect(image.pixels).scaled(1 / image.scale))
        choice = choose(found, self.policy, picture.full_size, None)
        if choice.face is None:
            why = next(reason for reason in choice.reasons if reason.blocking)
            return Cropped(None, why.code, why.message, len(found))
        points = found.points[alignable(found.points)]
        # Of all faces, as a recognizer makes them: the smallest one decides how far the picture is decoded.
        crops = crops_of_faces(picture, image, points, self.alignment)
        row = int(np.flatnonzero((points == choice.face.points).all(axis=(1, 2)))[0])
        return Cropped(crops.pixels[row], faces=len(found))

    def crop_many(
        self, pictures: Pictures, names: Sequence[str], encoding: Encoding
    ) -> Iterator[EncodedCrop]:
        """Encoded crops of many photographs, several at a time, in the order of `names`.

        A photograph that cannot be used has its reason in its place and stops nobody. Closing the iterator,
        or Ctrl-C, cancels what has not begun.

        Raises:
            PackError, RuntimeUnavailable: the detector cannot be opened, before any photograph is read.
        """
        threads = 1 if self.workers > 1 else self.recognizer.runtime.thread_count
        self.recognizer.parts(threads).detector.detect(np.zeros((_SMALL, _SMALL, 3), np.uint8))

        def work(name: str) -> EncodedCrop:
            made = self.crop(pictures.read(name), threads=threads)
            content = None if made.pixels is None else encode(made.pixels, encoding)
            return EncodedCrop(name, content, made.reason, made.message, made.faces)

        for result in in_order(names, work, self.workers):
            if result.value is not None:
                yield result.value
            elif result.error is not None:
                yield EncodedCrop(result.source, None, result.error.reason, result.error.message)


def encode(pixels: UInt8[np.ndarray, "h w 3"], encoding: Encoding) -> bytes:
    """A crop as a file: JPEG of quality 95, or PNG, which keeps every bit.

    Raises:
        OutputFailed: the encoder refuses.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if encoding == "jpeg" else []
    done, encoded = cv2.imencode(SUFFIXES[encoding], np.ascontiguousarray(pixels[:, :, ::-1]), options)
    if not done:
        raise OutputFailed(f"cannot encode a crop of shape {pixels.shape} as {encoding}")
    return encoded.tobytes()


def _with_stand_ins(faces: Faces) -> Faces:
    """Faces with a template for each that can be aligned: the choice asks whether there is one, not what."""
    usable = np.flatnonzero(alignable(faces.points))
    rows = np.full(len(faces), -1)
    rows[usable] = np.arange(len(usable))
    stand_ins = Templates.from_raw(np.ones((len(usable), 1), np.float32), _NOBODY)
    return replace(faces, templates=stand_ins, template_rows=rows)
