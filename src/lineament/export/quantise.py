"""A network of 8-bit numbers, and what that changes.

Static quantisation of convolutions and matrix products (Jacob et al., CVPR 2018, §3): weights get a scale per
output channel, activations one per tensor, found on pictures. Everything between stays float32. The choices
below were measured (docs/guides/export-a-model.md); what they cost on a given network is measured each time
and stands on its card.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64, UInt8

from lineament.core.errors import DatasetInvalid, ExportFailed, InvalidArgument
from lineament.datasets.pairs import Pairs, resolve
from lineament.datasets.port import Pictures
from lineament.embed.onnx import OnnxEmbedder
from lineament.evaluate.acquire import FromCrops, crops_of
from lineament.export.quiet import quiet
from lineament.metrics.folds import Folds, strict_folds
from lineament.packs.card import ModelCard, sha256_of
from lineament.vision.decode import read_image

FEWEST_CROPS: Final = 32
"""Below this, half of them say too little about the range of activations."""

MOST_CROPS: Final = 256
"""For calibration, and as many again held out; more change scales in the third decimal."""

BROKEN: Final = 0.8
"""Median cosine below which the result is not the same network any more."""

PERCENTILE: Final = 99.99
"""Share of the activations, in percent, that a range holds; the few beyond are cut off, which leaves finer
steps for all others."""

# Every activation of these is in memory at once: hundreds of megabytes for a large network.
_AT_A_TIME: Final = 8

_OPERATORS: Final = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True, eq=False)
class Int8:
    """What to quantise on.

    Attributes:
        crops: uint8 RGB aligned crops, half of them for the ranges of activations, half to measure on.
        source: what they are, for the card.
        pairs: a list of pairs with folds, to measure accuracy on before and after; or None.
        pictures: its aligned crops.
    """

    crops: UInt8[np.ndarray, "n s s 3"]
    source: str
    pairs: Pairs | None = None
    pictures: Pictures | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What 8 bits change.

    Attributes:
        source: what was measured on.
        calibration: crops that set the ranges.
        held_out: other crops, which the cosines are of.
        median, worst: cosine between the templates of one crop, float32 and 8-bit.
        pairs: name of the list of pairs, or empty.
        before, after: accuracy on it and its standard error, float32 and 8-bit.
    """

    source: str
    calibration: int
    held_out: int
    median: float
    worst: float
    pairs: str = ""
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None

    def sentences(self) -> tuple[str, ...]:
        """For the card's notes."""
        said = (
            "Weights and activations of its convolutions and matrix products are 8-bit, with ranges from "
            f"{self.calibration} crops of {self.source}; the proof speaks of the float32 network it was made "
            f"from. On {self.held_out} other crops the cosine between templates of the two is "
            f"{self.median:.4f} in the median and {self.worst:.4f} at worst. It is a network of its own: "
            "templates and thresholds of the float32 network are not for it.",
        )
        if self.before is None or self.after is None:
            return (*said, "Nobody has measured what the 8 bits cost in accuracy.")
        (b, b_error), (a, a_error) = self.before, self.after
        return (
            *said,
            f"Accuracy on {self.pairs}, mean over folds ± standard error: {b:.2%} ± {b_error:.2%} in "
            f"float32, {a:.2%} ± {a_error:.2%} in 8 bits.",
        )


def read_crops(pictures: Pictures, side: int, most: int = 2 * MOST_CROPS) -> UInt8[np.ndarray, "n s s 3"]:
    """Aligned crops of a set, a fixed draw of at most `most` of them.

    Raises:
        DatasetInvalid: a picture is not `side` × `side` pixels.
        ImageError: a picture cannot be read.
    """
    names = list(pictures.names)
    chosen = np.random.default_rng(0).permutation(len(names))[:most]
    made = np.empty((len(chosen), side, side, 3), np.uint8)
    for row, index in enumerate(chosen.tolist()):
        pixels = read_image(pictures.read(names[index])).pixels
        if pixels.shape != made.shape[1:]:
            raise DatasetInvalid(
                f"{names[index]} of {pictures.describe()} has {pixels.shape[1]}×{pixels.shape[0]} pixels, "
                f"and the network takes crops of {side}×{side}: align the faces first"
            )
        made[row] = pixels
    return made


