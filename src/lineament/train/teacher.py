"""Templates of a teacher for every training picture, made once per run and kept beside it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lineament.core.errors import OutputFailed, PackUnrecognised, RecipeInvalid
from lineament.embed.onnx import OnnxEmbedder
from lineament.evaluate.acquire import crops_of
from lineament.packs.card import VIEWS, Views
from lineament.packs.resolve import open_pack
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session
from lineament.train.examples import Examples
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data, Part

FILE = "teacher.safetensors"
BATCH = 32


def targets(
    head: Part, examples: Examples, data: Data, run: Path, threads: int, advance: Callable[[int, int], None]
) -> Tensor:
    """(n, d) unit templates of the teacher; zeros for pictures that cannot be read, which are never trained.

    Args:
        head: `distil` with options `teacher` (a pack) and `views`.
        examples: training pictures.
        data: how they are stored.
        run: where the templates are kept; they are biometric data, private to the owner.
        threads: of the engine.
        advance: told how many of how many are done.

    Raises:
        RecipeInvalid: other options.
        PackError: the teacher is not there.
    """
    options = dict(head.options)
    name, views = options.pop("teacher", "default"), options.pop("views", "mirrored_sum")
    if options or views not in VIEWS:
        raise RecipeInvalid(
            f"head 'distil' takes teacher, the name or path of a pack, and views: one of {', '.join(VIEWS)}"
        )
    embedder = _embedder(str(name), views, threads)
    key = hashlib.sha256(
        f"{embedder.model.digest} {examples.digest} {data.colour} {data.size}".encode()
    ).hexdigest()
    kept = _kept(run / FILE, key)
    if kept is not None:
        return kept
    made = torch.zeros(len(examples), embedder.card.dimension)
    for first in range(0, len(examples), BATCH):
        numbers = range(first, min(first + BATCH, len(examples)))
        crops = [read_crop(examples, n, data.colour, data.size) for n in numbers]
        good = [n for n, crop in zip(numbers, crops, strict=True) if isinstance(crop, np.ndarray)]
        if good:
            pixels = np.stack([crop for crop in crops if isinstance(crop, np.ndarray)])
            made[good] = torch.from_numpy(embedder.embed(crops_of(pixels)).vectors.copy())
        advance(numbers[-1] + 1, len(examples))
    _keep(run / FILE, made, key)
    return made


def _embedder(name: str, views: Views, threads: int) -> OnnxEmbedder:
    pack = open_pack(name)
    card = pack.card.model("recognition")
    if card is None:
        raise PackUnrecognised(f"the pack {pack.card.name} has no recognition network, so it teaches nothing")
    network = Network(path=pack.path(card), config=card.session, sha256=card.sha256)
    session = open_session(network, RuntimeOptions(threads=threads))
    return OnnxEmbedder(card, session, pack.card.name, views)


def _kept(path: Path, key: str) -> Tensor | None:
    try:
        with safe_open(path, "pt") as opened:
            if (opened.metadata() or {}).get("key") == key:
                return opened.get_tensor("templates")
    except (OSError, SafetensorError):
        return None
    return None


def _keep(path: Path, made: Tensor, key: str) -> None:
    temporary = path.with_name(f".{path.name}")
    try:
        temporary.touch(mode=0o600)
        save_file({"templates": made}, temporary, {"key": key})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputFailed(f"cannot write {path}: {error}; make room") from error
