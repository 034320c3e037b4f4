"""What a gallery says about what it holds and what it did: plain values, without templates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lineament.core.candidate import Candidate
from lineament.core.faces import Face
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason

Review = Literal["off", "warn", "strict"]
REVIEWS: tuple[Review, ...] = ("off", "warn", "strict")
Status = Literal["enrolled", "already_enrolled", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a collection is run; chosen when it is made.

    Attributes:
        review: what happens when a new face is like another subject's, or unlike its own subject's:
            nothing, a
            reason beside the enrolment, or a refusal.
        review_fmr: one-to-one false match rate at which two faces count as one person's in that review.
        keep_crops: whether aligned crops are kept, which a change of the model needs.
        ask_consent: whether a subject without consent can be enrolled or searched for.
        retain_days: days after enrolment at which a subject is due for erasure; 0 for no limit.
        transform: whether templates are turned by a secret rotation, which makes them useless elsewhere.
        two_persons: for watchlists, whether a second person must approve each entry.
        fpir: for watchlists, the rate of false alerts per searched face that its threshold is chosen by.
    """

    review: Review = "warn"
    review_fmr: float = 1e-4
    keep_crops: bool = False
    ask_consent: bool = False
    retain_days: int = 0
    transform: bool = False
    two_persons: bool = False
    fpir: float = 1e-3


@dataclass(frozen=True, slots=True)
class Collection:
    """A set of subjects whose templates are by one model.

    Attributes:
        id: of the row.
        name: for people and commands.
        kind: `gallery` or `watchlist`.
        model: whose templates.
        alignment: of the crops.
        dimension: length of a template.
        settings: how it is run.
        sealed: whether templates, crops and sensitive metadata are encrypted.
        created_at: ISO time, UTC.
    """

    id: int
    name: str
    kind: str
    model: ModelId
    alignment: str
    dimension: int
    settings: Settings
    sealed: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled person.

    Attributes:
        id: as the caller named it.
        references: how many samples are enrolled.
        metadata: plain values by name; searches can filter by them.
        sensitive: values that are sealed, or None when they were not asked for.
        consent: what was given, when and for what, or None.
        retain_until: ISO date on which the subject is due for erasure, or None.
        created_at, updated_at: ISO times, UTC.
    """

    id: str
    references: int
    metadata: Mapping[str, Any]
    sensitive: Mapping[str, Any] | None
    consent: Mapping[str, Any] | None
    retain_until: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What became of one picture of an enrolment.

    Attributes:
        source: which picture.
        status: `enrolled`, `already_enrolled` (the same picture of the same subject is there), `rejected`
            (no usable face, or the review refused it), or `failed` (the picture cannot be read).
        reference: the id of its reference, or None.
        reasons: why, and what else is worth knowing.
        candidate: the other subject that it looks like, where a review found one.
    """

    source: str
    status: Status
    reference: int | None = None
    reasons: tuple[Reason, ...] = ()
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """The outcome of `Gallery.enroll`, picture by picture.

    Attributes:
        subject: whose.
        items: in the order of the pictures.
        created: whether the subject is new.
    """

    subject: str
    items: tuple[Item, ...]
    created: bool

    @property
    def enrolled(self) -> int:
        """How many pictures are enrolled now, those that were before included."""
        return sum(i.status in ("enrolled", "already_enrolled") for i in self.items)

    @property
    def complete(self) -> bool:
        """Whether every picture is enrolled."""
        return self.enrolled == len(self.items)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The outcome of one search.

    Attributes:
        candidates: subjects at or over the threshold, best first; empty means unknown.
        threshold: what was searched at, or None for leads.
        reasons: why nothing was searched, or what limits the answer.
        face: of the probe, or None when the probe was a template.
        searched: references compared with.
        complete: False when the index could not assure that nothing was missed.
    """

    candidates: tuple[Candidate, ...]
    threshold: Threshold | None
    reasons: tuple[Reason, ...] = ()
    face: Face | None = None
    searched: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not hold in a database.

    Attributes:
        what: a stable name, for example `reference_damaged`.
        where: which row, without templates.
        message: what it means and what to do.
    """

    what: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The outcome of `Gallery.check`.

    Attributes:
        references, subjects: how many were looked at.
        audit_records: how many the chain holds.
        problems: what does not hold; empty when all is well.
    """

    references: int
    subjects: int
    audit_records: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def well(self) -> bool:
        """Whether everything holds."""
        return not self.problems
