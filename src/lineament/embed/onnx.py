"""Recognition networks: aligned crops in, templates out."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument, ModelOutputInvalid
from lineament.core.template import ModelId, Templates
from lineament.packs.card import VIEWS, ModelCard, Precision, Views
from lineament.runtime.session import Session, finite

# Above this, larger batches gain nothing on a processor and only cost memory (measured in bench/).
LARGEST_BATCH = 32


class OnnxEmbedder:
    """A recognition network of a pack.

    Args:
        card: its input and normalisation.
        session: runs it.
        name: for the `ModelId`, for example `opencv-zoo/sface`.
        views: `one`, or `mirrored_sum`: raw outputs of the crop and of its mirror image are added, as
            published evaluations do (Deng et al. 2019, §3; twice the work); `mirrored_unit_sum`: unit vectors
            are added.
        precision: what the session calculates in.
    """

    def __init__(
        self,
        card: ModelCard,
        session: Session,
        name: str,
        views: Views = "one",
        precision: Precision = "fp32",
    ) -> None:
        if views not in VIEWS:
            raise InvalidArgument(f"views is one of {', '.join(VIEWS)}, not {views!r}")
        self.card = card
        self.session = session
        self.views = views
        self._model = card.identity(name, views, precision)

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        return self._model

    @property
    def crop_size(self) -> int:
        """Side of the crops it takes, pixels."""
        return self.card.size[0]

    @property
    def alignment(self) -> str:
        """Name of the alignment its crops must have."""
        return self.card.alignment

    def embed(self, crops: Crops) -> Templates:
        """One template per crop, in order.

        Raises:
            InvalidArgument: crops of another size.
            ModelOutputInvalid: the network's answer is not finite or not of the promised length.
        """
        return Templates.from_raw(self.raw(crops.pixels), self._model)

    def raw(self, pixels: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        """Raw outputs of n RGB crops, not scaled to unit length; with `mirrored_sum`, of both views."""
        if pixels.shape[1:] != (self.crop_size, self.crop_size, 3):
            raise InvalidArgument(
                f"this embedder takes crops of {self.crop_size}×{self.crop_size} RGB pixels, not "
                f"{pixels.shape[1:]}: align faces with {self.card.alignment}"
            )
        outputs = [self._batch(pixels[i : i + self._step]) for i in range(0, len(pixels), self._step)]
        if not outputs:
            return np.zeros((0, self.card.dimension), np.float32)
        return np.concatenate(outputs)

    @property
    def _step(self) -> int:
        return self.card.batch or LARGEST_BATCH

    def _batch(self, pixels: np.ndarray) -> np.ndarray:
        raw = self._run(pixels)
        if self.views == "mirrored_sum":
            raw = raw + self._run(pixels[:, :, ::-1])
        elif self.views == "mirrored_unit_sum":
            raw = _unit(raw) + _unit(self._run(pixels[:, :, ::-1]))
        return raw

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        blob = cv2.dnn.blobFromImages(
            [np.ascontiguousarray(p) for p in pixels],
            1.0 / self.card.std,
            (self.crop_size, self.crop_size),
            (self.card.mean,) * 3,
            swapRB=self.card.colour == "bgr",
        )
        output = finite(self.session.run(blob)[:1], self.card.file)[0]
        if output.ndim != 2 or output.shape != (len(pixels), self.card.dimension):
            raise ModelOutputInvalid(
                f"{self.card.file} answered with shape {output.shape} instead of "
                f"{(len(pixels), self.card.dimension)}: its card is wrong, import the pack again"
            )
        return output


def _unit(raw: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    # A zero output is refused later, by Templates, with a sentence.
    return (raw / np.maximum(lengths, np.finfo(np.float64).tiny)).astype(np.float32)
