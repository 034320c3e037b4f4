"""Votes: thresholds, margins, N of M by count and by weight."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.applications.watch.capture_weight import usable_weights
from lineament.applications.watch.votes import Vote, VoteSettings, cast, confirmed
from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.core.faces import Faces, Quality
from lineament.core.template import ModelId, Templates
from lineament.vision.quality import QualityLimits


@dataclass(frozen=True)
class Row:
    subject: str
    similarity: float


def vote(subject: str | None, weight: float = 1.0, *, frame: int = 0, stranger: bool = False) -> Vote:
    return Vote(frame, subject, stranger, 0.5, None, weight)


def test_the_best_subject_over_the_threshold_gets_the_vote():
    found = cast([Row("b", 0.41), Row("a", 0.6), Row("a", 0.7)], 0.4, 0.0, frame=3, weight=0.5)
    assert (found.subject, found.similarity, found.second, found.stranger) == ("a", 0.7, 0.41, False)
    assert (found.frame, found.weight) == (3, 0.5)


def test_the_threshold_itself_is_reached():
    assert cast([Row("a", 0.4)], 0.4, 0.0, frame=0, weight=1.0).subject == "a"
    under = cast([Row("a", 0.4 - 1e-9)], 0.4, 0.0, frame=0, weight=1.0)
    assert under.subject is None
    assert under.stranger


def test_nobody_found_is_a_stranger():
    found = cast([], 0.4, 0.0, frame=0, weight=1.0)
    assert (found.subject, found.stranger, found.similarity) == (None, True, None)


def test_two_who_are_too_close_get_no_vote_and_are_no_stranger():
    """A mother and her child at a door: both over the threshold."""
    close = cast([Row("mother", 0.62), Row("child", 0.58)], 0.4, 0.1, frame=0, weight=1.0)
    assert (close.subject, close.stranger) == (None, False)
    clear = cast([Row("mother", 0.62), Row("child", 0.50)], 0.4, 0.1, frame=0, weight=1.0)
    assert clear.subject == "mother"
    # The second best counts although it is under the threshold itself.
    assert cast([Row("mother", 0.42), Row("child", 0.39)], 0.4, 0.1, frame=0, weight=1.0).subject is None


def test_n_of_m():
    three_of_five = VoteSettings(confirm=3, window=5)
    a, none = vote("a"), vote(None)
    assert confirmed([a, none, a, none, a], three_of_five) is not None
    assert confirmed([a, none, a, none, none], three_of_five) is None
    agreed = confirmed([a, a, a], three_of_five)
    assert agreed is not None
    assert (agreed.votes, agreed.of, agreed.share) == (3, 3, 1.0)


def test_weight_decides_beside_number():
    """Three poor captures that look like A do not outweigh two good ones that look like B."""
    poor, good = vote("a", 0.1), vote("b", 1.0)
    assert confirmed([poor, good, poor, good, poor], VoteSettings(3, 5)) is None
    assert confirmed([poor, vote("b", 0.1), poor], VoteSettings(2, 5)) is not None


def test_the_best_vote_is_the_heaviest_that_agrees():
    window = [vote("a", 0.2, frame=1), vote("a", 0.9, frame=2), vote("a", 0.9, frame=3), vote(None, 1.0)]
    agreed = confirmed(window, VoteSettings(3, 5))
    assert agreed is not None
    assert agreed.best.frame == 2


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None, "?"]), st.floats(0.01, 1.0)), min_size=1, max_size=7),
    st.integers(1, 7),
    st.floats(0.5, 0.9),
)
def test_at_most_one_answer_and_the_one_that_counting_gives(
    rows: list[tuple[str | None, float]], confirm: int, share: float
):
    votes = [vote(None if s == "?" else s, w, stranger=s == "?") for s, w in rows]
    found = confirmed(votes, VoteSettings(confirm, 7, 0.0, share))
    winners = []
    for name in ("a", "b", "?"):
        weights = [w for s, w in rows if s == name]
        if len(weights) >= confirm and sum(weights) > share * sum(w for _, w in rows):
            winners.append(name)
    assert len(winners) <= 1
    assert (None if found is None else found.subject or "?") == (winners[0] if winners else None)


def test_the_order_of_votes_does_not_matter():
    votes = [
        vote("a", 0.3, frame=0),
        vote("b", 0.2, frame=1),
        vote("a", 0.4, frame=2),
        vote(None, 0.1, frame=3),
    ]
    answers = [confirmed(list(p), VoteSettings(2, 5)) for p in itertools.permutations(votes)]
    assert {None if a is None else (a.subject, a.votes, a.best.frame) for a in answers} == {("a", 2, 2)}


def test_what_is_no_vote_is_refused():
    with pytest.raises(TemplateInvalid, match="no cosine"):
        cast([Row("a", float("nan"))], 0.4, 0.0, frame=0, weight=1.0)
    with pytest.raises(InvalidArgument, match="weighs"):
        cast([], 0.4, 0.0, frame=0, weight=0.0)
    for bad in ((0, 5), (6, 5)):
        with pytest.raises(InvalidArgument):
            VoteSettings(*bad)
    with pytest.raises(InvalidArgument):
        VoteSettings(share=0.4)
    with pytest.raises(InvalidArgument):
        VoteSettings(margin=float("nan"))


def faces(
    sides: list[float], *, sharpness: float = 1.0, yaw: float = 0.0, rows: list[int] | None = None
) -> Faces:
    n = len(sides)
    boxes = np.array([[0, 0, s, s] for s in sides], np.float32)
    column = np.ones(n, np.float32)
    quality = Quality(
        eye_distance=50 * column,
        sharpness=sharpness * column,
        brightness=0.5 * column,
        contrast=0.1 * column,
        yaw=yaw * column,
        roll=0 * column,
        occlusion=0 * column,
        outside=0 * column,
    )
    have = n if rows is None else sum(r >= 0 for r in rows)
    templates = Templates.from_raw(np.ones((have, 4)), ModelId("m", "0" * 64))
    return Faces(
        boxes,
        np.zeros((n, 5, 2), np.float32),
        0.8 * column,
        templates=templates,
        quality=quality,
        template_rows=None if rows is None else np.array(rows),
    )


def test_weight_grows_with_the_face_up_to_the_size_of_a_crop():
    weights = usable_weights(faces([28.0, 56.0, 112.0, 500.0]), QualityLimits())
    assert weights == pytest.approx([0.8 / 16, 0.8 / 4, 0.8, 0.8])


def test_weight_falls_with_blur_and_turning():
    assert usable_weights(faces([112.0], sharpness=0.5), QualityLimits()) == pytest.approx([0.4])
    assert usable_weights(faces([112.0], yaw=-30.0), QualityLimits()) == pytest.approx([0.8 * 0.8660254])
    assert usable_weights(faces([112.0], sharpness=3.0), QualityLimits()) == pytest.approx([0.8])


def test_a_face_that_the_gate_refuses_or_that_has_no_template_casts_no_vote():
    assert usable_weights(faces([112.0], sharpness=0.1), QualityLimits()).tolist() == [0.0]
    assert usable_weights(faces([112.0], sharpness=0.1), None)[0] > 0.0
    assert usable_weights(faces([112.0, 112.0], rows=[0, -1]), QualityLimits()).tolist() == pytest.approx(
        [0.8, 0.0]
    )
