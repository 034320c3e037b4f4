"""From rows to pixels: reads, decodes and changes the pictures of the coming steps, in threads.

    sampler → rows of a step → micro-batches of this process → threads: read, decode, augment → `StepBatch`

Decoders release Python's lock, so that threads are enough and no process has to be fed. What comes out is a
function of (data, recipe, step): chance comes from a counter keyed by the seed, the step and the place in
the batch over all processes, so that the number of processes, of threads, and a resumed run change nothing.
"""

import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from jaxtyping import Int64, UInt8

from lineament.core.errors import DatasetError, DatasetInvalid, ImageEmpty, ImageError, RecipeInvalid
from lineament.train.augment import augment
from lineament.train.crops import decode_crop
from lineament.train.examples import Examples
from lineament.train.recipe import Augment
from lineament.train.sampler import Sampler

MOST_BROKEN_IN_A_ROW: Final = 100
_CHUNK: Final = 16
_WORD: Final = (1 << 64) - 1
# What the counter is for, so that two uses of one seed share no numbers.
_USE: Final = 0x4175_676D_656E_7431


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """What goes through the network at once.

    Attributes:
        number: of the micro-batch within its step, over all processes.
        pixels: uint8 (b, s, s, 3) RGB.
        label: int64 (b,), numbers of the persons.
        index: int64 (b,), rows of the pictures; of the substitute where one was broken.
    """

    number: int
    pixels: UInt8[np.ndarray, "b s s 3"]
    label: Int64[np.ndarray, "b"]
    index: Int64[np.ndarray, "b"]


@dataclass(frozen=True, slots=True, eq=False)
class StepBatch:
    """What one process computes in one step.

    Attributes:
        step: its number.
        micro: its micro-batches, in order.
        broken: `NAME: reason` of each picture that was found broken in this step, each once in a run.
    """

    step: int
    micro: tuple[MicroBatch, ...]
    broken: tuple[str, ...]


