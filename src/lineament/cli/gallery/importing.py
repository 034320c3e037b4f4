"""`lineament gallery import`: what `gallery export` wrote, into a database."""

import json
from pathlib import Path

import click

from lineament.cli import exits
from lineament.cli.gallery.options import Place, place_options, prepare, require_packages
from lineament.cli.gallery.showing import count, counted
from lineament.cli.options import PHOTO


@click.command("import")
@click.argument("file", type=PHOTO)
@click.argument("name", required=False)
@click.option(
    "--file-key", metavar="KEY", help="Key of the file (file:PATH, env:NAME), if another than --key."
)
@click.option("--plain", is_flag=True, help="Import a sealed file into a collection without a key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def import_command(
    file: Path, name: str | None, file_key: str | None, plain: bool, as_json: bool, place: Place
) -> int:
    """Read FILE, which `gallery export` wrote, into the collection NAME, by default of the name it had.

    The collection, and the database, are made where there are none. Stopped, the same command goes on.

    \b
    Exit code 0: all is there. 3: not such a file, or the name is taken. 8: some
    samples are not there. 11: the file is damaged, or the gallery or a key cannot be
    used.
    """
    require_packages()
    from lineament.gallery.transfer import import_collection

    # The key that opens the file is there already.
    prepare(place, key_file=file_key is not None)
    with counted("samples") as progress:
        done = import_collection(
            place.url, file, name, keys=place.key, export_keys=file_key or place.key, plain=plain,
            actor=place.acting(), progress=progress,
        )  # fmt: skip
    summary = done.summary
    if as_json:
        click.echo(json.dumps({"collection": done.collection.name, **summary.record()}, ensure_ascii=False))
    else:
        click.echo(
            f"{done.collection.name}: {count(summary.subjects, 'new subject')}, "
            f"{count(summary.enrolled, 'sample')} of {summary.total:,} there"
        )
        for note in summary.notes:
            click.echo(note, err=True)
    return exits.DONE if summary.complete else exits.PARTIAL
