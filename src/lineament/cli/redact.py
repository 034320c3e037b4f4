"""`lineament redact`: a photograph without recognisable faces, for sharing evidence."""

import json
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, make_recognizer, recognizer_options
from lineament.cli.pictures import write_picture
from lineament.vision.decode import open_picture
from lineament.vision.draw import redact as redact_pixels


@click.command()
@click.argument("photo", type=PHOTO)
@click.option("-o", "--output", type=PHOTO, required=True, help="Where to write the redacted photograph.")
@click.option("--style", type=click.Choice(["blur", "pixelate", "fill"]), default="blur", show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.25,
    show_default=True,
    help="How far beyond each face, in face sizes.",
)
@click.option(
    "--sensitivity",
    type=click.FloatRange(0.05, 1.0),
    default=0.3,
    show_default=True,
    help="Detection threshold; lower hides more, also things that are no faces.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@recognizer_options
def redact(
    photo: Path, output: Path, style: Any, margin: float, sensitivity: float, as_json: bool, **shared: Any
) -> int:
    """Write PHOTO with every face made unrecognisable. Look at the result: no detector finds every face.

    Metadata of the photograph (place, camera, thumbnail) is not copied.

    \b
    Exit code 0: faces were redacted. 2: none was found, and the copy is as the original.
    """
    # All four turns and a low threshold: hiding something that is no face is the smaller harm.
    adjust = {"angles": (0, 90, 180, 270), "threshold": sensitivity}
    # No second look either: it would leave out faces that it cannot confirm.
    recognizer = make_recognizer(**shared, adjust=adjust, refine=False)
    picture = open_picture(photo)
    faces = recognizer.detect(photo)
    write_picture(output, redact_pixels(picture.decode().pixels, faces.boxes, style, margin))
    if as_json:
        boxes = [[round(float(v), 1) for v in box] for box in faces.boxes]
        click.echo(json.dumps({"source": str(photo), "output": str(output), "redacted": boxes}))
    else:
        count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
        click.echo(f"{output}: {count} redacted. Check it before you share it.")
    return exits.DONE if len(faces) else exits.UNDECIDED
