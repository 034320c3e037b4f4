"""Enrolling: pictures of one subject in, one row per usable picture out, and a reason for every other.

The pictures are looked at, and compared with what is enrolled, before the transaction begins; the
transaction then asks once more whether each is new, so that two processes that enrol the same picture
leave one row.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from sqlalchemy import Connection, insert, select

from lineament.core.candidate import Candidate
from lineament.core.errors import ConsentMissing, IdempotencyConflict, InvalidArgument
from lineament.core.ports import Captured
from lineament.core.template import Template
from lineament.core.verdict import Reason
from lineament.gallery import schema, subjects
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.clock import now
from lineament.gallery.find import exact, unit_rows
from lineament.gallery.truth import Truth, take
from lineament.gallery.values import Collection, Enrolment, Item, Settings, Status
from lineament.gallery.vault import Vault

EXACTNESS = 0.9999
"""Cosine from which two pictures are told to be the same picture stored twice, in words."""


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a subject at enrolment; None leaves what is there.

    Attributes:
        metadata: plain values that searches may filter by.
        sensitive: values that are sealed.
        consent: what was given: plain values, for example {"given": "2026-11-25", "for": "access"}.
        retain_until: ISO date on which the subject is due for erasure.
    """

    metadata: Mapping[str, Any] | None = None
    sensitive: Mapping[str, Any] | None = None
    consent: Mapping[str, Any] | None = None
    retain_until: str | None = None

    def checked(self) -> "About":
        """The same, in the form that is stored.

        Raises:
            InvalidArgument: what cannot be stored.
        """
        return About(
            None if self.metadata is None else subjects.check_metadata(self.metadata),
            None if self.sensitive is None else subjects.check_metadata(self.sensitive),
            None if self.consent is None else subjects.check_metadata(self.consent),
            subjects.check_date(self.retain_until),
        )


@dataclass(slots=True)
class Sample:
    """A picture on its way into the collection.

    Attributes:
        source: for people.
        digest: of its content, as stored.
        template: None where there is no usable face.
        quality, crop: as they are stored.
        status: what became of it so far; "" while it may still be enrolled.
        reasons, candidate: as in `Item`.
    """

    source: str
    digest: str
    template: Template | None
    quality: Mapping[str, Any] | None = None
    crop: bytes | None = None
    status: Status | None = None
    reasons: tuple[Reason, ...] = ()
    candidate: Candidate | None = None
    vector: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def item(self, reference: int | None = None) -> Item:
        """What is told of it."""
        return Item(self.source, self.status or "enrolled", reference, self.reasons, self.candidate)

    def refuse(self, status: Status, reason: Reason, candidate: Candidate | None = None) -> None:
        """It is not enrolled."""
        self.status, self.reasons = status, (reason, *self.reasons)
        self.candidate = candidate or self.candidate


def sample_of(captured: Captured, vault: Vault, settings: Settings) -> Sample:
    """A picture that was looked at, as a sample."""
    if captured.error is not None:
        reason = Reason(captured.error.reason, captured.error.message, blocking=True)
        return Sample(captured.source, "", None, status="failed", reasons=(reason,))
    sample = Sample(captured.source, vault.digest(captured.digest), None, reasons=captured.reasons)
    if captured.face is None or captured.face.template is None:
        sample.status = "rejected"
        return sample
    sample.template, sample.quality = captured.face.template, captured.face.quality
    if settings.keep_crops and captured.crop is not None:
        sample.crop = as_png(captured.crop)
    return sample


def as_png(crop: np.ndarray) -> bytes:
    """An aligned crop without loss, about 20 kB."""
    stream = BytesIO()
    PillowImage.fromarray(crop).save(stream, "PNG", optimize=False)
    return stream.getvalue()


def from_png(data: bytes) -> np.ndarray:
    """The inverse of `as_png`: uint8 (side, side, 3) RGB."""
    with PillowImage.open(BytesIO(data), formats=("PNG",)) as picture:
        return np.asarray(picture.convert("RGB"))


