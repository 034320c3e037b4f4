"""Values that a forward pass moves by itself: running statistics of batch normalisation and of heads.

A step that is skipped because something was not finite must leave them as they were: a NaN in a running mean
stays there for ever.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class Undo:
    """Keeps such values before a step, and puts them back.

    Args:
        network: with its buffers.
        shared: values of the objective that are the same on every process, as they are now.
    """

    def __init__(self, network: nn.Module, shared: Callable[[], Mapping[str, Tensor]]) -> None:
        self._network, self._shared = network, shared
        self._kept: list[Tensor] = []

    def keep(self) -> None:
        """Before a step."""
        self._kept = [value.detach().clone() for value in self._now()]

    @torch.no_grad()
    def put_back(self) -> None:
        """After a step that is skipped."""
        for value, kept in zip(self._now(), self._kept, strict=True):
            value.copy_(kept)

    def _now(self) -> list[Tensor]:
        return [*self._network.buffers(), *self._shared().values()]
