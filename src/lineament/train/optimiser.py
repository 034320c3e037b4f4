"""The optimiser of the backbone. Class centres have their own, which leaves rows alone (`rows.py`)."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Part, Value


def build(part: Part, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimiser that a recipe asks for; its rate is set before every step.

    Args:
        part: `sgd` (learning_rate, momentum, weight_decay, nesterov) or `adamw` (learning_rate, weight_decay,
            beta1, beta2, eps).
        parameters: of the backbone.

    Raises:
        RecipeInvalid: an unknown kind or option, or a value that cannot be.
    """
    if part.kind not in KINDS:
        raise RecipeInvalid(f"no optimiser is called {part.kind!r}: there are {', '.join(KINDS)}")
    options = dict(part.options)
    rate = learning_rate(part)
    options.pop("learning_rate")
    if unknown := sorted(set(options) - set(OPTIONS[part.kind])):
        raise RecipeInvalid(
            f"optimiser {part.kind!r} has no option {unknown[0]!r}: options are learning_rate, "
            f"{', '.join(OPTIONS[part.kind])}"
        )
    try:
        return KINDS[part.kind](list(parameters), rate, options)
    except (TypeError, ValueError) as error:
        raise RecipeInvalid(f"optimiser {part.kind!r} cannot be made: {error}") from error


OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum", "weight_decay", "nesterov"),
    "adamw": ("beta1", "beta2", "eps", "weight_decay"),
}
"""What a part may say besides its rate: the same of network and class centres."""


def learning_rate(part: Part) -> float:
    """The base learning rate of an optimiser part.

    Raises:
        RecipeInvalid: it has none, or one that is not a number.
    """
    rate = part.options.get("learning_rate")
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
        raise RecipeInvalid(f"optimiser.learning_rate = {rate!r}: set it to a number above 0")
    return float(rate)


def _sgd(parameters: list[Tensor], rate: float, options: dict[str, Value]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=rate, **options)  # type: ignore[arg-type]  (checked by torch)


def _adamw(parameters: list[Tensor], rate: float, options: dict[str, Value]) -> torch.optim.Optimizer:
    betas = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    return torch.optim.AdamW(parameters, lr=rate, betas=betas, **options)  # type: ignore[arg-type]  (checked by torch)


KINDS: Mapping[str, Callable[[list[Tensor], float, dict[str, Value]], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
}
