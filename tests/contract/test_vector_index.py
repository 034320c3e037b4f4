"""The indexes in memory keep the promise: flat, each kind of codes, and the one that turns to codes."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.contract.index_checks import IndexChecks, MakeIndex, faces

from lineament.core.errors import IndexUnavailable
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.codes import CodesIndex
from lineament.gallery.flat import FlatIndex
from lineament.gallery.port import VectorIndex

KINDS = {
    "flat": FlatIndex,
    "bytes": lambda d: CodesIndex(d, "bytes", threads=2, fresh=100),
    "rabitq": lambda d: CodesIndex(d, "rabitq", threads=2, fresh=100),
    "rabitq+bytes": lambda d: CodesIndex(d, "rabitq+bytes", threads=2, fresh=100),
    "growing": lambda d: GrowingIndex(d, limit=300, threads=2),
}


@pytest.fixture(params=list(KINDS))
def make_index(request: pytest.FixtureRequest) -> Iterator[MakeIndex]:
    made: list[VectorIndex] = []

    def make(dimension: int) -> VectorIndex:
        made.append(KINDS[request.param](dimension))
        return made[-1]

    yield make
    for index in made:
        index.close()


class TestIndexesInMemory(IndexChecks):
    # Fewer fresh rows than rows: most of them are codes, in several segments.
    complete = True


def test_closed_is_closed(make_index: MakeIndex) -> None:
    index = make_index(16)
    row = faces(np.random.default_rng(0), 1, 16)
    index.upsert(np.array([1], np.int64), row, 1)
    index.close()
    index.close()
    for call in (index.count, index.applied_seq, index.clear, lambda: index.search(row, k=1)):
        with pytest.raises(IndexUnavailable, match="closed"):
            call()
