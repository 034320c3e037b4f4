"""Which kind of network an ONNX file is, from its structure.

InsightFace packs carry no description, so shape and number of inputs and outputs have to say it. The rules
are those of InsightFace's own model router, made stricter where it would accept a network that it then
cannot use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from lineament.core.errors import InvalidArgument
from lineament.packs.card import ModelCard, Task, sha256_of
from lineament.packs.graph import Normalisation, Port, input_normalisation, inputs, load_model, outputs

if TYPE_CHECKING:
    from onnx import ModelProto


class Preprocessing(TypedDict, total=False):
    """What structure cannot tell and a person may know.

    Attributes:
        colour: channel order the network was trained with.
        mean, std: the network sees (pixel − mean) / std.
    """

    colour: Literal["rgb", "bgr"]
    mean: float
    std: float


Overrides = Mapping[Task, Preprocessing]

SMALLEST_EMBEDDING = 32
"""A 2-D output shorter than this is an attribute or a class, not an embedding."""

_IMAGENET_CLASSES = frozenset({1000, 1001, 11221, 11821, 21841, 21843})
_SCRFD_HEADS = {6: (1, 4), 9: (1, 4, 10), 10: (1, 4), 15: (1, 4, 10)}
_YUNET_HEADS = (1, 1, 4, 10)


@dataclass(frozen=True, slots=True)
class Unused:
    """A file that is not taken into a pack, and why."""

    file: str
    reason: str


def recognise(path: Path, folder: Path, overrides: Overrides | None = None) -> ModelCard | Unused:
    """The card of one ONNX file, or why there is none.

    Args:
        path: the file.
        folder: the pack's folder; the card names the file relative to it.
        overrides: preprocessing by task, where it is known better.

    Raises:
        PackBroken: the file cannot be read.
        InvalidArgument: an override is out of range.
    """
    model = load_model(path)
    file = path.relative_to(folder).as_posix()
    found = _recognise(model, file)
    if isinstance(found, Unused):
        return found
    found = _with_normalisation(found, input_normalisation(model))
    found = _with_override(found, (overrides or {}).get(found.task))
    return replace(found, sha256=sha256_of(path))


def _recognise(model: ModelProto, file: str) -> ModelCard | Unused:
    ins, outs = inputs(model), outputs(model)
    if len(ins) == 2 and ins[0].shape[2:] == (128, 128):
        return Unused(file, "two inputs, one of 128×128: a face swapper, which this library does not run")
    if len(ins) != 1:
        return Unused(file, f"{len(ins)} inputs; every network known here has one")
    shape = ins[0].shape
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        return Unused(file, f"its input has shape {_shown(shape)}, not (batch, 3, height, width)")
    if len(outs) in _SCRFD_HEADS or len(outs) == 12:
        return _detector(file, shape, outs)
    if len(outs) != 1:
        return Unused(file, f"{len(outs)} outputs; detectors have 6, 9, 10, 12 or 15 and other networks 1")
    return _single_output(model, file, shape, outs[0])


def _detector(file: str, shape: tuple[int | str, ...], outs: tuple[Port, ...]) -> ModelCard | Unused:
    heads = _YUNET_HEADS if len(outs) == 12 else _SCRFD_HEADS[len(outs)]
    levels = len(outs) // len(heads)
    for index, port in enumerate(outs):
        want = heads[index // levels]
        if not port.shape or (isinstance(port.shape[-1], int) and port.shape[-1] != want):
            return Unused(
                file,
                f"{len(outs)} outputs like a detector, but {port.name!r} has shape {_shown(port.shape)} "
                f"where the last number should be {want}",
            )
    card = ModelCard(
        task="detection",
        family="scrfd",
        file=file,
        sha256="",
        size=_size(shape),
        stride=128 if levels == 5 else 32,
        batch=_batch(shape),
        mean=127.5,
        std=128.0,
        outputs=len(outs),
    )
    if len(outs) == 12:
        return replace(card, family="yunet", colour="bgr", mean=0.0, std=1.0)
    return card


def _single_output(
    model: ModelProto, file: str, shape: tuple[int | str, ...], out: Port
) -> ModelCard | Unused:
    size = _size(shape)
    card = ModelCard(
        task="landmarks_68", family="landmarks", file=file, sha256="", size=size, batch=_batch(shape)
    )
    card = replace(card, mean=127.5, std=128.0)
    width = out.shape[-1] if out.shape else "?"
    if size == (192, 192) and width in (3309, 212):
        return replace(card, task="landmarks_68" if width == 3309 else "landmarks_106")
    if size == (96, 96) and width == 3:
        return replace(card, task="gender_age", family="gender_age")
    if size[0] < 112 or size[0] != size[1] or size[0] % 16:
        return Unused(
            file,
            f"an input of {_shown(shape[2:])} with an output of {_shown(out.shape)} is none of: landmarks "
            "(192×192 to 3309 or 212), gender and age (96×96 to 3), recognition (square from 112, a vector)",
        )
    return _recogniser(model, replace(card, task="recognition", family="embedding"), out)


def _recogniser(model: ModelProto, card: ModelCard, out: Port) -> ModelCard | Unused:
    side = card.size[0]
    width = out.shape[-1] if out.shape else "?"
    if len(out.shape) != 2 or not isinstance(width, int):
        return Unused(card.file, f"its output has shape {_shown(out.shape)}, not (batch, dimension)")
    if width in _IMAGENET_CLASSES or _ends_in_softmax(model, out.name):
        return Unused(
            card.file,
            f"{width} outputs for {side}×{side} pictures: a classifier (ImageNet?), not an embedding",
        )
    if width < SMALLEST_EMBEDDING:
        return Unused(card.file, f"{width} outputs are too few for an embedding")
    if side % 112 and side % 128:
        return Unused(
            card.file, f"there is no alignment template for {side}×{side} (multiples of 112 or 128)"
        )
    return replace(card, alignment=f"arcface-{side}", dimension=width, mean=127.5, std=127.5)


def _ends_in_softmax(model: ModelProto, output: str) -> bool:
    return any(
        output in node.output and node.op_type in ("Softmax", "LogSoftmax") for node in model.graph.node
    )


def _with_normalisation(card: ModelCard, inside: Normalisation | None) -> ModelCard:
    """Never normalise twice: what the graph does itself, the caller must not do."""
    if inside is None:
        return card
    # A graph that shifts and scales values of 0..1 still needs pixels divided by 255.
    return replace(card, mean=0.0, std=1.0 if inside.range == "raw" else 255.0)


def _with_override(card: ModelCard, override: Preprocessing | None) -> ModelCard:
    if not override:
        return card
    known = Preprocessing.__annotations__
    if unknown := sorted(set(override) - set(known)):
        raise InvalidArgument(f"preprocessing has no {unknown[0]!r}: one of {', '.join(known)}")
    if override.get("colour", "rgb") not in ("rgb", "bgr"):
        raise InvalidArgument(f"a colour order is 'rgb' or 'bgr', not {override.get('colour')!r}")
    if not override.get("std", 1.0) > 0:
        raise InvalidArgument(f"std divides the pixels and must be above 0, not {override.get('std')}")
    return replace(
        card,
        colour=override.get("colour", card.colour),
        mean=float(override.get("mean", card.mean)),
        std=float(override.get("std", card.std)),
    )


def _size(shape: tuple[int | str, ...]) -> tuple[int, int]:
    """(width, height), 0 and 0 when either is free."""
    height, width = shape[2], shape[3]
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _batch(shape: tuple[int | str, ...]) -> int:
    return shape[0] if isinstance(shape[0], int) else 0


def _shown(shape: tuple[int | str, ...]) -> str:
    return "×".join(map(str, shape)) or "unknown"
