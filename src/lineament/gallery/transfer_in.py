"""An exported file into a new collection of any database; see `lineament.gallery.transfer`."""

import base64
import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select

from lineament.core.errors import CollectionExists, CollectionNotFound, GalleryBroken, InvalidArgument
from lineament.core.template import ModelId, require_same_model
from lineament.core.verdict import Reason
from lineament.gallery import collections, rejected, schema
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.bulk import from_rows
from lineament.gallery.bulk_known import existing_subjects, odd_name
from lineament.gallery.bulk_rows import Rows, write_rows
from lineament.gallery.bulk_summary import Progress, Summary, Tally
from lineament.gallery.desk import current_actor
from lineament.gallery.enrol import About
from lineament.gallery.keys import KeySource, open_keys
from lineament.gallery.transfer_file import ENTRY, ExportFile, open_export, references_of_parquet
from lineament.gallery.truth import Truth
from lineament.gallery.values import Collection, Settings
from lineament.gallery.vault import Vault


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of `import_collection`.

    Attributes:
        collection: the new one.
        summary: sample by sample, as for other imports.
    """

    collection: Collection
    summary: Summary


@dataclass(frozen=True, slots=True)
class _Target:
    """What is written into: a collection without an index, which finds by itself what is new."""

    truth: Truth
    audit: Audit
    actor: Actor
    collection: Collection
    vault: Vault


def import_collection(
    url: str | Truth,
    path: str | Path,
    name: str | None = None,
    *,
    keys: KeySource | str | None = None,
    export_keys: KeySource | str | None = None,
    plain: bool = False,
    actor: Actor | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a collection from an exported file; stopped, the same call goes on where it was.

    Args:
        url: of the database, which is made where there is none.
        path: of the file.
        name: of the new collection; that of the old one unless given. One that is there must be empty, of the
            same model, or half filled from this very file.
        keys: seals the new collection.
        export_keys: opens the file; `keys` unless given.
        plain: leave unsealed what was sealed.
        actor: who acts.
        progress: called after each part.

    Raises:
        GalleryBroken: the file was changed or cut short; nothing is written.
        KeyUnavailable: it is sealed and the key is not here.
        CollectionExists: a collection of that name holds something else.
        TemplateMismatch: a collection of that name is of another model.
        InvalidArgument: not such a file; or what was sealed would not be, and `plain` does not say so.
    """
    source = open_keys(keys) if isinstance(keys, str) else keys
    opener = open_keys(export_keys) if isinstance(export_keys, str) else export_keys or source
    with open_export(Path(path)) as file:
        file.unlock(opener)
        if file.head["collection"]["sealed"] and source is None and not plain:
            raise InvalidArgument(
                f"{path} is of a sealed collection: give keys for the new one, or say plain "
                "to leave it readable"
            )
        truth = Truth(url, create=True) if isinstance(url, str) else url
        try:
            who = actor or current_actor()
            target = _target(truth, who, source, file, name)
            return Imported(target.collection, _fill(target, file, progress))
        finally:
            if isinstance(url, str):
                truth.close()


def _target(truth: Truth, who: Actor, keys: KeySource | None, file: ExportFile, name: str | None) -> _Target:
    """The collection to fill, made where there is none."""
    told = file.head["collection"]
    wanted, audit = name or str(told["name"]), Audit(truth, keys)
    model = ModelId(told["model"]["name"], told["model"]["digest"])
    try:
        with truth.read() as connection:
            found, wrapped = collections.row_of(connection, wanted)
            held = _held(connection, found)
    except CollectionNotFound:
        known = {f.name for f in fields(Settings)}
        settings = Settings(**{k: v for k, v in told["settings"].items() if k in known})
        if keys is None:
            settings = replace(settings, transform=False)
        collections.create(
            truth, audit, who, wanted, model, told["alignment"], int(told["dimension"]),
            kind=told["kind"], settings=settings, keys=keys,
        )  # fmt: skip
        with truth.read() as connection:
            found, wrapped = collections.row_of(connection, wanted)
        held = 0
    require_same_model(model, found.model)
    begun = _begun(audit, file, wanted)
    if held and not begun:
        raise CollectionExists(f"{wanted!r} holds {held} subjects already: choose another name")
    vault = Vault(found.id, found.dimension, keys, wrapped, found.settings.transform)
    target = _Target(truth, audit, who, found, vault)
    if not begun:
        _note(target, file, "begun")
    return target


def _begun(audit: Audit, file: ExportFile, name: str) -> bool:
    """Whether this very file was begun to be imported, and not finished."""
    state = ""
    for entry in audit.read(action="import", collection=name):
        body = json.loads(entry.body)
        if body.get("file_sha256") == file.sha256:
            state = str(body.get("state"))
    return state == "begun"


def _note(target: _Target, file: ExportFile, state: str) -> None:
    body = {**file.head["counts"], "file_sha256": file.sha256, "state": state}
    with target.truth.write() as connection:
        target.audit.append(connection, target.actor, "import", target.collection.name, None, body)


