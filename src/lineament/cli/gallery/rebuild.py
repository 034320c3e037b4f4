"""`lineament gallery rebuild`: the search index anew, from the truth."""

import json

import click

from lineament.cli.gallery.options import Place, names_of, opened, place_options
from lineament.cli.gallery.showing import added, count


@click.command("rebuild")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
def rebuild_command(name: str | None, as_json: bool, place: Place) -> int:
    """Fill the search index of the collection NAME, or of all, anew from the database.

    It is for an index that outlives the command, such as Milvus (--index). The one in memory is filled anew
    by every command; here it only proves that every template can be read.

    \b
    Exit code 0: filled. 3: no such collection. 11: the gallery or the index cannot
    be used.
    """
    held: dict[str, int] = {}
    for one in names_of(place, name):
        with opened(place, one) as gallery, added(f"{one}: samples") as progress:
            held[one] = gallery.rebuild(progress)
    if as_json:
        click.echo(json.dumps({"references": held}, ensure_ascii=False))
    else:
        for one, references in held.items():
            click.echo(f"{one}: {count(references, 'sample')} in the index")
    return 0
