"""`lineament redact`: a photograph without recognisable faces, for sharing evidence."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from lineament.cli import exits
from lineament.cli.options import PHOTO, Finite, make_recognizer, recognizer_options
from lineament.cli.pictures import encode_picture
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument
from lineament.core.files import write_bytes
from lineament.vision.decode import open_picture
from lineament.vision.draw import LARGEST_MARGIN
from lineament.vision.draw import redact as redact_pixels

# A hidden region may itself look a little like a face to a detector that is told to see faces everywhere.
# What it finds in the result is hidden too, and the result looked at again, this often.
ROUNDS = 4


@click.command()
@click.argument("photo", type=PHOTO)
@click.option("-o", "--output", type=PHOTO, required=True, help="Where to write the redacted photograph.")
@click.option("--overwrite", is_flag=True, help="Allow OUTPUT to be PHOTO itself; the original is lost.")
@click.option(
    "--style",
    type=click.Choice(["fill", "pixelate", "blur"]),
    default="fill",
    show_default=True,
    help="fill leaves nothing of a face; the others keep its colours.",
)
@click.option(
    "--margin",
    type=Finite(min=0, max=LARGEST_MARGIN),
    default=0.25,
    show_default=True,
    help="How far beyond each face, in face sizes.",
)
@click.option(
    "--sensitivity",
    type=Finite(0.05, 1.0),
    default=0.3,
    show_default=True,
    help="Detection threshold; lower hides more, also things that are no faces.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@recognizer_options
def redact(
    photo: Path,
    output: Path,
    overwrite: bool,
    style: Any,
    margin: float,
    sensitivity: float,
    as_json: bool,
    **shared: Any,
) -> int:
    """Write PHOTO with every face that is found hidden. Look at the result: no detector finds every face.

    The result is searched for faces again before it is written. Metadata of the photograph (place, camera,
    thumbnail), transparency and all frames but the first are not kept.

    \b
    Exit code 0: faces were redacted. 2: none was found, and the copy is unredacted; or something in the
    result still looks like a face.
    """
    _keep_original(photo, output, overwrite)
    # All four turns and a low threshold: hiding something that is no face is the smaller harm.
    adjust = {"angles": (0, 90, 180, 270), "threshold": sensitivity}
    # No second look either: it would leave out faces that it cannot confirm.
    recognizer = make_recognizer(**shared, adjust=adjust, refine=False)
    image = open_picture(photo).decode()
    found = recognizer.detect(photo).boxes
    encoded, besides, remaining = _hide(recognizer, image.pixels, found, output, style, margin)
    write_bytes(output, encoded)
    lost = [note for note in image.notes if note.startswith(("first ", "transparency "))]
    if as_json:
        record = {
            "source": readable(photo),
            "output": readable(output),
            "redacted": _plain(found),
            "hidden_besides": _plain(besides),
            "remaining": _plain(remaining),
            "not_kept": lost,
        }
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        _show(output, len(found), len(remaining), lost)
    return exits.DONE if len(found) and not len(remaining) else exits.UNDECIDED


def _hide(
    recognizer: Any, pixels: np.ndarray, found: np.ndarray, output: Path, style: Any, margin: float
) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The encoded result, boxes hidden besides the faces found, and boxes that still look like a face."""
    rounds = 0
    result, besides = redact_pixels(pixels, found, style, margin), found[:0]
    while True:
        rounds += 1
        encoded = encode_picture(output, result)
        remaining = recognizer.detect(encoded).boxes if len(found) else found
        if not len(remaining) or rounds == ROUNDS:
            return encoded, besides, remaining
        # Painted grey and no larger than it is: a second blurring would look like a face as the first did.
        result = redact_pixels(result, remaining, "fill", 0.0)
        besides = np.concatenate([besides, remaining])


def _keep_original(photo: Path, output: Path, overwrite: bool) -> None:
    try:
        same = photo.samefile(output)
    except OSError:  # one of them is not there
        return
    if same and not overwrite:
        raise InvalidArgument(
            f"{output} is the original itself, which would be lost: name another output, or add --overwrite"
        )


def _plain(boxes: np.ndarray) -> list[list[float]]:
    return [[round(float(v), 1) for v in box] for box in boxes]


def _show(output: Path, found: int, remaining: int, lost: list[str]) -> None:
    name = readable(output)
    if not found:
        click.echo(f"{name}: no face was found, so the copy is unredacted. Look at it before you share it.")
    else:
        count = "1 place" if found == 1 else f"{found} places"
        click.echo(f"{name}: {count} that may show a face redacted. Check it before you share it.")
    if remaining:
        what = "1 place still looks" if remaining == 1 else f"{remaining} places still look"
        click.echo(f"{name}: {what} like a face: try --style fill or a larger --margin.")
    for note in lost:
        click.echo(f"{name}: not kept as it was: {note}.")
