"""`lineament samples`: photographs to try things with, made from a package, not from the network."""

from importlib.util import find_spec
from pathlib import Path

import click
import cv2
import numpy as np

from lineament.cli.pictures import write_picture
from lineament.core.errors import OutputFailed, PackNotFound
from lineament.vision.decode import read_image


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def samples(folder: Path) -> None:
    """Write a portrait, other views of it, and two pictures without a face into FOLDER.

    The portrait is NASA's of the astronaut Eileen Collins (public domain), carried by scikit-image; the views
    are derived from it: smaller and turned, darker and cropped, and with the mirrored person beside her.
    """
    portrait = read_image(_in_scikit_image("astronaut.png")).pixels
    views = {
        "collins.jpg": portrait,
        "collins-view.jpg": other_view(portrait),
        "collins-crop.jpg": tight_crop(portrait),
        "two-people.jpg": np.concatenate([portrait, portrait[:, ::-1]], axis=1),
        "rocket.jpg": read_image(_in_scikit_image("rocket.jpg")).pixels,
        "coffee.jpg": read_image(_in_scikit_image("coffee.png")).pixels,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {folder}: {error.strerror or error}") from error
    for name, pixels in views.items():
        write_picture(folder / name, pixels)
        click.echo(str(folder / name))


def other_view(pixels: np.ndarray) -> np.ndarray:
    """Head and shoulders, turned by 8 degrees, at 80 % of the size, warmer and less contrasty."""
    height, width = pixels.shape[:2]
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), 8, 1.0)
    turned = cv2.warpAffine(pixels, motion, (width, height), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(turned[20:380, 60:420], (288, 288), interpolation=cv2.INTER_AREA)
    return np.clip(small * np.array([0.85, 0.8, 0.7]) + 25, 0, 255).astype(np.uint8)


def tight_crop(pixels: np.ndarray) -> np.ndarray:
    """Only the face, darker, enlarged: it fills the frame."""
    part = pixels[40:200, 150:300]
    return np.clip(cv2.resize(part, (750, 800), interpolation=cv2.INTER_CUBIC) * 0.7, 0, 255).astype(np.uint8)


def _in_scikit_image(name: str) -> Path:
    spec = find_spec("skimage")
    place = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data" / name
    if place is None or not place.is_file():
        raise PackNotFound('the samples come from scikit-image: pip install "lineament[samples]"')
    return place
