"""Which pictures make up a step: pure functions of the step's number, on any number of processes.

Random order is a sort by random keys: `random_raw` of the Philox counter generator (Salmon et al. 2011) is
fixed for ever, whereas numpy may change how `Generator.permutation` uses it between versions, and a run that
is resumed after an update would see other pictures.
"""

import threading
from typing import Final, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Int64

from lineament.core.errors import DatasetInvalid, RecipeInvalid

_WORD: Final = (1 << 64) - 1
# What a counter is for, so that two uses of one seed share no numbers.
_DRAW: Final = 0x5065_7273_6F6E_7331


@runtime_checkable
class Sampler(Protocol):
    """The rows of each step.

    Attributes:
        batch: rows per step, over all processes.
        steps_per_epoch: steps after which about every row was seen once.
    """

    batch: int
    steps_per_epoch: int

    def indices(self, step: int) -> Int64[np.ndarray, "batch"]:
        """Rows of a step, a number from 0 up; may be called from several threads at once."""
        ...


@final
class Shuffled:
    """Every picture once per epoch, in an order of that epoch's own. An incomplete last batch is dropped.

    Args:
        labels: int64 (n,), of the pictures; only their number matters here.
        batch: pictures per step.
        seed: of the order.

    Raises:
        DatasetInvalid: fewer pictures than one batch.
    """

    def __init__(self, labels: Int64[np.ndarray, "n"], batch: int, seed: int) -> None:
        _check_batch(len(labels), batch)
        self.batch = batch
        self.steps_per_epoch = len(labels) // batch
        self._order = _Orders(len(labels), seed)

    def indices(self, step: int) -> Int64[np.ndarray, "batch"]:
        """Rows of a step: batch `step mod steps_per_epoch` of epoch `step // steps_per_epoch`."""
        epoch, number = divmod(step, self.steps_per_epoch)
        begin = number * self.batch
        return self._order.of(epoch)[begin : begin + self.batch]


@final
class Persons:
    """So many persons, and so many pictures of each, per batch (Hermans et al. 2017, §2: P × K).

    Persons come in a shuffled order, each once before any comes again; those that do not fill a last batch
    wait for the next order. Of each, pictures are drawn without replacement; a person with too few gives
    every picture once before any comes again.

    Args:
        labels: int64 (n,), of the pictures, 0 .. persons - 1.
        batch: pictures per step.
        people: persons per step; `batch // people` pictures of each, next to each other.
        seed: of the order.

    Raises:
        RecipeInvalid: `batch` is not a multiple of `people`.
        DatasetInvalid: fewer persons than `people`, or fewer pictures than one batch.
    """

    def __init__(self, labels: Int64[np.ndarray, "n"], batch: int, people: int, seed: int) -> None:
        if people < 1 or batch % people:
            raise RecipeInvalid(
                f"batch = {batch} is not a multiple of people = {people}: set both so that it is"
            )
        _check_batch(len(labels), batch)
        self.batch, self.people, self._seed = batch, people, seed
        self.steps_per_epoch = len(labels) // batch
        self._rows = np.argsort(labels, kind="stable").astype(np.int64)
        counts = np.bincount(labels)
        self._begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._present = np.flatnonzero(counts).astype(np.int64)
        if len(self._present) < people:
            raise DatasetInvalid(
                f"the data have {len(self._present)} persons, and people = {people} are wanted in every "
                f"batch: set people to {len(self._present)} or less"
            )
        self._order = _Orders(len(self._present), seed)

    def indices(self, step: int) -> Int64[np.ndarray, "batch"]:
        """Rows of a step, person by person."""
        turn, number = divmod(step, len(self._present) // self.people)
        places = self._order.of(turn)[number * self.people : (number + 1) * self.people]
        chosen = [self._pictures(person, turn) for person in self._present[places].tolist()]
        return np.concatenate(chosen)

    def _pictures(self, person: int, turn: int) -> Int64[np.ndarray, "k"]:
        rows = self._rows[self._begin[person] : self._begin[person + 1]]
        wanted = self.batch // self.people
        key, counter = (self._seed & _WORD) | _DRAW << 64, turn << 64 | person << 128
        rounds = -(-wanted // len(rows))
        raw = np.random.Philox(key=key, counter=counter).random_raw(rounds * len(rows))
        order = np.argsort(raw.reshape(rounds, -1), axis=1, kind="stable").reshape(-1)
        return rows[order[:wanted]]


@final
class _Orders:
    """Permutations of n by number; the last one is kept, as the steps of one epoch all want it."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed
        self._lock = threading.Lock()
        self._kept: tuple[int, Int64[np.ndarray, "n"]] | None = None

    def of(self, number: int) -> Int64[np.ndarray, "n"]:
        with self._lock:
            if self._kept is None or self._kept[0] != number:
                raw = np.random.Philox(key=(self._seed & _WORD) | number << 64).random_raw(self._n)
                order = np.argsort(raw, kind="stable").astype(np.int64, copy=False)
                order.flags.writeable = False
                self._kept = (number, order)
            return self._kept[1]


def _check_batch(pictures: int, batch: int) -> None:
    if batch < 1:
        raise RecipeInvalid(f"batch = {batch}: set it to 1 or more")
    if pictures < batch:
        raise DatasetInvalid(
            f"the data have {pictures} pictures, fewer than one batch of {batch}: set batch (and micro_batch"
            f") to {pictures} or less, or use more data"
        )
