"""What every network is: a body that looks at the picture, and a tail that makes an embedding of that."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineament.core.errors import InvalidArgument, RecipeInvalid

SIZE = 112
"""Side of the aligned crops, pixels; of InsightFace's alignment."""

REDUCTIONS = (1, 2, 4)


# Shapes stand in the docstrings here, not in annotations: torch.compile traces through these methods, and
# cannot trace through the shape checks that the tests put around annotated functions.


class Unit(nn.Module):
    """A repeated part of a network, one tensor in and one out; its activations may be recomputed (`wrap`)."""


@final
class Backbone(nn.Module):
    """Crops in, raw embeddings out.

    Initial values are drawn from torch's global generator when the parts are made.

    Attributes:
        body: crops (b, 3, s, s) to what the tail takes, under whatever precision surrounds the call.
        tail: that to embeddings; always float32, also under autocast, because the angles between embeddings
            are finer than bf16 can tell apart.
        dimension: length of an embedding.
        size: side of the crops, pixels.
        reduce: the body sees the crops at this fraction (1/reduce) of their size.
    """

    def __init__(
        self, body: nn.Module, tail: nn.Module, *, dimension: int, reduce: int = 1, size: int = SIZE
    ) -> None:
        super().__init__()
        self.body = body
        self.tail = tail
        self.dimension = dimension
        self.size = size
        self.reduce = reduce

    def forward(self, x: Tensor) -> Tensor:
        """Raw embeddings (b, dimension), float32, whose length carries the quality.

        Args:
            x: crops (b, 3, size, size), RGB, (pixel − 127.5) / 127.5.

        Raises:
            InvalidArgument: crops of another size.
        """
        if x.shape[1:] != (3, self.size, self.size):
            raise InvalidArgument(
                f"this network takes crops of 3 × {self.size} × {self.size}, not "
                f"{' × '.join(map(str, x.shape[1:]))}: align them to {self.size} pixels, channels first"
            )
        if self.reduce > 1:
            x = F.avg_pool2d(x, self.reduce)
        features: Tensor = self.body(x)
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        kind = x.device.type
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            # Without the context manager, which exporters do not all understand.
            return self.tail(features)
        with torch.autocast(kind, enabled=False):
            return self.tail(features)


def seen(reduce: int, halvings: int) -> int:
    """Side of the last map, for a network that halves the sides so often, each time rounding up.

    Raises:
        RecipeInvalid: a reduction that is not offered.
    """
    if reduce not in REDUCTIONS:
        raise RecipeInvalid(f"backbone.reduce = {reduce}: set it to 1, 2 or 4")
    side = SIZE // reduce
    for _ in range(halvings):
        side = (side + 1) // 2
    return side
