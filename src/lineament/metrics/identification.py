"""One to many: ranks, and the two errors of an open-set search.

A search compares one probe with every reference of a gallery. It is *mated* when the probe's subject is in
the gallery and *non-mated* when it is not (ISO/IEC 19795-1). A threshold of 1:1 verification means nothing
here: with N references there are N chances of a false match (`fpir_from_fmr`).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.intervals import Rate, reliable
from lineament.metrics.operating import allowed, least_accepted

Ties = Literal["pessimistic", "optimistic"]
"""Whether a non-mate with the mate's own similarity stands before it or behind it."""


def ranks(similarity: np.ndarray, mate: np.ndarray, ties: Ties = "pessimistic") -> Int64[np.ndarray, "p"]:
    """Place of the mate among the candidates of each search, the best being 1.

    Where the gallery holds several mates of a probe the best one counts, and the others do not stand in its
    way. No row depends on another, so that a large search may be handed over in blocks of probes.

    Args:
        similarity: (p, g) of every probe with every reference; −inf where a comparison failed.
        mate: (p,) column of the one mate, or (p, g) bool, True for each mate.
        ties: pessimistic gives 1 + the number of non-mates at or above the mate, optimistic 1 + those above.

    Raises:
        ScoresInvalid: shapes do not fit, a similarity is NaN, or a probe has no mate in the gallery.
        InvalidArgument: `ties` is neither of the two.
    """
    if ties not in ("pessimistic", "optimistic"):
        raise InvalidArgument(f"ties are pessimistic or optimistic, not {ties!r}")
    similarity, mate = np.asarray(similarity), np.asarray(mate)
    if similarity.ndim != 2 or not similarity.shape[1]:
        raise ScoresInvalid(
            f"similarities of a search have shape (probes, references), not {similarity.shape}"
        )
    # The largest value is NaN when any is: no second pass, and no copy of the matrix.
    if similarity.dtype.kind == "f" and similarity.size and np.isnan(similarity.max()):
        raise ScoresInvalid("a similarity is NaN: give −inf to a comparison that failed")
    if mate.dtype == np.bool_:
        return _ranks_of_many(similarity, mate, ties)
    return _ranks_of_one(similarity, mate, ties)


def _ranks_of_one(similarity: np.ndarray, mate: np.ndarray, ties: Ties) -> np.ndarray:
    """`mate` is a column; the mate itself is one of the values at or above the mate."""
    if mate.dtype.kind not in "iu" or mate.shape != similarity.shape[:1]:
        raise ScoresInvalid(
            f"{mate.dtype} mates of shape {mate.shape} for {similarity.shape} similarities: give one column "
            "number per probe, or a bool for every comparison"
        )
    if mate.size and not (mate.min() >= 0 and mate.max() < similarity.shape[1]):
        raise ScoresInvalid(f"a mate is not one of the {similarity.shape[1]} references, numbered from 0")
    best = np.take_along_axis(similarity, mate[:, None].astype(np.int64), axis=1)
    if ties == "pessimistic":
        return np.count_nonzero(similarity >= best, axis=1).astype(np.int64)
    return 1 + np.count_nonzero(similarity > best, axis=1).astype(np.int64)


def _ranks_of_many(similarity: np.ndarray, mate: np.ndarray, ties: Ties) -> np.ndarray:
    """`mate` marks every mate."""
    if mate.shape != similarity.shape:
        raise ScoresInvalid(f"{mate.shape} marks of mates for {similarity.shape} similarities: give one each")
    without = int((~mate.any(axis=1)).sum())
    if without:
        raise ScoresInvalid(f"{without} probes have no mate in the gallery: those are non-mated searches")
    if similarity.dtype.kind != "f":
        similarity = similarity.astype(np.float64)
    best = np.max(similarity, axis=1, keepdims=True, where=mate, initial=-np.inf)
    before = similarity >= best if ties == "pessimistic" else similarity > best
    return 1 + np.count_nonzero(before & ~mate, axis=1).astype(np.int64)