def _held(connection: Connection, collection: Collection) -> int:
    table = schema.subject
    query = select(func.count()).select_from(table).where(table.c.collection_id == collection.id)
    return int(connection.execute(query).scalar_one())


def _fill(target: _Target, file: ExportFile, progress: Progress | None) -> Summary:
    """All parts, in order, each in a transaction."""
    tally, counts = Tally(), file.head["counts"]
    portable = not file.head["collection"]["sealed"] and not target.collection.sealed
    people = 0
    for name in file.names:
        if not name.endswith(".subjects"):
            continue
        records = [json.loads(line) for line in file.part(name).decode().split("\n") if line]
        people += len(records)
        number = name.split(".")[0]
        parts = [n for n in file.names if n.startswith(f"{number}.references.")]
        _fill_part(target, file, records, parts, portable, tally)
        if progress is not None:
            progress(tally.total(), counts["references"])
    if people != counts["subjects"] or tally.total() != counts["references"]:
        raise GalleryBroken(
            f"{file.path} holds {people} subjects and {tally.total()} samples, and its head says "
            f"{counts['subjects']} and {counts['references']}: export it again"
        )
    _note(target, file, "done")
    return tally.done()


def _fill_part(
    target: _Target,
    file: ExportFile,
    records: list[dict[str, Any]],
    parts: list[str],
    portable: bool,
    tally: Tally,
) -> None:
    odd = {r["id"]: reason for r in records if (reason := odd_name(r["id"])) is not None}
    kept = [r for r in records if r["id"] not in odd]
    about = {r["id"]: _about(r) for r in kept}
    bare = {r["id"]: str(r["created_at"]) for r in kept}
    columns: dict[str, list[Any]] = {}
    vectors = np.zeros((0, target.collection.dimension), np.float32)
    for part in parts or [None]:
        if part is not None:
            data = file.part(part)
            columns, vectors = references_of_parquet(data, target.collection.dimension, part)
        given = from_rows(vectors, np.array(columns.get("norm", []), np.float64))
        names = columns.get("subject", [])
        known = set(about)
        usable = [i for i, n in enumerate(names) if i not in given.wrong and n in known]
        for i in sorted(set(range(len(names))) - set(usable)):
            lost = Reason("gallery_broken", "its subject is not in the file", blocking=True)
            reason = given.wrong.get(i) or odd.get(names[i]) or lost
            tally.refuse(names[i], f"{part}:{i}", "rejected", reason)
        rows = _rows(target, columns, given.vectors, given.norms, usable, portable)
        outcome = write_rows(target, rows, about, bare=bare, action="import", as_it_was=True)
        tally.count("enrolled", outcome.enrolled)
        tally.count("already_enrolled", outcome.known)
        tally.subjects += len(outcome.made)
    _beside(target, kept)


def _about(record: dict[str, Any]) -> About:
    return About(record["metadata"], record["sensitive"], record["consent"], record["retain_until"]).checked()


def _rows(
    target: _Target,
    columns: dict[str, list[Any]],
    vectors: np.ndarray,
    norms: np.ndarray,
    usable: list[int],
    portable: bool,
) -> Rows:
    def of(name: str) -> list[Any]:
        return [columns[name][i] for i in usable]

    def digest(old: str) -> str:
        return old if portable else target.vault.digest(hashlib.sha256(old.encode()).hexdigest())

    return Rows(
        of("subject"), vectors[usable], norms[usable], [digest(d) for d in of("digest")],
        [None if q is None else json.loads(q) for q in of("quality")], of("crop"), of("created_at"),
    )  # fmt: skip


def _beside(target: _Target, records: list[dict[str, Any]]) -> None:
    """Rejected probes and watchlist entries, of subjects that have none yet, in one transaction."""
    wanted = [r for r in records if r["entry"] is not None or r["rejected"]]
    if not wanted:
        return
    with target.truth.write() as connection:
        people = existing_subjects(connection, target.collection, [r["id"] for r in wanted])
        for record in wanted:
            row = people[record["id"]]
            if record["entry"] is not None and not _has(connection, schema.entry, row.id):
                values = {name: record["entry"].get(name) for name in ENTRY}
                connection.execute(
                    insert(schema.entry).values(
                        subject_id=row.id, collection_id=target.collection.id, **values
                    )
                )
            if record["rejected"] and not _has(connection, schema.not_this_person, row.id):
                for probe in record["rejected"]:
                    _reject(connection, target, row, probe)


def _has(connection: Connection, table: Any, subject: int) -> bool:
    return connection.execute(select(table).where(table.c.subject_id == subject)).first() is not None


def _reject(connection: Connection, target: _Target, row: Any, probe: dict[str, Any]) -> None:
    vector = np.frombuffer(base64.b64decode(probe["vector"]), "<f4")[None]
    turned = target.vault.turn(vector.astype(np.float32))[0]
    rejected.keep(connection, target.collection, target.vault, row, turned, probe["actor"], probe["at"])
