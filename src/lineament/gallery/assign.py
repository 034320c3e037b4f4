"""One person stands in a picture once: candidates of several faces, without giving anybody to two of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from lineament.core.verdict import Reason
from lineament.gallery.values import Found


def assigned(answers: Sequence[Found]) -> list[Found]:
    """Give each subject to one face of a picture at most, so that the sum of similarities is largest."""
    names = sorted({c.subject for a in answers for c in a.candidates})
    if not names:
        return list(answers)
    scores = np.zeros((len(answers), len(names)))
    for i, answer in enumerate(answers):
        for candidate in answer.candidates:
            # Shifted so that any candidate is worth more than none.
            scores[i, names.index(candidate.subject)] = candidate.similarity + 2.0
    faces, chosen = linear_sum_assignment(-scores)
    owner = {names[j]: int(i) for i, j in zip(faces, chosen, strict=True) if scores[i, j] > 0}
    kept: list[Found] = []
    for i, answer in enumerate(answers):
        own = [c for c in answer.candidates if owner.get(c.subject, i) == i]
        ranked = tuple(replace(c, rank=rank) for rank, c in enumerate(own, 1))
        taken = len(answer.candidates) - len(own)
        reasons = answer.reasons
        if taken:
            message = (
                f"{taken} candidate(s) of this face belong to another face of the picture with more likeness"
            )
            reasons = (*reasons, Reason("assigned_elsewhere", message))
        kept.append(replace(answer, candidates=ranked, reasons=reasons))
    return kept