def cmc(ranks: np.ndarray, gallery: int, failed: int = 0) -> Float64[np.ndarray, "gallery"]:
    """Cumulative match characteristic: share of mated searches whose mate is among the first r candidates.

    Args:
        ranks: (p,) whole numbers from 1, of `ranks`.
        gallery: references that were searched; the curve's length.
        failed: mated searches without candidates because a sample gave no template; never found.

    Returns:
        (gallery,) shares for r = 1, 2, …; the last is 1 when no search failed.

    Raises:
        ScoresInvalid: no search, or a rank outside 1..gallery.
        InvalidArgument: `failed` is negative.
    """
    if failed < 0:
        raise InvalidArgument(f"failed searches are a count, not {failed}")
    ranks = _places(ranks, gallery)
    if not len(ranks) + failed:
        raise ScoresInvalid("there is no mated search: a CMC needs some")
    found = np.cumsum(np.bincount(ranks - 1, minlength=gallery))
    return found / (len(ranks) + failed)


def _places(ranks: np.ndarray, gallery: int) -> np.ndarray:
    ranks = np.asarray(ranks)
    if gallery < 1:
        raise ScoresInvalid(f"a gallery holds at least one reference, not {gallery}")
    if ranks.ndim != 1 or ranks.dtype.kind not in "iu":
        raise ScoresInvalid(f"ranks are one whole number per search, not {ranks.dtype} of {ranks.shape}")
    if ranks.size and not (ranks.min() >= 1 and ranks.max() <= gallery):
        raise ScoresInvalid(
            f"ranks among {gallery} references lie in 1..{gallery}: {ranks.min()}..{ranks.max()}"
        )
    return ranks.astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """What the searches of one gallery gave. Two galleries are two of these: never concatenate them.

    Attributes:
        mate_similarity: (m,) of each mated search, of its best mate.
        mate_rank: (m,) place of that mate, from 1.
        top_nonmated: (q,) largest similarity that each non-mated search found, in any order.
        gallery: references that were searched.
        mated_failed: mated searches without a result, because the probe or all its mates gave no template:
            misses at any threshold.
        nonmated_failed: non-mated searches whose probe gave no template: they return nobody.

    Raises:
        ScoresInvalid: not finite, lengths differ, or a rank outside 1..gallery.
    """

    mate_similarity: Float[np.ndarray, "m"]
    mate_rank: Int[np.ndarray, "m"]
    top_nonmated: Float[np.ndarray, "q"]
    gallery: int
    mated_failed: int = 0
    nonmated_failed: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mate_similarity).all() and np.isfinite(self.top_nonmated).all()):
            raise ScoresInvalid("similarities of searches must be finite: count failed searches as failures")
        if len(_places(self.mate_rank, self.gallery)) != len(self.mate_similarity):
            raise ScoresInvalid(
                f"{len(self.mate_rank)} ranks for {len(self.mate_similarity)} mated searches: give one each"
            )
        if self.mated_failed < 0 or self.nonmated_failed < 0:
            raise ScoresInvalid(f"failed searches are counts: {self.mated_failed}, {self.nonmated_failed}")

    @property
    def mated_count(self) -> int:
        """Mated searches, failed ones included."""
        return len(self.mate_similarity) + self.mated_failed

    @property
    def nonmated_count(self) -> int:
        """Non-mated searches, failed ones included."""
        return len(self.top_nonmated) + self.nonmated_failed


def fpir(searches: Searches, threshold: float) -> float:
    """False positive identification rate: share of non-mated searches with a candidate at the threshold.

    Raises:
        ScoresInvalid: there is no non-mated search.
        InvalidArgument: the threshold is NaN.
    """
    if not searches.nonmated_count:
        raise ScoresInvalid("there is no non-mated search: search for people who are not in the gallery")
    return _false_positives(searches, threshold) / searches.nonmated_count


def fnir(searches: Searches, threshold: float, rank: int | None = None) -> float:
    """False negative identification rate: share of mated searches that miss the mate.

    Args:
        searches: of one gallery.
        threshold: similarity the mate must reach.
        rank: within how many first candidates the mate must be; None looks at every candidate.

    Raises:
        ScoresInvalid: there is no mated search.
        InvalidArgument: `rank` below 1, or the threshold is NaN.
    """
    if not searches.mated_count:
        raise ScoresInvalid("there is no mated search: search for people who are in the gallery")
    return _misses(searches, threshold, rank) / searches.mated_count


def _false_positives(searches: Searches, threshold: float) -> int:
    return int(np.count_nonzero(_accepted(searches.top_nonmated, threshold)))


def _accepted(similarity: np.ndarray, threshold: float) -> np.ndarray:
    if math.isnan(threshold):
        raise InvalidArgument("the threshold is not a number: give a similarity")
    return similarity >= least_accepted(threshold, similarity.dtype)


