"""Every sample against every other one, exactly, in bounded memory.

A hundred thousand templates make five billion pairs: 20 GB of similarities, of which little is needed. Tiles
of the matrix are computed one by one. Of each, mated similarities are kept, non-mated ones are counted in a
histogram, and those that can be among the largest are kept as well. Thresholds for every false match rate up
to `keep` are then exact, as if all had been sorted.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Int

from lineament.core.errors import InvalidArgument, ScoresInvalid, TemplateInvalid
from lineament.evaluate.account import LIMIT, Account, Found, bin_counts
from lineament.evaluate.cells import Cell, cells_of
from lineament.evaluate.checkpoint import Checkpoint
from lineament.evaluate.tiles import Plan, Rule, plan
from lineament.metrics.operating import allowed
from lineament.metrics.scores import Histogram, Scores
from lineament.runtime.options import processors
from lineament.runtime.products import Products

Progress = Callable[[int, int], None]
"""Called with the pairs compared so far and the pairs there are."""

UNIT = 1e-3
"""How far from 1 the length of a vector may be; stored in half precision they are within 1e-4."""

MAX_KEPT = 1 << 28
"""Similarities that are kept at most: 3 GiB with their pairs."""

MAX_WORKERS = 8
"""Threads at most, with a tile each."""

MAX_BLOCK = 4096
"""Edge of a tile at most: OpenCV counts its 2²⁴ similarities exactly, and no more."""


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """What the comparison of all pairs gave.

    Attributes:
        scores: similarities and counts. Subjects in it are numbered from 0 in the order of the caller's
            numbers, without gaps. `samples` is None when pairs of different groups were not compared.
        mated_pairs: (m, 2) int32 rows of each mated pair, lower first, ascending.
        nonmated_pairs: (t, 2) int32 rows of each of the largest non-mated ones, lower first.
        group_cells: every pair of groups that was compared; empty without groups.
    """

    scores: Scores
    mated_pairs: Int[np.ndarray, "m 2"]
    nonmated_pairs: Int[np.ndarray, "t 2"]
    group_cells: tuple[Cell, ...]


def all_pairs(
    vectors: np.ndarray,
    subject: np.ndarray,
    *,
    keep: float = 1e-3,
    group: np.ndarray | None = None,
    rule: Rule = "all",
    exclude: np.ndarray | None = None,
    block: int = 2048,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> AllPairs:
    """Compare every sample with every other one once.

    Similarities are computed in float32. Which of several equal ones are kept at the lower end is decided by
    their rows. The answer does not depend on interruptions, nor, but for the last bits of a similarity, on
    `block`.

    Args:
        vectors: (n, d) rows of unit length, of a floating type; may be a memory map, which is read in parts.
        subject: (n,) whole numbers.
        keep: largest false match rate, above 0, whose threshold must be exact; 1 keeps everything.
        group: (n,) whole numbers, for an account by pair of groups; a subject may be in several.
        rule: `same_group` compares within groups only.
        exclude: (k, 2) rows of pairs that are left out of everything: known label errors, for example.
        block: edge of a tile, up to 4096; one tile of float32 is in memory per processor, for up to 8.
        checkpoint: file to save to every half minute and at Ctrl-C, and to go on from; deleted at the end.
        progress: called after every tile.

    Raises:
        TemplateInvalid: a row is not finite or not of unit length.
        ScoresInvalid: labels that do not fit, or fewer than two samples.
        InvalidArgument: another argument is outside what it may be, or too much would be kept.
        DatasetInvalid: the checkpoint is of another comparison, or damaged.
        OutputFailed: the checkpoint cannot be written.
    """
    _check_settings(keep, group, rule, block)
    _check_vectors(vectors)
    tiles = plan(len(vectors), subject, group, rule, exclude, block)
    total = tiles.nonmated_total
    count = total if keep == 1 else min(allowed(keep, total) + 1, total)
    _check_size(count, tiles)
    account = Account(tiles, count)
    saved = None
    if checkpoint is not None:
        settings = (subject, group, exclude, keep, block, rule)
        saved = Checkpoint(checkpoint, _identity(vectors, *settings))
        saved.restore(account)
    _compare(vectors, tiles, account, saved, progress)
    answer = _answer(tiles, account, group)
    if saved is not None:
        saved.remove()
    return answer


def _check_settings(keep: float, group: np.ndarray | None, rule: Rule, block: int) -> None:
    if not 0 < keep <= 1:
        raise InvalidArgument(f"keep is a false match rate above 0, up to 1, not {keep}")
    if not 1 <= block <= MAX_BLOCK:
        raise InvalidArgument(f"block is the edge of a tile, from 1 to {MAX_BLOCK}, not {block}")
    if rule not in get_args(Rule):
        raise InvalidArgument(f"rule is one of {', '.join(get_args(Rule))}, not {rule!r}")
    if rule == "same_group" and group is None:
        raise InvalidArgument("rule is same_group, but there are no groups: give the group of each sample")


def _check_vectors(vectors: np.ndarray) -> None:
    """Refuse what is no template."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise TemplateInvalid(
            f"templates are {vectors.dtype} of shape {vectors.shape}: give (n, d) floating-point rows"
        )
    if len(vectors) < 2:
        raise ScoresInvalid(f"{len(vectors)} samples make no pair: at least two are needed")
    for start in range(0, len(vectors), 8192):
        rows = np.ascontiguousarray(vectors[start : start + 8192])
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
        bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT))
        if len(bad):
            raise TemplateInvalid(
                f"row {start + bad[0]} is not a unit vector (length {lengths[bad[0]]:.6g}): leave out "
                "samples that gave no template, and scale the others to length 1"
            )


