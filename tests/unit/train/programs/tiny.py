"""A run that takes seconds: people made by code, a network of a few thousand weights, and its recipe.

`python -m lineament.train tiny.py:recipe` looks for the people in $TINY_PEOPLE, and writes the number of its
process into $TINY_PIDS, so that a test can end it.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from lineament.train.recipe import Data, Recipe, part

PEOPLE, PICTURES = 12, 6


def write_people(folder: Path, persons: range = range(PEOPLE), swapped: bool = False) -> Path:
    """Folders of 112×112 JPEGs: each person another part of one photograph, in another tint, with noise."""
    photograph = skimage.data.astronaut()
    for person in persons:
        rng = np.random.default_rng(person)
        tint = np.sort(rng.uniform(0.4, 1.0, 3))[::-1]
        top, left = rng.integers(0, 300, 2)
        side = int(rng.integers(80, 180))
        place = folder / f"person-{person:02d}"
        place.mkdir(parents=True)
        for number in range(PICTURES):
            down, right = rng.integers(0, 12, 2)
            part_ = photograph[top + down : top + down + side, left + right : left + right + side]
            pixels = cv2.resize(part_, (112, 112)) * tint + rng.normal(0, 20, (112, 112, 3))
            rgb = np.clip(pixels, 0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f"{number}.jpg"), rgb if swapped else rgb[..., ::-1])
    return folder


def recipe() -> Recipe:
    """Twelve steps of six micro-batches.

    The rate is low: at a high one training is chaotic, and a rounding error grows tenfold per step.
    """
    if "TINY_PIDS" in os.environ:
        name = f"pid-{os.environ.get('RANK', '0')}"
        (Path(os.environ["TINY_PIDS"]) / name).write_text(str(os.getpid()))
    return Recipe(
        name="tiny",
        summary="a run for tests.",
        data=Data(path=os.environ.get("TINY_PEOPLE", "")),
        backbone=part("iresnet18", width=8, reduce=4, dimension=32, dropout=0.1),
        head=part("arcface", scale=16.0, margin=0.3),
        optimiser=part("sgd", learning_rate=0.002, momentum=0.9, weight_decay=5e-4),
        schedule=part("poly", warmup_steps=2),
        batch=24,
        micro_batch=4,
        steps=12,
        sample_rate=0.5,
        log_every=1,
        save_every=4,
        channels_last=False,
        threads=1,
    )


def broken() -> Recipe:
    """A recipe that its own file cannot make."""
    raise KeyError("nothing")
