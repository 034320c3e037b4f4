"""`lineament gallery update`: what is known of a subject."""

import json
from typing import Any

import click

from lineament.cli.gallery.options import PAIR, Place, described, opened, place_options
from lineament.cli.gallery.records import subject_record
from lineament.cli.gallery.showing import values_text


@click.command("update")
@click.argument("name")
@click.argument("subject")
@click.option(
    "--set",
    "values",
    type=PAIR,
    multiple=True,
    help="One piece of metadata, NAME=TEXT or NAME:=NUMBER; NAME:=null empties it. May be repeated.",
)
@click.option("--sensitive", multiple=True, metavar="NAME", help="Seal this --set value; may be repeated.")
@click.option(
    "--consent",
    type=PAIR,
    multiple=True,
    help="The consent as it is now, which replaces what was recorded: given=2026-11-25, or "
    "withdrawn=2026-12-01. May be repeated.",
)
@click.option("--retain-until", metavar="DATE", help="When the person is due for erasure.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def update_command(
    name: str,
    subject: str,
    values: tuple[tuple[str, Any], ...],
    sensitive: tuple[str, ...],
    consent: tuple[tuple[str, Any], ...],
    retain_until: str | None,
    as_json: bool,
    place: Place,
) -> int:
    """Change what is known of SUBJECT in NAME; what is not named stays.

    \b
    Exit code 0: changed. 3: no such collection or subject, or a value that cannot
    be stored. 11: the gallery cannot be used.
    """
    metadata, hidden = described(values, sensitive)
    if not (metadata or hidden or consent or retain_until):
        raise click.UsageError("nothing to change: give --set, --consent or --retain-until")
    with opened(place, name) as gallery:
        now = gallery.update(
            subject,
            metadata=metadata or None,
            sensitive=hidden or None,
            consent=dict(consent) or None,
            retain_until=retain_until,
        )
    if as_json:
        click.echo(json.dumps(subject_record(now), ensure_ascii=False))
    else:
        click.echo(f"{now.id}: {values_text(now.metadata) or 'no metadata'}")
    return 0
