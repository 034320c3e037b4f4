"""A pack of a checkpoint whose batch normalisation was measured anew, over one large batch.

In training a batch normalises itself; a pack uses running means of what many small batches were. Where a few
pictures in a hundred give activations far larger than the others (here: crops mostly black, taught by cosine,
which leaves the length free), the two drift apart layer by layer: outputs of such pictures grow a
thousandfold and all point one way. Statistics of one large batch, changed as in training, put most of that
right (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3).

Usage: python bench/settled_pack.py CHECKPOINT OUT_PACK TERMS_OF_THE_DATA
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lineament.export.pack import Wanted, licence_of, make_pack
from lineament.train.augment import augment
from lineament.train.backbones.port import Backbone
from lineament.train.embedder import normalised
from lineament.train.examples import open_examples, split_held_out
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Recipe
from lineament.train.state import BACKBONE, load_backbone, read_meta

PICTURES = 2048
SEED = 20251125


def changed_crops(recipe: Recipe) -> np.ndarray:
    """Pictures of people trained on, as training sees them; uint8 (n, s, s, 3)."""
    examples = open_examples(recipe.data)
    training, _ = split_held_out(examples, recipe.data.held_out, recipe.seed)
    rng = np.random.default_rng(SEED)
    rows = rng.choice(len(training), min(PICTURES, len(training)), replace=False)
    crops = [read_crop(training, int(row), recipe.data.colour, recipe.data.size) for row in rows]
    return np.stack([augment(crop, recipe.augment, rng) for crop in crops if isinstance(crop, np.ndarray)])


def settle(network: Backbone, crops: np.ndarray) -> None:
    """Replace the running statistics by those of one batch."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(normalised(crops, torch.device("cpu")))
    network.eval()


def main(checkpoint: Path, out: Path, terms: str) -> None:
    """Write the pack."""
    network, recipe = load_backbone(checkpoint)
    crops = changed_crops(recipe)
    settle(network, crops)
    meta = read_meta(checkpoint)
    note = f"Its batch normalisation was measured anew over {len(crops):,} training pictures after training."
    wanted = Wanted(
        name=out.name,
        step=int(meta["step"]),
        licence=licence_of(terms),
        notes=(note, f"The checkpoint's weights have sha256 {meta['files'][BACKBONE]}."),
        crops=crops[:64],
    )
    made = make_pack(network, recipe, out, wanted)
    print(f"{out}: {made.card.summary}\n{made.parity.sentence()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
