"""From a trained network to a pack: file, proof, detector and card in one folder, all or nothing.

The pack is used like any other at once (`lineament compare --model`), with one thing missing on purpose: it
has no threshold, because nobody has measured one for these weights.
"""

import importlib.metadata
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from lineament.core.errors import InvalidArgument, PackUnrecognised
from lineament.embed.onnx import OnnxEmbedder
from lineament.export.onnx import ready, to_onnx
from lineament.export.parity import Parity, parity
from lineament.export.place import require_free, whole_folder
from lineament.export.quantise import Change, Int8, quantise
from lineament.export.weights import keep_weights
from lineament.packs.card import CARD_NAME, Licence, ModelCard, PackCard, sha256_of
from lineament.packs.catalogue import DEFAULT_NAMES
from lineament.packs.integrity import verify_folder
from lineament.packs.measured import UNMEASURED
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store, check_name, write_durably
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session
from lineament.train.backbones.port import Backbone
from lineament.train.embedder import digest_of
from lineament.train.recipe import Part, Recipe
from lineament.vision.align import arcface

MEAN, STD = 127.5, 127.5
NO_DETECTOR = "none"
UNSTATED_DATA = (
    "The terms of the pictures this network was trained on decide what it may be used for, and nobody has "
    "stated them here."
)


