"""What every VectorIndex keeps to, against a plain dictionary searched in float64.

Test modules make a class of it for the engines they know:

    class TestFlatIndex(IndexChecks):
        rows = 2000

and give a fixture `make_index`, which makes an empty index of a dimension, fresh each time.
"""

import itertools
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.gallery.port import Hits, VectorIndex

MakeIndex = Callable[[int], VectorIndex]
TOLERANCE = 1e-6
"""Cosines nearer than this are equal, for the checks."""


def unit(raw: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32."""
    return (raw / np.linalg.norm(raw, axis=-1, keepdims=True)).astype(np.float32)


def faces(generator: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Rows in groups of about five: cosine within a group about 0.65, between groups about 0."""
    centres = unit(generator.standard_normal((max(1, count // 5), dimension)))
    noise = generator.standard_normal((count, dimension)) * (0.73 / np.sqrt(dimension))
    return unit(centres[generator.integers(0, len(centres), count)] + noise)


class Model:
    """The dictionary that the index is compared with."""

    def __init__(self) -> None:
        self.rows: dict[int, np.ndarray] = {}

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.rows.update(zip(ids.tolist(), vectors.astype(np.float64), strict=True))

    def delete(self, ids: np.ndarray) -> None:
        for name in ids.tolist():
            self.rows.pop(name, None)

    def cosines(self, probe: np.ndarray, among: np.ndarray | None) -> dict[int, float]:
        names = list(self.rows) if among is None else [n for n in among.tolist() if n in self.rows]
        if not names:
            return {}
        rows = np.stack([self.rows[n] for n in names])
        p = probe.astype(np.float64)
        scores = rows @ p / np.linalg.norm(rows, axis=1) / np.linalg.norm(p)
        return dict(zip(names, scores.tolist(), strict=True))


class IndexChecks:
    """The checks; class attributes scale them to the engine."""

    dimension = 32
    rows = 600
    steps = 150
    writes = 40
    readers = 8
    score_error: float | None = 1.0
    """How far the index's own score may be from the exact cosine."""
    complete: bool | None = None
    """What `Hits.complete` has to be; None for either."""
    may_miss = False
    """Whether a search that says it is not complete may miss rows."""

    def check(
        self,
        model: Model,
        hits: Hits,
        probe: np.ndarray,
        k: int,
        floor: float,
        among: np.ndarray | None = None,
    ) -> None:
        """One answer, against the dictionary."""
        exact = model.cosines(probe, among)
        assert hits.ids.dtype == np.int64
        assert hits.scores.dtype == np.float32
        assert len(hits.ids) == len(hits.scores) == len(hits)
        ids = hits.ids.tolist()
        assert len(set(ids)) == len(ids), "an id twice"
        assert set(ids) <= set(exact), "an id that is not there, or was not asked for"
        assert (np.diff(hits.scores) <= 0).all(), "not best first"
        if self.complete is not None:
            assert hits.complete is self.complete
        if self.score_error is not None and ids:
            errors = np.abs(hits.scores - np.array([exact[i] for i in ids]))
            assert errors.max() <= self.score_error
        if self.may_miss and not hits.complete:
            return
        wanted = sorted((s for s in exact.values() if s >= floor + TOLERANCE), reverse=True)[:k]
        if not wanted:
            return
        missed = [
            i
            for i, s in exact.items()
            if s > wanted[-1] + TOLERANCE and s >= floor + TOLERANCE and i not in ids
        ]
        assert not missed, f"missed {missed} of the {k} best over {floor}"
        assert sum(exact[i] >= wanted[-1] - TOLERANCE for i in ids) >= len(wanted)

    def filled(self, make_index: MakeIndex, seed: int = 0) -> tuple[VectorIndex, Model, np.random.Generator]:
        """An index of `rows` rows under ids in no order, and the dictionary of the same."""
        generator = np.random.default_rng(seed)
        index, model = make_index(self.dimension), Model()
        vectors = faces(generator, self.rows, self.dimension)
        ids = generator.permutation(self.rows * 3)[: self.rows].astype(np.int64)
        for part in np.array_split(np.arange(self.rows), 4):
            index.upsert(ids[part], vectors[part], 7)
            model.upsert(ids[part], vectors[part])
        return index, model, generator

    def probes(self, generator: np.random.Generator, model: Model, count: int) -> np.ndarray:
        """Probes like stored rows, and the last one like none."""
        names = generator.choice(list(model.rows), count)
        stored = np.stack([model.rows[n] for n in names.tolist()])
        probes = unit(stored + generator.standard_normal(stored.shape) * 0.5 / np.sqrt(self.dimension))
        probes[-1] = unit(generator.standard_normal(self.dimension))
        return probes

    def test_is_a_vector_index(self, make_index: MakeIndex) -> None:
        index = make_index(self.dimension)
        assert isinstance(index, VectorIndex)
        assert (index.dimension, index.count(), index.applied_seq()) == (self.dimension, 0, 0)

    def test_empty_finds_nothing(self, make_index: MakeIndex) -> None:
        index = make_index(self.dimension)
        probes = unit(np.ones((3, self.dimension)))
        for among in (None, np.arange(3, dtype=np.int64), np.zeros(0, np.int64)):
            answers = index.search(probes, k=5, among=among)
            assert [len(hits) for hits in answers] == [0, 0, 0]
        assert index.search(probes[:0], k=5) == []

    @pytest.mark.parametrize("k", [1, 10, 100])
    @pytest.mark.parametrize("floor", [-1.0, 0.4])
    def test_proposes_all_that_is_wanted(self, make_index: MakeIndex, k: int, floor: float) -> None:
        index, model, generator = self.filled(make_index)
        assert index.count() == self.rows
        probes = self.probes(generator, model, 12)
        for some in (probes, probes[:1], probes[-2:]):
            answers = index.search(some, k=k, floor=floor)
            assert len(answers) == len(some)
            for probe, hits in zip(some, answers, strict=True):
                self.check(model, hits, probe, k, floor)

    def test_more_than_there_are(self, make_index: MakeIndex) -> None:
        index, model, generator = self.filled(make_index)
        probe = self.probes(generator, model, 1)
        for among in (None, np.sort(np.array(list(model.rows)[:40], np.int64))):
            (hits,) = index.search(probe, k=self.rows + 50, among=among)
            if hits.complete or not self.may_miss:
                assert len(hits) == (self.rows if among is None else 40)

    @pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
    def test_looks_only_among(self, make_index: MakeIndex, share: float) -> None:
        index, model, generator = self.filled(make_index)
        stored = generator.permutation(np.array(list(model.rows), np.int64))
        chosen = stored[: max(1, int(share * len(stored)))]
        unknown = np.array([-5, 10 * self.rows], np.int64)
        among = np.unique(np.concatenate([chosen, unknown]))
        probes = self.probes(generator, model, 6)
        for some, (k, floor) in itertools.product((probes, probes[:1]), ((1, -1.0), (20, -1.0), (5, 0.4))):
            answers = index.search(some, k=k, floor=floor, among=among)
            for probe, hits in zip(some, answers, strict=True):
                self.check(model, hits, probe, k, floor, among)

    def test_floor_leaves_nothing_out_that_reaches_it(self, make_index: MakeIndex) -> None:
        index, model, generator = self.filled(make_index)
        (probe,) = probes = self.probes(generator, model, 2)[:1]
        best = sorted(model.cosines(probe, None).values(), reverse=True)
        for floor in (best[0] - 1e-5, best[3] - 1e-5, 0.0, 1.0):
            (hits,) = index.search(probes, k=10, floor=float(floor))
            self.check(model, hits, probe, 10, float(floor))

    def test_equal_rows(self, make_index: MakeIndex) -> None:
        index, model, generator = self.filled(make_index)
        row = faces(generator, 1, self.dimension)
        twins = np.arange(10 * self.rows, 10 * self.rows + 5, dtype=np.int64)
        index.upsert(twins, np.repeat(row, 5, axis=0), 8)
        model.upsert(twins, np.repeat(row, 5, axis=0))
        first, second = (index.search(row, k=3, floor=0.9)[0] for _ in range(2))
        self.check(model, first, row[0], 3, 0.9)
        assert first.ids.tolist() == second.ids.tolist()

    def test_upsert_twice_is_upsert_once(self, make_index: MakeIndex) -> None:
        index, model, _ = self.filled(make_index)
        ids = np.array(list(model.rows)[:50], np.int64)
        vectors = np.stack([model.rows[n] for n in ids.tolist()]).astype(np.float32)
        index.upsert(ids, vectors, 9)
        index.upsert(ids, vectors, 9)
        assert (index.count(), index.applied_seq()) == (self.rows, 9)
        (hits,) = index.search(vectors[:1], k=5)
        self.check(model, hits, vectors[0], 5, -1.0)

    def test_upsert_replaces(self, make_index: MakeIndex) -> None:
        index, model, generator = self.filled(make_index)
        ids = np.array(list(model.rows)[::7], np.int64)
        before = np.stack([model.rows[n] for n in ids.tolist()]).astype(np.float32)
        after = faces(generator, len(ids), self.dimension)
        index.upsert(ids, after, 9)
        model.upsert(ids, after)
        assert index.count() == self.rows
        for probe in (before[0], after[0], after[-1]):
            (hits,) = index.search(probe[None], k=10, floor=0.3)
            self.check(model, hits, probe, 10, 0.3)

    def test_delete_is_seen_by_the_next_search(self, make_index: MakeIndex) -> None:
        index, model, _ = self.filled(make_index)
        for seq, part in enumerate(np.array_split(np.array(list(model.rows), np.int64), 5)[:4]):
            probe = model.rows[int(part[0])].astype(np.float32)
            index.delete(part, 20 + seq)
            model.delete(part)
            (hits,) = index.search(probe[None], k=10)
            self.check(model, hits, probe, 10, -1.0)
            assert (index.count(), index.applied_seq()) == (len(model.rows), 20 + seq)
        everything = np.array(list(model.rows), np.int64)
        index.delete(everything, 30)
        assert index.count() == 0
        assert len(index.search(probe[None], k=10)[0]) == 0

    def test_delete_of_nothing(self, make_index: MakeIndex) -> None:
        index, model, _ = self.filled(make_index)
        index.delete(np.array([-1, 10 * self.rows], np.int64), 40)
        index.delete(np.zeros(0, np.int64), 41)
        index.upsert(np.zeros(0, np.int64), np.zeros((0, self.dimension), np.float32), 42)
        assert (index.count(), index.applied_seq()) == (len(model.rows), 42)

    def test_clear(self, make_index: MakeIndex) -> None:
        index, model, generator = self.filled(make_index)
        index.clear()
        assert (index.count(), index.applied_seq()) == (0, 0)
        probe = self.probes(generator, model, 1)
        assert len(index.search(probe, k=3)[0]) == 0
        index.upsert(np.array([3], np.int64), probe, 1)
        assert index.search(probe, k=3)[0].ids.tolist() == [3]

    @pytest.mark.parametrize("what", ["nan", "zero", "long", "inf", "dimension"])
    def test_refuses_what_is_no_template(self, make_index: MakeIndex, what: str) -> None:
        index, model, generator = self.filled(make_index)
        rows = faces(generator, 3, self.dimension)
        if what == "dimension":
            rows = faces(generator, 3, self.dimension + 1)
        else:
            rows[1] = {"nan": np.nan, "zero": 0.0, "long": 1.001 * rows[1], "inf": np.inf}[what]
        before = index.count(), index.applied_seq()
        with pytest.raises(TemplateInvalid):
            index.upsert(np.arange(9000, 9003, dtype=np.int64), rows, 50)
        with pytest.raises(TemplateInvalid):
            index.search(rows, k=1)
        assert (index.count(), index.applied_seq()) == before
        good = faces(generator, 1, self.dimension)
        self.check(model, index.search(good, k=5)[0], good[0], 5, -1.0)

    def test_refuses_arguments_out_of_range(self, make_index: MakeIndex) -> None:
        index, _, generator = self.filled(make_index)
        probe = faces(generator, 1, self.dimension)
        for k, floor in ((0, 0.0), (-1, 0.0), (1, 1.5), (1, -1.01), (1, float("nan"))):
            with pytest.raises(InvalidArgument):
                index.search(probe, k=k, floor=floor)

    def test_any_order_of_changes(self, make_index: MakeIndex) -> None:
        """Upserts, replacements, deletions and searches at random: dictionary and index agree throughout."""
        generator = np.random.default_rng(3)
        index, model = make_index(self.dimension), Model()
        fresh = iter(generator.permutation(100 * self.steps).astype(np.int64).tolist())
        for seq in range(1, self.steps + 1):
            names = np.array(list(model.rows), np.int64)
            act = generator.random()
            if act < 0.45 or not len(names):
                ids = np.array([next(fresh) for _ in range(generator.integers(1, 30))], np.int64)
                if len(names) and act < 0.15:
                    ids = np.unique(np.concatenate([ids, generator.choice(names, 5)]))
                vectors = faces(generator, len(ids), self.dimension)
                index.upsert(ids, vectors, seq)
                model.upsert(ids, vectors)
            elif act < 0.65:
                ids = np.append(generator.choice(names, min(len(names), 20)), -7)
                index.delete(ids, seq)
                model.delete(ids)
            else:
                index.delete(np.zeros(0, np.int64), seq)
            assert (index.count(), index.applied_seq()) == (len(model.rows), seq)
            if model.rows:
                self.search_once(generator, index, model)

    def search_once(self, generator: np.random.Generator, index: VectorIndex, model: Model) -> None:
        """A search with arguments at random."""
        probes = self.probes(generator, model, int(generator.integers(1, 6)))
        k, floor = int(generator.integers(1, 30)), float(generator.choice([-1.0, 0.0, 0.4, 0.6]))
        among = None
        if generator.random() < 0.4:
            among = np.unique(generator.choice(list(model.rows), int(generator.integers(1, 200))))
        for probe, hits in zip(probes, index.search(probes, k=k, floor=floor, among=among), strict=True):
            self.check(model, hits, probe, k, floor, among)

    def test_readers_see_whole_updates(self, make_index: MakeIndex) -> None:
        """A group of rows is put here, moved there, taken out: no search sees part of it, or both places."""
        index, model, _ = self.filled(make_index)
        generator = np.random.default_rng(11)
        size = 20
        places = unit(generator.standard_normal((2, self.dimension)))
        groups = [
            unit(p + generator.standard_normal((size, self.dimension)) * 0.05 / np.sqrt(self.dimension))
            for p in places
        ]
        ids = np.arange(10 * self.rows, 10 * self.rows + size, dtype=np.int64)
        half, others = size // 2, np.arange(20 * self.rows, 20 * self.rows + 6 * size, dtype=np.int64)
        crowd = faces(generator, len(others), self.dimension)
        done, wrong, seen = threading.Event(), list[str](), set[tuple[int, int]]()

        def read(probes: np.ndarray) -> None:
            try:
                while not done.is_set():
                    answers = index.search(probes, k=2 * size, floor=0.8)
                    here, there = (int(np.isin(ids, hits.ids).sum()) for hits in answers[:2])
                    seen.add((here, there))
            except Exception as error:
                wrong.append(repr(error))

        with running(read, [places if i % 2 else np.tile(places, (3, 1)) for i in range(self.readers)], done):
            for seq in range(self.writes):
                index.upsert(ids, groups[0], 100 + seq)
                # Others push the group out of what an index keeps apart for fresh rows, then half comes back.
                index.upsert(others + seq % 2 * size, crowd, 100 + seq)
                index.upsert(ids[:half], groups[0][size - half :], 100 + seq)
                index.upsert(ids, groups[1], 100 + seq)
                index.upsert(others + (seq + 1) % 2 * size, crowd, 100 + seq)
                index.upsert(ids[:half], groups[1][size - half :], 100 + seq)
                index.delete(ids, 100 + seq)
        assert wrong == []
        assert seen <= {(0, 0), (size, 0), (0, size)}, seen
        assert len(seen) > 1, "the readers saw no change at all"
        assert index.count() == len(model.rows) + 7 * size


class running:
    """Threads that run while the block does, told to end by `done`."""

    def __init__(self, work: Callable[..., None], arguments: list[np.ndarray], done: threading.Event) -> None:
        self.threads = [threading.Thread(target=work, args=(a,)) for a in arguments]
        self.done = done

    def __enter__(self) -> "running":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


def closing(made: list[VectorIndex]) -> Iterator[None]:
    """Closes what a fixture made."""
    yield
    for index in made:
        index.close()
