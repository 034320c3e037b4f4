"""`lineament gallery rename`: another id for a subject."""

import json

import click

from lineament.cli.gallery.options import Place, opened, place_options
from lineament.cli.gallery.records import subject_record


@click.command("rename")
@click.argument("name")
@click.argument("subject")
@click.argument("to")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def rename_command(name: str, subject: str, to: str, as_json: bool, place: Place) -> int:
    """Give SUBJECT of the collection NAME the id TO.

    \b
    Exit code 0: renamed. 3: no such subject, or the id is taken (`merge` joins two).
    11: the gallery cannot be used.
    """
    with opened(place, name) as gallery:
        now = gallery.rename(subject, to)
    click.echo(
        json.dumps(subject_record(now), ensure_ascii=False) if as_json else f"{subject} is {now.id} now"
    )
    return 0
