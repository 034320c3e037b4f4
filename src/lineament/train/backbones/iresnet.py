"""IResNet: the residual network of the ArcFace papers.

Deng et al., "ArcFace", CVPR 2019, §3.1: units BN-Conv-BN-PReLU-Conv-BN, which begin and end with a batch
normalisation (Han et al., "Deep Pyramidal Residual Networks", CVPR 2017), and the output
BN-Dropout-FC-BN. Numbers of units as in InsightFace's arcface_torch.
"""

from torch import Tensor, nn

from lineament.core.errors import RecipeInvalid
from lineament.train.backbones.layers import EPSILON, activated, convolution, linear, named, weights
from lineament.train.backbones.port import Backbone, Unit, seen

LAYERS: dict[str, tuple[int, int, int, int]] = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
"""Units of each of the four stages."""

DEVIATION = 0.1
"""Of the initial weights of convolutions; arcface_torch's."""


class Residual(Unit):
    """BN-Conv-BN-PReLU-Conv-BN beside a shortcut; the second convolution carries the stride."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.path = named(
            norm_in=nn.BatchNorm2d(inside, EPSILON),
            convolution_in=convolution(inside, outside, 3),
            norm_middle=nn.BatchNorm2d(outside, EPSILON),
            activation=nn.PReLU(outside),
            convolution_out=convolution(outside, outside, 3, stride),
            norm_out=nn.BatchNorm2d(outside, EPSILON),
        )
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else linear(inside, outside, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inside, h, w) to (b, outside, h / stride, w / stride)."""
        return self.path(x) + self.shortcut(x)


def iresnet(
    layers: tuple[int, int, int, int],
    *,
    dimension: int = 512,
    dropout: float = 0.0,
    width: int = 64,
    reduce: int = 1,
) -> Backbone:
    """The network with `layers` units in its stages.

    Args:
        layers: units per stage.
        dimension: length of an embedding.
        dropout: share of the features that are dropped before the last layer in training.
        width: channels of the first stage; the others have 2, 4 and 8 times as many.
        reduce: 2 to see the crops at half their size, which is about four times as fast; 4 likewise.

    Raises:
        RecipeInvalid: an option outside its range.
    """
    if dimension < 1 or width < 1:
        raise RecipeInvalid(f"backbone.dimension = {dimension}, width = {width}: set both to 1 or more")
    if not 0.0 <= dropout < 1.0:
        raise RecipeInvalid(f"backbone.dropout = {dropout:g}: set it to 0 or more and below 1")
    side = seen(reduce, halvings=4)
    body = named(stem=activated(3, width, 3), stages=_stages(layers, width))
    tail = _tail(8 * width, side, dimension, dropout)
    for weight in weights(body, nn.Conv2d):
        nn.init.normal_(weight, 0.0, DEVIATION)
    return Backbone(body, tail, dimension=dimension, reduce=reduce)


def _stages(layers: tuple[int, ...], width: int) -> nn.Sequential:
    stages = nn.Sequential()
    inside = width
    for number, count in enumerate(layers):
        outside = width * 2**number
        units = (Residual(inside if i == 0 else outside, outside, 2 if i == 0 else 1) for i in range(count))
        stages.append(nn.Sequential(*units))
        inside = outside
    return stages


def _tail(channels: int, side: int, dimension: int, dropout: float) -> nn.Sequential:
    output = nn.BatchNorm1d(dimension, EPSILON)
    # A gain here would only undo what the scale of the head says; arcface_torch freezes it too.
    output.weight.requires_grad_(False)
    return named(
        norm=nn.BatchNorm2d(channels, EPSILON),
        dropout=nn.Dropout(dropout),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels * side * side, dimension),
        output=output,
    )
