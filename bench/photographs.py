"""Folders of photographs to measure with, made by code from the portraits in ../shared/fixtures/images.

The portraits are 256 pixels square; a measurement needs photographs of one to two megapixels as they come
from telephones: faces that fill a part of the picture, backgrounds with detail of every size, and sensor
noise, which is what a JPEG decoder spends its time on.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

SIZES = ((1200, 1600), (1600, 1200), (960, 1280), (1280, 960), (1536, 1024), (1080, 1440), (1500, 1125))
"""(height, width) in turn: 1.2 to 1.9 megapixels."""

QUALITY = 90
SEVERAL_EVERY = 10
"""Every so manieth photograph shows three people."""


def write_folder(images: Path, out: Path, count: int, seed: int = 7) -> list[Path]:
    """Write `count` JPEG photographs, the same ones for the same seed, and return their paths.

    Args:
        images: `fixtures/images` of the shared material.
        out: an existing folder.
        count: how many; from three on, one is the astronaut and one the group of 1927 at its own size.
        seed: of sizes, places and noise.
    """
    generator = np.random.default_rng(seed)
    portraits = sorted((images / "cc0").glob("*.jpg"))
    paths: list[Path] = []
    for number in range(count):
        path = out / f"photo-{number:04d}.jpg"
        if number == 1:
            path.write_bytes((images / "solvay1927.jpg").read_bytes())
        else:
            people = 3 if number % SEVERAL_EVERY == SEVERAL_EVERY - 1 else 1
            faces = [portraits[(number + 31 * k) % len(portraits)] for k in range(people)]
            if number == 2:
                faces = [images / "astronaut.jpg"]
            pixels = compose([cv2.imread(str(p)) for p in faces], SIZES[number % len(SIZES)], generator)
            write_jpeg(path, pixels)
        paths.append(path)
    return paths


def write_jpeg(path: Path, pixels: np.ndarray, quality: int = QUALITY) -> None:
    """Write BGR pixels."""
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    path.write_bytes(encoded.tobytes())


def compose(faces: list[np.ndarray], size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """BGR photograph of `size` (height, width): portraits side by side before a background, with noise."""
    height, width = size
    canvas = background(size, generator)
    cell = width / len(faces)
    for column, face in enumerate(faces):
        side = int(min(cell, height) * generator.uniform(0.5, 0.85))
        left = int(cell * column + generator.uniform(0, max(cell - side, 1)))
        top = int(generator.uniform(0, max(height - side, 1)))
        large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        place = canvas[top : top + side, left : left + side]
        mask = feather(side)
        place[...] = place * (1 - mask) + large * mask
    canvas += generator.normal(0, 4, (height, width, 1)).astype(np.float32)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def feather(side: int) -> np.ndarray:
    """(side, side, 1): 1 inside, falling to 0 over the outer eighth."""
    edge = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.float32) / (side / 8)
    ramp = np.clip(edge, 0, 1)
    return np.minimum(ramp[:, None], ramp[None, :])[..., None]


def background(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Smooth noise of several scales in slightly different colours, float32."""
    height, width = size
    out = np.full((height, width, 3), generator.uniform(90, 140, 3), np.float32)
    for cells, strength in ((3, 45), (12, 25), (48, 12), (160, 8)):
        shape = (cells, cells * width // height)
        grey, tint = (
            generator.normal(0, strength, (*shape, 1)),
            generator.normal(0, strength / 4, (*shape, 3)),
        )
        coarse = (grey + tint).astype(np.float32)
        out += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return out


def originals(images: Path, count: int = 12, seed: int = 11) -> list[np.ndarray]:
    """BGR photographs of one to two megapixels to cut pictures from."""
    generator = np.random.default_rng(seed)
    portraits = sorted((images / "cc0").glob("*.jpg"))[:count]
    return [
        compose([cv2.imread(str(path))], SIZES[number % len(SIZES)], generator)
        for number, path in enumerate(portraits)
    ]


def mixed_sizes(whole: list[np.ndarray], count: int, seed: int = 13) -> Iterator[bytes]:
    """`count` JPEG pictures of very different sizes (64 pixels up to the whole) and shapes, one at a time."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        base = whole[number % len(whole)]
        height, width = (int(np.exp(generator.uniform(np.log(64), np.log(s)))) for s in base.shape[:2])
        top = int(generator.integers(0, base.shape[0] - height + 1))
        left = int(generator.integers(0, base.shape[1] - width + 1))
        done, encoded = cv2.imencode(".jpg", base[top : top + height, left : left + width])
        assert done
        yield encoded.tobytes()
