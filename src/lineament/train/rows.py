"""Optimisers that touch only the rows that took part in a step.

torch.optim decays, and moves by momentum, every row of a tensor at every step, also those without a
gradient: with sampled classes most of the work, and a drift of centres that nobody looked at. Here the
optimiser's state belongs to the rows; a row that takes no part keeps its value and its state to the bit. When
every row takes part in every step the result is that of torch.optim.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lineament.core.errors import RecipeInvalid
from lineament.train.recipe import Part, Value


@runtime_checkable
class RowOptimiser(Protocol):
    """Moves rows of a tensor along their gradients.

    Attributes:
        state: by name, tensors with as many rows as the tensor that is optimised; empty before `prepare`.
    """

    state: dict[str, Tensor]

    def prepare(self, weight: Float[Tensor, "n ..."]) -> None:
        """Make the state for this tensor, unless it is there: zeros."""
        ...

    def update(
        self,
        weight: Float[Tensor, "n ..."],
        index: Int64[Tensor, " m"] | None,
        gradient: Float[Tensor, "m ..."],
        learning_rate: float,
    ) -> None:
        """Move rows, in place.

        Args:
            weight: all rows.
            index: rows that took part, without repetition; None for all.
            gradient: of those rows; used as working space.
            learning_rate: of this step.
        """
        ...


class RowSGD:
    """Stochastic gradient descent with momentum and weight decay, row by row.

    g ← g + weight_decay·w; v ← momentum·v + g; w ← w − learning_rate·v, or g + momentum·v for v with Nesterov
    (Sutskever et al. 2013, as torch.optim.SGD has it). The momentum of a row waits while the row takes no
    part. Defaults are those of torch.optim, so that one recipe means the same for network and centres.

    Args:
        momentum: 0 to below 1; 0 keeps no state.
        weight_decay: 0 or more.
        nesterov: needs momentum.

    Raises:
        RecipeInvalid: a value outside its range.
    """

    def __init__(self, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> None:
        _share("momentum", momentum)
        _not_negative("weight_decay", weight_decay)
        if nesterov and not momentum:
            raise RecipeInvalid("optimiser.nesterov needs momentum: set optimiser.momentum above 0")
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.nesterov = nesterov
        self.state: dict[str, Tensor] = {}

    def prepare(self, weight: Float[Tensor, "n ..."]) -> None:
        """Make the state for this tensor, unless it is there: `momentum`, zeros of its shape."""
        if self.momentum and not self.state:
            self.state = {"momentum": torch.zeros_like(weight)}

    @torch.no_grad()
    def update(
        self,
        weight: Float[Tensor, "n ..."],
        index: Int64[Tensor, " m"] | None,
        gradient: Float[Tensor, "m ..."],
        learning_rate: float,
    ) -> None:
        """Move rows, in place; see `RowOptimiser.update`."""
        self.prepare(weight)
        rows = _taken(weight, index)
        if self.weight_decay:
            gradient.add_(rows, alpha=self.weight_decay)
        move = gradient
        if self.momentum:
            velocity = _taken(self.state["momentum"], index)
            velocity.mul_(self.momentum).add_(gradient)
            _put(self.state["momentum"], index, velocity)
            move = gradient.add_(velocity, alpha=self.momentum) if self.nesterov else velocity
        rows.add_(move, alpha=-learning_rate)
        _put(weight, index, rows)


class RowAdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), row by row.

    Moments and the count for their bias correction belong to the row and wait while it takes no part.

    Args:
        betas: of the two moments, each 0 to below 1.
        eps: added to the root of the second moment, above 0.
        weight_decay: 0 or more; times the learning rate.

    Raises:
        RecipeInvalid: a value outside its range.
    """

    def __init__(
        self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2
    ) -> None:
        _share("beta1", betas[0])
        _share("beta2", betas[1])
        _not_negative("weight_decay", weight_decay)
        if not eps > 0:
            raise RecipeInvalid(f"optimiser.eps = {eps:g}: set it above 0")
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.state: dict[str, Tensor] = {}

    def prepare(self, weight: Float[Tensor, "n ..."]) -> None:
        """Make the state, unless it is there: `mean`, `square` like the tensor, `steps` int64 per row."""
        if not self.state:
            steps = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
            self.state = {
                "mean": torch.zeros_like(weight),
                "square": torch.zeros_like(weight),
                "steps": steps,
            }

    @torch.no_grad()
    def update(
        self,
        weight: Float[Tensor, "n ..."],
        index: Int64[Tensor, " m"] | None,
        gradient: Float[Tensor, "m ..."],
        learning_rate: float,
    ) -> None:
        """Move rows, in place; see `RowOptimiser.update`."""
        self.prepare(weight)
        first, second = self.betas
        rows, mean, square, steps = (
            _taken(t, index) for t in (weight, *(self.state[n] for n in ("mean", "square", "steps")))
        )
        steps.add_(1)
        mean.lerp_(gradient, 1.0 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        for name, value in (("mean", mean), ("square", square), ("steps", steps)):
            _put(self.state[name], index, value)
        # Per row, in float64: 1 − 0.999 is already off by 1e-5 in float32.
        count = steps.to(torch.float64).view(-1, *[1] * (weight.ndim - 1))
        rate = (learning_rate / (1.0 - first**count)).to(weight.dtype)
        root = (1.0 - second**count).sqrt().to(weight.dtype)
        size = torch.sqrt(square, out=gradient).div_(root).add_(self.eps)
        rows.mul_(1.0 - learning_rate * self.weight_decay).sub_(size.reciprocal_().mul_(mean).mul_(rate))
        _put(weight, index, rows)


def build_rows(part: Part) -> RowOptimiser:
    """The optimiser of class centres that a recipe asks for; the learning rate comes with every step.

    Args:
        part: `sgd` (momentum, weight_decay, nesterov) or `adamw` (beta1, beta2, eps, weight_decay);
            `learning_rate` may be there and is not used.

    Raises:
        RecipeInvalid: an unknown kind or option, or a value outside its range.
    """
    if part.kind not in KINDS:
        raise RecipeInvalid(f"no optimiser is called {part.kind!r}: there are {', '.join(KINDS)}")
    names, make = KINDS[part.kind]
    options = {name: value for name, value in part.options.items() if name != "learning_rate"}
    if unknown := sorted(set(options) - set(names)):
        raise RecipeInvalid(
            f"optimiser {part.kind!r} has no option {unknown[0]!r}: options are {', '.join(names)}"
        )
    return make(options)


def _sgd(options: Mapping[str, Value]) -> RowOptimiser:
    nesterov = options.get("nesterov", False)
    if not isinstance(nesterov, bool):
        raise RecipeInvalid(f"optimiser.nesterov = {nesterov!r}: set it to true or false")
    return RowSGD(
        momentum=_number(options, "momentum", 0.0),
        weight_decay=_number(options, "weight_decay", 0.0),
        nesterov=nesterov,
    )


def _adamw(options: Mapping[str, Value]) -> RowOptimiser:
    return RowAdamW(
        betas=(_number(options, "beta1", 0.9), _number(options, "beta2", 0.999)),
        eps=_number(options, "eps", 1e-8),
        weight_decay=_number(options, "weight_decay", 1e-2),
    )


KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Value]], RowOptimiser]]] = {
    "sgd": (("momentum", "weight_decay", "nesterov"), _sgd),
    "adamw": (("beta1", "beta2", "eps", "weight_decay"), _adamw),
}


def _number(options: Mapping[str, Value], name: str, otherwise: float) -> float:
    value = options.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecipeInvalid(f"optimiser.{name} = {value!r} is not a number: set it to one")
    return float(value)


def _share(name: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise RecipeInvalid(f"optimiser.{name} = {value:g}: set it to 0 or more and below 1")


def _not_negative(name: str, value: float) -> None:
    if not value >= 0.0:
        raise RecipeInvalid(f"optimiser.{name} = {value:g}: set it to 0 or more")


def _taken(tensor: Tensor, index: Tensor | None) -> Tensor:
    """The rows themselves when all take part, else a copy of those that do."""
    return tensor if index is None else tensor.index_select(0, index)


def _put(tensor: Tensor, index: Tensor | None, rows: Tensor) -> None:
    if index is not None:
        tensor.index_copy_(0, index, rows)
