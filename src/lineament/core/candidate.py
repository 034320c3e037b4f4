"""A row of a search result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled subject that a probe resembles.

    Attributes:
        subject: the subject's id in its collection, as it was given at enrolment.
        similarity: of the probe and the subject's most similar reference; exact cosine, −1..1.
        rank: 1 for the most similar subject.
        reference: that reference.
        collection: where the subject is enrolled.
        lead: True for a row of `investigate`, which claims nothing: no threshold was applied.
    """

    subject: str
    similarity: float
    rank: int
    reference: int
    collection: str
    lead: bool = False
