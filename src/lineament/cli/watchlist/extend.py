"""`lineament watchlist extend`: until when an entry is valid."""

import json

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.watchlist.entries import entry_record, opened_list


@click.command("extend")
@click.argument("name")
@click.argument("subject")
@click.option("--until", "valid_until", metavar="DATE", help="The new end.")
@click.option("--no-end", is_flag=True, help="Without an end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def extend_command(
    name: str, subject: str, valid_until: str | None, no_end: bool, as_json: bool, place: Place
) -> int:
    """Change until when the entry of SUBJECT on the list NAME is valid.

    On a list that asks for two persons the entry must then be approved again.

    \b
    Exit code 0: done. 3: no such entry, or not a date. 11: the gallery cannot be used.
    """
    if (valid_until is None) != no_end:
        raise click.UsageError("say until when: --until DATE, or --no-end")
    with opened_list(place, name) as found:
        entry = found.extend(subject, valid_until)
    if as_json:
        click.echo(json.dumps(entry_record(entry), ensure_ascii=False))
    else:
        click.echo(f"{subject}: {entry.state}, until {entry.valid_until or 'no end'}")
    return 0
