"""More crops to distil on, made of those there are: faces mixed of two people, and faces moved and stretched.

A teacher answers for any crop, so that distilling needs no labels, and what nobody looks like teaches too:
teacher and student see the same mixture (Beyer et al., "Knowledge distillation: A good teacher is patient
and consistent", CVPR 2022). Every picture of a person who is trained on gets one of the two kinds, in turn,
beside it in its folder; persons who are excluded or held out get none, and nobody is mixed with one of them.

Usage: python bench/mixed_crops.py RECIPE lfw112.zip lfw112_mixed.zip
RECIPE says who is excluded and held out.
"""

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from lineament.recipes import ALL
from lineament.train.examples import Examples, open_examples, split_held_out
from lineament.train.read_crop import read_crop

SEED = 20251125
BLEND = (0.35, 0.65)
SOFT = 6.0
"""Pixels over which the seam of two halves goes from one face to the other, in standard deviations."""
TURN, SHIFT = 12.0, 7.0
"""Most degrees and pixels that a face is moved."""
SCALE, STRETCH = (0.85, 1.25), (0.75, 1.2)
"""Of the size, and of the width besides: aligned profiles are narrow and large."""
QUALITY = 95


def mixed(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two faces in one: blended, or two halves with a soft seam; uint8 (s, s, 3)."""
    if rng.random() < 0.5:
        other = other[:, ::-1]
    if rng.random() < 0.5:
        share = np.float32(rng.uniform(*BLEND))
    else:
        side = len(one)
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        angle, off = rng.uniform(0, 2 * np.pi), rng.uniform(-0.12, 0.12) * side
        distance = np.cos(angle) * x + np.sin(angle) * y - off
        share = (1 / (1 + np.exp(-distance / SOFT)))[..., None].astype(np.float32)
    return np.rint(share * one + (1 - share) * other).astype(np.uint8)


def moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face turned, shifted, resized and stretched about the middle; uint8 (s, s, 3)."""
    middle = (len(pixels) - 1) / 2
    turn, size, width = np.deg2rad(rng.uniform(-TURN, TURN)), rng.uniform(*SCALE), rng.uniform(*STRETCH)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag([size * width, size])
    offset = middle - linear @ [middle, middle] + rng.uniform(-SHIFT, SHIFT, 2)
    matrix = np.column_stack([linear, offset])
    return cv2.warpAffine(pixels, matrix, pixels.shape[:2], flags=cv2.INTER_LINEAR)


def variant(training: Examples, number: int, size: int) -> tuple[str, np.ndarray] | None:
    """What is made of one picture, and its name; None where a picture cannot be read."""
    rng = np.random.default_rng([SEED, number])
    one = read_crop(training, number, "rgb", size)
    other = read_crop(training, int(rng.integers(len(training))), "rgb", size)
    if isinstance(one, str) or isinstance(other, str):
        return None
    stem = training.name(number).rpartition(".")[0]
    return (
        (f"{stem}_mixed.jpg", mixed(one, other, rng))
        if number % 2
        else (f"{stem}_moved.jpg", moved(one, rng))
    )


def main(recipe_name: str, source: Path, out: Path) -> None:
    """Write the zip: all pictures as they are, and the new ones."""
    recipe = ALL[recipe_name]()
    examples = open_examples(replace(recipe.data, path=str(source)))
    training, _ = split_held_out(examples, recipe.data.held_out, recipe.seed)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name))
        for number in range(len(training)):
            if (made := variant(training, number, recipe.data.size)) is None:
                continue
            name, pixels = made
            _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            new.writestr(zipfile.ZipInfo(name), encoded.tobytes())
    print(f"{out}: {len(training):,} pictures of people trained on, each with what was made of it")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
