"""At which similarity a search accepts a candidate, and what that is known to cost.

A search compares the probe with every reference, so each reference is one more chance of a false positive.
Two kinds of evidence give a threshold for a false positive identification rate (FPIR) in a gallery of N
references:

1. a search threshold measured for galleries of N or more and for that rate or a smaller one
   (`lineament calibrate --fpir F --gallery-size N`);
2. a threshold of one-to-one comparisons with a false match rate of at most FPIR / N. At most N comparisons go
   wrong at that rate each, so the expected share of searches with a false candidate is at most N times it
   (the union bound, which needs no independence).

Nothing is extrapolated: where neither is there, the search is refused with what is missing.
"""

import math
from collections.abc import Sequence

from lineament.core.errors import InvalidArgument, ThresholdMissing
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold


def search_threshold(
    thresholds: Sequence[Threshold], model: ModelId, fpir: float, size: int, given: float | Threshold | None
) -> Threshold:
    """The boundary to search at.

    Args:
        thresholds: measured ones, of any model.
        model: whose templates are searched.
        fpir: false positive identification rate: share of searches by people who are not enrolled that may
            give a candidate; 0..1.
        size: references that the search compares with.
        given: a threshold of the caller's, which wins: a measured one, or a bare cosine.

    Returns:
        A search threshold. From one-to-one evidence its `gallery_size` is `size`, and `method` says so.

    Raises:
        ThresholdMissing: no evidence for this rate at this size.
        ThresholdMismatch: `given` is of another model, or for a smaller gallery.
        InvalidArgument: a rate outside (0, 1) or a cosine outside −1..1.
    """
    if isinstance(given, Threshold):
        given.require_search(model, size)
        return given
    if given is not None:
        return Threshold.typed_in(_real(given, "a threshold is a cosine from -1 to 1 or a Threshold"), model)
    fpir = _real(fpir, "a false positive identification rate is a number between 0 and 1")
    if not 0.0 < fpir < 1.0:
        raise InvalidArgument(f"a false positive identification rate lies between 0 and 1, not {fpir}")
    own = [t for t in thresholds if t.model.digest == model.digest and t.measured]
    measured = [t for t in own if _fits(t, fpir, size)]
    bounded = [_by_union(t, size) for t in own if t.fmr is not None and t.fmr * size <= fpir * (1 + 1e-9)]
    if not measured and not bounded:
        raise ThresholdMissing(_what_is_missing(own, model, fpir, size))
    # Of several that keep the promise, the one that rejects fewest; of equal ones, the one measured on
    # searches.
    return min([*measured, *bounded], key=lambda t: t.value)


def _fits(threshold: Threshold, fpir: float, size: int) -> bool:
    if threshold.fpir is None or threshold.gallery_size is None:
        return False
    return threshold.fpir <= fpir * (1 + 1e-9) and threshold.gallery_size >= size


def _by_union(card: Threshold, size: int) -> Threshold:
    fmr = card.fmr or 0.0
    low, high = card.fmr_interval or (0.0, 1.0)
    return Threshold(
        value=card.value,
        fmr=None,
        interval=card.interval,
        fmr_interval=(min(1.0, low * size), min(1.0, high * size)),
        fnmr=card.fnmr,
        comparisons=card.comparisons,
        false_matches=card.false_matches,
        subjects=card.subjects,
        dataset=card.dataset,
        model=card.model,
        date=card.date,
        method=f"bound: {size} references times the false match rate {fmr:g} of one comparison; counts and "
        f"FNMR are of single comparisons; {card.method}",
        detector=card.detector,
        gallery_size=size,
        fpir=min(fmr * size, 1 - 1e-12),
        precision=card.precision,
    )


def _what_is_missing(own: list[Threshold], model: ModelId, fpir: float, size: int) -> str:
    searches = sorted(
        (t.fpir, t.gallery_size) for t in own if t.fpir is not None and t.gallery_size is not None
    )
    rates = sorted(t.fmr for t in own if t.fmr is not None)
    have = [f"FPIR {rate:g} up to {count:,} references" for rate, count in searches]
    if rates and rates[0] * size < 1:
        have.append(f"FPIR {rates[0] * size:.2g} at this size, by the strictest one-to-one threshold")
    known = "; ".join(have) if have else "nothing"
    needed = math.ceil(3 / fpir)
    return (
        f"no threshold keeps FPIR {fpir:g} in a gallery of {size:,} references for {model} (measured: "
        f"{known}): "
        f"measure one with `lineament calibrate --fpir {fpir:g} --gallery-size {size} --images …` on at "
        f"least "
        f"{needed:,} people besides those, allow a larger rate, or give a threshold yourself, which results "
        "then mark as unmeasured"
    )


def _real(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{what}, not {value!r}")
    return float(value)


def pair_threshold(thresholds: Sequence[Threshold], model: ModelId, fmr: float) -> Threshold:
    """The one-to-one boundary at `fmr`, or at the next smaller rate that was measured.

    Raises:
        ThresholdMissing: nothing was measured at this rate or a smaller one.
    """
    own = [
        t
        for t in thresholds
        if t.model.digest == model.digest and t.fmr is not None and t.fmr <= fmr * (1 + 1e-9)
    ]
    if not own:
        raise ThresholdMissing(
            f"no threshold at false match rate {fmr:g} or less for {model}: measure one with "
            f"`lineament calibrate --fmr {fmr:g}`, or enrol with review off"
        )
    return min(own, key=lambda t: t.value)
