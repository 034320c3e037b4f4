"""`lineament train clean`: pictures whose label may be wrong, as a list to leave out."""

import json
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, Finite
from lineament.cli.progress import progress
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument

MANY = 0.3
"""Share of listed pictures from which the network, rather than the labels, is to be doubted."""


@click.command("clean")
@click.argument("data", type=PHOTO)
@click.option("-o", "--output", type=PHOTO, required=True, help="Table to write: name, reason, angle.")
@click.option(
    "--checkpoint", type=PHOTO, help="Trained on DATA with head.kind=subcenter; else one is trained now."
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change the recipe; may be repeated."
)
@click.option("--run", type=PHOTO, help="Folder of the training run.  [default: OUTPUT_run beside OUTPUT]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--angle",
    type=Finite(min=0.0, max=180.0),
    default=75.0,
    show_default=True,
    help="Degrees from the dominant sub-centre beyond which a picture is listed.",
)
@click.option(
    "--by",
    "criterion",
    type=click.Choice(["both", "angle"]),
    default="both",
    show_default=True,
    help="List by the angle and by the nearest sub-centre, or by the angle alone.",
)
@click.option("--sheet", type=PHOTO, help="A .png of the worst, for people to look at; it shows faces.")
@click.option("--json", "as_json", is_flag=True, help="A JSON summary on standard output.")
def clean_command(
    data: Path, output: Path, checkpoint: Path | None, sheet: Path | None, as_json: bool, **options: Any
) -> int:
    """Find pictures of DATA whose label may be wrong, and list them for `--set data.exclude=`.

    A network with three sub-centres per person (Deng et al., ECCV 2020) gathers pictures that do not belong
    at sub-centres of their own. Listed are those that are nearest to another sub-centre than most of their
    person's, those more than 75 degrees from it, and those that cannot be read. Rare views of the right
    person are among them: look at the worst with --sheet.

    \b
    Exit code 0: done. 3: the recipe cannot be run. 4: the data cannot be used.
    9: cannot write. 10: the checkpoint does not fit, or training cannot go on.
    130: stopped, with a checkpoint.
    """
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise InvalidArgument(f"{sheet} is not a .png: name one for the sheet")
    if checkpoint is None:
        checkpoint = _trained(data, output, as_json, **options)
    summary = _listed(data, output, checkpoint, sheet, **options)
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(summary)
    return exits.DONE


def _recipe(data: Path, settings: tuple[str, ...]) -> Any:
    from lineament.train.examples import open_examples
    from lineament.train.own_data import clean_recipe, require_crops
    from lineament.train.recipe import Data, with_settings

    own = Data(path=str(data))
    draft = with_settings(clean_recipe(own), settings)
    with closing(open_examples(draft.data)) as examples:
        require_crops(examples, draft.data)
        recipe = with_settings(clean_recipe(own, pictures=len(examples)), settings)
    if recipe.head.kind != "subcenter" or recipe.data.held_out:
        raise InvalidArgument(
            "wrong labels are found by sub-centres of everybody: leave head.kind=subcenter and "
            "data.held_out=0"
        )
    return recipe


def _trained(
    data: Path,
    output: Path,
    as_json: bool,
    settings: tuple[str, ...],
    run: Path | None,
    device: str,
    **_: Any,
) -> Path:
    """The last checkpoint of a run on these data."""
    from lineament.cli.train.watching import watching
    from lineament.train.loop import train

    folder = run or output.with_name(f"{output.stem}_run")
    with watching(as_json) as watch:
        outcome = train(_recipe(data, settings), folder, watch, device=device)
        if not outcome.finished:
            watch.stopped(outcome)
            raise KeyboardInterrupt
    return outcome.checkpoint


def _listed(
    data: Path,
    output: Path,
    checkpoint: Path,
    sheet: Path | None,
    settings: tuple[str, ...],
    angle: float,
    criterion: Literal["both", "angle"],
    device: str,
    **_: Any,
) -> dict[str, Any]:
    """Look at every picture, write list and sheet; what was found."""
    from lineament.train.clean import load_centres, suspects, write_list, write_sheet
    from lineament.train.examples import open_examples
    from lineament.train.parallel import joined
    from lineament.train.recipe import with_settings
    from lineament.train.state import read_meta, recipe_of
    from lineament.train.templates import BATCH

    trained = recipe_of(read_meta(checkpoint), checkpoint)
    recipe = with_settings(replace(trained, data=replace(trained.data, path=str(data))), settings)
    with closing(open_examples(recipe.data)) as examples, joined(device) as processes:
        backbone, centres = load_centres(checkpoint, examples.classes)
        with progress("looking", -(-len(examples) // BATCH)) as advance:
            found = suspects(
                backbone.to(processes.device), centres, examples, recipe.data, angle=angle,
                criterion=criterion, threads=recipe.threads, advance=lambda done, total: advance(),
            )  # fmt: skip
        write_list(output, found)
        if sheet is not None:
            write_sheet(sheet, found, examples, recipe.data)
        reasons = Counter(part for suspect in found for part in suspect.reason.split(", "))
        persons = Counter(suspect.person for suspect in found)
        return {
            "output": readable(output),
            "sheet": None if sheet is None else readable(sheet),
            "checkpoint": readable(checkpoint),
            "recipe": trained.name,
            "pictures": len(examples),
            "persons": len(examples.classes),
            "listed": len(found),
            "persons_listed": len(persons),
            "reasons": dict(reasons.most_common()),
            "most_of": {readable(name): count for name, count in persons.most_common(5)},
        }


def _show(summary: dict[str, Any]) -> None:
    listed, pictures = summary["listed"], summary["pictures"]
    click.echo(
        f"{summary['output']}: {listed:,} of {pictures:,} pictures ({listed / pictures:.1%}), of "
        f"{summary['persons_listed']:,} of {summary['persons']:,} persons"
    )
    for reason, count in summary["reasons"].items():
        click.echo(f"  {count:>7,}  {reason}")
    if summary["sheet"]:
        click.echo(f"the worst: {summary['sheet']}")
    if not listed:
        click.echo("nothing to leave out: an empty list is no data.exclude")
        return
    if listed > MANY * pictures:
        click.echo(
            "so many are more likely a network that has learnt too little than wrong labels: give a "
            "--checkpoint of a better one trained on these data, or list by a wider --angle; training longer "
            "lists fewer, and misses more, because wrong labels are learnt by heart, too",
            err=True,
        )
    click.echo(f"next: look at the list, then lineament train RECIPE --set data.exclude={summary['output']}")
