"""Codes: their measured error and their bounds, what is assured, segments that grow together, threads."""

import sys
import threading
from typing import Any

import numpy as np
import pytest

from lineament.core.errors import IndexUnavailable, InvalidArgument
from lineament.gallery import codes, sweep
from lineament.gallery.codec import Codec, Drift, Kind, Probes
from lineament.gallery.codes import CodesIndex, Snapshot
from lineament.gallery.flat import Found
from lineament.gallery.segment import Segment
from lineament.runtime import byte_products

KINDS: tuple[Kind, ...] = ("bytes", "rabitq", "rabitq+bytes")
D = 64


def unit(raw: np.ndarray) -> np.ndarray:
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def rows(count: int, dimension: int = D, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, dimension)))


def state(index: CodesIndex) -> Snapshot:
    assert index._state is not None
    return index._state


def filled(kind: Kind, count: int = 4000, dimension: int = D, **options: int) -> CodesIndex:
    index = CodesIndex(dimension, kind, threads=2, **{"fresh": 100, **options})
    for part in np.array_split(np.arange(count), 2):
        index.upsert(part, rows(count, dimension)[part], 1)
    return index


def test_the_rotation_keeps_products() -> None:
    for d in (13, 128):
        codec = Codec(d, "bytes")
        a = rows(50, d)
        assert np.abs(codec.rotated(a) @ codec.rotated(a).T - a @ a.T).max() < 2e-6
        assert (Codec(d, "bytes").rotated(a) == codec.rotated(a)).all()


@pytest.mark.parametrize("d", [8, 100, 512])
def test_scores_from_bytes_are_within_the_radius(d: int) -> None:
    codec = Codec(d, "bytes")
    coded, odd = Segment.encode(codec, np.arange(3000), rows(3000, d))
    probes = rows(40, d, 1)
    assert coded is not None
    low = np.full(40, -1.0)
    pairs = coded.pairs(Probes(codec.rotated(probes)), np.arange(coded.size), low)
    exact = probes.astype(np.float64) @ rows(3000, d).astype(np.float64).T
    errors = np.abs(pairs.scores - exact[pairs.probe, pairs.ids])
    assert errors.max() <= coded.radius < 0.03
    assert coded.size == 3000 - odd.sum()
    places = np.searchsorted(coded.ids, pairs.ids)
    one_by_one = coded.by_bytes(pairs.probe, Probes(codec.rotated(probes)), places, low)
    assert np.abs(one_by_one.scores - pairs.scores).max() < 1e-5
    # Whatever may reach a bar is there, though most is left out by products of bytes first.
    some = coded.by_bytes(pairs.probe, Probes(codec.rotated(probes)), places, np.full(40, 0.3))
    kept = set(zip(some.probe.tolist(), some.ids.tolist(), strict=True))
    held = set(coded.ids.tolist())
    assert {(p, i) for p, i in np.argwhere(exact >= 0.3).tolist() if i in held} <= kept
    assert all(exact[p, i] >= 0.3 - 2 * coded.radius for p, i in kept)


def test_a_row_that_bytes_cannot_hold_stays_as_it_is() -> None:
    """A row along one axis of the rotated space is out of the range of a byte."""
    index = filled("rabitq+bytes")
    axis = np.linalg.solve(index.codec._rotation.T.astype(np.float64), np.eye(D)[3])
    spike = unit(axis[None])
    index.upsert(np.array([90_000]), spike, 2)
    index.upsert(np.arange(50_000, 50_200), rows(200, D, 5), 3)
    assert state(index).fresh.ids.tolist() == [90_000]
    (hits,) = index.search(spike, k=1, floor=0.9)
    assert (hits.ids.tolist(), hits.complete) == ([90_000], True)
    assert hits.scores[0] == pytest.approx(1.0, abs=1e-6)


