"""A collection of enrolled people, opened: enrol, identify, investigate, verify, look after, erase.

    g = Gallery.open("sqlite:///people.db", "staff", recognizer=ln.Recognizer())
    g.enroll("person-17", ["a.jpg", "b.jpg"], metadata={"site": "north"})
    candidates = g.identify("probe.jpg", fpir=1e-3)

Pictures become templates by the recognizer that is handed in; what is already embedded needs none.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lineament.core.errors import GalleryLocked, KeyUnavailable, SubjectNotFound
from lineament.gallery import schema
from lineament.gallery.check import check
from lineament.gallery.erase import Erased, due, erase, rewrite_files, signing_key
from lineament.gallery.people import People
from lineament.gallery.rekey import Rekeyed, rewrap_all
from lineament.gallery.values import Health


class Gallery(People):
    """One collection. Make it with `Gallery.create` or `Gallery.open`.

    Threads may share it. Another process opens its own; what one commits, the next search of every other
    finds, and what one deletes, none finds any more.

    Attributes:
        truth: the database.
        collection: which collection, with its settings.
        actor: who acts, in every audit record.
    """

    def erase(self, subject: str, *, signing: str | Path | None = None, rewrite: bool = True) -> Erased:
        """Erase a subject from database, index and files, and sign a receipt.

        Args:
            subject: whom.
            signing: file of the key that signs; None for the one beside an SQLite database, made at the
                first use.
            rewrite: rewrite the database's files at once. False when many are erased; `rewrite` does it then.

        Returns:
            What was removed, and the receipt. `rewritten` is False where another process kept the files in
            use: end it and call `rewrite`.

        Raises:
            SubjectNotFound: no such subject.
            KeyUnavailable: the signing key cannot be used; nothing is erased.
        """
        signer = signing_key(self.truth, None if signing is None else Path(signing))
        done = erase(self.truth, self.audit, self.actor, self.collection, self.vault, subject, signer)
        if self.follower.index.applied_seq():
            # The index of this process lets go at once; others do at their next search.
            self.follower.catch_up()
        if not rewrite:
            return done
        try:
            self.rewrite()
        except GalleryLocked:
            # The rows are gone and the receipt stands: only traces in the write-ahead log may be left.
            return done
        return replace(done, rewritten=True)

    def rewrite(self) -> None:
        """Overwrite what was deleted in the database's files; see `erase`."""
        rewrite_files(self.truth)

    def due(self, moment: str | None = None) -> list[str]:
        """Ids of subjects whose retention is over at an ISO time, by default now; the longest over first."""
        with self.truth.read() as connection:
            return due(connection, self.collection, moment)

    def sweep(self, *, moment: str | None = None, signing: str | Path | None = None) -> Generator[Erased]:
        """Erase every subject whose retention is over, each with a receipt; the files are rewritten at the
        end.

        Raises:
            GalleryLocked: all are erased, but another process keeps the files in use: call `rewrite` again.
        """
        try:
            for subject in self.due(moment):
                with suppress(SubjectNotFound):  # somebody else erased it meanwhile
                    yield self.erase(subject, signing=signing, rewrite=False)
        finally:
            self.rewrite()

    def rotate_key(self, progress: Callable[[int], None] | None = None) -> Rekeyed:
        """Bring every key of the database under the present master key; everything goes on meanwhile.

        Raises:
            KeyUnavailable: the gallery was opened without a key, or the old master key is not here.
        """
        if self.keys is None:
            raise KeyUnavailable("the gallery was opened without a key: give it with --key file:PATH")
        return rewrap_all(self.truth, self.audit, self.actor, self.keys, progress)

    def check(self, *, index: bool = True, anchor: tuple[int, str] | None = None) -> Health:
        """Whether everything holds: pages, templates, rules between rows, index, audit chain.

        Args:
            index: compare the index with the truth as well.
            anchor: head of the audit chain, kept elsewhere.
        """
        follower = self.follower if index else None
        return check(self.truth, self.audit, self.collection, self.vault, follower, anchor)

    def stats(self) -> dict[str, Any]:
        """Counts and settings, without anything about a person."""
        here = self.collection.id
        with self.truth.read() as connection:
            counts = {
                name: int(
                    connection.execute(
                        select(func.count()).select_from(table).where(table.c.collection_id == here)
                    ).scalar_one()
                )
                for name, table in (("subjects", schema.subject), ("references", schema.reference))
            }
            crops = select(func.count()).where(
                schema.reference.c.collection_id == here, schema.reference.c.crop.is_not(None)
            )
            counts["crops"] = int(connection.execute(crops).scalar_one())
            late = len(due(connection, self.collection))
        return {
            "collection": self.collection.name,
            "kind": self.collection.kind,
            "model": str(self.collection.model),
            "dimension": self.collection.dimension,
            "sealed": self.collection.sealed,
            "transformed": self.collection.settings.transform,
            **counts,
            "due_for_erasure": late,
            "database": self.truth.where,
        }
