"""`lineament compare-models`: the difference of two models on the same data."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lineament.cli.options import PHOTO, Finite
from lineament.evaluate.compare_models import REPLICATES, SEED, Difference
from lineament.evaluate.compare_models import compare_models as difference
from lineament.evaluate.run import Run


@click.command("compare-models")
@click.argument("a", type=PHOTO)
@click.argument("b", type=PHOTO)
@click.option(
    "--at",
    type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
    multiple=True,
    metavar="FMR",
    help="False match rate to compare at; may be repeated. [default: those of both runs]",
)
@click.option("--replicates", type=click.IntRange(min=100), default=REPLICATES, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def compare_models(a: Path, b: Path, at: tuple[float, ...], replicates: int, seed: int, as_json: bool) -> int:
    """Is the model of run A better than that of run B?

    A and B are records that `lineament evaluate pairs` or `folder` kept with -o, over the same data. Both
    models are measured on the same draws of people, so that what is hard for both does not count as a
    difference.

    \b
    Exit code 0: done, whoever is better. 2: the runs do not belong together. 3: too little data.
    """
    first, second = Run.load(a), Run.load(b)
    found = difference(first, second, targets=at, replicates=replicates, seed=seed)
    if as_json:
        click.echo(json.dumps(_record(first, second, found, replicates, seed), ensure_ascii=False))
        return 0
    _show(first, second, found, replicates)
    return 0


def _record(a: Run, b: Run, found: list[Difference], replicates: int, seed: int) -> dict[str, Any]:
    return {
        "data": a.data.name,
        "a": {"model": a.system.model, "digest": a.system.digest},
        "b": {"model": b.system.model, "digest": b.system.digest},
        "differences": [asdict(d) for d in found],
        "method": f"paired bootstrap over people, {replicates} draws, seed {seed}, 95 % intervals",
    }


def _show(a: Run, b: Run, found: list[Difference], replicates: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=False)
    console.print(f"{a.data.name}: A is {a.system.model}, B is {b.system.model}", style="bold", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(("measure", "A", "B", "A − B", "95 %", "")):
        table.add_column(name, justify="left" if i in (0, 5) else "right", overflow="fold")
    for d in found:
        low, high = d.interval
        verdict = ("A is better" if d.difference > 0 else "B is better") if d.clear else "no clear difference"
        table.add_row(
            d.measure,
            f"{d.a:.5f}",
            f"{d.b:.5f}",
            f"{d.difference:+.5f}",
            f"{low:+.5f} to {high:+.5f}",
            verdict,
        )
    console.print(table)
    console.print(f"paired bootstrap over people, {replicates} draws", style="dim", markup=False)
