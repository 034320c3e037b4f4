"""`lineament gallery list`: collections, or the subjects of one."""

import json
from typing import Any

import click

from lineament.cli.gallery.options import Place, opened, place_options
from lineament.cli.gallery.records import collection_record, subject_record
from lineament.cli.gallery.showing import show, table, values_text


@click.command("list")
@click.argument("name", required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Subjects at most, by their ids.",
)
@click.option("--after", metavar="ID", help="Go on after this subject, the last of the list before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def list_command(name: str | None, limit: int, after: str | None, as_json: bool, place: Place) -> int:
    """The collections of the database, or the subjects of NAME.

    \b
    Exit code 0: listed. 3: no such collection. 11: the gallery cannot be used.
    """
    if name is None:
        if after is not None:
            raise click.UsageError("--after belongs to a list of subjects: name the collection")
        return _collections(place, as_json)
    with opened(place, name) as gallery:
        found = gallery.subjects(after=after, limit=limit + 1)
    more = found[limit - 1].id if len(found) > limit else None
    found = found[:limit]
    if as_json:
        record = {"collection": name, "subjects": [subject_record(s) for s in found], "next": more}
        click.echo(json.dumps(record, ensure_ascii=False))
        return 0
    rows = table("subject", "samples", "keep until", "metadata", right=("samples",))
    for one in found:
        until = (one.retain_until or "")[:10]
        rows.add_row(one.id, f"{one.references:,}", until, values_text(one.metadata))
    show(rows)
    if more is not None:
        click.echo(f"There are more: add --after {json.dumps(more, ensure_ascii=False)}", err=True)
    return 0


def _collections(place: Place, as_json: bool) -> int:
    with place.database() as (truth, _), truth.read() as connection:
        from lineament.gallery.collections import listed

        found = listed(connection)
        where = truth.where
    if as_json:
        records: list[dict[str, Any]] = [
            collection_record(collection) | {"subjects": subjects, "references": samples}
            for collection, subjects, samples in found
        ]
        click.echo(json.dumps({"database": where, "collections": records}, ensure_ascii=False))
        return 0
    numbers = ("subjects", "samples")
    rows = table("collection", "kind", *numbers, "sealed", "model", right=numbers)
    for collection, subjects, samples in found:
        sealed = "yes" if collection.sealed else "no"
        rows.add_row(
            collection.name, collection.kind, f"{subjects:,}", f"{samples:,}", sealed, str(collection.model)
        )
    show(rows)
    click.echo(f"Database: {where}")
    return 0
