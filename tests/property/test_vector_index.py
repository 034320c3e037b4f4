"""For any rows, probes and arguments each index in memory proposes the k best at or over the floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.gallery.codes import CodesIndex
from lineament.gallery.flat import FlatIndex
from lineament.gallery.port import VectorIndex

MAKERS = {
    "flat": FlatIndex,
    "bytes": lambda d: CodesIndex(d, "bytes", threads=1, fresh=20),
    "rabitq": lambda d: CodesIndex(d, "rabitq", threads=1, fresh=20),
    "rabitq+bytes": lambda d: CodesIndex(d, "rabitq+bytes", threads=1, fresh=20),
}


def unit(raw: np.ndarray) -> np.ndarray:
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def spread(generator: np.random.Generator, shape: str, count: int, d: int) -> np.ndarray:
    """Rows of an unkind kind: one-hot, nearly equal, of few values, opposite, or about a few centres."""
    if shape == "axes":
        return unit(np.eye(d)[generator.integers(0, d, count)] + 1e-3 * generator.standard_normal((count, d)))
    if shape == "equal":
        return unit(np.ones(d) + 1e-4 * generator.standard_normal((count, d)))
    if shape == "signs":
        return unit(generator.choice([-1.0, 1.0], (count, d)))
    centres = generator.standard_normal((3, d))
    if shape == "opposite":
        centres = np.concatenate([centres, -centres])
    return unit(
        centres[generator.integers(0, len(centres), count)] + 0.7 * generator.standard_normal((count, d))
    )


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from(["axes", "equal", "signs", "opposite", "centres"]),
    d=st.sampled_from([2, 7, 16, 33, 128]),
    count=st.integers(1, 400),
    probes=st.integers(1, 6),
    k=st.integers(1, 60),
    floor=st.sampled_from([-1.0, -0.2, 0.0, 0.3, 0.7, 0.99, 1.0]),
    some=st.booleans(),
)
def test_nothing_wanted_is_left_out(
    kind: str, seed: int, shape: str, d: int, count: int, probes: int, k: int, floor: float, some: bool
) -> None:
    generator = np.random.default_rng(seed)
    rows, ids = spread(generator, shape, count, d), generator.permutation(3 * count)[:count].astype(np.int64)
    asked = np.concatenate([spread(generator, shape, probes, d), rows[:1]])
    index: VectorIndex = MAKERS[kind](d)
    for part in np.array_split(np.arange(count), 3):
        index.upsert(ids[part], rows[part], 1)
    gone = ids[generator.random(count) < 0.1]
    index.delete(gone, 2)
    among = np.unique(generator.integers(0, 3 * count, count)) if some else None
    exact = asked.astype(np.float64) @ rows.astype(np.float64).T
    there = ~np.isin(ids, gone) & (True if among is None else np.isin(ids, among))
    for hits, scores in zip(index.search(asked, k=k, floor=floor, among=among), exact, strict=True):
        assert set(hits.ids.tolist()) <= set(ids[there].tolist())
        over = np.sort(scores[there & (scores >= floor + 2e-6)])[::-1][:k]
        if not hits.complete or not len(over):
            continue
        wanted = ids[there & (scores > max(over[-1], floor) + 2e-6)]
        assert set(wanted.tolist()) <= set(hits.ids.tolist())
        assert np.count_nonzero(np.isin(ids[scores >= over[-1] - 2e-6], hits.ids)) >= len(over)
    index.close()
