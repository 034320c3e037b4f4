"""Recipes for data of one's own: fine-tuning of a trained network, and finding wrong labels.

Sizes follow the data, because a set of one's own may have fifty pictures or a million.
"""

import math
from collections.abc import Mapping

from lineament.core.errors import DatasetInvalid
from lineament.train.examples import Examples
from lineament.train.plan import SAMPLE
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data, Part, Recipe, Value, part

BATCH = 64
FEWEST_HELD_OUT_OF = 50
"""Persons from which on a tenth of them is held out by default."""
CLEANING_EPOCHS = 8.0
SPARE = 0.75
"""Share of the pictures that are counted on when people are held out, whose pictures are not counted yet."""


def finetune_recipe(
    data: Data,
    backbone: Part,
    *,
    name: str,
    source: str,
    head: Part | None = None,
    precision: str = "fp32",
    channels_last: bool = True,
    pictures: int = BATCH,
    persons: int = 0,
    batch: int | None = None,
) -> Recipe:
    """Go on from trained weights with other people: a small learning rate, few epochs.

    Args:
        data: of one's own.
        backbone: of the trained weights.
        name: of the recipe.
        source: where the weights are from, for the summary.
        head: that the weights were trained with; ArcFace where it is unknown or has no class centres.
        precision: of the recipe that the weights were trained by.
        channels_last: of the same recipe.
        pictures: in the data, held-out persons' included.
        persons: in the data; a tenth is held out when there are 50 or more and `data.held_out` is 0.
        batch: pictures per step, all at once; None for a size that the data fill.
    """
    if not data.held_out and persons >= FEWEST_HELD_OUT_OF:
        data = _with(data, held_out=0.1)
    # Persons are held out, not pictures: who has most of them may be among those.
    trained = round(pictures * (1.0 - data.held_out) * SPARE) if data.held_out else pictures
    batch = _batch(trained) if batch is None else batch
    every = max(1, round(pictures * (1.0 - data.held_out) / batch))
    known = head if head is not None and head.kind not in ("triplet", "distil") else None
    return Recipe(
        name=name,
        summary=f"Fine-tuned on own data from {source}.",
        data=data,
        backbone=backbone,
        head=known or part("arcface", scale=64.0, margin=0.5),
        optimiser=part("sgd", learning_rate=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=part("cosine", warmup_epochs=0.5),
        batch=batch,
        micro_batch=batch,
        epochs=5.0,
        precision=precision,  # type: ignore[arg-type]  (of a recipe, or the default)
        channels_last=channels_last,
        validate_every=every if data.held_out else 0,
        save_every=every,
        log_every=max(1, min(20, every // 2)),
    )


def clean_recipe(data: Data, *, pictures: int = BATCH) -> Recipe:
    """Sub-center ArcFace with three sub-centres, on a small network that a processor can train.

    It stops early: a network that is trained until every label fits has learnt the wrong ones, too (Arpit et
    al. 2017, "A closer look at memorization in deep networks").

    Args:
        data: to find wrong labels in; nobody is held out, because everybody is looked at.
        pictures: in the data.
    """
    batch = _batch(pictures)
    return Recipe(
        name="clean",
        summary="Sub-center ArcFace (K = 3), to find wrong labels.",
        data=_with(data, held_out=0.0),
        backbone=part("iresnet18", dimension=128, width=16, reduce=2),
        head=part("subcenter", centres=3, scale=32.0, margin=0.3),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=part("cosine", warmup_epochs=0.5),
        batch=batch,
        micro_batch=batch,
        epochs=CLEANING_EPOCHS,
        margin_warmup=0.5,
        keep=1,
    )


def _batch(pictures: int) -> int:
    """A power of two up to 64 that the data fill at least once."""
    return min(BATCH, 2 ** int(math.log2(max(2, pictures))))


def _with(data: Data, **changes: Value) -> Data:
    values: Mapping[str, Value] = {n: getattr(data, n) for n in Data.__dataclass_fields__}
    return Data(**{**values, **changes})  # type: ignore[arg-type]  (fields of Data)


def require_crops(examples: Examples, data: Data) -> None:
    """Refuse photographs that are not aligned crops, before time is spent on them.

    Raises:
        DatasetInvalid: most of a sample have another size.
    """
    step = max(1, len(examples) // SAMPLE)
    sample = range(0, len(examples), step)
    reasons = [read_crop(examples, row, data.colour, data.size) for row in sample]
    wrong = [
        row for row, why in zip(sample, reasons, strict=True) if isinstance(why, str) and why == "crop_size"
    ]
    if 2 * len(wrong) > len(sample):
        raise DatasetInvalid(
            f"{examples.name(wrong[0])} and {len(wrong) - 1} others of {len(sample)} that were looked at are "
            f"not crops of {data.size}×{data.size} pixels: run `lineament train prepare "
            f"{data.path} -o crops.zip` first, and name crops.zip as the data"
        )