def licence_of(data: str = "") -> Licence:
    """Terms of an exported pack.

    Args:
        data: what is known of the training data and its terms; empty says that nobody has stated them.
    """
    return Licence(
        code="Apache-2.0 (lineament)",
        weights="those of whoever trained them, within the terms of the training data",
        commercial=None,
        data=data or UNSTATED_DATA,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A finished pack and what was measured on the way.

    Attributes:
        folder: where it lies.
        card: its card.
        parity: of the float32 file.
        change: what 8 bits change, when they were asked for.
    """

    folder: Path
    card: PackCard
    parity: Parity
    change: Change | None = None

    @property
    def network(self) -> ModelCard:
        """The recognition network."""
        found = self.card.model("recognition")
        if found is None:
            raise PackUnrecognised(f"{self.folder} has no recognition network")
        return found

    def embedder(self) -> OnnxEmbedder:
        """Runs the pack's recognition network."""
        return embedder_of(self.folder, self.network, self.card.name)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Wanted:
    """What to make of a network; the arguments of `export_pack`."""

    name: str
    step: int
    licence: Licence
    detector: str = DEFAULT_NAMES[0]
    notes: tuple[str, ...] = ()
    crops: UInt8[np.ndarray, "n s s 3"] | None = None
    checkpoint: str = ""
    int8: Int8 | None = None
    store: Store | None = None
    weights: bool = True


def export_pack(
    backbone: Backbone,
    recipe: Recipe,
    out: Path,
    *,
    name: str,
    step: int,
    licence: Licence | None = None,
    detector: str = DEFAULT_NAMES[0],
    notes: tuple[str, ...] = (),
    force: bool = False,
    crops: UInt8[np.ndarray, "n s s 3"] | None = None,
    checkpoint: str = "",
    int8: Int8 | None = None,
    store: Store | None = None,
    weights: bool = True,
) -> PackCard:
    """Write a pack; see `make_pack`, which also returns the figures.

    Args:
        backbone: the network, with `dimension` and `size`; any mode, any device.
        recipe: it was trained by.
        out: folder to write; it must not be there, or be empty.
        name: of the pack.
        step: how many steps it was trained.
        licence: terms; by default those of `licence_of()`.
        detector: a pack whose detector is copied, or `none`.
        notes: sentences for the card.
        force: replace a pack that is at `out`.
        crops: uint8 RGB crops for the proof, besides noise.
        checkpoint: SHA-256 of the file the weights came from; by default of the weights themselves.
        int8: make the network of 8-bit numbers, calibrated on these crops.
        store: where packs are installed, for the detector.
        weights: keep what training can go on from beside the network, about as large again.

    Returns:
        The card, as it stands in `out`.

    Raises:
        ExportFailed: the file does not answer as the network; nothing is left behind.
        InvalidArgument: a name that cannot be, or a place that is taken.
        OutputFailed: it cannot be written.
        PackError: the pack with the detector cannot be opened.
    """
    wanted = Wanted(
        name=name,
        step=step,
        licence=licence or licence_of(),
        detector=detector,
        notes=notes,
        crops=crops,
        checkpoint=checkpoint,
        int8=int8,
        store=store,
        weights=weights,
    )
    return make_pack(backbone, recipe, out, wanted, force=force).card


def make_pack(
    backbone: Backbone, recipe: Recipe, out: Path, wanted: Wanted, *, force: bool = False
) -> Exported:
    """Write a pack into a temporary folder, prove it, then give it its name; arguments as `export_pack`."""
    out = out.absolute()
    _check(wanted)
    require_free(out, force=force)
    network = ready(backbone)
    facts = _facts(network, recipe, wanted)
    with whole_folder(out, force=force) as folder:
        found = _detector(wanted, folder)
        model = _recogniser(network, recipe, facts, folder)
        embedder = embedder_of(folder, model, wanted.name)
        proof = parity(network, embedder, wanted.crops)
        proof.require()
        change = None
        if wanted.int8 is not None:

            def small(card: ModelCard) -> OnnxEmbedder:
                return embedder_of(folder, card, wanted.name)

            model, change = quantise(folder, model, wanted.int8, small)
            (folder / embedder.card.file).unlink()
        card = _card(recipe, wanted, facts, (model,) if found is None else (found[0], model))
        if found is not None and found[1].licence.commercial is False:
            card = replace(card, licence=replace(card.licence, commercial=False))
        card = replace(card, notes=_notes(recipe, wanted, proof, change, found))
        if wanted.weights:
            keep_weights(network, recipe, wanted.step, folder)
        verify_folder(card, folder).require()
        write_durably(folder / CARD_NAME, card.to_json())
    return Exported(out, card, proof, change)


def embedder_of(folder: Path, model: ModelCard, pack: str) -> OnnxEmbedder:
    """The network of a card, run as the product runs it, under the name that its templates will have."""
    path = folder / model.file
    session = open_session(Network(path, model.session, sha256=model.sha256), RuntimeOptions())
    return OnnxEmbedder(model, session, f"{pack}/{model.file.removesuffix('.onnx')}")


def _check(wanted: Wanted) -> None:
    check_name(wanted.name)
    if wanted.name.lower() in DEFAULT_NAMES:
        raise InvalidArgument(f"{wanted.name!r} is the default pack's own name: choose another with --name")


def _facts(network: Backbone, recipe: Recipe, wanted: Wanted) -> dict[str, str]:
    """What the ONNX file says about itself."""
    side = network.size
    return {
        "lineament.recipe": recipe.name,
        "lineament.step": str(wanted.step),
        "lineament.checkpoint_sha256": wanted.checkpoint or digest_of(network),
        "lineament.preprocessing": f"RGB, (pixel - {MEAN}) / {STD}, {side} x {side}, arcface-{side}",
    }


def _recogniser(network: Backbone, recipe: Recipe, facts: dict[str, str], folder: Path) -> ModelCard:
    side, dimension = network.size, network.dimension
    arcface(side)  # refuses a side without an alignment
    file = f"{check_name(recipe.backbone.kind)}.onnx"
    to_onnx(network, folder / file, size=side, metadata=facts)
    return ModelCard(
        task="recognition",
        family="embedding",
        file=file,
        sha256=sha256_of(folder / file),
        size=(side, side),
        batch=0,
        colour="rgb",
        mean=MEAN,
        std=STD,
        alignment=f"arcface-{side}",
        dimension=dimension,
        outputs=1,
    )


def _detector(wanted: Wanted, folder: Path) -> tuple[ModelCard, PackCard] | None:
    """Copy a detector; its card, and that of the pack it is from."""
    if wanted.detector == NO_DETECTOR:
        return None
    pack = open_pack(wanted.detector, wanted.store)
    model = pack.card.model("detection")
    if model is None:
        raise PackUnrecognised(
            f"the pack {pack.card.name} has no detector: name another with --detector, or none"
        )
    file = f"detector_{Path(model.file).name}"
    shutil.copyfile(pack.path(model), folder / file)
    return replace(model, file=file), pack.card


def _notes(
    recipe: Recipe,
    wanted: Wanted,
    proof: Parity,
    change: Change | None,
    detector: tuple[ModelCard, PackCard] | None,
) -> tuple[str, ...]:
    return (
        f"Trained by the recipe {recipe.name} ({recipe.summary.rstrip('.')}) to step {wanted.step:,}.",
        proof.sentence(),
        *(() if change is None else change.sentences()),
        UNMEASURED,
        *(() if detector is None else (_detector_terms(*detector),)),
        *wanted.notes,
    )


def _detector_terms(model: ModelCard, source: PackCard) -> str:
    if source.name == DEFAULT_NAMES[-1]:
        # Its pack names the terms of two networks; these are the detector's.
        terms = "MIT (YuNet, of the OpenCV Zoo)"
    else:
        may = {True: "allowed", False: "not allowed", None: "unstated"}[source.licence.commercial]
        terms = f"{source.licence.weights} (commercial use: {may})"
    return f"The detector ({model.family}) is a copy of that of the pack {source.name}; its licence: {terms}."


def _card(
    recipe: Recipe,
    wanted: Wanted,
    facts: dict[str, str],
    models: tuple[ModelCard, ...],
) -> PackCard:
    what = models[-1]
    version = importlib.metadata.version("lineament")
    return PackCard(
        name=wanted.name,
        summary=(
            f"{recipe.backbone.kind} {_way(recipe.head)}: {what.dimension} numbers per face"
            + (", 8-bit." if wanted.int8 else ".")
        ),
        models=models,
        licence=wanted.licence,
        source=(
            f"trained by the recipe {recipe.name} to step {wanted.step}, weights with sha256 "
            f"{facts['lineament.checkpoint_sha256']}; exported by lineament {version} with torch "
            f"{torch.__version__}"
        ),
    )


def _way(head: Part) -> str:
    """How a network came by what it knows; one that was taught says by whom."""
    if head.kind != "distil":
        return f"trained with {head.kind}"
    teacher = head.options.get("teacher", "default")
    whom = "the default pack (SFace)" if teacher in DEFAULT_NAMES else f"the pack {teacher}"
    return f"distilled from {whom}"
