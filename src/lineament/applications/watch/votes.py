"""Votes: one frame is an opinion, several frames of one track are a confirmation.

A frame in which a track's face is good enough to be searched with casts one vote: for the subject of the list
that it is most alike to, for "a stranger" when nobody reaches the threshold, or for nobody when the best two
subjects are too close together. A subject is confirmed when `confirm` of the last `window` votes are theirs
*and* their votes weigh more than `share` of all of them, so that at most one subject is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from lineament.core.errors import InvalidArgument, TemplateInvalid


@runtime_checkable
class Alike(Protocol):
    """A subject of a list that a face is like; `lineament.core.candidate.Candidate` is one."""

    @property
    def subject(self) -> str:
        """The subject's id."""
        ...

    @property
    def similarity(self) -> float:
        """Exact cosine, −1..1."""
        ...


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """When votes become a confirmation.

    Attributes:
        confirm: votes that a subject needs.
        window: latest votes of a track that count.
        margin: how much more alike the best subject must be than the second best, cosine; 0 asks nothing.
        share: weight that a subject's votes must exceed, of the window's weight; 0.5 up to under 1.
    """

    confirm: int = 3
    window: int = 5
    margin: float = 0.0
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.confirm <= self.window:
            raise InvalidArgument(
                f"confirm {self.confirm} of {self.window} votes: need 1 <= confirm <= window"
            )
        if not 0.0 <= self.margin <= 2.0:
            raise InvalidArgument(f"margin is a difference of cosines, 0 to 2, not {self.margin!r}")
        if not 0.5 <= self.share < 1.0:
            raise InvalidArgument(f"share lies from 0.5 to under 1, not {self.share!r}")


@dataclass(frozen=True, slots=True)
class Vote:
    """What one frame says of one track.

    Attributes:
        frame: number of the frame.
        subject: whom it votes for, or None.
        stranger: True when nobody of the list reached the threshold.
        similarity: of the best subject, or None when the search found nobody at all.
        second: of the second best, or None.
        weight: how good the capture is, over 0.
        evidence: whatever the caller wants back with the event.
    """

    frame: int
    subject: str | None
    stranger: bool
    similarity: float | None
    second: float | None
    weight: float
    evidence: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """That a window of votes agrees.

    Attributes:
        subject: on whom, or None: on a stranger.
        votes: how many votes agree.
        of: how many votes there are.
        share: weight of those that agree, of all weight, 0..1.
        best: the heaviest vote that agrees; of equal ones the most alike, then the earliest.
    """

    subject: str | None
    votes: int
    of: int
    share: float
    best: Vote


def cast(
    candidates: Iterable[Alike],
    threshold: float,
    margin: float,
    *,
    frame: int,
    weight: float,
    evidence: Any = None,
) -> Vote:
    """The vote of one search.

    Args:
        candidates: subjects that the face is like, in any order; those under the threshold too where there is
            a margin to keep.
        threshold: cosine from which a subject counts.
        margin: see `VoteSettings`.
        frame: number of the frame.
        weight: of the capture, over 0.
        evidence: see `Vote`.

    Raises:
        TemplateInvalid: a similarity that is no number.
        InvalidArgument: a weight that is not over 0.
    """
    if not 0.0 < weight < float("inf"):
        raise InvalidArgument(f"a vote weighs more than nothing, not {weight}")
    best: dict[str, float] = {}
    for candidate in candidates:
        if not -1.01 <= candidate.similarity <= 1.01:  # NaN as well
            raise TemplateInvalid(f"a similarity of {candidate.similarity} is no cosine")
        before = best.get(candidate.subject, -2.0)
        best[candidate.subject] = max(before, candidate.similarity)
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    first = ranked[0][1] if ranked else None
    second = ranked[1][1] if len(ranked) > 1 else None
    reached = first is not None and first >= threshold
    clear = first is not None and (margin <= 0.0 or second is None or first - second >= margin)
    subject = ranked[0][0] if reached and clear else None
    return Vote(frame, subject, not reached, first, second, weight, evidence)


def confirmed(window: Sequence[Vote], settings: VoteSettings) -> Confirmation | None:
    """Whom the votes agree on, or None; at most one answer is possible.

    Args:
        window: the latest votes of one track, at most `settings.window` of them.
        settings: when votes become a confirmation.
    """
    total = sum(vote.weight for vote in window)
    answers = {(vote.subject, vote.stranger) for vote in window if vote.subject is not None or vote.stranger}
    for subject, stranger in answers:
        agreeing = [v for v in window if v.subject == subject and v.stranger == stranger]
        weight = sum(vote.weight for vote in agreeing)
        if len(agreeing) >= settings.confirm and weight > settings.share * total:
            best = max(agreeing, key=lambda v: (v.weight, v.similarity or -2.0, -v.frame))
            return Confirmation(subject, len(agreeing), len(window), weight / total, best)
    return None