def test_the_error_of_signs_is_measured_and_has_no_bias() -> None:
    d = 256
    codec = Codec(d, "rabitq")
    coded, _ = Segment.encode(codec, np.arange(5000), rows(5000, d))
    assert coded is not None
    drift = coded.sample.drift
    assert drift is not None
    assert abs(drift.bias) < 0.001
    assert drift.sigma == pytest.approx(0.75 / np.sqrt(d), rel=0.1)
    assert drift.pairs == 256 * 2048
    probes = rows(50, d, 9)
    found, _ = coded.best(Probes(codec.rotated(probes)), 5000, np.full(50, -1.0), None, signs=True)
    exact = probes.astype(np.float64) @ rows(5000, d).astype(np.float64).T
    errors = found.scores - exact[found.probe, found.ids]
    # Of other rows and other probes than were measured.
    assert errors.std() == pytest.approx(drift.sigma, rel=0.1)
    assert np.abs(errors).max() < drift.margin
    near = unit(rows(5000, d)[::10] + 0.9 * rows(500, d, 7))
    found, _ = coded.best(Probes(codec.rotated(near)), 5000, np.full(500, -1.0), None, signs=True)
    mates = found.ids == 10 * found.probe
    exact_mates = np.einsum("ij,ij->i", near, rows(5000, d)[::10])
    across = (found.scores[mates] - exact_mates[found.probe[mates]]) / np.sqrt(1 - 0.7**2)
    assert exact_mates.mean() == pytest.approx(0.74, abs=0.02)
    assert across.std() == pytest.approx(drift.sigma, rel=0.15)
    bar = 0.1
    there = (found.scores >= bar).mean()
    # The bar at which signs of a row that reaches it may be as low as that.
    bars = np.linspace(0.0, 1.0, 1001)
    reached = bars[np.searchsorted(coded.least(bars, True), bar)]
    assert coded.share(np.array([reached]), True) == pytest.approx(there, rel=0.3)


def test_the_margin_is_five_deviations_or_the_worst() -> None:
    assert Drift(0.0, 0.02, 0.05, 10).margin == pytest.approx(0.102)
    assert Drift(0.0, 0.02, 0.15, 10).margin == pytest.approx(0.153)
    over = Drift(0.0, 0.02, 0.05, 10).margin_over(np.array([-1.0, 0.0, 0.6, 1.0]))
    assert over.tolist() == pytest.approx([0.102, 0.102, 0.082, 0.002])
    both = Drift.worse([Drift(0.0, 0.02, 0.05, 10), Drift(0.02, 0.03, 0.04, 10)])
    assert (both.bias, both.sigma, both.pairs) == (pytest.approx(0.01), pytest.approx(0.04), 20)


def ways(monkeypatch: pytest.MonkeyPatch, index: CodesIndex, probe: np.ndarray, **search: Any) -> list[str]:
    """How a search of one probe looked at the first segment."""
    taken: list[str] = []
    best, over, stretch = Segment.best, Segment.over, sweep.Sweep.stretch

    def ranked(self: Segment, probes: Probes, k: int, bars: Any, scope: Any, signs: bool) -> Any:
        taken.append(f"{'signs' if signs else 'bytes'} first {k}")
        return best(self, probes, k, bars, scope, signs)

    def all_over(self: Segment, probes: Probes, bars: Any, scope: Any) -> Any:
        taken.append("signs over")
        return over(self, probes, bars, scope)

    def swept(self: sweep.Sweep, task: Any) -> Any:
        taken.append("sweep")
        return stretch(self, task)

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "best", ranked)
        patch.setattr(Segment, "over", all_over)
        patch.setattr(sweep.Sweep, "stretch", swept)
        (hits,) = index.search(probe, **search)
    exact = rows(3000, index.dimension) @ probe[0]
    wanted = np.argsort(-exact)[: search["k"]]
    assert set(wanted[exact[wanted] >= search.get("floor", -1.0)].tolist()) <= set(hits.ids.tolist())
    assert hits.complete
    return list(dict.fromkeys(taken))


