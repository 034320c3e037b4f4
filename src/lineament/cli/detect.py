"""`lineament detect`: faces of one photograph, drawn or listed."""

import json
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, Finite, make_recognizer, recognizer_options, turns
from lineament.cli.pictures import write_picture
from lineament.cli.streams import readable
from lineament.core.faces import Faces
from lineament.pipeline.records import faces_record
from lineament.vision.decode import Picture
from lineament.vision.draw import draw_faces


@click.command()
@click.argument("photo", type=PHOTO)
@click.option("--draw", "drawing", type=PHOTO, help="Write the photograph with boxes and points drawn in.")
@click.option(
    "--min-size", type=Finite(min=0), default=0.0, help="Leave out faces smaller than this, pixels."
)
@click.option("--max-faces", type=int, default=0, help="Keep at most this many; 0 keeps all.")
@click.option(
    "--keep",
    type=click.Choice(["score", "largest", "central"]),
    default="central",
    show_default=True,
    help="Which faces stay when --max-faces cuts.",
)
@click.option("--rotate", is_flag=True, help="Look in all four turns of the photograph; report the turn.")
@click.option("--clip", is_flag=True, help="Cut boxes at the edges of the photograph.")
@click.option(
    "--attributes",
    multiple=True,
    type=click.Choice(["landmarks_106", "landmarks_68", "gender_age"]),
    help="Also run these networks of the pack; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@recognizer_options
def detect(
    photo: Path,
    drawing: Path | None,
    min_size: float,
    max_faces: int,
    keep: str,
    rotate: bool,
    clip: bool,
    attributes: tuple[Any, ...],
    as_json: bool,
    **shared: Any,
) -> int:
    """Find the faces of PHOTO.

    \b
    Exit code 0: at least one face. 2: none. 3 and above: trouble.
    """
    adjust = {**turns(rotate), "min_size": min_size, "max_faces": max_faces, "keep": keep, "clip": clip}
    recognizer = make_recognizer(**shared, adjust=adjust, attributes=attributes)
    analysis = recognizer.inspect(photo)
    picture, faces = analysis.picture, analysis.faces
    if drawing is not None:
        labels = [f"{i + 1}: {face.score:.2f}" for i, face in enumerate(faces)]
        write_picture(drawing, draw_faces(picture.decode().pixels, faces.boxes, faces.points, labels))
    if as_json:
        height, width = picture.full_size
        record = {"source": readable(photo), "width": width, "height": height, "faces": faces_record(faces)}
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        _show(photo, picture, faces)
    return exits.DONE if len(faces) else exits.UNDECIDED


def _show(photo: Path, picture: Picture, faces: Faces) -> None:
    from rich.console import Console
    from rich.table import Table

    height, width = picture.full_size
    console = Console(highlight=False)
    found = "no face" if not len(faces) else "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    console.print(f"{readable(photo)}: {found} in {width}×{height} pixels", style="bold", markup=False)
    if not len(faces):
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("face", "score", "x", "y", "width", "height", "eyes apart", "sharpness", "yaw", "turn"):
        table.add_column(heading, justify="right")
    for i, face in enumerate(faces):
        quality = face.quality or {}
        table.add_row(
            str(i + 1),
            f"{face.score:.3f}",
            *(f"{v:.0f}" for v in (face.box[0], face.box[1], face.width, face.height)),
            f"{quality.get('eye_distance', float('nan')):.0f} px",
            f"{quality.get('sharpness', float('nan')):.2f}",
            f"{quality.get('yaw', float('nan')):+.0f}°",
            f"{face.angle:.0f}°",
        )
    console.print(table)
