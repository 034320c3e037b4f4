"""`lineament gallery merge`: two subjects that are one person."""

import json

import click

from lineament.cli.gallery.options import Place, confirm, opened, place_options
from lineament.cli.gallery.records import subject_record
from lineament.cli.gallery.showing import count


@click.command("merge")
@click.argument("name")
@click.argument("subject")
@click.argument("into")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def merge_command(name: str, subject: str, into: str, yes: bool, as_json: bool, place: Place) -> int:
    """Join two subjects of NAME: the samples of SUBJECT become those of INTO, and SUBJECT is no more.

    \b
    Exit code 0: joined. 3: no such subject, or nobody said yes. 11: the gallery
    cannot be used.
    """
    with opened(place, name) as gallery:
        source, target = gallery.subject(subject), gallery.subject(into)
        if subject != into:
            confirm(
                f"Give the {count(source.references, 'sample')} of {subject} to {into}, who has "
                f"{target.references:,}? It cannot be undone.",
                yes,
            )
        now = gallery.merge(subject, into)
    if as_json:
        click.echo(json.dumps(subject_record(now), ensure_ascii=False))
    else:
        click.echo(f"{now.id} has {count(now.references, 'sample')} now")
    return 0