def test_each_way_of_searching_is_taken_and_finds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    long, short = filled("rabitq+bytes", 3000, 512), filled("bytes", 3000)
    mated = unit(rows(3000, 512)[:1] + 0.5 * rows(1, 512, 5))
    other = rows(1, 512, 4)
    # A floor that few can reach: those, at once.
    assert ways(monkeypatch, long, mated, k=5, floor=0.4) == ["signs over"]
    # No floor, but a mate that sets a bar which nobody else's signs reach.
    assert ways(monkeypatch, long, mated, k=1) == ["signs first 64"]
    # Bars that signs cannot tell from the crowd.
    assert ways(monkeypatch, long, other, k=20)[:2] == ["signs first 64", "bytes first 64"]
    assert ways(monkeypatch, short, rows(1, D, 4), k=3, floor=0.4) == ["bytes first 64"]
    assert ways(monkeypatch, short, rows(1, D, 4), k=3) == ["bytes first 64"]
    monkeypatch.setattr(codes, "FIRST", 2)
    assert ways(monkeypatch, short, rows(1, D, 4), k=60) == ["bytes first 120"]
    assert ways(monkeypatch, short, rows(1, D, 8), k=1) == ["bytes first 2", "sweep"]
    monkeypatch.setattr(codes, "DIRECT", 1e-9)
    monkeypatch.setattr(codes, "ALL", 1.0)
    assert ways(monkeypatch, long, other, k=20) == ["signs first 40", "signs over"]


def test_signs_alone_say_when_it_is_not_assured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MOST", 100)
    index = filled("rabitq", 3000)
    (hits,) = index.search(rows(1, D, 4), k=10)
    assert not hits.complete
    mated = unit(rows(3000)[:1] + 0.01 * rows(1, D, 5))
    (hits,) = index.search(mated, k=1, floor=0.99)
    assert (hits.ids[0], hits.complete) == (0, True)


def test_bytes_step_in_where_signs_are_not_enough() -> None:
    index = filled("rabitq+bytes", 3000)
    (hits,) = index.search(rows(1, D, 4), k=20)
    assert hits.complete
    exact = rows(3000) @ rows(1, D, 4)[0]
    assert set(np.argsort(-exact)[:20].tolist()) <= set(hits.ids.tolist())
    assert len(hits) < 200


@pytest.mark.parametrize("kind", KINDS)
def test_one_probe_and_many_say_the_same(kind: Kind) -> None:
    index = filled(kind)
    probes = unit(rows(4000)[::400] + 0.9 * rows(10, D, 3))
    assert len(probes) >= codes.BATCH_OF_SIGNS > codes.BATCH
    together = index.search(probes, k=5, floor=0.3)
    for probe, hits in zip(probes, together, strict=True):
        (alone,) = index.search(probe[None], k=5, floor=0.3)
        assert sorted(alone.ids.tolist()) == sorted(hits.ids.tolist())
        assert np.abs(alone.scores - hits.scores).max(initial=0) < 1e-5


