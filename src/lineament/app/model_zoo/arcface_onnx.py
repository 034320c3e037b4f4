"""Recognition networks."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lineament.app.common import Face
from lineament.app.model_zoo.base import Model
from lineament.app.pictures import rgb_pixels
from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.embed.onnx import OnnxEmbedder
from lineament.runtime.session import Session, finite
from lineament.vision.align import align, alignable

log = logging.getLogger("lineament.app")


class ArcFaceONNX(Model[OnnxEmbedder]):
    """A recognition network: aligned crops in, embeddings out. Arguments as for `Model`."""

    TASKS = ("recognition",)

    def _build(self, session: Session) -> OnnxEmbedder:
        return OnnxEmbedder(self.card, session, self.name)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of a crop, pixels."""
        return self.card.size

    @property
    def output_shape(self) -> list[int | None]:
        """[batch, dimension]."""
        return [self.card.batch or None, self.card.dimension]

    @property
    def _alignment(self) -> str:
        # Packs name the template, files of other sizes scale it.
        return f"arcface-{self.card.size[0]}"

    def get(self, img: Any, face: Face, *, color: str = "bgr") -> np.ndarray | None:
        """Embed one face of a picture and store it as `face.embedding`.

        Args:
            img: the picture; arrays are blue-green-red unless `color="rgb"`.
            face: with `kps`.

        Returns:
            float32 (d,), raw; None, with a logged warning, when the points determine no alignment.

        Raises:
            InvalidArgument: the face has no points.
        """
        if face.kps is None:
            raise InvalidArgument("the face has no kps: embed an aligned crop with get_feat instead")
        points = np.asarray(face.kps, np.float32).reshape(1, 5, 2)
        self.embed_into([face], self.crops(rgb_pixels(img, color), points))
        return face.embedding

    def crops(
        self, pixels: UInt8[np.ndarray, "h w 3"], points: np.ndarray
    ) -> tuple[UInt8[np.ndarray, "k s s 3"], np.ndarray]:
        """RGB crops of the faces that can be aligned, and which faces those are (mask of length n)."""
        usable = alignable(points)
        return align(pixels, points[usable], self._alignment).pixels, usable

    def embed_into(self, faces: Sequence[Face], crops: tuple[np.ndarray, np.ndarray]) -> None:
        """Store the embeddings of RGB crops in their faces, None in those that have no crop."""
        pixels, usable = crops
        raw = iter(self.part().raw(pixels))
        for face, there in zip(faces, usable, strict=True):
            face.embedding = np.array(next(raw), np.float32) if there else None
        if not usable.all():
            log.warning(
                "%d of %d faces have points that coincide or are not numbers: no embedding for them",
                int((~usable).sum()),
                len(usable),
            )

    def get_feat(self, imgs: Any, *, color: str = "bgr") -> np.ndarray:
        """Raw embeddings of faces that are already aligned.

        Args:
            imgs: one crop (s, s, 3), a list of them, or an array (n, s, s, 3); uint8.
            color: order of their channels.

        Returns:
            float32 (n, d), not of unit length.

        Raises:
            InvalidArgument: a crop of another size; nothing is resized, for that would distort faces.
        """
        batch = [imgs] if isinstance(imgs, np.ndarray) and imgs.ndim == 3 else list(imgs)
        for crop in batch:
            if np.shape(crop)[:2] != self.input_size[::-1]:
                raise InvalidArgument(
                    f"this network takes crops of {self.input_size[0]}×{self.input_size[1]} pixels, not of "
                    f"shape {np.shape(crop)}: align faces with face_align.norm_crop(img, kps, "
                    f"{self.input_size[0]})"
                )
        if not batch:
            return np.zeros((0, self.card.dimension), np.float32)
        return self.part().raw(np.stack([rgb_pixels(crop, color) for crop in batch]))

    def compute_sim(self, feat1: Any, feat2: Any) -> float:
        """Cosine of the angle between two embeddings, −1..1.

        Raises:
            TemplateInvalid: one of them is zero, not finite, or of another length.
        """
        a, b = (np.asarray(feat, np.float64).ravel() for feat in (feat1, feat2))
        if a.shape != b.shape:
            raise TemplateInvalid(f"embeddings of {a.size} and {b.size} numbers cannot be compared")
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        if not np.isfinite(lengths) or lengths == 0:
            raise TemplateInvalid("an embedding that is zero or not finite is like no other: embed it again")
        return float(np.clip(a @ b / lengths, -1.0, 1.0))

    def forward(self, batch_data: Any) -> np.ndarray:
        """Raw outputs of a batch of RGB crops, float (n, 3, s, s), values 0..255."""
        batch = np.asarray(batch_data, np.float32)
        if batch.ndim != 4 or batch.shape[1] != 3:
            raise InvalidArgument(f"a batch has shape (n, 3, s, s), not {batch.shape}")
        if self.card.colour == "bgr":
            batch = batch[:, ::-1]
        blob = np.ascontiguousarray((batch - self.card.mean) / self.card.std, np.float32)
        return finite(self.part().session.run(blob)[:1], self.card.file)[0]
