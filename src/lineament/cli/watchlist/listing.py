"""`lineament watchlist list`: the entries."""

import json

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.watchlist.entries import entry_record, opened_list, show_entries


@click.command("list")
@click.argument("name")
@click.option("--active/--inactive", default=None, help="Only those that can be found now, or the others.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def list_command(name: str, active: bool | None, as_json: bool, place: Place) -> int:
    """Entries of the list NAME: who, why, by whose word, until when.

    \b
    Exit code 0: done. 3: no such list. 11: the gallery cannot be used.
    """
    with opened_list(place, name) as found:
        entries = found.entries(active=active)
    if as_json:
        click.echo(
            json.dumps({"list": name, "entries": [entry_record(e) for e in entries]}, ensure_ascii=False)
        )
    else:
        show_entries(entries)
    return 0