@pytest.mark.parametrize("levels", [byte_products.FULL, byte_products.HALF])
def test_probes_of_fewer_levels_miss_nothing(monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    monkeypatch.setattr(byte_products, "levels", lambda: levels)
    monkeypatch.setattr(sweep, "BLOCK", 500)
    monkeypatch.setattr(sweep, "STRETCH", 1100)
    index = filled("bytes")
    probes = rows(30, D, 8)
    exact = probes.astype(np.float64) @ rows(4000).astype(np.float64).T
    for hits, scores in zip(index.search(probes, k=15), exact, strict=True):
        assert set(np.argsort(-scores)[:15].tolist()) <= set(hits.ids.tolist())
        assert len(hits) < 150


@pytest.mark.parametrize("kind", KINDS)
def test_small_segments_grow_together(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "LARGE", 2000)
    index = CodesIndex(D, kind, threads=2, fresh=100)
    for seq, part in enumerate(np.array_split(np.arange(5000), 25)):
        index.upsert(part, rows(5000)[part], seq)
        sizes = [s.size for s in state(index).segments]
        assert sum(size < 1000 for size in sizes) < codes.SMALL_ONES
    assert sum(s.size for s in state(index).segments) == 5000
    assert state(index).fresh.count == 0
    for s in state(index).segments:
        assert (np.diff(s.ids) > 0).all()
    hits = index.search(rows(5000)[::500], k=1, floor=0.99)
    assert [h.ids[0] for h in hits] == list(range(0, 5000, 500))


@pytest.mark.parametrize("kind", KINDS)
def test_worn_segments_are_written_anew(kind: Kind) -> None:
    index = filled(kind)
    index.delete(np.arange(0, 400), 2)
    assert [s.size for s in state(index).segments] == [2000, 2000]
    index.delete(np.arange(300, 900), 3)
    assert [s.size for s in state(index).segments] == [1100, 2000]
    index.delete(np.arange(900, 2000), 4)
    assert [s.size for s in state(index).segments] == [2000]
    assert index.search(rows(4000)[3000:3001], k=1)[0].ids[0] == 3000


def test_memory_is_what_codes_take() -> None:
    for kind, each in (("bytes", D + 9), ("rabitq", D // 8 + 8 + 9), ("rabitq+bytes", D + D // 8 + 17)):
        index = filled(kind)  # type: ignore[arg-type]  # one of KINDS
        assert index.nbytes == 4000 * each + state(index).fresh.buffer.nbytes


def test_faiss_gets_one_thread_of_each_worker_only() -> None:
    import faiss

    index = filled("rabitq+bytes")
    before = faiss.omp_get_max_threads()
    index.search(rows(1), k=1)
    assert set(index.tasks(lambda _: faiss.omp_get_max_threads(), range(8))) == {1}
    assert faiss.omp_get_max_threads() == before


def test_without_faiss_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(IndexUnavailable, match=r'pip install "lineament\[gallery\]"'):
        CodesIndex(D)


def test_arguments_out_of_range() -> None:
    for bad in ({"threads": 0}, {"fresh": 0}):
        with pytest.raises(InvalidArgument):
            CodesIndex(D, **bad)
    with pytest.raises(InvalidArgument):
        CodesIndex(0)


@pytest.mark.parametrize("kind", KINDS)
def test_readers_while_segments_are_made_and_merged(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch of 60 passes from fresh rows through segments; each search sees whole batches, in order."""
    monkeypatch.setattr(codes, "LARGE", 600)
    index = CodesIndex(D, kind, threads=2, fresh=100)
    centre = rows(1)
    batch = unit(centre + 0.3 * rows(60, D, 2))
    done, wrong, counts = threading.Event(), list[str](), set[int]()

    def read(probes: np.ndarray) -> None:
        last = 0
        try:
            while not done.is_set():
                (hits, *_) = index.search(probes, k=10_000, floor=0.8)
                count = int((hits.ids < 10_000).sum())
                counts.add(count)
                if count % 60 or count < last:
                    wrong.append(f"{count} after {last}")
                last = count
        except Exception as error:
            wrong.append(repr(error))

    readers = [threading.Thread(target=read, args=(np.repeat(centre, m, axis=0),)) for m in (1, 1, 4, 8)]
    for thread in readers:
        thread.start()
    for n in range(30):
        ids = np.arange(60 * n, 60 * n + 60)
        index.upsert(np.append(ids, 10_000 + ids), np.concatenate([batch, rows(60, D, n)]), n + 1)
    done.set()
    for thread in readers:
        thread.join()
    assert wrong == []
    assert len(counts) > 1
    assert index.count() == 3600


def test_closing_under_way_ends_with_an_error_that_says_so() -> None:
    index = filled("bytes")
    searching = codes._Search(index, state(index), rows(1), 1, -1.0, None)
    index.close()
    with pytest.raises(IndexUnavailable, match="closed"):
        searching.run()


@pytest.mark.parametrize("kind", KINDS)
def test_merged_segments_score_as_before(kind: Kind) -> None:
    codec = Codec(D, kind)
    first, _ = Segment.encode(codec, np.arange(0, 2000, 2), rows(1000))
    second, _ = Segment.encode(codec, np.arange(1, 2000, 2), rows(1000, D, 1))
    assert first is not None
    assert second is not None
    whole = Segment.merged([first, second.without(np.arange(10))])
    assert (whole.size, whole.count) == (1990, 1990)
    assert whole.radius == max(first.radius, second.radius)
    signs, low = codec.has_signs, np.full(3, -1.0)
    probes = Probes(codec.rotated(rows(3, D, 2)))
    before = Found.join([s.best(probes, 1000, low, None, signs)[0] for s in (first, second)])
    after, _ = whole.best(probes, 1990, low, None, signs)
    known = {(p, i): s for p, i, s in zip(before.probe, before.ids, before.scores, strict=True)}
    assert len(after.ids) == 3 * 1990
    assert all(
        abs(known[p, i] - s) < 2e-3 for p, i, s in zip(after.probe, after.ids, after.scores, strict=True)
    )
    assert whole.margin(signs) >= max(first.margin(signs), second.margin(signs))
