"""The learning rate of every step: warm-up from zero, then down.

The published schedules of the family: by steps (Deng et al. 2019, §3.1), polynomial after a linear warm-up
(arcface_torch), cosine (Loshchilov and Hutter 2017, eq. 5). A warm-up starts at zero: the reference's own,
run today, takes its very first step at the full rate.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Part, Value


@runtime_checkable
class Shape(Protocol):
    """What becomes of the rate after the warm-up."""

    def __call__(self, step: float, total: float) -> float:
        """Factor of the base rate at `step` of `total`, both counted from the end of the warm-up."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate by step.

    Attributes:
        base: rate at the end of the warm-up.
        warmup: steps of linear growth from 0.
        total: steps of the run.
        shape: what follows.
    """

    base: float
    warmup: float
    total: int
    shape: Shape

    def __call__(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.base * step / self.warmup
        return self.base * self.shape(step - self.warmup, self.total - self.warmup)


def build(part: Part, base: float, total: int, steps_per_epoch: int) -> Schedule:
    """The schedule that a recipe asks for.

    Args:
        part: `constant`, `poly` (power), `steps` (at_epochs or at_steps, comma-separated, and factor) or
            `cosine` (last: factor at the end); each with warmup_epochs or warmup_steps.
        base: learning rate.
        total: steps of the run.
        steps_per_epoch: to turn epochs into steps.

    Raises:
        RecipeInvalid: an unknown kind or option, or a warm-up longer than the run.
    """
    options = dict(part.options)
    warmup = _number(options.pop("warmup_steps", 0), "schedule.warmup_steps")
    warmup += _number(options.pop("warmup_epochs", 0), "schedule.warmup_epochs") * steps_per_epoch
    if not 0 <= warmup < total:
        raise RecipeInvalid(
            f"a warm-up of {warmup:g} steps does not fit a run of {total} steps: set "
            "schedule.warmup_steps or schedule.warmup_epochs to less"
        )
    if not 0 < base < math.inf:
        raise RecipeInvalid(f"optimiser.learning_rate = {base:g}: it must be more than 0")
    if part.kind not in KINDS:
        raise RecipeInvalid(f"no schedule is called {part.kind!r}: there are {', '.join(KINDS)}")
    shape = KINDS[part.kind](options, steps_per_epoch, warmup)
    if options:
        raise RecipeInvalid(f"schedule {part.kind!r} has no option {next(iter(options))!r}")
    return Schedule(base, warmup, total, shape)


Options = dict[str, Value]


def _constant(options: Options, steps_per_epoch: int, warmup: float) -> Shape:
    return lambda step, total: 1.0


def _poly(options: Options, steps_per_epoch: int, warmup: float) -> Shape:
    power = _number(options.pop("power", 1.0), "schedule.power")
    return lambda step, total: (1.0 - step / total) ** power


def _cosine(options: Options, steps_per_epoch: int, warmup: float) -> Shape:
    last = _number(options.pop("last", 0.0), "schedule.last", largest=1.0)
    return lambda step, total: last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * step / total))


def _steps(options: Options, steps_per_epoch: int, warmup: float) -> Shape:
    factor = _number(options.pop("factor", 0.1), "schedule.factor", largest=1.0)
    epochs = _list(options.pop("at_epochs", ""), "schedule.at_epochs")
    at = [e * steps_per_epoch for e in epochs] + _list(options.pop("at_steps", ""), "schedule.at_steps")
    # The published steps are counted from the start of the run.
    return lambda step, total: factor ** sum(step + warmup >= a for a in at)


KINDS: Mapping[str, Callable[[Options, int, float], Shape]] = {
    "constant": _constant,
    "poly": _poly,
    "steps": _steps,
    "cosine": _cosine,
}


def _number(value: Value, name: str, *, largest: float = math.inf) -> float:
    """The number, 0 to `largest`: below, a rate would turn round or grow."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecipeInvalid(f"{name} = {value!r} is not a number: set it to one")
    if not 0.0 <= value <= largest:
        upper = "" if largest == math.inf else f", at most {largest:g}"
        raise RecipeInvalid(f"{name} = {value!r}: set it to 0 or more{upper}")
    return float(value)


def _list(value: Value, name: str) -> list[float]:
    try:
        return [float(v) for v in str(value).split(",") if v.strip()]
    except ValueError as error:
        raise RecipeInvalid(
            f"{name} = {value!r} is not a list of numbers: write for example 20,28"
        ) from error