def review(
    sample: Sample, settings: Settings, others: Sequence[Candidate], own: np.ndarray | None, boundary: float
) -> None:
    """Compare a sample with other subjects, and with its own.

    Args:
        sample: with a template; gets reasons, and is refused where `settings.review` is strict.
        settings: of the collection.
        others: other subjects at or over the boundary, best first.
        own: the subject's template, as stored; None for a new subject.
        boundary: cosine at the collection's `review_fmr`.
    """
    strict = settings.review == "strict"
    if others:
        best = others[0]
        same = "the same picture" if best.similarity >= EXACTNESS else "perhaps the same person"
        message = (
            f"{same} is enrolled as {best.subject!r} (similarity {best.similarity:.3f}, review at "
            f"{boundary:.3f}): merge the two subjects, or enrol with review off when they are two people"
        )
        _say(sample, Reason("possible_duplicate", message, blocking=strict), strict, best)
    if own is not None:
        alike = float(exact(sample.vector, own[None])[0])
        if alike < boundary:
            message = (
                f"it is unlike the subject's other pictures (similarity {alike:.3f}, review at "
                f"{boundary:.3f}): "
                "check that it shows the same person"
            )
            _say(sample, Reason("unlike_own_subject", message, blocking=strict), strict, None)


def _say(sample: Sample, reason: Reason, strict: bool, candidate: Candidate | None) -> None:
    if strict:
        sample.refuse("rejected", reason, candidate)
    else:
        sample.reasons = (*sample.reasons, reason)
        sample.candidate = candidate or sample.candidate


def request_digest(vault: Vault, external_id: str, about: About, digests: Sequence[str]) -> str:
    """What a request asks for, so that a key that is used again for another request is noticed."""
    what = [external_id, about.metadata, about.sensitive, about.consent, about.retain_until, list(digests)]
    return vault.digest(hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest())


def check_key(key: str | None) -> None:
    """Raise InvalidArgument for an idempotency key that cannot be stored."""
    if key is not None and not (key.isprintable() and 1 <= len(key) <= 255):
        raise InvalidArgument(f"an idempotency key has 1 to 255 printable characters, not {key[:80]!r}")


def store(
    truth: Truth,
    audit: Audit,
    who: Actor,
    collection: Collection,
    vault: Vault,
    external_id: str,
    samples: Sequence[Sample],
    about: About,
    key: str | None,
) -> Enrolment:
    """Write what may be enrolled, in one transaction.

    A subject that does not exist is made when at least one sample is enrolled: a request none of whose
    pictures can be used leaves nothing behind.

    Raises:
        ConsentMissing: the collection asks for consent, and neither the request nor the subject has it.
        IdempotencyConflict: `key` was used for another request.
    """
    digest = request_digest(vault, external_id, about, [s.digest for s in samples])
    with truth.write() as connection:
        # Taking a number first makes other writers wait: what is looked up below stays true until the commit.
        take(connection, "seq", 0)
        if key is not None and (before := _answered(connection, collection, vault, key, digest)) is not None:
            return before
        subject = subjects.row_or_none(connection, collection, external_id)
        _ask_consent(collection, subject, about, external_id)
        known = {} if subject is None else _digests(connection, subject.id)
        new = _new_ones(samples, known)
        created = subject is None and bool(new)
        if subject is None and new:
            subject = subjects.add(
                connection, collection, vault, external_id,
                metadata=about.metadata or {}, sensitive=about.sensitive, consent=about.consent,
                retain_until=about.retain_until or _due(collection),
            )  # fmt: skip
        elif subject is not None:
            subjects.change(connection, vault, subject, about)
        rows = [subjects.NewReference(s.vector, _norm(s), s.digest, s.quality, s.crop) for s in new]
        ids = subjects.add_references(connection, collection, vault, subject, rows) if new else []
        numbers = {**known, **{s.digest: i for s, i in zip(new, ids, strict=True)}}
        items = tuple(s.item(numbers.get(s.digest) if s.status in (None, "already_enrolled") else None)
                      for s in samples)  # fmt: skip
        outcome = Enrolment(external_id, items, created)
        audit.append(
            connection, who, "enrol", collection.name, None if subject is None else subject.id,
            {"enrolled": ids, "items": _counted(items), "review": _reviews(connection, collection, items)},
        )  # fmt: skip
        if key is not None:
            _remember(connection, collection, vault, key, digest, outcome, subject)
        return outcome


def _new_ones(samples: Sequence[Sample], known: dict[str, int]) -> list[Sample]:
    """Samples to write; the others are marked."""
    new: dict[str, Sample] = {}
    for sample in samples:
        if sample.status is not None:
            continue
        if sample.digest in known or sample.digest in new:
            sample.status = "already_enrolled"
            same = Reason("already_enrolled", "this very picture of the subject is enrolled already")
            sample.reasons = (same, *(r for r in sample.reasons if r.code != "possible_duplicate"))
        else:
            new[sample.digest] = sample
    return list(new.values())


def _norm(sample: Sample) -> float:
    return 0.0 if sample.template is None else sample.template.norm


