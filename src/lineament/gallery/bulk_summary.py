"""What a bulk import says at its end: how many of what, and why the rest is not enrolled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lineament.core.verdict import Reason
from lineament.gallery.values import Item, Status

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many samples are dealt with and how many there are; 0 where that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class BulkItem:
    """One sample of an import.

    Attributes:
        subject: whose.
        item: what became of it.
    """

    subject: str
    item: Item

    def record(self) -> dict[str, Any]:
        """Plain values."""
        other = self.item.candidate
        return {
            "subject": self.subject,
            "source": self.item.source,
            "status": self.item.status,
            "reasons": [{"code": r.code, "message": r.message} for r in self.item.reasons],
            "candidate": None
            if other is None
            else {"subject": other.subject, "similarity": other.similarity},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """The outcome of an import.

    Attributes:
        counts: samples by status.
        subjects: how many are new.
        problems: every sample that is not enrolled, with reasons.
        remarks: samples that are, with something worth a look.
        notes: sentences about the import as a whole.
        others: files that are no pictures.
    """

    counts: dict[Status, int]
    subjects: int = 0
    problems: tuple[BulkItem, ...] = ()
    remarks: tuple[BulkItem, ...] = ()
    notes: tuple[str, ...] = ()
    others: int = 0

    @property
    def total(self) -> int:
        """Samples."""
        return sum(self.counts.values())

    @property
    def enrolled(self) -> int:
        """Samples that are enrolled now, those that were before included."""
        return self.counts.get("enrolled", 0) + self.counts.get("already_enrolled", 0)

    @property
    def complete(self) -> bool:
        """Whether every sample is enrolled."""
        return self.enrolled == self.total

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "samples": self.total,
            "counts": dict(self.counts),
            "new_subjects": self.subjects,
            "problems": [p.record() for p in self.problems],
            "remarks": [r.record() for r in self.remarks],
            "notes": list(self.notes),
            "other_files": self.others,
        }


@dataclass(slots=True)
class Tally:
    """A summary while it is made."""

    counts: dict[Status, int] = field(default_factory=dict[Status, int])
    subjects: int = 0
    problems: list[BulkItem] = field(default_factory=list[BulkItem])
    remarks: list[BulkItem] = field(default_factory=list[BulkItem])
    notes: list[str] = field(default_factory=list[str])
    others: int = 0

    def count(self, status: Status, number: int = 1) -> None:
        """So many samples more have this status."""
        if number:
            self.counts[status] = self.counts.get(status, 0) + number

    def add(self, subject: str, item: Item) -> BulkItem:
        """One sample more."""
        one = BulkItem(subject, item)
        self.count(item.status)
        if item.status in ("rejected", "failed"):
            self.problems.append(one)
        elif item.status == "enrolled" and (item.candidate is not None or item.reasons):
            self.remarks.append(one)
        return one

    def refuse(self, subject: str, source: str, status: Status, reason: Reason) -> BulkItem:
        """One sample that is not enrolled."""
        return self.add(subject, Item(source, status, None, (reason,)))

    def total(self) -> int:
        """Samples so far."""
        return sum(self.counts.values())

    def done(self) -> Summary:
        """What it came to."""
        return Summary(
            dict(self.counts), self.subjects, tuple(self.problems), tuple(self.remarks), tuple(self.notes),
            self.others,
        )  # fmt: skip
