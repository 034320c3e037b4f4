"""`lineament gallery export`: a collection in one file."""

import json
from pathlib import Path

import click

from lineament.cli.gallery.options import Place, opened, place_options, require_packages
from lineament.cli.gallery.showing import count, counted
from lineament.cli.options import PHOTO
from lineament.cli.streams import readable


@click.command("export")
@click.argument("name")
@click.option("-o", "--output", type=PHOTO, required=True, help="File to write.")
@click.option("--subject", "subjects", multiple=True, metavar="ID", help="Only this one; may be repeated.")
@click.option("--no-crops", is_flag=True, help="Leave the kept crops out.")
@click.option(
    "--file-key", metavar="KEY", help="Seal the file under this key (file:PATH, env:NAME) instead of --key."
)
@click.option("--plain", is_flag=True, help="Write a sealed collection readable, for whoever has the file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def export_command(
    name: str,
    output: Path,
    subjects: tuple[str, ...],
    no_crops: bool,
    file_key: str | None,
    plain: bool,
    as_json: bool,
    place: Place,
) -> int:
    """Write the collection NAME into one file: subjects, templates, and crops where they were kept.

    The file holds biometric templates: what is erased here later stays in it.

    \b
    Exit code 0: written. 3: no such collection or subject. 9: the file cannot be
    written. 11: the gallery cannot be used.
    """
    if plain and file_key is not None:
        raise click.UsageError("--plain writes no sealed file: leave --file-key out")
    require_packages()
    from lineament.gallery.transfer import export_collection

    key = None if plain else file_key or place.key
    with opened(place, name) as gallery, counted("samples") as progress:
        done = export_collection(
            gallery, output, subjects=list(subjects) or None, with_crops=not no_crops, keys=key,
            plain=plain, progress=progress,
        )  # fmt: skip
    if as_json:
        record = {
            "collection": name,
            "output": readable(output),
            "subjects": done.subjects,
            "references": done.references,
            "crops": done.crops,
            "sha256": done.sha256,
            "sealed": done.sealed,
        }
        click.echo(json.dumps(record, ensure_ascii=False))
        return 0
    click.echo(
        f"{readable(output)}: {count(done.subjects, 'subject')}, {count(done.references, 'sample')}, "
        f"{count(done.crops, 'crop')}; {'sealed' if done.sealed else 'readable for whoever has it'}; sha256 "
        f"{done.sha256}"
    )
    return 0
