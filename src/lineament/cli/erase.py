"""`lineament erase`: a person out of a collection, with a signed receipt; or: does a receipt hold?"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lineament.cli.gallery.options import Place, confirm, opened, place_options, require_packages
from lineament.cli.gallery.showing import count, facts, show
from lineament.cli.options import PHOTO
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument, OutputFailed, SubjectNotFound
from lineament.core.files import replacing, write_bytes

if TYPE_CHECKING:
    from lineament.gallery.gallery import Gallery


@click.command()
@click.argument("name", required=False)
@click.argument("subject", required=False)
@click.option("--receipt", type=PHOTO, help="File for the signed receipt.")
@click.option(
    "--signing", type=PHOTO, help="Key that signs the receipt.  [default: the one beside the database]"
)
@click.option("--check", "checked", type=PHOTO, help="Check this receipt instead; no gallery is needed.")
@click.option("--public-key", metavar="HEX", help="With --check: the key that it must be signed with.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
def erase(
    name: str | None,
    subject: str | None,
    receipt: Path | None,
    signing: Path | None,
    checked: Path | None,
    public_key: str | None,
    yes: bool,
    as_json: bool,
    place: Place,
) -> int:
    """Erase SUBJECT from the collection NAME: rows, index, and every byte in the database's own files.

    In a sealed collection the subject's key is destroyed as well. The receipt is written before anything is
    called done; the same command again writes the receipt of an erasure that was made. Exports and backups
    are beyond it.

    \b
    Exit code 0: erased, or the receipt holds. 3: no such subject, or nobody said
    yes. 9: the receipt cannot be written. 11: the gallery or a key cannot be used,
    or the receipt does not hold.
    """
    if checked is not None:
        if name is not None or receipt is not None or signing is not None:
            raise click.UsageError("--check takes a receipt, and --public-key at most")
        return _check(checked, public_key, as_json)
    if name is None or subject is None:
        raise click.UsageError("say who is to be erased from where: lineament erase NAME SUBJECT")
    if public_key is not None:
        raise click.UsageError("--public-key belongs to --check")
    with opened(place, name) as gallery:
        try:
            known = gallery.subject(subject)
        except SubjectNotFound:
            return _again(gallery, subject, receipt, as_json)
        confirm(
            f"Erase {subject} ({count(known.references, 'sample')}) from {name}? It cannot be undone.", yes
        )
        with _place_for(receipt) as stream:
            done = gallery.erase(subject, signing=signing, rewrite=False)
            if stream is not None:
                stream.write(receipt_text(done.receipt))
        # After the receipt: should another process be in the way now, it is not lost.
        gallery.rewrite()
    _tell(done.receipt, receipt, as_json, f"Erased {subject} from {name}")
    return 0


def receipt_text(document: dict[str, Any]) -> bytes:
    """A receipt as its file holds it."""
    return (json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def keep_receipt(path: Path, text: bytes) -> None:
    """Write a receipt whole or not at all, readable by its owner: it names a person."""
    write_bytes(path, text, private=True)


@contextmanager
def _place_for(receipt: Path | None) -> Generator[BinaryIO | None]:
    """The receipt's file, opened before anything is erased: a place that cannot be written stops it."""
    if receipt is None:
        yield None
        return
    if receipt.is_dir():
        raise OutputFailed(f"{readable(receipt)} is a folder: name a file for the receipt")
    with replacing(receipt, private=True) as stream:
        yield stream


def _again(gallery: Gallery, subject: str, receipt: Path | None, as_json: bool) -> int:
    """The receipt of a subject that was erased before, as after a stop between erasing and writing it.

    Raises:
        SubjectNotFound: it never was.
    """
    from lineament.gallery.erase import receipts
    from lineament.gallery.receipt import check

    name = gallery.collection.name
    if not (kept := receipts(gallery.truth, gallery.collection, subject)):
        raise SubjectNotFound(
            f"{name!r} has no subject {subject!r}, and none of that id was erased: see "
            f"`lineament gallery list {name}`"
        )
    # The database does not keep whose it is; who presents the id knows.
    document = {**kept[-1], "receipt": {**kept[-1]["receipt"], "subject": subject}}
    done = check(document)
    if receipt is not None:
        keep_receipt(receipt, receipt_text(document))
    gallery.rewrite()
    _tell(
        document, receipt, as_json, f"{subject} was erased from {name} before, at {done.at} by {done.actor}"
    )
    return 0


def _tell(document: dict[str, Any], receipt: Path | None, as_json: bool, sentence: str) -> None:
    content = document["receipt"]
    if as_json:
        where = None if receipt is None else readable(receipt)
        click.echo(json.dumps({"receipt": document, "receipt_file": where}, ensure_ascii=False))
        return
    removed = ", ".join(f"{what} {number:,}" for what, number in content["removed"].items() if number)
    click.echo(f"{sentence}: {removed or 'nothing was enrolled'}")
    if receipt is None:
        click.echo(
            "No receipt was written: the same command with --receipt FILE writes it, also now.", err=True
        )
    else:
        click.echo(f"Receipt: {readable(receipt)}, signed with the key {document['public_key']}")


def _check(path: Path, public_key: str | None, as_json: bool) -> int:
    require_packages()
    from dataclasses import asdict

    from lineament.gallery.receipt import check

    document = _document(path)
    receipt = check(document, public_key)
    if as_json:
        record = {"holds": True, "receipt": asdict(receipt), "public_key": document["public_key"]}
        click.echo(json.dumps({**record, "key_was_expected": public_key is not None}, ensure_ascii=False))
        return 0
    removed = ", ".join(f"{what} {number:,}" for what, number in receipt.removed.items())
    click.echo(f"The receipt holds: {receipt.subject} was erased from {receipt.collection}")
    rows = [
        ("at", receipt.at),
        ("by", f"{receipt.actor}, {receipt.purpose}"),
        ("removed", removed),
        ("key destroyed", receipt.key_id or "nothing was sealed"),
        ("audit record", f"{receipt.audit_seq}, {receipt.audit_hash}"),
        ("signed with", document["public_key"]),
        ("statement", receipt.statement),
    ]
    show(facts(rows))
    if public_key is None:
        click.echo("Whose key that is, the receipt cannot prove: compare it, or give --public-key.", err=True)
    return 0


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{readable(path)} is not a readable receipt ({error})") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"{readable(path)} is not a receipt: it does not hold a JSON object")
    return document
