"""A new model for a collection, without the original photographs: from the aligned crops that were kept.

While it lasts there are two collections. The old one goes on as before; beside it a new one is filled,
under the new model, subject by subject. `begin` and `go_on` may be stopped and run again: they bring over
what the new one lacks, and take out what the old one no longer has. `finish` does the last of that with
all writers waiting, and then gives the new collection the old one's name. Nothing is searched by templates
of two models.

Meanwhile new people are enrolled in the old collection, which is the one that counts. In the new one only
those are enrolled again whose samples were kept without crops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select, update

from lineament.core.errors import (
    CollectionNotFound,
    InvalidArgument,
    TemplateInvalid,
    ThresholdMissing,
)
from lineament.core.ports import Capturer
from lineament.gallery import collections, schema, subjects
from lineament.gallery.clock import now
from lineament.gallery.desk import Desk
from lineament.gallery.enrol import from_png
from lineament.gallery.gallery import Gallery
from lineament.gallery.truth import take
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault, key_place

AT_ONCE = 64
"""Crops that are embedded together."""


@dataclass(slots=True)
class Moved:
    """How far a change of the model is.

    Attributes:
        references: under the new model.
        without_crop: ids of subjects that have at least one sample without a crop.
        lost: ids of subjects none of whose samples could be brought over: they must be enrolled again.
    """

    references: int = 0
    without_crop: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])


def shadow_name(name: str) -> str:
    """Name of the new collection while it is filled."""
    return f"{name}+next"


def begin(old: Gallery, recognizer: Capturer) -> Gallery:
    """Make the new collection beside the old one, or open the one that was begun.

    Args:
        old: the collection.
        recognizer: with the new model.

    Raises:
        ThresholdMissing: nothing was measured for the new model: measure first, with `lineament calibrate`.
        InvalidArgument: the new model is the old one, or its crops are aligned otherwise.
    """
    here = old.collection
    if recognizer.model.digest == here.model.digest:
        raise InvalidArgument(f"{here.name!r} is of the model {here.model} already: name another model")
    if recognizer.alignment != here.alignment:
        raise InvalidArgument(
            f"the kept crops are aligned as {here.alignment}, and {recognizer.model} needs "
            f"{recognizer.alignment}: its subjects must be enrolled again"
        )
    if not any(t.model.digest == recognizer.model.digest and t.measured for t in recognizer.thresholds):
        raise ThresholdMissing(
            f"nothing was measured for {recognizer.model}, so no search could be decided with it: measure "
            "thresholds first, with `lineament calibrate`"
        )
    name = shadow_name(here.name)
    with old.truth.write() as connection:
        try:
            found, _ = collections.row_of(connection, name)
            if found.model.digest != recognizer.model.digest:
                raise InvalidArgument(
                    f"a change of {here.name!r} to {found.model} was begun: finish it, or remove {name!r}"
                )
        except CollectionNotFound:
            _make(connection, old, recognizer, name)
            old.audit.append(
                connection, old.actor, "remodel_begin", here.name, body={"to": str(recognizer.model)}
            )
    return Gallery(old.truth, name, recognizer=recognizer, keys=old.keys, actor=old.actor)


def go_on(old: Gallery, new: Gallery, progress: Callable[[int], None] | None = None) -> Moved:
    """Bring over what the new collection lacks; may be stopped at any time and run again.

    Args:
        old, new: as `begin` gave them.
        progress: told how many samples were brought over, each time.

    Raises:
        TemplateInvalid: a crop from which the new model makes no template; its subject is named.
    """
    with old.truth.read() as connection:
        names = [r.external_id for r in subjects.all_rows(connection, old.collection)]
    for name in names:
        _bring(old, new, name, progress)
    _take_out(old, new)
    return standing(old, new)


def standing(old: Desk, new: Desk) -> Moved:
    """How far it is: who has no sample under the new model, and who has fewer than before."""
    moved = Moved()
    with old.truth.read() as connection:
        have = {r.external_id: r for r in subjects.all_rows(connection, new.collection)}
        for row in subjects.all_rows(connection, old.collection):
            before = subjects.reference_rows(connection, row.id)
            after = have.get(row.external_id)
            count = 0 if after is None else len(subjects.reference_rows(connection, after.id))
            moved.references += count
            if any(r.crop is None for r in before):
                moved.without_crop.append(row.external_id)
            if before and not count:
                moved.lost.append(row.external_id)
    return moved


def finish(old: Gallery, new: Gallery, *, leave_behind: bool = False) -> tuple[Collection, Moved]:
    """Give the new collection the old one's name; the old one stays as NAME+before until it is removed.

    Args:
        old, new: as `begin` gave them.
        leave_behind: go ahead although some subjects must be enrolled again.

    Raises:
        InvalidArgument: some subjects have no sample under the new model, and `leave_behind` is False.
    """
    go_on(old, new)
    name, table = old.collection.name, schema.collection
    with old.truth.write() as connection:
        take(connection, "seq", 0)
        late = _missing(connection, old, new)
        if late:
            raise InvalidArgument(f"{len(late)} samples were enrolled meanwhile: run it again")
        moved = standing(old, new)
        if moved.lost and not leave_behind:
            shown = ", ".join(moved.lost[:5]) + (" …" if len(moved.lost) > 5 else "")
            raise InvalidArgument(
                f"{len(moved.lost)} subjects have no kept crop and must be enrolled again ({shown}): "
                f"enrol them in "
                f"{new.collection.name!r}, or leave them behind with --leave-behind"
            )
        for number, called in ((old.collection.id, f"{name}+before"), (new.collection.id, name)):
            connection.execute(update(table).where(table.c.id == number).values(name=called))
        body = {"from": str(old.collection.model), "to": str(new.collection.model), "lost": len(moved.lost)}
        old.audit.append(connection, old.actor, "remodel_finish", name, body=body)
        found, _ = collections.row_of(connection, name)
    return found, moved


def _make(connection: Connection, old: Gallery, recognizer: Capturer, name: str) -> None:
    here, number = old.collection, collections.next_number(connection)
    row = connection.execute(select(schema.collection).where(schema.collection.c.id == here.id)).one()
    wrapped = None
    if row.data_key is not None and old.keys is not None:
        # The same secret: digests of pictures stay comparable, so that no picture is enrolled twice.
        wrapped = old.keys.wrap(old.keys.unwrap(row.data_key, key_place(here.id)), key_place(number))
    connection.execute(
        insert(schema.collection).values(
            id=number,
            name=name,
            kind=here.kind,
            model_name=recognizer.model.name,
            model_digest=recognizer.model.digest,
            alignment=recognizer.alignment,
            dimension=recognizer.dimension,
            settings=row.settings,
            data_key=wrapped,
            created_at=now(),
        )
    )


def _bring(old: Gallery, new: Gallery, name: str, progress: Callable[[int], None] | None) -> None:
    """One subject's samples that the new collection lacks."""
    with old.truth.read() as connection:
        row = subjects.row_or_none(connection, old.collection, name)
        if row is None:
            return
        after = subjects.row_or_none(connection, new.collection, name)
        have = (
            set()
            if after is None
            else {r.source_digest for r in subjects.reference_rows(connection, after.id)}
        )
        todo = [
            r
            for r in subjects.reference_rows(connection, row.id)
            if r.crop is not None and r.source_digest not in have
        ]
    if not todo:
        return
    samples = _embedded(old.vault, new, row, todo)
    with new.truth.write() as connection:
        take(connection, "seq", 0)
        source = subjects.row_or_none(connection, old.collection, name)
        if source is None or source.id != row.id:
            return  # removed meanwhile
        still = {r.source_digest for r in subjects.reference_rows(connection, source.id)}
        target = subjects.row_or_none(connection, new.collection, name)
        if target is None:
            target = subjects.copy(connection, old.vault, new.collection, new.vault, source)
        have = {r.source_digest for r in subjects.reference_rows(connection, target.id)}
        fresh = [s for s in samples if s.digest in still and s.digest not in have]
        subjects.add_references(connection, new.collection, new.vault, target, fresh)
        new.audit.append(
            connection, new.actor, "remodel", new.collection.name, target.id, {"references": len(fresh)}
        )
    if progress is not None:
        progress(len(fresh))


