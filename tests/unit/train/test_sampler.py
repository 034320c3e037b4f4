"""Which pictures make up a step."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, RecipeInvalid
from lineament.train.sampler import Persons, Sampler, Shuffled

LABELS = np.repeat(np.arange(30), np.arange(30) % 6 + 1)


def test_every_picture_once_per_epoch() -> None:
    sampler = Shuffled(LABELS, 10, 5)
    assert isinstance(sampler, Sampler) and sampler.steps_per_epoch == len(LABELS) // 10 == 10
    epochs = [np.concatenate([sampler.indices(10 * e + s) for s in range(10)]) for e in range(3)]
    for rows in epochs:
        assert rows.dtype == np.int64 and len(set(rows.tolist())) == 100
        assert rows.min() >= 0 and rows.max() < len(LABELS)
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[0], np.arange(100))
    # Five are dropped, others in other epochs.
    dropped = [set(range(len(LABELS))) - set(rows.tolist()) for rows in epochs]
    assert all(len(rows) == len(LABELS) - 100 for rows in dropped) and dropped[0] != dropped[1]


@pytest.mark.parametrize("kind", ["shuffled", "persons"])
def test_a_step_is_a_pure_function(kind: str) -> None:
    def make(seed: int) -> Sampler:
        return Shuffled(LABELS, 10, seed) if kind == "shuffled" else Persons(LABELS, 10, 5, seed)

    one, steps = make(5), list(range(25))
    wanted = [one.indices(step).tolist() for step in steps]
    order = np.random.default_rng(0).permutation(25).tolist()
    two = make(5)
    assert [two.indices(step).tolist() for step in order] == [wanted[step] for step in order]
    with ThreadPoolExecutor(4) as pool:
        assert [r.tolist() for r in pool.map(two.indices, order * 10)] == [wanted[s] for s in order * 10]
    assert make(6).indices(0).tolist() != wanted[0]
    assert make(-1).indices(0).tolist() != make(1).indices(0).tolist()


def test_the_order_is_frozen() -> None:
    # Of Philox4x64-10 and a stable sort: a change would break every resumed run.
    assert Shuffled(np.zeros(8, np.int64), 8, 2048).indices(0).tolist() == SHUFFLED
    assert Persons(np.repeat(np.arange(4), 3), 4, 2, 2048).indices(0).tolist() == PERSONS


SHUFFLED = [4, 7, 3, 5, 2, 1, 6, 0]
PERSONS = [11, 10, 8, 6]


def test_too_few_pictures() -> None:
    with pytest.raises(DatasetInvalid, match=r"105 pictures, fewer than one batch of 106: set batch"):
        Shuffled(LABELS, 106, 0)
    with pytest.raises(RecipeInvalid, match="batch = 0"):
        Shuffled(LABELS, 0, 0)
    assert Shuffled(LABELS, 105, 0).steps_per_epoch == 1


def test_persons_times_pictures() -> None:
    sampler = Persons(LABELS, 12, 4, 1)
    assert isinstance(sampler, Sampler) and sampler.steps_per_epoch == len(LABELS) // 12
    seen: list[int] = []
    for step in range(14):
        rows = sampler.indices(step).reshape(4, 3)
        people = LABELS[rows]
        assert (people == people[:, :1]).all() and len(set(people[:, 0].tolist())) == 4
        for person, chosen in zip(people[:, 0].tolist(), rows.tolist(), strict=True):
            # Without replacement where there are enough, else as evenly as possible.
            counts = np.bincount(chosen)
            assert len(set(chosen)) == min(3, int((person == LABELS).sum()))
            assert counts.max() <= -(-3 // len(set(chosen)))
        seen += people[:, 0].tolist()
    # 30 persons are 7 steps of 4 in a turn: nobody twice in it.
    assert len(set(seen[:28])) == len(set(seen[28:])) == 28 and seen[:28] != seen[28:]


def test_every_picture_of_a_person_comes_at_last() -> None:
    labels = np.repeat(np.arange(2), 6)
    sampler = Persons(labels, 4, 2, 0)
    assert set(np.concatenate([sampler.indices(step) for step in range(30)]).tolist()) == set(range(12))


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(RecipeInvalid, match="batch = 10 is not a multiple of people = 4"):
        Persons(LABELS, 10, 4, 0)
    with pytest.raises(RecipeInvalid, match="people = 0"):
        Persons(LABELS, 10, 0, 0)
    with pytest.raises(DatasetInvalid, match=r"have 30 persons.*set people to 30"):
        Persons(LABELS, 31 * 3, 31, 0)
