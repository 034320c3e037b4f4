"""The answer to "are these two the same person?"."""

from dataclasses import dataclass
from enum import StrEnum

from lineament.core.faces import Face
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold


class Decision(StrEnum):
    """The four possible answers."""

    MATCH = "match"
    NO_MATCH = "no_match"
    UNDECIDED = "undecided"
    NO_COMPARISON = "no_comparison"
    """Nothing was compared: a picture holds no usable face. `reasons` says why."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a verdict is what it is, or why a face was not used.

    Attributes:
        code: stable snake_case name, for example `multiple_faces`; see docs/reference/reasons.md.
        message: one sentence for people, ending with what to do where there is something to do.
        side: `a`, `b`, or empty when it concerns both.
        blocking: True when it alone keeps the pair from being accepted.
    """

    code: str
    message: str
    side: str = ""
    blocking: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What was compared, how alike it is, and what follows at which measured threshold.

    Attributes:
        decision: match, no_match, undecided or no_comparison.
        similarity: cosine, −1..1, or None when nothing was compared.
        threshold: the boundary decided at, or that would have been when nothing was compared.
        a, b: the faces used, or None.
        model: the embedder.
        detector: name of the detector that found the faces.
        policy: which face is used when there are several.
        reasons: everything worth knowing, the decisive reason first.
        sources: where the two pictures came from.
        faces_found: number of faces found in each picture.
    """

    decision: Decision
    similarity: float | None
    threshold: Threshold | None
    a: Face | None
    b: Face | None
    model: ModelId
    detector: str
    policy: str
    reasons: tuple[Reason, ...]
    sources: tuple[str, str]
    faces_found: tuple[int, int]

    @property
    def match(self) -> bool:
        """True only for an accepted pair; undecided is not accepted."""
        return self.decision is Decision.MATCH