def _embedded(vault: Vault, new: Gallery, row: Any, todo: Sequence[Any]) -> list[subjects.NewReference]:
    recognizer = new.recognizer
    if recognizer is None:
        raise InvalidArgument("the new collection needs its recognizer to be filled")
    seal = vault.of(row.id, row.data_key)
    plain = [seal.open(r.crop, vault.place("crop", row.id, r.id)) for r in todo]
    samples: list[subjects.NewReference] = []
    for start in range(0, len(todo), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        try:
            made = recognizer.embed_aligned(np.stack([from_png(c) for c in plain[part]]))
        except TemplateInvalid as error:
            raise TemplateInvalid(f"a crop of {row.external_id!r}: {error.message}") from error
        turned = new.vault.turn(made.vectors)
        for r, crop, vector, norm in zip(todo[part], plain[part], turned, made.norms, strict=True):
            samples.append(
                subjects.NewReference(vector, float(norm), r.source_digest, r.quality, crop, int(r.id))
            )
    return samples


def _take_out(old: Gallery, new: Gallery) -> None:
    """Remove from the new collection what the old one no longer has."""
    with new.truth.write() as connection:
        take(connection, "seq", 0)
        for row in subjects.all_rows(connection, new.collection):
            source = subjects.row_or_none(connection, old.collection, row.external_id)
            if source is None:
                subjects.remove(connection, new.collection, new.vault, row)
                continue
            still = {int(r.id) for r in subjects.reference_rows(connection, source.id)}
            # What was enrolled here, under the new model, has no origin and stays.
            gone = [
                int(r.id)
                for r in subjects.reference_rows(connection, row.id)
                if r.origin is not None and r.origin not in still
            ]
            if gone:
                subjects.remove_references(connection, new.collection, gone)
                subjects.renew_template(connection, new.vault, row)


def _missing(connection: Connection, old: Gallery, new: Gallery) -> list[int]:
    """Samples with a crop that the new collection lacks."""
    late: list[int] = []
    for row in subjects.all_rows(connection, old.collection):
        after = subjects.row_or_none(connection, new.collection, row.external_id)
        have = (
            set()
            if after is None
            else {r.source_digest for r in subjects.reference_rows(connection, after.id)}
        )
        late += [
            int(r.id)
            for r in subjects.reference_rows(connection, row.id)
            if r.crop is not None and r.source_digest not in have
        ]
    return late
