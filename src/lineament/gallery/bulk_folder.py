"""Enrolling a folder of photographs: looked at side by side, written subject by subject, and gone on with."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from lineament.core.errors import ConsentMissing
from lineament.core.ports import Captured
from lineament.core.verdict import Reason
from lineament.datasets.people_folder import PeopleFolder, Placed, listed, look
from lineament.datasets.people_tables import PeopleList, Person, read_people, same_name
from lineament.gallery.bulk_known import differs, existing_subjects, known_digests, odd_name
from lineament.gallery.bulk_summary import BulkItem, Progress, Summary, Tally
from lineament.gallery.enrol import About
from lineament.gallery.people import People
from lineament.gallery.values import Item, Review

AT_ONCE = 32
"""Photographs of one subject that are written together; a stop loses no more than that."""

LOOKED_UP = 256
"""Photographs that are asked for in the database together before they are embedded."""

OnItem = Callable[[BulkItem], None]


def enroll_folder(
    gallery: People,
    folder: str | Path,
    *,
    people_csv: str | Path | None = None,
    sensitive: Sequence[str] = (),
    consent: Mapping[str, Any] | None = None,
    review: Review | None = None,
    policy: str = "exactly_one",
    progress: Progress | None = None,
    on_item: OnItem | None = None,
    workers: int | None = None,
) -> Summary:
    """Enrol the photographs of many people.

    FOLDER/SUBJECT/… belongs to SUBJECT, FOLDER/NAME.jpg to NAME, unless the list has a column `file`, which
    then says which photographs are taken and whose they are. A photograph that is enrolled under its subject
    is not embedded again. Stopped (Ctrl-C, a crash), the same call goes on where it was: what was embedded
    before a Ctrl-C is written first.

    Args:
        gallery: opened with a recognizer.
        folder: of the photographs.
        people_csv: a list with a column `subject`; see `lineament.datasets.people_tables`.
        sensitive: its columns that are sealed.
        consent: given by everyone of this import.
        review: overrides the collection's.
        policy: which face of a photograph is meant, when there are several.
        progress: called after each photograph.
        on_item: told what became of each photograph, once that is settled.
        workers: threads that look at photographs; None for one per processor.

    Raises:
        DatasetInvalid: no such folder, or a list that cannot be used.
        InvalidArgument: no recognizer, no such policy, or metadata that cannot be stored; nothing is written.
        GalleryError, OutputFailed: the database cannot be written; what came before stays enrolled.
    """
    root = Path(folder)
    known = PeopleList({}, None) if people_csv is None else read_people(Path(people_csv), sensitive)
    found = look(root) if known.files is None else listed(root, known.files)
    work = _Import(gallery, review, policy, _about(known, found, consent), progress, on_item, workers)
    work.refuse(found)
    work.run(found.pictures)
    work.finish(known, found)
    return work.tally.done()


def said_of(person: Person) -> About:
    """A row of a list of people, as it is enrolled."""
    return About(person.metadata or None, person.sensitive or None, person.consent, person.retain_until)


def _about(known: PeopleList, found: PeopleFolder, consent: Mapping[str, Any] | None) -> dict[str, About]:
    about = {name: said_of(person) for name, person in known.people.items()}
    if consent is not None:
        for name in dict.fromkeys(p.subject for p in found.pictures):
            said = about.get(name, About())
            about[name] = said if said.consent is not None else replace(said, consent=consent)
    return {name: said.checked() for name, said in about.items()}


class _Import:
    """One run over a folder."""

    def __init__(
        self,
        gallery: People,
        review: Review | None,
        policy: str,
        about: dict[str, About],
        progress: Progress | None,
        on_item: OnItem | None,
        workers: int | None,
    ) -> None:
        self.gallery, self.policy, self.about = gallery, policy, about
        self.review: Review | None = review
        self.progress, self.on_item, self.workers = progress, on_item, workers
        self.tally = Tally()
        self.total = 0
        self.waiting: deque[Placed] = deque()
        self.group: list[tuple[Placed, Captured]] = []

    def refuse(self, found: PeopleFolder) -> None:
        """What the look around could not use."""
        self.total = len(found.pictures) + len(found.failed)
        self.tally.others = found.others
        for one in found.failed:
            reason = Reason(one.reason, one.message, blocking=True)
            self._settle(one.subject, Item(one.name, "failed", None, (reason,)))

    def run(self, pictures: Sequence[Placed]) -> None:
        """Look at all photographs and write them, subject by subject."""
        shots = self._shots(self._unknown(pictures))
        try:
            for placed, shot in shots:
                if self.group and (len(self.group) >= AT_ONCE or self.group[0][0].subject != placed.subject):
                    self._write()
                self.group.append((placed, shot))
        except KeyboardInterrupt:
            # Embedding is what takes long: keep what there is of it.
            self._write()
            raise
        finally:
            shots.close()
        self._write()

    def finish(self, known: PeopleList, found: PeopleFolder) -> None:
        """Say what is left to say of people whose photographs are all enrolled already."""
        gallery = self.gallery
        with gallery.truth.read() as connection:
            rows = existing_subjects(connection, gallery.collection, self.about)
        for name, row in rows.items():
            said = self.about[name]
            if differs(gallery.vault, row, said):
                gallery.update(
                    name, metadata=said.metadata, sensitive=said.sensitive, consent=said.consent,
                    retain_until=said.retain_until,
                )  # fmt: skip
        pictured = {p.subject for p in found.pictures} | {f.subject for f in found.failed}
        without = [name for name in known.people if name not in rows and name not in pictured]
        for what, names in (
            ("listed, but without a photograph", without),
            ("without a photograph", found.empty),
        ):
            if names:
                rest = f" and {len(names) - 20} more" if len(names) > 20 else ""
                self.tally.notes.append(f"{what}: {', '.join(names[:20])}{rest}")

    def _shots(self, sources: Iterator[Path]) -> Generator[tuple[Placed, Captured]]:
        recognizer: Any = self.gallery._recognizer()  # pyright: ignore[reportPrivateUsage]  (its error is the right one)
        more = {} if self.workers is None else {"workers": self.workers}
        for shot in recognizer.capture_many(sources, policy=self.policy, **more):
            yield self.waiting.popleft(), shot

    def _unknown(self, pictures: Sequence[Placed]) -> Iterator[Path]:
        """Photographs that have to be looked at; the others are settled here."""
        left = iter(pictures)
        while some := list(islice(left, LOOKED_UP)):
            enrolled = self._enrolled(some)
            for placed in some:
                if (odd := odd_name(placed.subject)) is not None:
                    self._settle(placed.subject, Item(placed.name, "rejected", None, (odd,)))
                elif placed in enrolled:
                    same = Reason("already_enrolled", "this very picture of the subject is enrolled already")
                    self._settle(placed.subject, Item(placed.name, "already_enrolled", None, (same,)))
                else:
                    self.waiting.append(placed)
                    yield placed.path

    def _enrolled(self, some: Sequence[Placed]) -> set[Placed]:
        """Those that are enrolled under their subject, by the digest of the file."""
        gallery = self.gallery
        with gallery.truth.read() as connection:
            rows = existing_subjects(connection, gallery.collection, [p.subject for p in some])
            digests = {p: d for p in some if p.subject in rows and (d := self._digest(p.path))}
            known = known_digests(connection, gallery.collection, digests.values())
        return {p for p, digest in digests.items() if (int(rows[p.subject].id), digest) in known}

    def _digest(self, path: Path) -> str | None:
        try:
            with path.open("rb") as stream:
                return self.gallery.vault.digest(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError:
            # The recognizer says what is wrong with it.
            return None

    def _write(self) -> None:
        """Enrol the photographs that are waiting, all of one subject."""
        if not self.group:
            return
        group, self.group = self.group, []
        subject = group[0][0].subject
        about = self.about.get(subject)
        try:
            outcome = self.gallery.enroll_captured(subject, [s for _, s in group], about, review=self.review)
        except ConsentMissing as error:
            reason = Reason(error.reason, error.message, blocking=True)
            for placed, _ in group:
                self._settle(subject, Item(placed.name, "rejected", None, (reason,)))
            return
        if outcome.enrolled:
            self.about.pop(subject, None)
        self.tally.subjects += outcome.created
        for (placed, _), item in zip(group, outcome.items, strict=True):
            self._settle(subject, replace(item, source=placed.name))

    def _settle(self, subject: str, item: Item) -> None:
        one = self.tally.add(same_name(subject), item)
        if self.on_item is not None:
            self.on_item(one)
        if self.progress is not None:
            self.progress(self.tally.total(), self.total)
