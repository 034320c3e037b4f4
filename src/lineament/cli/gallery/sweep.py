"""`lineament gallery sweep`: who is over their time is erased."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineament.cli.erase import keep_receipt, receipt_text
from lineament.cli.gallery.options import Place, confirm, opened, place_options
from lineament.cli.gallery.showing import count
from lineament.cli.options import PHOTO
from lineament.core.errors import OutputFailed, SubjectNotFound

if TYPE_CHECKING:
    from lineament.gallery.gallery import Gallery


@click.command("sweep")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say who is due.")
@click.option("--receipts", type=PHOTO, help="Folder for the receipts, one a subject.")
@click.option(
    "--signing", type=PHOTO, help="Key that signs the receipts.  [default: the one beside the database]"
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
def sweep_command(
    name: str,
    dry_run: bool,
    receipts: Path | None,
    signing: Path | None,
    yes: bool,
    as_json: bool,
    place: Place,
) -> int:
    """Erase every subject of the collection NAME whose time is over, each with a signed receipt.

    \b
    Exit code 0: erased, or nobody was due. 3: nobody said yes. 9: a receipt cannot
    be written. 11: the gallery cannot be used.
    """
    with opened(place, name) as gallery:
        due = gallery.due()
        if due and not dry_run:
            confirm(f"Erase {count(len(due), 'subject')} of {name}? It cannot be undone.", yes)
            _make(receipts)
            try:
                for subject in due:
                    _erase(gallery, subject, signing, receipts)
            finally:
                gallery.rewrite()
    if as_json:
        click.echo(json.dumps({"collection": name, "due": due, "erased": not dry_run}, ensure_ascii=False))
    elif not due:
        click.echo(f"{name}: nobody is over their time")
    else:
        for subject in due:
            click.echo(f"{'due' if dry_run else 'erased'}: {subject}")
    return 0


def _erase(gallery: Gallery, subject: str, signing: Path | None, receipts: Path | None) -> None:
    with suppress(SubjectNotFound):  # removed meanwhile, by another process
        done = gallery.erase(subject, signing=signing, rewrite=False)
        if receipts is not None:
            # By number: an id may be no name for a file.
            number = done.receipt["receipt"]["audit_seq"]
            keep_receipt(receipts / f"receipt-{number}.json", receipt_text(done.receipt))


def _make(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make {folder}: {error.strerror}; name another folder") from error
