"""`lineament watchlist expire`: entries whose time is over."""

import json
from pathlib import Path

import click

from lineament.cli.gallery.options import Place, confirm, place_options
from lineament.cli.gallery.showing import count
from lineament.cli.options import PHOTO
from lineament.cli.watchlist.entries import entry_record, opened_list, show_entries
from lineament.core.files import write_bytes


@click.command("expire")
@click.argument("name")
@click.option("--erase", is_flag=True, help="Erase those subjects, each with a receipt.")
@click.option("--receipts", type=PHOTO, help="With --erase: a new JSON file for the receipts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def expire_command(
    name: str, erase: bool, receipts: Path | None, yes: bool, as_json: bool, place: Place
) -> int:
    """Entries of the list NAME whose time is over: nobody finds them; --erase erases their subjects.

    \b
    Exit code 0: done. 3: no such list, or nobody said yes. 9: the receipts cannot be
    written. 11: the gallery cannot be used.
    """
    if receipts is not None and not erase:
        raise click.UsageError("--receipts goes with --erase")
    done: list[dict[str, object]] = []
    with opened_list(place, name) as found:
        over = found.expired()
        if erase and over:
            confirm(f"Erase {count(len(over), 'subject')} of {name}?", yes)
            try:
                # One by one: the receipts of those that are erased already must not be lost with a failure.
                for entry in over:
                    done += [found.erase(entry.subject, rewrite=False).receipt]
            finally:
                found.rewrite()
                if receipts is not None and done:
                    write_bytes(receipts, json.dumps(done, indent=2).encode(), private=True)
    if as_json:
        records = [entry_record(e) for e in over]
        click.echo(json.dumps({"list": name, "expired": records, "receipts": done}, ensure_ascii=False))
    elif not over:
        click.echo("No entry's time is over")
    else:
        show_entries(over)
        if erase:
            click.echo(f"Erased {count(len(done), 'subject')}")
    return 0
