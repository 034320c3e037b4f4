"""The people of a collection: enrol, look up, change, rename, merge, remove."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lineament.core.errors import InvalidArgument, SubjectNotFound
from lineament.core.ports import Captured
from lineament.core.template import Template
from lineament.gallery import enrol, rejected, subjects
from lineament.gallery.find import unit_rows
from lineament.gallery.operating import pair_threshold
from lineament.gallery.searching import Searching
from lineament.gallery.values import Enrolment, Review, Settings, Subject


class People(Searching):
    """What can be done with the subjects of a collection."""

    def enroll(
        self,
        subject: str,
        images: Any,
        *,
        metadata: Mapping[str, Any] | None = None,
        sensitive: Mapping[str, Any] | None = None,
        consent: Mapping[str, Any] | None = None,
        retain_until: str | None = None,
        review: Review | None = None,
        policy: str = "exactly_one",
        idempotency_key: str | None = None,
    ) -> Enrolment:
        """Enrol pictures of one subject, who is made if new.

        Args:
            subject: the id by which you know the person.
            images: a picture or several: paths, bytes, file objects, PIL images, arrays.
            metadata: plain values that searches may filter by.
            sensitive: values that are sealed and shown only on request.
            consent: what the person agreed to, plain values.
            retain_until: ISO date on which the person is due for erasure.
            review: overrides the collection's.
            policy: which face of a picture is meant, when there are several.
            idempotency_key: the same request with the same key is answered as the first time.

        Returns:
            What became of each picture. A picture that cannot be used is never an error.

        Raises:
            ConsentMissing, IdempotencyConflict, InvalidArgument: as each says; nothing is written.
        """
        recognizer = self._recognizer()
        sources = list(images) if isinstance(images, list | tuple) else [images]
        captured = recognizer.capture_many(sources, policy=policy)
        about = enrol.About(metadata, sensitive, consent, retain_until)
        return self.enroll_captured(subject, list(captured), about, review=review, key=idempotency_key)

    def enroll_captured(
        self,
        subject: str,
        captured: Sequence[Captured],
        about: enrol.About | None = None,
        *,
        review: Review | None = None,
        key: str | None = None,
    ) -> Enrolment:
        """As `enroll`, with pictures that were looked at already."""
        subjects.check_id(subject)
        enrol.check_key(key)
        checked = (about or enrol.About()).checked()
        settings = _reviewing(self.collection.settings, review)
        samples = [enrol.sample_of(c, self.vault, settings) for c in captured]
        samples = enrol.with_vectors(samples, self.collection, self.vault)
        if settings.review != "off":
            self._review(subject, [s for s in samples if s.status is None], settings)
        return enrol.store(
            self.truth, self.audit, self.actor, self.collection, self.vault, subject, samples, checked, key
        )

    def _review(self, subject: str, samples: list[enrol.Sample], settings: Settings) -> None:
        if not samples:
            return
        boundary = pair_threshold(self.thresholds, self.collection.model, settings.review_fmr).value
        with self.truth.read() as connection:
            try:
                row = subjects.row(connection, self.collection, subject)
            except SubjectNotFound:
                row = None
        own, without = None, frozenset[int]()
        if row is not None:
            without = frozenset({int(row.id)})
            if row.template is not None:
                place = self.vault.place("template", row.id)
                own = np.frombuffer(self.vault.of(row.id, row.data_key).open(row.template, place), "<f4")
        probes = np.stack([s.vector for s in samples])
        for sample, ranked in zip(samples, self._search(probes, boundary, 1, without=without), strict=True):
            enrol.review(sample, settings, ranked.candidates, own, boundary)

    def subjects(self, *, after: str | None = None, limit: int = 100) -> list[Subject]:
        """Subjects by id, `limit` at a time; `after` is the last id of the page before."""
        with self.truth.read() as connection:
            rows = subjects.page(connection, self.collection, after, limit)
            return [subjects.value(connection, self.vault, row) for row in rows]

    def subject(self, subject: str, *, sensitive: bool = False) -> Subject:
        """One subject; `sensitive` opens the sealed metadata, which the audit log notes.

        Raises:
            SubjectNotFound: no such subject.
        """
        with self.truth.read() as connection:
            row = subjects.row(connection, self.collection, subject)
            value = subjects.value(connection, self.vault, row, sensitive=sensitive)
        if sensitive:
            with self.truth.write() as connection:
                self.audit.append(connection, self.actor, "read_sensitive", self.collection.name, row.id)
        return value

    def update(self, subject: str, **about: Any) -> Subject:
        """Change `metadata`, `sensitive`, `consent` or `retain_until`; what is not named stays."""
        checked = enrol.About(**about).checked()
        with self.truth.write() as connection:
            row = subjects.row(connection, self.collection, subject)
            subjects.change(connection, self.vault, row, checked)
            names = sorted(k for k, v in about.items() if v is not None)
            self.audit.append(
                connection, self.actor, "update", self.collection.name, row.id, {"changed": names}
            )
            return subjects.value(connection, self.vault, subjects.row(connection, self.collection, subject))

    def rename(self, subject: str, to: str) -> Subject:
        """Give a subject another id.

        Raises:
            SubjectExists: the id is taken; `merge` joins two subjects.
        """
        subjects.check_id(to)
        with self.truth.write() as connection:
            row = subjects.row(connection, self.collection, subject)
            subjects.rename(connection, self.collection, row, to)
            self.audit.append(connection, self.actor, "rename", self.collection.name, row.id)
            return subjects.value(connection, self.vault, subjects.row(connection, self.collection, to))

    def merge(self, subject: str, into: str) -> Subject:
        """Join two subjects that are one person: the samples of `subject` become those of `into`."""
        if subject == into:
            raise InvalidArgument(f"{subject!r} cannot be merged with itself: name two subjects")
        with self.truth.write() as connection:
            source = subjects.row(connection, self.collection, subject)
            target = subjects.row(connection, self.collection, into)
            ids = subjects.merge(connection, self.collection, self.vault, source, target)
            self.audit.append(
                connection, self.actor, "merge", self.collection.name, target.id,
                {"from": str(source.id), "references": ids},
            )  # fmt: skip
            return subjects.value(connection, self.vault, subjects.row(connection, self.collection, into))

    def remove(self, subject: str, reference: int | None = None) -> int:
        """Take a subject, or one reference, out of the collection; how many references went.

        The rows are deleted and overwritten. `erase` also rewrites the files and gives a receipt.
        """
        with self.truth.write() as connection:
            row = subjects.row(connection, self.collection, subject)
            if reference is None:
                counts = subjects.remove(connection, self.collection, self.vault, row)
                gone = counts["references"]
            else:
                subjects.remove_one(connection, self.collection, self.vault, row, reference)
                gone = 1
            body = {"references": gone, "reference": reference}
            self.audit.append(connection, self.actor, "remove", self.collection.name, row.id, body)
        return gone

    def not_this_person(self, subject: str, probe: Template) -> None:
        """Keep a probe that a reviewer says is somebody else: it, and what is more like it than like the
        subject's references, does not find this subject any more."""
        vector = self.vault.turn(unit_rows([probe], self.collection))[0]
        with self.truth.write() as connection:
            row = subjects.row(connection, self.collection, subject)
            rejected.keep(connection, self.collection, self.vault, row, vector, self.actor.name)
            self.audit.append(connection, self.actor, "not_this_person", self.collection.name, row.id)


def _reviewing(settings: Settings, review: Review | None) -> Settings:
    return settings if review is None else replace(settings, review=review)