@final
class Loader:
    """The steps of a run for one process.

    A picture that cannot be used is replaced by the next usable one in the order of the data, which gets the
    changes meant for it, and is reported.

    Args:
        examples: the pictures.
        sampler: which of them are in a step.
        augment: random changes.
        micro_batch: pictures at once on one process; the sampler's batch is a multiple of it.
        seed: of the changes.
        rank: of this process, which takes the micro-batches rank, rank + world, ...
        world: processes.
        threads: that read and decode.
        ahead: steps prepared while one is used.
        limit: the number of steps of the run, after which `steps` ends; None for no end.
        colour: order of channels in the files.
        size: side of the crops, pixels.

    Attributes:
        broken: reasons by the name of each broken picture that this process has reported.

    Raises:
        RecipeInvalid: the batch cannot be divided so, or a number out of its range.
    """

    def __init__(
        self,
        examples: Examples,
        sampler: Sampler,
        augment: Augment,
        *,
        micro_batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        ahead: int = 2,
        limit: int | None = None,
        colour: Literal["rgb", "bgr"] = "rgb",
        size: int = 112,
    ) -> None:
        _check_division(sampler.batch, micro_batch, rank, world)
        if threads < 1 or ahead < 0:
            raise RecipeInvalid(
                f"threads = {threads}, ahead = {ahead}: set at least 1 thread and 0 steps ahead"
            )
        self._examples, self._sampler, self._augment = examples, sampler, augment
        self._micro_batch, self._seed, self._rank, self._world = micro_batch, seed, rank, world
        self._threads, self._ahead, self._limit = threads, ahead, limit
        self._colour, self._size = colour, size
        self.broken: dict[str, str] = {}
        self._known: dict[int, str] = {}

    def steps(self, first: int = 0) -> Generator[StepBatch, None, None]:
        """The batches of steps `first`, `first` + 1, ... in order.

        Closing the generator stops its threads; so does leaving a `for` over it by an exception, as soon as
        nothing refers to it any more.

        Raises:
            DatasetInvalid: too many unusable pictures in a row.
        """
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="lineament-loader")
        pending: deque[_Step] = deque()
        following = first
        try:
            while True:
                while len(pending) <= self._ahead and (self._limit is None or following < self._limit):
                    pending.append(self._begin(following, pool, stop))
                    following += 1
                if not pending:
                    return
                yield self._finished(pending.popleft())
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, step: int, pool: ThreadPoolExecutor, stop: threading.Event) -> "_Step":
        rows = self._sampler.indices(step)
        begun = _Step(step, [], [])
        for number in range(self._rank, len(rows) // self._micro_batch, self._world):
            begin = number * self._micro_batch
            index = rows[begin : begin + self._micro_batch].copy()
            pixels = np.empty((self._micro_batch, self._size, self._size, 3), np.uint8)
            begun.micro.append((number, pixels, index))
            for at in range(0, self._micro_batch, _CHUNK):
                part = slice(at, at + _CHUNK)
                job = (step, begin + at, pixels[part], index[part], stop)
                begun.jobs.append(pool.submit(self._fill, *job))
        return begun

    def _finished(self, begun: "_Step") -> StepBatch:
        fresh: list[str] = []
        for job in begun.jobs:
            for row, reason in job.result():
                name = self._examples.name(row)
                if name not in self.broken:
                    self.broken[name] = reason
                    fresh.append(f"{name}: {reason}")
        labels = self._examples.labels
        micro = tuple(MicroBatch(n, pixels, labels[index], index) for n, pixels, index in begun.micro)
        return StepBatch(begun.step, micro, tuple(fresh))

    def _fill(
        self, step: int, position: int, pixels: np.ndarray, index: np.ndarray, stop: threading.Event
    ) -> list[tuple[int, str]]:
        """Fill some pictures of a micro-batch, from a place in the whole batch on; the broken ones met."""
        broken: list[tuple[int, str]] = []
        for at, row in enumerate(index.tolist()):
            if stop.is_set():
                break
            used, crop = self._readable(row, broken)
            rng = picture_rng(self._seed, step, position + at)
            pixels[at] = augment(crop, self._augment, rng)
            index[at] = used
        return broken

    def _readable(self, row: int, broken: list[tuple[int, str]]) -> tuple[int, UInt8[np.ndarray, "s s 3"]]:
        """The picture of a row, or the next one that can be used."""
        for tried in range(min(MOST_BROKEN_IN_A_ROW, len(self._examples))):
            at = (row + tried) % len(self._examples)
            reason = self._known.get(at)
            if reason is None:
                try:
                    return at, self._crop(at)
                except (ImageError, DatasetError) as error:
                    reason = self._known[at] = error.reason
            broken.append((at, reason))
        name = self._examples.name(row)
        tries = min(MOST_BROKEN_IN_A_ROW, len(self._examples))
        reasons = ", ".join(sorted({reason for _, reason in broken[-tries:]}))
        raise DatasetInvalid(
            f"{tries} pictures in a row from {name} on cannot be used ({reasons}): check that "
            f"data.path holds aligned crops of {self._size}×{self._size} pixels (data.size)"
        )

    def _crop(self, row: int) -> UInt8[np.ndarray, "s s 3"]:
        name, encoded = self._examples.name(row), self._examples.read(row)
        if not encoded:
            raise ImageEmpty(f"{name} holds no bytes")
        pixels = decode_crop(encoded, self._size, name)
        return np.ascontiguousarray(pixels[..., ::-1]) if self._colour == "bgr" else pixels


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A step in work: (number, pixels, rows) of its micro-batches, and the jobs that fill them."""

    step: int
    micro: list[tuple[int, np.ndarray, np.ndarray]]
    jobs: list[Future[list[tuple[int, str]]]]


def picture_rng(seed: int, step: int, position: int) -> np.random.Generator:
    """Chance for one picture: Philox (Salmon et al. 2011) keyed by the seed, counting step and position.

    Args:
        seed: of the run.
        step: its number.
        position: place in the batch over all processes.
    """
    counter = position << 64 | step << 128
    return np.random.Generator(np.random.Philox(key=(seed & _WORD) | _USE << 64, counter=counter))


def _check_division(batch: int, micro_batch: int, rank: int, world: int) -> None:
    if micro_batch < 1 or batch % micro_batch:
        raise RecipeInvalid(f"batch = {batch} is not a multiple of micro_batch = {micro_batch}: set both so")
    if world < 1 or not 0 <= rank < world:
        raise RecipeInvalid(f"process {rank} of {world} is none: number processes from 0 on")
    if (batch // micro_batch) % world:
        raise RecipeInvalid(
            f"batch = {batch} makes {batch // micro_batch} micro-batches of {micro_batch}, which cannot be "
            f"shared among {world} processes: set batch to a multiple of {micro_batch * world}, micro_batch "
            "to a divisor of batch / processes, or start another number of processes"
        )
