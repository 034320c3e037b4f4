"""What is random about class centres: which take part in a step, and where they begin.

Both are pure functions of the seed, the step and the number of the class (counter-based generator, Salmon et
al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so that it does not matter how the classes are
divided over processes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

DEVIATION = 0.01
"""Standard deviation of the values that centres begin with (as in arcface_torch)."""
_BLOCK = 4  # numbers that a Philox 4x64 generator makes per count
_SAMPLING, _CENTRES = 1, 2  # separate streams of one seed: the highest word of the counter
_AT_ONCE = 1 << 16  # numbers drawn at a time while centres are made: what fits a cache


def taking_part(
    present: Int64[np.ndarray, " p"],
    first: int,
    last: int,
    classes: int,
    rate: float,
    seed: int,
    step: int,
) -> Int64[np.ndarray, " s"]:
    """Which of the classes [first, last) take part in a step.

    All classes with a row in the step do; any other, class c, if u(seed, step, c) < r, with r such that
    about `rate`·`classes` are expected to take part, or nobody else if the step has that many of its own.
    The paper draws an exact number of classes on each process (An et al. 2022, "Killing two birds with one
    stone", §3.2). Whether one class is drawn then depends on which others lie on the same process, and the
    run on how many processes there are. Independent draws lose only the exactness of the number, of which the
    deviation is below √(rate·classes).

    Args:
        present: classes with a row in the step on any process, ascending, without repetition.
        first: of this process's classes.
        last: the one after this process's last.
        classes: on all processes.
        rate: share of classes that take part, in (0, 1].
        seed: of the run, 0 to 2⁶⁴ − 1.
        step: number of the step, 0 to 2⁶⁴ − 1.

    Returns:
        Numbers counted from `first`, ascending.
    """
    others = classes - len(present)
    chance = max(0.0, rate * classes - len(present)) / others if others else 0.0
    chosen = _uniform(seed, step, first, last) < chance
    here = present[(present >= first) & (present < last)]
    chosen[here - first] = True
    return np.flatnonzero(chosen).astype(np.int64)


def _uniform(seed: int, step: int, first: int, last: int) -> np.ndarray:
    """Numbers `first` to `last` of the step's sequence, uniform in [0, 1)."""
    skipped = first % _BLOCK
    bits = _stream(seed, step, _SAMPLING).advance(first // _BLOCK)
    return np.random.Generator(bits).random(skipped + last - first)[skipped:]


def _stream(seed: int, step: int, purpose: int) -> np.random.Philox:
    key = np.array([seed, step], dtype=np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, 0, 0, purpose], dtype=np.uint64))


def initial_centres(first: int, last: int, shape: tuple[int, int], seed: int) -> Iterator[Tensor]:
    """Centres of the classes [first, last) at the start of a run: independent N(0, 0.01²).

    Args:
        first: class.
        last: the one after the last.
        shape: of one class: sub-centres, dimension.
        seed: of the run.

    Yields:
        float64 (n, *shape), consecutive classes, a few at a time.
    """
    width = shape[0] * shape[1]
    padded = -(-width // _BLOCK) * _BLOCK
    at_once = max(1, _AT_ONCE // padded)
    for start in range(first, last, at_once):
        count = min(at_once, last - start)
        bits = _stream(seed, 0, _CENTRES).advance(start * padded // _BLOCK)
        uniform = torch.from_numpy(np.random.Generator(bits).random((count, padded)))
        yield (_normal(uniform)[:, :width] * DEVIATION).reshape(count, *shape)


def _normal(uniform: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Standard normal from uniform numbers, one for one (Box and Muller 1958)."""
    half = uniform.shape[1] // 2
    length = (-2.0 * torch.log1p(-uniform[:, :half])).sqrt()
    angle = 2.0 * torch.pi * uniform[:, half:]
    return torch.cat([length * angle.cos(), length * angle.sin()], dim=1)
