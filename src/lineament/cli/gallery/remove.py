"""`lineament gallery remove`: a subject, one sample, or a whole collection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from lineament.cli.gallery.options import Place, confirm, opened, place_options
from lineament.cli.gallery.showing import added, count

if TYPE_CHECKING:
    from lineament.gallery.gallery import Gallery


@click.command("remove")
@click.argument("name")
@click.argument("subject", required=False)
@click.option("--reference", type=int, metavar="NUMBER", help="Only this sample of SUBJECT.")
@click.option("--with-subjects", is_flag=True, help="Without SUBJECT: take out all who are in it, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def remove_command(
    name: str,
    subject: str | None,
    reference: int | None,
    with_subjects: bool,
    yes: bool,
    as_json: bool,
    place: Place,
) -> int:
    """Take SUBJECT out of the collection NAME; without SUBJECT, remove the collection itself.

    Rows are deleted and overwritten. `lineament erase` also rewrites the database's files, and signs a
    receipt.

    \b
    Exit code 0: removed. 3: no such collection or subject, a collection that is not
    empty, or nobody said yes. 11: the gallery cannot be used.
    """
    if subject is None and reference is not None:
        raise click.UsageError("--reference belongs to a SUBJECT")
    if subject is not None and with_subjects:
        raise click.UsageError("--with-subjects belongs to a collection: leave SUBJECT out")
    with opened(place, name) as gallery:
        if subject is None:
            gone = _collection(gallery, with_subjects, yes)
        else:
            known = gallery.subject(subject)
            what = f"sample {reference}" if reference else count(known.references, "sample")
            confirm(f"Remove {what} of {subject} from {name}?", yes)
            gone = gallery.remove(subject, reference)
    if as_json:
        click.echo(json.dumps({"collection": name, "subject": subject, "references": gone}))
    elif subject is None:
        click.echo(f"Removed the collection {name}")
    else:
        click.echo(f"Removed {count(gone, 'sample')} of {subject} from {name}")
    return 0


def _collection(gallery: Gallery, with_subjects: bool, yes: bool) -> int:
    """Remove the whole collection; how many samples went."""
    from lineament.gallery.collections import drop

    name, held = gallery.collection.name, gallery.stats()
    people = f" and the {count(held['subjects'], 'subject')} in it" if held["subjects"] else ""
    if people and not with_subjects:
        drop(gallery.truth, gallery.audit, gallery.actor, name)  # which says why it does not
    confirm(f"Remove the collection {name}{people}? It cannot be undone.", yes)
    gone = 0
    with added("subjects") as progress:
        while page := gallery.subjects(limit=500):
            for one in page:
                gone += gallery.remove(one.id)
                progress(1)
    drop(gallery.truth, gallery.audit, gallery.actor, name)
    if gone:
        gallery.rewrite()
    return gone
