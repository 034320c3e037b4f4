"""The proof that an exported network answers as the trained one.

Both get the same crops as bytes: torch as in training, the file through the card and the engine with which
the product will run it. So the proof covers the graph and what the card says of colour, mean and scale alike.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor, nn

from lineament.core.errors import ExportFailed, InvalidArgument, ModelOutputInvalid, PackBroken
from lineament.embed.onnx import OnnxEmbedder

LIMIT: Final = 1e-4
"""Largest difference that may be: a hundred times what other arithmetic makes (1e-6), and a hundredth of what
moves a similarity in its second decimal."""

INPUTS: Final = 64
BATCHES: Final = (1, 2, 7, 32)
_REFERENCE_BATCH = 16
_GRAINS = (1, 4, 16, 56)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported network is from the trained one.

    Attributes:
        inputs: different crops that both answered.
        crops: how many of them were given, the others being noise.
        batches: sizes of the batches in which the file answered.
        template: largest difference of a component of two unit templates.
        raw: largest length of a raw difference, in lengths of the raw output.
        cosine: smallest cosine between two templates of one crop.
    """

    inputs: int
    crops: int
    batches: tuple[int, ...]
    template: float
    raw: float
    cosine: float

    @property
    def holds(self) -> bool:
        """Whether every difference is within `LIMIT`."""
        # Written so that NaN does not hold.
        return self.template <= LIMIT and self.raw <= LIMIT and self.cosine >= 1.0 - LIMIT

    def sentence(self) -> str:
        """The figures, for the card's notes."""
        sizes = ", ".join(map(str, self.batches))
        what = f"{self.inputs - self.crops} pictures of noise" + (
            f" and {self.crops} crops" if self.crops else ""
        )
        return (
            f"Exported with a proof: on {what}, in batches of {sizes}, the exported and the trained network "
            f"differ by at most {self.template:.1e} in a component of a template and {self.raw:.1e} of a raw "
            f"output's length; the smallest cosine between their templates is {self.cosine:.9f}."
        )

    def require(self) -> None:
        """Refuse an export that answers otherwise.

        Raises:
            ExportFailed: a difference is above `LIMIT`.
        """
        if not self.holds:
            raise ExportFailed(
                "the exported network does not answer as the trained one: templates differ by "
                f"{self.template:.2g} and raw outputs by {self.raw:.2g} of their length (at most {LIMIT:g} "
                f"each), smallest cosine {self.cosine:.6f}; nothing was written: take random numbers and "
                "branches out of its forward pass"
            )


def parity(
    network: nn.Module,
    embedder: OnnxEmbedder,
    crops: UInt8[np.ndarray, "n s s 3"] | None = None,
    inputs: int = INPUTS,
) -> Parity:
    """Compare a network with the file that was made of it.

    Args:
        network: in evaluation mode, on the processor (`lineament.export.onnx.ready`).
        embedder: runs the file, one view.
        crops: uint8 RGB crops to compare on besides noise.
        inputs: how many noise pictures.

    Raises:
        ExportFailed: the file cannot be run, or either answers with something that is not a number.
        InvalidArgument: crops of another size.
    """
    pixels = noise(inputs, embedder.crop_size)
    given = 0 if crops is None else len(crops)
    if crops is not None and given:
        if crops.shape[1:] != pixels.shape[1:]:
            side = embedder.crop_size
            raise InvalidArgument(
                f"crops of {crops.shape[1:]} for a network that takes {side}×{side}: align them"
            )
        # Crops among noise, so that every batch has both.
        pixels = np.concatenate([pixels, crops])[np.random.default_rng(0).permutation(inputs + given)]
    wanted = reference(network, pixels)
    lengths = np.linalg.norm(wanted, axis=1)
    if not np.all(np.isfinite(lengths) & (lengths > 0)):
        raise ExportFailed(
            "the trained network answers with zeros or with no numbers: use an older checkpoint"
        )
    worst = [_difference(wanted[rows], raw) for rows, raw in _answers(embedder, pixels)]
    template, raw, cosine = np.array(worst).T
    return Parity(len(pixels), given, BATCHES, float(template.max()), float(raw.max()), float(cosine.min()))


def noise(count: int, size: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Noise of several grains, from single pixels to half the picture; always the same."""
    rng = np.random.default_rng(20190615)
    made = np.empty((count, size, size, 3), np.uint8)
    for row in range(count):
        cells = -(-size // _GRAINS[row % len(_GRAINS)])
        field = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        made[row] = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC)
    return made


def reference(network: nn.Module, pixels: UInt8[np.ndarray, "n s s 3"]) -> Float64[np.ndarray, "n d"]:
    """What the network itself answers, normalised as in training: (pixel − 127.5)/127.5, RGB."""
    answers: list[np.ndarray] = []
    with torch.no_grad():
        for start in range(0, len(pixels), _REFERENCE_BATCH):
            rows = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _REFERENCE_BATCH]))
            raw: Tensor = network((rows.permute(0, 3, 1, 2).float() - 127.5) / 127.5)
            answers.append(raw.numpy().astype(np.float64))
    return np.concatenate(answers)


def _answers(
    embedder: OnnxEmbedder, pixels: UInt8[np.ndarray, "n s s 3"]
) -> Iterator[tuple[slice, Float32[np.ndarray, "b d"]]]:
    """What the file answers, in batches of every size; small ones on fewer inputs."""
    for size in BATCHES:
        for start in range(0, len(pixels) if size > 1 else min(len(pixels), _REFERENCE_BATCH), size):
            rows = slice(start, min(start + size, len(pixels)))
            try:
                yield rows, embedder.raw(pixels[rows])
            except (InvalidArgument, ModelOutputInvalid, PackBroken) as error:
                raise ExportFailed(
                    f"the exported network does not run on a batch of {size}: {error.message}"
                ) from error


def _difference(
    wanted: Float64[np.ndarray, "b d"], got: Float32[np.ndarray, "b d"]
) -> tuple[float, float, float]:
    """(largest component of template difference, largest relative raw difference, smallest cosine)."""
    raw = got.astype(np.float64)
    lengths, others = np.linalg.norm(wanted, axis=1), np.linalg.norm(raw, axis=1)
    one, other = wanted / lengths[:, None], raw / np.maximum(others, np.finfo(np.float64).tiny)[:, None]
    relative = np.linalg.norm(raw - wanted, axis=1) / lengths
    return float(np.abs(one - other).max()), float(relative.max()), float((one * other).sum(axis=1).min())


def milliseconds_per_face(embedder: OnnxEmbedder, batch: int, repeats: int = 3) -> float:
    """Wall time of one face in batches of `batch` on this machine: the best of `repeats`, after one call."""
    pixels = noise(batch, embedder.crop_size)
    embedder.raw(pixels)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        embedder.raw(pixels)
        best = min(best, time.perf_counter() - began)
    return best / batch * 1e3
