"""Following faces: the assignment equals the slow obvious one; people cross, vanish and come back."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.vision.track import Tracks, TrackSettings, assign, follow, pair_weights

D = 8


def person(number: int) -> np.ndarray:
    """A template of somebody; different people are at right angles."""
    return np.eye(D, dtype=np.float32)[number]


def like(number: int, cosine: float) -> np.ndarray:
    """A template this similar to that person's, and to nobody else's but the last one's."""
    return (cosine * np.eye(D)[number] + math.sqrt(1 - cosine**2) * np.eye(D)[D - 1]).astype(np.float32)


def box(x: float, y: float = 0.0, side: float = 10.0) -> list[float]:
    return [x, y, x + side, y + side]


def go(tracks: Tracks, faces: list[tuple[list[float], np.ndarray | None]], now: float, **changes: float):
    """One frame; a face without a template is None."""
    boxes = np.array([f[0] for f in faces], np.float32).reshape(-1, 4)
    usable = np.array([f[1] is not None for f in faces], bool)
    rows = [np.full(D, np.nan, np.float32) if f[1] is None else f[1] for f in faces]
    return follow(
        tracks, boxes, np.array(rows, np.float32).reshape(-1, D), usable, now, TrackSettings(**changes)
    )


def slowly_best(weights: np.ndarray) -> float:
    """The largest sum over all ways to pair rows with columns, by trying every one."""
    n, m = weights.shape
    if n > m:
        return slowly_best(weights.T)
    return max(
        (sum(weights[i, p[i]] for i in range(n)) for p in itertools.permutations(range(m), n)), default=0.0
    )


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_best_there_is(n: int, m: int, seed: int):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((n, m)) < 0.4, 0.0, rng.random((n, m)).round(1))
    rows, columns = assign(weights)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (weights[rows, columns] > 0).all()
    assert weights[rows, columns].sum() == pytest.approx(slowly_best(weights))


def slow_weight(track: tuple[np.ndarray, np.ndarray], face: tuple[np.ndarray, np.ndarray], s: TrackSettings):
    """One pair, number by number."""
    (a, u), (b, v) = track, face
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    overlap = width * height / union
    known = any(u) and any(v)
    cosine = sum(x * y for x, y in zip(u, v, strict=True)) if known else 0.0
    contradicted = known and cosine < s.unlike
    if (overlap >= s.overlap and not contradicted) or (known and cosine >= s.alike):
        return overlap + s.template_weight * max(0.0, cosine)
    return 0.0


