"""Which face of a picture is meant: a policy with a name, never silent.

With `exactly_one`, the default of a verification, a second face means that nothing is compared: a selfie
with somebody's photograph held beside it must not be accepted as that somebody. The other policies choose,
and say that there was a choice.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineament.core.errors import InvalidArgument
from lineament.core.faces import Face, Faces
from lineament.core.verdict import Reason
from lineament.vision.boxes import rank
from lineament.vision.quality import QualityLimits, problems

FacePolicy = Literal["exactly_one", "largest", "most_central"]
POLICIES: tuple[FacePolicy, ...] = ("exactly_one", "largest", "most_central")


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The face that a policy chose, or None, and why; `index` is its place among the faces, or −1."""

    face: Face | None
    reasons: tuple[Reason, ...]
    index: int = -1


def choose(
    faces: Faces, policy: FacePolicy, size: tuple[int, int], limits: QualityLimits | None, side: str = ""
) -> Choice:
    """Apply a policy and the quality gate to the faces of one picture.

    Args:
        faces: best first.
        policy: `exactly_one`, `largest` (by area) or `most_central` (area less twice the squared distance
            of the box's middle from the picture's).
        size: (height, width) of the picture.
        limits: quality gate, or None for no gate.
        side: `a` or `b`, kept in the reasons.

    Raises:
        InvalidArgument: no such policy.
    """
    if policy not in POLICIES:
        raise InvalidArgument(f"no face policy is called {policy!r}: use one of {', '.join(POLICIES)}")
    if not len(faces):
        message = (
            "no face was found: use a picture that shows the face upright, lit and at least 20 pixels wide"
        )
        return Choice(None, (Reason("no_face", message, side, True),))
    reasons: list[Reason] = []
    if len(faces) > 1:
        blocking = policy == "exactly_one"
        then = (
            "crop the picture to the person meant, or choose the policy largest or most_central knowingly"
            if blocking
            else f"the {policy.replace('_', ' ')} one was used"
        )
        reasons.append(Reason("multiple_faces", f"{len(faces)} faces were found: {then}", side, blocking))
        if blocking:
            return Choice(None, tuple(reasons))
    rule = "largest" if policy == "largest" else "central"
    index = int(rank(faces.boxes, faces.scores, rule, size)[0])
    face = faces[index]
    if face.template is None:
        return Choice(None, (*reasons, _unaligned(face, side)))
    if limits is not None and face.quality is not None:
        found = problems(face.quality, face.template.norm, limits)
        reasons += [Reason(p.code, p.message, side, p.blocking) for p in found]
    blocked = any(r.blocking for r in reasons)
    ordered = tuple(sorted(reasons, key=lambda r: not r.blocking))
    return Choice(None, ordered) if blocked else Choice(face, ordered, index)


def _unaligned(face: Face, side: str) -> Reason:
    if not np.isfinite(face.points).all():
        message = "the detector gives no facial points, so the face cannot be aligned: use a pack with points"
        return Reason("no_points", message, side, True)
    message = "the face's points coincide, so it cannot be aligned: take another picture"
    return Reason("points_degenerate", message, side, True)
