"""`lineament train run`: one run by a recipe."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lineament.cli.exits import DONE, INTERRUPTED
from lineament.cli.options import PHOTO
from lineament.core.errors import RecipeInvalid


def run_options(command: Any) -> Any:
    """`--set`, `--out`, `--device`, `--restart`, `--json`, which every way of training has."""
    for option in reversed(
        (
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="NAME=VALUE",
                help="Change one setting of the recipe, for example steps=2000 or head.margin=0.4; may be "
                "repeated.",
            ),
            click.option("--data", type=PHOTO, help="The same as --set data.path=DATA."),
            click.option("-o", "--out", type=PHOTO, help="Folder of the run.  [default: runs/RECIPE]"),
            click.option(
                "--device",
                type=click.Choice(["auto", "cpu", "cuda"]),
                default="auto",
                show_default=True,
                help="Where to calculate; auto takes CUDA where torch has it.",
            ),
            click.option("--restart", is_flag=True, help="Remove the run's checkpoints and begin anew."),
            click.option("--json", "as_json", is_flag=True, help="The outcome in JSON on standard output."),
        )
    ):
        command = option(command)
    return command


@click.command("run")
@click.argument("recipe")
@run_options
def run_command(recipe: str, **options: Any) -> int:
    """Train by RECIPE: recipes.NAME, FILE.py:FUNCTION, or the meta.json of a checkpoint.

    Everything that follows from the recipe is printed before the first step. The run's folder holds
    checkpoints (step-*), log.jsonl and TensorBoard's files; best.json names the checkpoint that did best on
    people held out of the training data.

    \b
    Exit code 0: done. 3: the recipe cannot be run. 4: the data cannot be used.
    9: a checkpoint cannot be written. 10: training cannot go on. 130: stopped, with
    a checkpoint.
    """
    from lineament.train.resolve import resolve

    return go(resolve(recipe), **options)


def go(
    recipe: Any,
    settings: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    device: str,
    restart: bool,
    as_json: bool,
    start: Any = None,
) -> int:
    """Run a recipe with the options of the command line; the exit code."""
    from lineament.cli.train.watching import watching
    from lineament.train.loop import train
    from lineament.train.recipe import with_settings

    if data is not None:
        recipe = replace(recipe, data=replace(recipe.data, path=str(data)))
    recipe = with_settings(recipe, settings)
    if not recipe.name:
        raise RecipeInvalid("the recipe has no name, which its folder is called by: set name")
    folder = out or Path("runs") / recipe.name
    with watching(as_json) as watch:
        outcome = train(recipe, folder, watch, device=device, start=start, restart=restart)
    if as_json:
        watch.answer(
            json.dumps(
                {
                    "checkpoint": str(outcome.checkpoint),
                    "best": str(outcome.best),
                    "step": outcome.step,
                    "finished": outcome.finished,
                    "skipped": outcome.skipped,
                }
            )
        )
    if not outcome.finished:
        watch.stopped(outcome)
        return INTERRUPTED
    if not as_json:
        watch.done(outcome)
    return DONE