@given(st.integers(0, 2**32 - 1))
def test_weights_are_what_the_formula_says(seed: int):
    rng = np.random.default_rng(seed)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        corners = rng.uniform(0, 20, (n, 2))
        vectors = rng.normal(size=(n, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[rng.random(n) < 0.3] = 0
        return np.concatenate([corners, corners + rng.uniform(5, 15, (n, 2))], axis=1), vectors

    boxes, vectors = some(4)
    faces, templates = some(3)
    s = TrackSettings()
    tracks = Tracks(np.arange(4), boxes, vectors, np.zeros(4), np.zeros(4), 5, 0.0)
    expected = [
        [slow_weight((boxes[i], vectors[i]), (faces[j], templates[j]), s) for j in range(3)] for i in range(4)
    ]
    assert pair_weights(tracks, faces, templates, s) == pytest.approx(np.array(expected))


def test_a_face_keeps_its_track_and_another_gets_its_own():
    one = go(Tracks(), [(box(0), person(0))], 0.0)
    two = go(one.tracks, [(box(50), person(1)), (box(1), person(0))], 0.2)
    assert one.ids.tolist() == [1]
    assert two.ids.tolist() == [2, 1]
    assert two.began.tolist() == [0.2, 0.0]


def test_people_who_cross_keep_their_tracks_by_their_templates():
    """Two walk through each other; at every frame each box lies nearer to the other's last box."""
    tracks, ids = Tracks(), []
    for k in range(11):
        faces = [(box(3.0 * k), person(0)), (box(30.0 - 3.0 * k), person(1))]
        if k % 2:
            faces.reverse()
        step = go(tracks, faces, 0.1 * k)
        tracks = step.tracks
        ids.append(dict(zip((0, 1) if k % 2 == 0 else (1, 0), step.ids.tolist(), strict=True)))
    assert all(frame == ids[0] for frame in ids)
    assert tracks.next_id == 3


def test_boxes_alone_would_have_swapped_them():
    """The same two frames, with and without templates: it is the templates that decide."""
    before = [(box(0.0), person(0)), (box(6.0), person(1))]
    after = [(box(5.5), person(0)), (box(0.5), person(1))]
    start = go(Tracks(), before, 0.0)
    assert go(start.tracks, after, 0.1).ids.tolist() == [1, 2]
    bare = go(Tracks(), [(b, None) for b, _ in before], 0.0)
    assert go(bare.tracks, [(b, None) for b, _ in after], 0.1).ids.tolist() == [2, 1]


def test_another_person_in_the_same_place_is_another_track():
    start = go(Tracks(), [(box(0), person(0))], 0.0)
    assert go(start.tracks, [(box(0), person(1))], 0.1).ids.tolist() == [2]
    # A turned face, whose template says nothing, stays by its place.
    assert go(start.tracks, [(box(0), None)], 0.1).ids.tolist() == [1]


def test_a_known_face_is_found_again_anywhere_within_the_gap():
    start = go(Tracks(), [(box(0), person(0))], 0.0)
    assert go(start.tracks, [(box(300), like(0, 0.6))], 1.9).ids.tolist() == [1]
    assert go(start.tracks, [(box(300), like(0, 0.4))], 1.9).ids.tolist() == [2]
    assert go(start.tracks, [(box(300), None)], 1.9).ids.tolist() == [2]


def test_a_track_ends_after_the_gap_and_not_at_it():
    start = go(Tracks(), [(box(0), person(0))], 0.0)
    at = go(start.tracks, [], 2.0)
    assert at.ended.tolist() == []
    assert len(at.tracks) == 1
    over = go(at.tracks, [(box(0), person(0))], 2.001)
    assert over.ended.tolist() == [1]
    assert over.ids.tolist() == [2]


def test_a_clock_that_goes_back_stands_still():
    start = go(Tracks(), [(box(0), person(0))], 100.0)
    back = go(start.tracks, [(box(0), person(0))], 3.0)
    assert back.ids.tolist() == [1]
    assert back.tracks.now == 100.0
    assert go(back.tracks, [], 101.0).ended.tolist() == []


def test_the_template_of_a_track_is_a_mean_that_forgets():
    start = go(Tracks(), [(box(0), person(0))], 0.0, keep=0.5)
    mixed = go(start.tracks, [(box(0), like(0, 0.8))], 0.1, keep=0.5).tracks.templates[0]
    expected = 0.5 * person(0) + 0.5 * like(0, 0.8)
    assert mixed == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_nothing_that_was_given_is_changed():
    start = go(Tracks(), [(box(0), person(0)), (box(50), None)], 0.0)
    copies = [getattr(start.tracks, name).copy() for name in ("ids", "boxes", "templates", "began", "seen")]
    go(start.tracks, [(box(2), like(0, 0.9)), (box(50), person(2))], 0.5)
    for name, copy in zip(("ids", "boxes", "templates", "began", "seen"), copies, strict=True):
        assert np.array_equal(getattr(start.tracks, name), copy), name


@settings(max_examples=60)
@given(st.data())
def test_every_face_has_one_track_and_no_number_is_used_twice(data: st.DataObject):
    tracks, now, ended, born = Tracks(), 0.0, set[int](), dict[int, float]()
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.floats(0.0, 1.5))
        faces = data.draw(
            st.lists(st.tuples(st.integers(0, 40), st.sampled_from([None, 0, 1, 2])), max_size=4)
        )
        step = go(tracks, [(box(float(x)), None if p is None else person(p)) for x, p in faces], now)
        again = go(tracks, [(box(float(x)), None if p is None else person(p)) for x, p in faces], now)
        assert step.ids.tolist() == again.ids.tolist()
        ids = step.ids.tolist()
        assert len(set(ids)) == len(ids)
        assert not ended & set(ids)
        ended |= set(step.ended.tolist())
        for number, began in zip(ids, step.began.tolist(), strict=True):
            assert born.setdefault(number, now) == began
        assert set(step.tracks.ids.tolist()) == set(born) - ended
        assert (now - step.tracks.seen <= 2.0).all()
        tracks = step.tracks


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(InvalidArgument, match="not finite"):
        go(Tracks(), [([0.0, 0.0, float("nan"), 1.0], None)], 0.0)
    with pytest.raises(InvalidArgument, match="moment"):
        go(Tracks(), [], float("nan"))
    with pytest.raises(TemplateInvalid, match="unit"):
        go(Tracks(), [(box(0), 2 * person(0))], 0.0)
    start = go(Tracks(), [(box(0), person(0))], 0.0)
    with pytest.raises(TemplateInvalid, match="one model"):
        follow(start.tracks, np.zeros((1, 4)), np.zeros((1, 5)), np.array([False]), 1.0)
    for bad in ({"overlap": 0.0}, {"alike": 0.1}, {"keep": 1.0}, {"gap": float("nan")}):
        with pytest.raises(InvalidArgument):
            TrackSettings(**bad)


def test_templates_stay_out_of_the_text():
    assert "0." not in repr(go(Tracks(), [(box(0), person(0))], 1.0).tracks).replace("1.000", "")