def _identity(vectors: np.ndarray, *settings: object) -> str:
    """Hex digest of templates, labels and settings."""
    digest = hashlib.sha256(repr((vectors.shape, vectors.dtype.str)).encode())
    for start in range(0, len(vectors), 8192):
        digest.update(np.ascontiguousarray(vectors[start : start + 8192]).tobytes())
    for setting in settings:
        values = np.asarray(() if setting is None else setting)
        digest.update(repr((values.shape, values.dtype.str)).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _check_size(count: int, tiles: Plan) -> None:
    if count + tiles.mated_total > MAX_KEPT:
        raise InvalidArgument(
            f"{count} non-mated and {tiles.mated_total} mated similarities would be kept, more than "
            f"{MAX_KEPT}: keep a smaller false match rate, or take fewer samples of each subject"
        )


class _Worker(threading.local):
    """What each thread has of its own: a product, a buffer, and the rows it used last."""

    def __init__(self, vectors: np.ndarray, tiles: Plan, account: Account) -> None:
        self._vectors, self._tiles, self._account = vectors, tiles, account
        self._products = Products()
        self._buffer = np.empty(max((t.shape[0] * t.shape[1] for t in tiles.tiles), default=0), np.float32)
        self._left = -1, np.empty(0, np.float32)

    def look(self, number: int) -> Found:
        """What is in a tile."""
        tile = self._tiles.tiles[number]
        if self._left[0] != tile.top:
            self._left = tile.top, self._rows(tile.top, tile.bottom)
        rows, columns = tile.shape
        block = self._buffer[: rows * columns].reshape(rows, columns)
        self._products.into(self._left[1], self._rows(tile.left, tile.right), block)
        return self._account.look(number, block)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        rows = self._tiles.order[start:stop]
        straight = bool((np.diff(rows) == 1).all())
        part = self._vectors[rows[0] : rows[-1] + 1] if straight else self._vectors[rows]
        return np.ascontiguousarray(part, np.float32)


def _compare(
    vectors: np.ndarray, tiles: Plan, account: Account, saved: Checkpoint | None, progress: Progress | None
) -> None:
    """Add all tiles that are not yet in the account, in order.

    Everything happens on threads that Ctrl-C does not reach, so that it finds the account with whole tiles.
    """
    sizes = [t.pairs for t in tiles.tiles]
    total, done = sum(sizes), sum(sizes[: account.done])
    ahead = min(processors(), MAX_WORKERS)
    numbers = iter(range(account.done, len(sizes)))
    try:
        with ThreadPoolExecutor(ahead, "tiles") as workers, ThreadPoolExecutor(1, "account") as keeper:
            worker = _Worker(vectors, tiles, account)
            coming = deque(workers.submit(worker.look, n) for n in islice(numbers, ahead + 1))
            while coming:
                keeper.submit(account.add, coming.popleft().result()).result()
                coming.extend(workers.submit(worker.look, n) for n in islice(numbers, 1))
                done += sizes[account.done - 1]
                if saved is not None:
                    saved.save_when_due(account)
                if progress is not None:
                    progress(done, total)
    except KeyboardInterrupt:
        if saved is not None and account.whole:
            saved.save(account)
        raise


def _answer(tiles: Plan, account: Account, group: np.ndarray | None) -> AllPairs:
    n = len(tiles.order)
    by_key = np.argsort(account.mated_keys)
    mated, mated_pairs = account.mated[by_key], _pairs(account.mated_keys[by_key], n)
    nonmated, keys = account.largest.descending()
    nonmated_pairs = _pairs(keys, n)
    subject = np.empty(n, np.int32)
    subject[tiles.order] = tiles.subject
    scores = Scores(
        mated=mated,
        nonmated=nonmated,
        nonmated_total=tiles.nonmated_total,
        mated_subject=subject[mated_pairs[:, 0]],
        nonmated_subjects=subject[nonmated_pairs],
        samples=tiles.samples if tiles.everything else None,
        histogram=Histogram(-LIMIT, LIMIT, bin_counts(mated), account.histogram),
        nonmated_moments=_moments(account.moments, tiles.nonmated_total),
    )
    cells = () if group is None else cells_of(tiles, account, group, scores, (mated_pairs, nonmated_pairs))
    return AllPairs(scores, mated_pairs, nonmated_pairs, cells)


def _pairs(keys: np.ndarray, n: int) -> np.ndarray:
    return np.stack(np.divmod(keys, n), axis=1).astype(np.int32)


def _moments(sums: np.ndarray, count: int) -> tuple[float, float] | None:
    if not count:
        return None
    mean = float(sums[0]) / count
    return mean, max(float(sums[1]) / count - mean * mean, 0.0)
