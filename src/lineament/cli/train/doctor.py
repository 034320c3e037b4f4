"""`lineament train doctor`: a recipe and its data, looked at before time is spent on them."""

import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, Finite
from lineament.cli.progress import progress
from lineament.cli.streams import readable


@click.command("doctor")
@click.argument("recipe")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change the recipe; may be repeated."
)
@click.option("--data", type=PHOTO, help="The same as --set data.path=DATA.")
@click.option("--against", type=PHOTO, help="Test set whose people must not be in it: folder, zip or list.")
@click.option(
    "--sample", type=click.IntRange(min=1), default=2000, show_default=True, help="Pictures to read."
)
@click.option("--all", "whole", is_flag=True, help="Read every picture.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="That the run will have.",
)
@click.option("--data-only", is_flag=True, help="Make no steps.")
@click.option(
    "--seconds", type=Finite(min=0.0), default=60.0, show_default=True, help="For each measurement at most."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The findings in JSON on standard output.")
def doctor_command(
    recipe: str, settings: tuple[str, ...], data: Path | None, as_json: bool, **options: Any
) -> int:
    """Look at RECIPE and its data before time is spent: every finding says what to do.

    Looks at persons, pictures, duplicates, colour order and people of a test set; then makes a few steps:
    first loss, memory, speed, time to the end, and whether one batch can be learnt by heart. Nothing is kept.

    \b
    Exit code 0: nothing to do. 8: something to do. 3: the recipe cannot be run.
    4: the data cannot be used at all.
    """
    from lineament.train.recipe import with_settings
    from lineament.train.resolve import resolve

    meant = resolve(recipe)
    if data is not None:
        meant = replace(meant, data=replace(meant.data, path=str(data)))
    meant = with_settings(meant, settings)
    checks = _checks(meant, **options)
    findings = [check for check in checks if check.todo]
    if as_json:
        click.echo(json.dumps({"recipe": meant.name, "findings": len(findings), "checks": _rows(checks)}))
    else:
        _show(checks)
    return exits.PARTIAL if findings else exits.DONE


def _checks(
    recipe: Any,
    against: Path | None,
    sample: int,
    whole: bool,
    processes: int,
    data_only: bool,
    seconds: float,
    device: str,
) -> list[Any]:
    from lineament.train.doctor import look_at_data
    from lineament.train.doctor_run import look_at_run
    from lineament.train.examples import open_examples
    from lineament.train.parallel import joined

    with closing(open_examples(recipe.data)) as examples:
        looked = len(examples) if whole else min(sample, len(examples))
        with progress("reading", looked) as advance:
            checks = look_at_data(
                examples, recipe.data, sample=None if whole else sample, against=against, advance=advance
            )
        if data_only:
            return checks
        with joined(device) as here:
            return checks + look_at_run(recipe, examples, here, among=processes, seconds=seconds)


def _rows(checks: list[Any]) -> list[dict[str, Any]]:
    return [asdict(check) | {"names": [readable(name) for name in check.names]} for check in checks]


def _show(checks: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark = "!" if check.todo else " "
        table.add_row(f"{mark} {check.name}", readable(check.said))
        if check.todo:
            table.add_row("", f"→ {readable(check.todo)}")
    console = Console(markup=False, highlight=False)
    console.print(table)
    count = sum(bool(check.todo) for check in checks)
    console.print(f"{count} to look at" if count else "nothing to do")
