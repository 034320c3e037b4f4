"""`lineament train`: a recipe, or one of the tools around training."""

import click

from lineament.cli.lazy import LazyGroup

SUBCOMMANDS = {
    "run": "Train by a recipe; RECIPE alone means this.",
    "prepare": "Photographs of people into aligned crops that can be trained on.",
    "list": "The recipes that come with lineament, and what is published for them.",
    "finetune": "Go on from a checkpoint or a pack, with people of your own.",
    "doctor": "Look at a recipe and its data before time is spent on them.",
    "angles": "How far centres and pictures lie apart, as in the ArcFace paper's Table 3.",
    "clean": "Find wrong labels by sub-centres, and write a list to leave out.",
}


# A module called as a built-in function would hide it.
_FILES = {"list": "listing"}


class _Tools(LazyGroup):
    """Any other word than a subcommand is a recipe to run."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Tools, package="lineament.cli.train", words=SUBCOMMANDS, suffix="_command", files=_FILES)
def train() -> None:
    """Train an embedding with a margin, on one processor or on many.

    \b
    lineament train recipes.lfw_mbf_cpu
    lineament train my_recipe.py:recipe --set steps=2000
    torchrun --nproc-per-node 8 -m lineament.train recipes.ms1mv3_r50_8gpu

    Ctrl-C stops with a checkpoint; the same command goes on from it, on any number of processes.

    \b
    Exit code 0: done. 3: the recipe cannot be run. 10: training cannot go on.
    130: stopped with a checkpoint.
    """