def _ask_consent(collection: Collection, subject: Any, about: About, external_id: str) -> None:
    if not collection.settings.ask_consent:
        return
    consent = about.consent or (None if subject is None else subject.consent)
    if not consent or consent.get("withdrawn"):
        raise ConsentMissing(
            f"{collection.name!r} asks for consent, and {external_id!r} has given none: record it with the "
            'enrolment, as in --consent given=2026-11-25 or consent={"given": "2026-11-25"}'
        )


def _due(collection: Collection) -> str | None:
    """When a new subject is due for erasure by the collection's rule."""
    days = collection.settings.retain_days
    return None if not days else subjects.days_from_now(days)


def _digests(connection: Connection, subject_id: int) -> dict[str, int]:
    table = schema.reference
    rows = connection.execute(
        select(table.c.source_digest, table.c.id).where(table.c.subject_id == subject_id)
    )
    return {str(row[0]): int(row[1]) for row in rows if row[0]}


def _counted(items: Sequence[Item]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item.status] = counts.get(item.status, 0) + 1
    return counts


def _reviews(connection: Connection, collection: Collection, items: Sequence[Item]) -> list[dict[str, Any]]:
    """What the review found, with row numbers instead of names."""
    found: list[dict[str, Any]] = []
    for item in items:
        if item.candidate is None:
            continue
        other = subjects.row_or_none(connection, collection, item.candidate.subject)
        # As text: the log takes a long list of fractions for a template.
        score = f"{item.candidate.similarity:.4f}"
        found.append({"looks_like": None if other is None else str(other.id), "similarity": score})
    return found


def _answered(
    connection: Connection, collection: Collection, vault: Vault, key: str, digest: str
) -> Enrolment | None:
    table = schema.request
    row = connection.execute(
        select(table).where(table.c.collection_id == collection.id, table.c.key == key)
    ).first()
    if row is None:
        return None
    if row.digest != digest:
        raise IdempotencyConflict(
            f"the idempotency key {key!r} was used for another request: use a new key for new content"
        )
    answer = json.loads(vault.own.open(row.answer, vault.place("request", 0)))
    items = tuple(
        Item(
            i["source"], i["status"], i["reference"], tuple(Reason(**r) for r in i["reasons"]),
            None if i["candidate"] is None else Candidate(**i["candidate"]),
        )
        for i in answer["items"]
    )  # fmt: skip
    return Enrolment(answer["subject"], items, answer["created"])


def _remember(
    connection: Connection,
    collection: Collection,
    vault: Vault,
    key: str,
    digest: str,
    outcome: Enrolment,
    subject: Any,
) -> None:
    nameless = replace(outcome, items=tuple(_nameless(item) for item in outcome.items))
    answer = json.dumps(enrolment_record(nameless)).encode()
    connection.execute(
        insert(schema.request).values(
            collection_id=collection.id, key=key, digest=digest, at=now(),
            answer=vault.own.seal(answer, vault.place("request", 0)),
            subject_id=None if subject is None else subject.id,
        )
    )  # fmt: skip


def _nameless(item: Item) -> Item:
    """Without the name of another subject, who may be erased while this answer is kept."""
    if item.candidate is None:
        return item
    kept = "another subject looked like it at the time of the request, and is not named again"
    reasons = (replace(r, message=kept) if r.code == "possible_duplicate" else r for r in item.reasons)
    return replace(item, reasons=tuple(reasons), candidate=None)


def enrolment_record(outcome: Enrolment) -> dict[str, Any]:
    """An enrolment as plain values."""
    return {
        "subject": outcome.subject,
        "created": outcome.created,
        "items": [
            {
                "source": i.source,
                "status": i.status,
                "reference": i.reference,
                "reasons": [
                    {"code": r.code, "message": r.message, "side": r.side, "blocking": r.blocking}
                    for r in i.reasons
                ],
                "candidate": None if i.candidate is None else candidate_record(i.candidate),
            }
            for i in outcome.items
        ],
    }


def candidate_record(candidate: Candidate) -> dict[str, Any]:
    """A candidate as plain values."""
    names = ("subject", "similarity", "rank", "reference", "collection", "lead")
    return {name: getattr(candidate, name) for name in names}


def with_vectors(samples: Sequence[Sample], collection: Collection, vault: Vault) -> list[Sample]:
    """Give each sample that has a template its vector as it is stored.

    Raises:
        TemplateMismatch, TemplateInvalid: a template that cannot be stored here.
    """
    usable = [s for s in samples if s.template is not None]
    if usable:
        raw = unit_rows([s.template for s in usable if s.template is not None], collection)
        for sample, vector in zip(usable, vault.turn(raw), strict=True):
            sample.vector = vector
    return [replace(s) if s.template is None else s for s in samples]
