"""Which index suits a gallery, and the one that turns from flat to codes as it grows."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from lineament.core.errors import IndexUnavailable, InvalidArgument
from lineament.gallery import choose
from lineament.gallery.choose import GrowingIndex, kind_for, open_index
from lineament.gallery.codes import CodesIndex

D = 32


def rows(count: int, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).standard_normal((count, D))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def test_small_is_flat_and_large_is_codes() -> None:
    small = open_index(D, 200_000)
    assert isinstance(small, GrowingIndex)
    assert small.flat
    for dimension, kind in ((128, "bytes"), (512, "rabitq+bytes")):
        large = open_index(dimension, 200_001, threads=1)
        assert isinstance(large, CodesIndex)
        assert large.codec.kind == kind == kind_for(dimension)
        large.close()
    with pytest.raises(InvalidArgument):
        open_index(D, -1)


def test_it_turns_to_codes_when_it_passes_the_limit() -> None:
    index = GrowingIndex(D, limit=1000, threads=1)
    index.upsert(np.arange(900), rows(900), 5)
    index.delete(np.arange(0, 900, 9), 6)
    assert (index.flat, index.count(), index.applied_seq()) == (True, 800, 6)
    index.upsert(np.arange(900, 1100), rows(200, 1), 7)
    assert (index.flat, index.count(), index.applied_seq()) == (True, 1000, 7)
    index.upsert(np.array([2000]), rows(1, 2), 8)
    assert (index.flat, index.count(), index.applied_seq()) == (False, 1001, 8)
    assert index.search(rows(900)[:1], k=1)[0].ids.tolist() != [0]
    assert index.search(rows(900)[1:2], k=1)[0].ids.tolist() == [1]
    assert index.search(rows(1, 2), k=1)[0].ids.tolist() == [2000]
    index.clear()
    assert (index.flat, index.count(), index.applied_seq()) == (True, 0, 0)
    index.close()


def test_searches_go_on_while_it_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is held up half-way: a reader is answered meanwhile, from the rows before the update."""
    monkeypatch.setattr(choose, "_STEP", 300)
    index = GrowingIndex(D, limit=1000, threads=1)
    index.upsert(np.arange(1000), rows(1000), 1)
    reached, go_on = threading.Event(), threading.Event()
    upsert = CodesIndex.upsert

    def held(self: CodesIndex, *arguments: object) -> None:
        upsert(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        reached.set()
        assert go_on.wait(20)

    monkeypatch.setattr(CodesIndex, "upsert", held)
    writer = threading.Thread(target=index.upsert, args=(np.array([5000]), rows(1, 3), 2))
    writer.start()
    assert reached.wait(20)
    assert (index.count(), index.applied_seq(), index.flat) == (1000, 1, True)
    assert index.search(rows(1000)[999:], k=1)[0].ids.tolist() == [999]
    assert index.search(rows(1, 3), k=1, floor=0.99)[0].ids.tolist() == []
    go_on.set()
    writer.join()
    assert (index.count(), index.applied_seq(), index.flat) == (1001, 2, False)
    assert index.search(rows(1, 3), k=1, floor=0.99)[0].ids.tolist() == [5000]
    index.close()


def test_without_faiss_small_galleries_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    index = GrowingIndex(D, limit=10, threads=1)
    index.upsert(np.arange(10), rows(10), 1)
    with pytest.raises(IndexUnavailable, match="lineament"):
        index.upsert(np.array([11]), rows(1), 2)
    assert (index.count(), index.applied_seq()) == (10, 1)
    with pytest.raises(IndexUnavailable, match="lineament"):
        open_index(D, 10**6)


def test_importing_it_does_not_import_faiss() -> None:
    code = "import sys, lineament.gallery.choose; print({'faiss', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
