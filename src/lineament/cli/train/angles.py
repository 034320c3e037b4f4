"""`lineament train angles`: how embeddings and class centres of a checkpoint lie on the sphere."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO
from lineament.cli.streams import readable

NAMES = {
    "w_ec": "W-EC, class centre to embedding centre",
    "w_inter": "W-Inter, class centre to the nearest other",
    "intra": "Intra, embedding to its centre",
    "inter": "Inter, embedding centre to the nearest other",
}


@click.command("angles")
@click.argument("checkpoint", type=PHOTO)
@click.option("--data", type=PHOTO, help="What CHECKPOINT was trained on.  [default: its recipe's data]")
@click.option("--others", type=PHOTO, help="Aligned crops of people it was not trained on, measured as well.")
@click.option(
    "--up", type=click.IntRange(min=1), default=1, show_default=True, help="As data.up, of --others."
)
@click.option("--exclude", type=PHOTO, help="As data.exclude, of --others.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def angles_command(checkpoint: Path, device: str, as_json: bool, **options: Any) -> int:
    """Angles between embeddings and class centres of CHECKPOINT, in degrees.

    The columns of table 3 of the ArcFace paper (Deng et al. 2019): W-EC, W-Inter, Intra and Inter on the data
    it was trained on, Intra and Inter on other people. Persons without a class centre, such as those held
    out, are not among the first. Intra leaves out persons with a single picture.

    \b
    Exit code 0: done. 3: wrong command line. 4: unusable data. 10: unusable checkpoint.
    """
    found = _measured(checkpoint, device, **options)
    if as_json:
        click.echo(json.dumps({"checkpoint": readable(checkpoint), **found}, ensure_ascii=False))
        return exits.DONE
    for what, values in found.items():
        click.echo(
            "{0}: {pictures:,} pictures of {classes:,} persons; left out: {other_persons:,} persons without "
            "class centre, {broken:,} pictures that cannot be used".format(what, **values)
        )
        for name, words in NAMES.items():
            if values[name] is not None:
                click.echo(f"  {words:<46}{values[name]:7.2f}°")
    return exits.DONE


def _measured(
    checkpoint: Path, device: str, data: Path | None, others: Path | None, up: int, exclude: Path | None
) -> dict[str, Any]:
    from lineament.train.angles_of import AngleSource
    from lineament.train.parallel import joined
    from lineament.train.recipe import Data

    with joined(device) as processes:
        source = AngleSource.load(checkpoint, processes)
        own = source.recipe.data if data is None else replace(source.recipe.data, path=str(data))
        found = {"training data": source.on_training_data(own, _advance)}
        if others is not None:
            look = Data(
                path=str(others), up=up, exclude="" if exclude is None else str(exclude), size=own.size
            )
            found["other people"] = source.on_other_people(look, _advance)
    return {what: measured.to_dict() for what, measured in found.items()}


def _advance(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rembedding {done:,} of {total:,}", nl=done == total, err=True)
