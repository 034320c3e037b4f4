"""`lineament gallery migrate`: another model, from the crops that were kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lineament.cli import exits
from lineament.cli.gallery.options import Place, opened, place_options
from lineament.cli.gallery.showing import added, count
from lineament.cli.options import make_recognizer, recognizer_options

if TYPE_CHECKING:
    from lineament.gallery.remodel import Moved

SHOWN = 20


@click.command("migrate")
@click.argument("name")
@click.option("--finish", is_flag=True, help="At the end, search by the new model from now on.")
@click.option(
    "--leave-behind",
    is_flag=True,
    help="Finish although some subjects must be enrolled again under the new model.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
@recognizer_options
def migrate_command(
    name: str, finish: bool, leave_behind: bool, as_json: bool, place: Place, **shared: Any
) -> int:
    """Bring the collection NAME under the model of another pack (--model), without the original photographs.

    From the crops that were kept (`gallery create --keep-crops`) a second collection, NAME+next, is filled,
    while NAME goes on as before. It may be stopped and run again, and brings over what is new since. With
    --finish, NAME+next becomes NAME, and the old one stays as NAME+before until it is removed. Thresholds
    must have been measured for the new model before.

    \b
    Exit code 0: done. 3: the same model, other crops, or subjects would be left
    behind. 7: nothing was measured for the new model. 8: some subjects have no crop
    and must be enrolled again. 11: the gallery cannot be used.
    """
    if shared["model"] is None:
        raise click.UsageError("say which model is the new one, with --model PACK")
    if leave_behind and not finish:
        raise click.UsageError("--leave-behind belongs to --finish")
    with opened(place, name) as old:
        from lineament.gallery import remodel

        recognizer = make_recognizer(**shared)
        before = old.collection.model
        new = remodel.begin(old, recognizer)
        with added("samples") as progress:
            moved = remodel.go_on(old, new, progress)
        if finish:
            _, moved = remodel.finish(old, new, leave_behind=leave_behind)
    record = {"collection": name, "from": asdict(before), "to": asdict(recognizer.model), "finished": finish}
    if as_json:
        click.echo(json.dumps({**record, **asdict(moved)}, ensure_ascii=False))
    else:
        _show(name, moved, finish, str(recognizer.model))
    return exits.PARTIAL if moved.lost else exits.DONE


def _show(name: str, moved: Moved, finished: bool, model: str) -> None:
    click.echo(f"{name}: {count(moved.references, 'sample')} under {model}")
    if moved.lost:
        shown = ", ".join(moved.lost[:SHOWN]) + (" …" if len(moved.lost) > SHOWN else "")
        click.echo(f"to be enrolled again, no crop was kept: {shown} ({count(len(moved.lost), 'subject')})")
    if finished:
        click.echo(f"{name} is searched by the new model now; the old templates are in {name}+before")
    else:
        click.echo(f"next: the same command with --finish; {name} goes on by its old model until then")