def _misses(searches: Searches, threshold: float, rank: int | None) -> int:
    if rank is not None and rank < 1:
        raise InvalidArgument(f"a rank is 1 or more, or None for any, not {rank}")
    found = _accepted(searches.mate_similarity, threshold)
    if rank is not None:
        found &= searches.mate_rank <= rank
    return searches.mated_count - int(np.count_nonzero(found))


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """Errors of open-set search where false positives stay within a target.

    Attributes:
        target: largest FPIR that was allowed, in (0, 1).
        allowed: how many non-mated searches may have returned someone: ⌊target · non-mated⌋.
        bar: similarity that a candidate must exceed; None when everything is accepted.
        threshold: the smallest number above the bar, in the precision of `top_nonmated`; −inf without bar.
        false_positives, nonmated, fpir: counts and their ratio, failed searches included.
        misses, mated, fnir: counts and their ratio, failed searches included.
        rank: within how many first candidates the mate had to be; None for any.
        status: `insufficient` when not one false positive is allowed, because 1/non-mated exceeds the target:
            then the bar is the largest similarity seen, and only an upper bound of the FPIR may be claimed.
        reliable: thirty false positives or more (rule of 30).
    """

    target: float
    allowed: int
    bar: float | None
    threshold: float
    false_positives: int
    nonmated: int
    fpir: float
    misses: int
    mated: int
    fnir: float
    rank: int | None
    status: Literal["ok", "insufficient"]
    reliable: bool

    @property
    def dir(self) -> float:
        """Detection and identification rate, 1 − FNIR."""
        return 1 - self.fnir


def at_fpir(searches: Searches, target: Rate, rank: int | None = None) -> SearchPoint:
    """The lowest threshold whose FPIR is at most `target`, and the misses there.

    The rule of `lineament.metrics.operating` on the best candidate of each non-mated search: with
    k = ⌊target · N⌋ in exact decimals, accept what exceeds the (k+1)-th largest. The FPIR never exceeds the
    target, with ties as well.

    Raises:
        ScoresInvalid: no mated or no non-mated search.
        InvalidArgument: the target is not in (0, 1), or a rank below 1.
    """
    may = allowed(target, searches.nonmated_count)
    if may < len(searches.top_nonmated):
        place = len(searches.top_nonmated) - 1 - may
        edge = np.partition(searches.top_nonmated, place)[place]
        bar, threshold = float(edge), float(np.nextafter(edge, edge.dtype.type(np.inf)))
    else:
        bar, threshold = None, -math.inf
    positives = _false_positives(searches, threshold)
    return SearchPoint(
        target=float(target),
        allowed=may,
        bar=bar,
        threshold=threshold,
        false_positives=positives,
        nonmated=searches.nonmated_count,
        fpir=fpir(searches, threshold),
        misses=_misses(searches, threshold, rank),
        mated=searches.mated_count,
        fnir=fnir(searches, threshold, rank),
        rank=rank,
        status="ok" if may else "insufficient",
        reliable=reliable(positives),
    )


def fpir_from_fmr(fmr: float, gallery: int) -> float:
    """What an FMR becomes in a search of `gallery` references: 1 − (1 − FMR)^N.

    Takes the N comparisons as independent. People who look alike are not, and the highest of N similarities
    is what a search returns: use it to see that a threshold of 1:1 must not serve for search, not to set one.

    Raises:
        InvalidArgument: a rate outside 0..1, or a negative gallery.
    """
    _rate_and_gallery(fmr, gallery, smallest=0)
    if fmr == 1:
        return float(gallery > 0)
    return -math.expm1(gallery * math.log1p(-fmr))


def fmr_for_fpir(fpir: float, gallery: int) -> float:
    """The FMR that an FPIR asks of each comparison with `gallery` references; inverse of `fpir_from_fmr`.

    Raises:
        InvalidArgument: a rate outside 0..1, or an empty gallery.
    """
    _rate_and_gallery(fpir, gallery, smallest=1)
    if fpir == 1:
        return 1.0
    return -math.expm1(math.log1p(-fpir) / gallery)


def _rate_and_gallery(rate: float, gallery: int, smallest: int) -> None:
    if not 0 <= rate <= 1:
        raise InvalidArgument(f"a rate lies in 0..1, not {rate}")
    if gallery < smallest:
        raise InvalidArgument(f"a gallery of at least {smallest} references, not {gallery}")
