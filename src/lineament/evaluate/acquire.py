"""From aligned crops to templates with any embedder: a pack, a network in training, a function in a test."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from lineament.core.crop import Crops
from lineament.core.errors import ImageError, TemplateInvalid
from lineament.core.ports import Acquired, Embedder
from lineament.core.template import ModelId
from lineament.vision.decode import read_image

ALIGNED = "aligned crops"
BATCH = 64

# How far, as 1 − cosine, a template may move when its crop is embedded alone instead of in a batch.
# Arithmetic in another order moves it by 1e-12, bfloat16 by 1e-5; batch normalisation left in training mode
# by 1e-2 and more.
BATCH_TOLERANCE = 1e-4


class FromCrops:
    """Templates of pictures that are aligned crops already, as benchmark files hold them.

    Args:
        embedder: makes the templates.
        batch: crops at a time.
    """

    def __init__(self, embedder: Embedder, batch: int = BATCH) -> None:
        self.embedder = embedder
        self.batch = batch

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        return self.embedder.model

    @property
    def detector(self) -> str:
        """None: the crops were made by somebody else."""
        return ALIGNED

    def acquire_many(self, sources: Iterable[bytes]) -> Iterator[Acquired]:
        """One result per crop, in order; one that cannot be read, or of another size, has a reason.

        Raises:
            TemplateInvalid: the embedder gives other templates in a batch than alone.
        """
        stream, checked = iter(sources), False
        while group := list(islice(stream, self.batch)):
            read = [self._read(source) for source in group]
            pixels = [r for r in read if isinstance(r, np.ndarray)]
            if pixels and not checked:
                check_batches(self.embedder, np.stack(pixels))
                checked = True
            made = iter(self.embedder.embed(crops_of(np.stack(pixels))) if pixels else ())
            for r in read:
                if isinstance(r, Acquired):
                    yield r
                else:
                    template = next(made)
                    yield Acquired(template, quality=template.norm)

    def _read(self, source: bytes) -> np.ndarray | Acquired:
        try:
            pixels = read_image(source).pixels
        except ImageError as error:
            return Acquired(None, error.reason, error.message)
        side = self.embedder.crop_size
        if pixels.shape != (side, side, 3):
            message = (
                f"a crop of {pixels.shape[1]}×{pixels.shape[0]} pixels, and the model takes {side}×{side}: "
                "align the faces, or let the detector find them"
            )
            return Acquired(None, "crop_size", message)
        return pixels


def crops_of(pixels: np.ndarray) -> Crops:
    """Crops (n, s, s, 3) that are their own pictures."""
    return Crops(pixels, np.tile(np.eye(2, 3), (len(pixels), 1, 1)))


def check_batches(embedder: Embedder, pixels: np.ndarray) -> None:
    """Refuse an embedder whose templates depend on what else is in the batch.

    A network left in training mode does that: its benchmark result then changes with the batch size, which
    has been reported of evaluation code more than once.

    Args:
        embedder: to be checked.
        pixels: uint8 (n, s, s, 3) crops.

    Raises:
        TemplateInvalid: the first crop's template differs between a batch of one and a batch of n.
    """
    if len(pixels) < 2:
        return
    alone = embedder.embed(crops_of(pixels[:1]))[0]
    among = embedder.embed(crops_of(pixels))[0]
    moved = 1.0 - alone.similarity(among)
    if moved > BATCH_TOLERANCE:
        raise TemplateInvalid(
            f"{embedder.model} gives another template for the same crop in a batch of {len(pixels)} than "
            f"alone (1 − cosine {moved:.2g}): is the network still in training mode?"
        )
