"""`lineament train finetune`: go on from trained weights with other people."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lineament.cli.options import PHOTO
from lineament.cli.train.run import go, run_options
from lineament.core.errors import RecipeInvalid


@click.command("finetune")
@click.option(
    "--from",
    "source",
    type=PHOTO,
    required=True,
    metavar="WHAT",
    help="Checkpoint, run, pack exported with its training weights, or .pt/.safetensors of arcface_torch.",
)
@click.option(
    "--centres",
    type=click.Choice(["means", "random"]),
    default="means",
    show_default=True,
    help="Where class centres begin: at the mean template of each person, or anywhere.",
)
@run_options
def finetune_command(
    source: Path, centres: str, settings: tuple[str, ...], data: Path | None, out: Path | None, **options: Any
) -> int:
    """Go on from trained weights with people of your own: aligned crops, one folder per person.

    Network, precision and head are those of the weights; the learning rate is small and the run short. Class
    centres are new, because they belong to other people. Photographs are made into crops by
    `lineament train prepare` first.

    \b
    Exit code 0: done. 3: the recipe cannot be run. 4: the data cannot be used.
    9: a checkpoint cannot be written. 10: the weights cannot be used, or training
    cannot go on. 130: stopped, with a checkpoint.
    """
    from lineament.train.start import Beginning, find_weights

    weights = find_weights(source)
    recipe = _recipe(weights, data, settings)
    folder = out or Path("runs") / recipe.name
    if weights.run is not None and folder.exists() and folder.samefile(weights.run):
        raise RecipeInvalid(
            f"{folder} is the run that the weights are from, and its checkpoints would be mixed up with new "
            "ones: name another folder with --out"
        )
    start = Beginning(weights, means=centres == "means")
    return go(recipe, settings=settings, data=data, out=folder, start=start, **options)


def _recipe(weights: Any, data: Path | None, settings: tuple[str, ...]) -> Any:
    """The recipe for these weights and data; of the settings, it knows those that say what is read."""
    from lineament.train.examples import open_examples
    from lineament.train.own_data import finetune_recipe, require_crops
    from lineament.train.recipe import Data, with_settings

    known = weights.recipe
    about: dict[str, Any] = {
        "name": f"finetune_{known.name if known else weights.where.stem}",
        "source": str(weights.where),
        "head": known.head if known else None,
        "precision": known.precision if known else "fp32",
        "channels_last": known.channels_last if known else True,
    }
    own = Data(path="" if data is None else str(data), size=known.data.size if known else Data().size)
    what = tuple(setting for setting in settings if setting.lstrip().startswith("data."))
    draft = with_settings(finetune_recipe(own, weights.backbone, **about), what)
    with closing(open_examples(draft.data)) as examples:
        require_crops(examples, draft.data)
        pictures, persons = len(examples), len(examples.classes)
    held_out, batch = _asked("data.held_out", settings), _asked("batch", settings)
    return finetune_recipe(
        replace(own, held_out=draft.data.held_out),
        weights.backbone,
        pictures=pictures,
        persons=persons if held_out is None else 0,
        # All at once, unless micro_batch is set too; a batch that is no number is refused when it is set.
        batch=int(batch) if batch is not None and batch.isdecimal() and int(batch) else None,
        **about,
    )


def _asked(name: str, settings: tuple[str, ...]) -> str | None:
    """What a setting was given, the last time; None when it was not."""
    pairs = [setting.partition("=") for setting in settings]
    return next((value.strip() for key, _, value in reversed(pairs) if key.strip() == name), None)