def quantise(
    folder: Path, model: ModelCard, wanted: Int8, embedder_of: Callable[[ModelCard], OnnxEmbedder]
) -> tuple[ModelCard, Change]:
    """Write the 8-bit network beside the float32 one, and measure the difference.

    Args:
        folder: where the file of `model` is.
        model: the float32 network.
        wanted: the pictures.
        embedder_of: runs a network of `folder`.

    Returns:
        The card of the new file, and the change.

    Raises:
        InvalidArgument: too few crops, or pairs without pictures.
        DatasetInvalid: pairs without folds.
        ExportFailed: the 8-bit network is not the same network any more.
    """
    _check(wanted)
    half = min(len(wanted.crops) // 2, MOST_CROPS) // _AT_A_TIME * _AT_A_TIME
    calibration, held_out = wanted.crops[:half], wanted.crops[half : 2 * half]
    file = f"{model.file.removesuffix('.onnx')}_int8.onnx"
    write_quantised(folder / model.file, folder / file, model, calibration)
    small = replace(model, file=file, sha256=sha256_of(folder / file))
    before, after = embedder_of(model), embedder_of(small)
    cosines = _cosines(before, after, held_out)
    change = Change(
        wanted.source, len(calibration), len(held_out), float(np.median(cosines)), float(cosines.min())
    )
    if not change.median >= BROKEN:
        raise ExportFailed(
            "in 8 bits it is another network: the median cosine to its own float32 templates is "
            f"{change.median:.3f} on {len(held_out)} crops of {wanted.source}; leave --int8 out, or "
            "calibrate on aligned crops like those it will see"
        )
    if wanted.pairs is not None and wanted.pictures is not None:
        both = [accuracy(e, wanted.pairs, wanted.pictures) for e in (before, after)]
        figures = [(float(f.mean), float(f.standard_error)) for f in both]
        change = replace(change, pairs=wanted.pairs.name, before=figures[0], after=figures[1])
    return small, change


def _check(wanted: Int8) -> None:
    if len(wanted.crops) < FEWEST_CROPS:
        raise InvalidArgument(
            f"{len(wanted.crops)} crops are too few to calibrate 8-bit numbers on: give {FEWEST_CROPS} or "
            f"more, best {2 * MOST_CROPS}"
        )
    if (wanted.pairs is None) != (wanted.pictures is None):
        raise InvalidArgument("accuracy needs a list of pairs and their crops: give both or neither")
    if wanted.pairs is not None and wanted.pairs.fold is None:
        raise DatasetInvalid(
            f"the pairs of {wanted.pairs.name} have no folds, so no accuracy is known: add a column `fold`"
        )


def write_quantised(
    source: Path, target: Path, model: ModelCard, crops: UInt8[np.ndarray, "n s s 3"]
) -> None:
    """Quantise one file: 8-bit weights per output channel, 8-bit activations, in the QDQ form.

    Raises:
        ExportFailed: ONNX Runtime's quantiser cannot do it.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    reader: Any = _Reader(model, crops, _input_name(source))
    try:
        with quiet():
            quantize_static(
                source,
                target,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_OPERATORS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                # Named after another method, but it is how crops are fed a few at a time for any.
                extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": _AT_A_TIME},
            )
    except (ValueError, RuntimeError, TypeError) as error:
        raise ExportFailed(f"ONNX Runtime cannot quantise this network: {error}; leave --int8 out") from error


class _Reader:
    """Feeds ONNX Runtime's calibration a range of the crops, one by one."""

    def __init__(self, model: ModelCard, crops: UInt8[np.ndarray, "n s s 3"], name: str) -> None:
        self._model, self._crops, self._name = model, crops, name
        self.set_range(0, len(crops))

    def __len__(self) -> int:
        return len(self._crops)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Which crops come next."""
        self._rows = _inputs(self._model, self._crops[start_index:end_index], self._name)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input, or None."""
        return next(self._rows, None)


def _input_name(path: Path) -> str:
    from lineament.packs.graph import inputs, load_model

    return inputs(load_model(path))[0].name


def _inputs(
    model: ModelCard, crops: UInt8[np.ndarray, "n s s 3"], name: str
) -> Iterator[dict[str, np.ndarray]]:
    for crop in crops:
        pixels = crop[..., ::-1] if model.colour == "bgr" else crop
        scaled = (pixels.astype(np.float32) - np.float32(model.mean)) / np.float32(model.std)
        yield {name: np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])}


def _cosines(
    one: OnnxEmbedder, other: OnnxEmbedder, crops: UInt8[np.ndarray, "n s s 3"]
) -> Float64[np.ndarray, "n"]:
    a, b = (e.embed(crops_of(crops)).vectors.astype(np.float64) for e in (one, other))
    return np.einsum("nd,nd->n", a, b)


def accuracy(embedder: OnnxEmbedder, pairs: Pairs, pictures: Pictures) -> Folds:
    """Accuracy of a network on a list of pairs of aligned crops, each fold at the threshold of the others.

    A pair of which a picture is missing or cannot be read is rejected, as `lineament evaluate pairs` does.
    """
    place = resolve(pairs, pictures)
    wanted = sorted(set(place.values()))
    made = FromCrops(embedder).acquire_many(pictures.read(name) for name in wanted)
    vectors = {
        n: got.template.vector for n, got in zip(wanted, made, strict=True) if got.template is not None
    }
    similarity = np.full(len(pairs), np.nan)
    for row, (a, b) in enumerate(zip(pairs.a, pairs.b, strict=True)):
        one, other = vectors.get(place.get(a, "")), vectors.get(place.get(b, ""))
        if one is not None and other is not None:
            similarity[row] = np.clip(float(one.astype(np.float64) @ other), -1.0, 1.0)
    if pairs.fold is None:
        raise DatasetInvalid(f"the pairs of {pairs.name} have no folds, so no accuracy is known")
    return strict_folds(similarity, pairs.mated, pairs.fold)
