"""From two chosen faces to a verdict at a measured threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lineament.core.errors import InvalidArgument, ThresholdMissing
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.core.verdict import Decision, Reason, Verdict
from lineament.pipeline.policy import Choice


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two pictures: where it came from, how many faces it holds, which one is meant."""

    source: str
    faces_found: int
    choice: Choice


def find_threshold(
    thresholds: Sequence[Threshold], model: ModelId, fmr: float, given: float | Threshold | None
) -> Threshold:
    """The boundary to decide at.

    Args:
        thresholds: measured ones, of any model.
        model: whose templates are compared.
        fmr: the false match rate wanted.
        given: a threshold of the caller's, which wins.

    Raises:
        ThresholdMissing: nothing was measured for this model at this rate.
        ThresholdMismatch: `given` belongs to another model, or to search.
        InvalidArgument: a rate outside (0, 1) or a cosine outside −1..1.
    """
    if isinstance(given, Threshold):
        given.require(model)
        return given
    if given is not None:
        return Threshold.typed_in(
            _number(given, "a threshold is a cosine from -1 to 1 or a Threshold"), model
        )
    fmr = _number(fmr, "a false match rate is a number between 0 and 1")
    if not 0.0 < fmr < 1.0:
        raise InvalidArgument(f"a false match rate lies between 0 and 1, not {fmr}")
    own = [t for t in thresholds if t.model.digest == model.digest and t.gallery_size is None and t.measured]
    for threshold in own:
        if threshold.fmr is not None and math.isclose(threshold.fmr, fmr, rel_tol=1e-6):
            return threshold
    rates = ", ".join(f"{t.fmr:g}" for t in sorted(own, key=lambda t: -(t.fmr or 0)))
    measured = f"measured for it: {rates}" if rates else "nothing was measured for it yet"
    choose = "choose one of those rates, " if rates else ""
    raise ThresholdMissing(
        f"no threshold at false match rate {fmr:g} for {model} ({measured}): {choose}measure one on your own "
        "pictures, or give a threshold yourself, which the verdict will then mark as unmeasured"
    )


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgument(f"{what}, not {value!r}")
    return float(value)


def decide(a: Side, b: Side, threshold: Threshold, model: ModelId, detector: str, policy: str) -> Verdict:
    """Compare the two chosen faces.

    Similarities inside the threshold's interval are undecided: the data it was measured on cannot tell
    whether the wanted false match rate lies above or below them.

    Raises:
        ThresholdMismatch: the threshold belongs to another model, or to search.
    """
    threshold.require(model)
    reasons = [*a.choice.reasons, *b.choice.reasons]
    first, second = a.choice.face, b.choice.face
    similarity: float | None = None
    decision = Decision.NO_COMPARISON
    if first is not None and second is not None and first.template and second.template:
        similarity = first.template.similarity(second.template)
        decision, reason = _against(similarity, threshold)
        reasons.insert(0, reason)
    if threshold.measured and threshold.detector and threshold.detector != detector:
        message = (
            f"the threshold was measured with the detector {threshold.detector}, the faces were found with "
            f"{detector}: its false match rate may differ"
        )
        reasons.append(Reason("detector_differs", message))
    if not threshold.measured:
        message = "the threshold was typed in: no false match rate is known for it"
        reasons.append(Reason("threshold_unmeasured", message))
    return Verdict(
        decision=decision,
        similarity=similarity,
        threshold=threshold,
        a=first,
        b=second,
        model=model,
        detector=detector,
        policy=policy,
        reasons=tuple(sorted(reasons, key=lambda r: not r.blocking)),
        sources=(a.source, b.source),
        faces_found=(a.faces_found, b.faces_found),
    )


def _against(similarity: float, threshold: Threshold) -> tuple[Decision, Reason]:
    low, high = threshold.interval
    if low <= similarity < high:
        message = (
            f"the similarity lies inside the threshold's own uncertainty ({low:.3f} to {high:.3f}): take "
            "better pictures, or let a person decide"
        )
        return Decision.UNDECIDED, Reason("near_threshold", message)
    if similarity >= threshold.value:
        return Decision.MATCH, Reason("above_threshold", "the similarity reaches the threshold")
    return Decision.NO_MATCH, Reason("below_threshold", "the similarity stays below the threshold")
