"""`lineament watchlist review`: a person's word on an entry."""

import json
from typing import Literal

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.watchlist.entries import entry_record, opened_list


@click.command("review")
@click.argument("name")
@click.argument("subject")
@click.argument("word", metavar="WORD", type=click.Choice(["approve", "reject", "withdraw"]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def review_command(
    name: str,
    subject: str,
    word: Literal["approve", "reject", "withdraw"],
    as_json: bool,
    place: Place,
) -> int:
    """Approve, reject or withdraw the entry of SUBJECT on the list NAME.

    WORD is approve, reject or withdraw. On a list that asks for two persons, --actor must be somebody other
    than whoever proposed it.

    \b
    Exit code 0: done. 3: no such entry, or it is past that. 11: the gallery cannot
    be used. 12: a second person is needed.
    """
    with opened_list(place, name) as found:
        entry = {"approve": found.approve, "reject": found.reject, "withdraw": found.withdraw}[word](subject)
    if as_json:
        click.echo(json.dumps(entry_record(entry), ensure_ascii=False))
    else:
        click.echo(f"{subject}: {entry.state} by {entry.decided_by}")
    return 0
