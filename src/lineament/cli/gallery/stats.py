"""`lineament gallery stats`: counts and settings."""

import json

import click

from lineament.cli.gallery.options import Place, names_of, opened, place_options
from lineament.cli.gallery.showing import facts, show


@click.command("stats")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def stats_command(name: str | None, as_json: bool, place: Place) -> int:
    """Counts and settings of the collection NAME, or of all; nothing about a person.

    \b
    Exit code 0: counted. 3: no such collection. 11: the gallery cannot be used.
    """
    counted: list[dict[str, object]] = []
    for one in names_of(place, name):
        with opened(place, one) as gallery:
            counted.append(gallery.stats())
    if as_json:
        click.echo(json.dumps({"collections": counted}, ensure_ascii=False))
        return 0
    for stats in counted:
        show(facts([(key.replace("_", " "), str(value)) for key, value in stats.items()]))
    return 0
