"""Flat rows: snapshots that never change, the buffer behind them, ties, and the cut of an answer."""

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.gallery import flat
from lineament.gallery.flat import FlatIndex, FlatRows, Found, unit_rows

D = 16


def unit(raw: np.ndarray) -> np.ndarray:
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, D)))


def ids(*names: int) -> np.ndarray:
    return np.array(names, np.int64)


def test_an_older_snapshot_stays_as_it_was() -> None:
    first = FlatRows.none(D).put(ids(1, 2, 3), rows(3))
    seen = first.ids.copy(), first.vectors.copy()
    later = first.put(ids(2, 9), rows(2, 1)).without(ids(1)).put(np.arange(100, 3000), rows(2900, 2))
    assert later.count == 2903
    assert (first.ids == seen[0]).all()
    assert (first.vectors == seen[1]).all()
    assert first.count == 3
    assert first.search(rows(3), 1, -1.0, None).ids.tolist() == [1, 2, 3]


def test_two_futures_of_one_snapshot_do_not_mix() -> None:
    start = FlatRows.none(D).put(ids(1), rows(1))
    one, two = start.put(ids(2), rows(1, 1)), start.put(ids(3), rows(1, 2))
    assert one.ids.tolist() == [1, 2]
    assert two.ids.tolist() == [1, 3]
    assert (one.vectors[1] == rows(1, 1)[0]).all()


def test_rows_are_shared_until_the_room_is_used_up() -> None:
    start = FlatRows.none(D).put(ids(1), rows(1))
    assert start.put(ids(2), rows(1)).buffer is start.buffer
    assert start.put(np.arange(2, 2000), rows(1998)).buffer is not start.buffer


def test_an_unchanged_row_is_not_written_again() -> None:
    start = FlatRows.none(D).put(ids(1, 2, 3), rows(3))
    again = start.put(ids(1, 3), rows(3)[[0, 2]])
    assert (again.size, again.rising) == (3, True)
    changed = start.put(ids(1, 3), rows(2, 5))
    assert (changed.size, changed.count, changed.rising) == (5, 3, False)


def test_many_struck_rows_are_written_out_of_the_buffer() -> None:
    full = FlatRows.none(D).put(np.arange(6000), rows(6000))
    few = full.without(np.arange(1000))
    assert few.size == 6000
    half = few.without(np.arange(3000))
    assert (half.size, half.count, half.alive) == (3000, 3000, None)
    assert half.ids.tolist() == list(range(3000, 6000))


def test_rows_of_ids_in_any_order() -> None:
    generator = np.random.default_rng(0)
    names = generator.permutation(500)[:200].astype(np.int64)
    mixed = FlatRows.none(D)
    for part in np.array_split(names, 7):
        mixed = mixed.put(np.sort(part), rows(len(part)))
    mixed = mixed.without(names[:20])
    asked = np.unique(generator.integers(-5, 505, 300))
    assert sorted(mixed.ids[mixed.rows_of(asked)].tolist()) == sorted(
        set(asked.tolist()) & set(names[20:].tolist())
    )
    assert not mixed.rising


def test_ties_come_with_the_lower_id_first() -> None:
    index = FlatIndex(D)
    index.upsert(ids(9, 4, 7, 2), np.repeat(rows(1), 4, axis=0), 1)
    (hits,) = index.search(rows(1), k=2)
    # None of four equal rows is better than another: all are proposed.
    assert hits.ids.tolist() == [2, 4, 7, 9]


def test_what_float32_cannot_tell_apart_is_proposed() -> None:
    index = FlatIndex(D)
    near = unit(rows(1).astype(np.float64) + np.array([[0.0], [1e-8], [1e-2]]) * rows(3, 3))
    index.upsert(ids(1, 2, 3), near, 1)
    assert index.search(near[:1], k=1)[0].ids.tolist() == [1, 2]


def test_blocks_and_parts_give_what_one_product_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FlatIndex(D)
    index.upsert(np.arange(1000), rows(1000), 1)
    whole = index.search(rows(130, 1), k=7, floor=0.1)
    monkeypatch.setattr(flat, "BLOCK", 33)
    monkeypatch.setattr(flat, "TOGETHER", 7)
    parts = index.search(rows(130, 1), k=7, floor=0.1)
    for a, b in zip(whole, parts, strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert np.abs(a.scores - b.scores).max(initial=0) < 1e-6


def test_the_last_of_one_id_counts() -> None:
    index = FlatIndex(D)
    index.upsert(ids(5, 5, 1, 5), rows(4), 1)
    assert index.count() == 2
    assert index.search(rows(4)[3:], k=1)[0].ids.tolist() == [5]


def test_rows_near_unit_length_are_scaled_and_others_refused() -> None:
    nearly = rows(2) * np.float32(1.00005)
    assert np.abs(np.linalg.norm(unit_rows(nearly, D, "probes").astype(np.float64), axis=1) - 1).max() < 1e-6
    exact = rows(2)
    assert unit_rows(exact, D, "probes") is exact
    with pytest.raises(TemplateInvalid, match="row 1 of the probes"):
        unit_rows(np.stack([exact[0], exact[1] * np.float32(1.001)]), D, "probes")


def test_the_message_holds_no_template() -> None:
    bad = rows(1) * 2
    with pytest.raises(TemplateInvalid) as caught:
        unit_rows(bad, D, "references")
    assert not any(f"{abs(float(x)):.4f}"[:6] in caught.value.message for x in bad[0])


def test_among_that_does_not_rise_is_refused() -> None:
    index = FlatIndex(D)
    for among in (ids(3, 2), ids(2, 2)):
        with pytest.raises(InvalidArgument, match="rise"):
            index.search(rows(1), k=1, among=among)
    with pytest.raises(InvalidArgument, match="dimension"):
        FlatIndex(0)


def test_the_cut_keeps_what_may_be_among_the_best() -> None:
    scores = np.array([0.9, 0.8, 0.75, 0.5], np.float32)
    error = np.array([0.0, 0.1, 0.1, 0.1], np.float32)
    found = Found(np.zeros(4, np.int64), ids(1, 2, 3, 4), scores, error)
    # The second best is 0.7 at least: 0.75 ± 0.1 may be it, 0.5 ± 0.1 not.
    assert found.least(1, 2, -1.0).tolist() == pytest.approx([0.7])
    (hits,) = found.hits(1, 2, -1.0, np.array([True]))
    assert hits.ids.tolist() == [1, 2, 3]
    assert found.least(1, 5, 0.3).tolist() == [0.3]
    assert len(found.hits(1, 5, 0.86, np.array([False]))[0]) == 2


def test_products_of_float32_are_within_what_is_allowed() -> None:
    for d in (128, 512, 2048):
        a = np.random.default_rng(d).standard_normal((300, d))
        single = unit(a)
        exact = single.astype(np.float64) @ single.astype(np.float64).T
        assert np.abs(single @ single.T - exact).max() < flat.rounding(d)
