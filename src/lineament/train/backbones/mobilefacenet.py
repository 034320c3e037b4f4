"""MobileFaceNet: networks of a million weights, for telephones and processors.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices",
CCBR 2018, table 1; and the two wider ones of InsightFace's arcface_torch (`mbf`, `mbf_large`).
"""

from torch import Tensor, nn

from lineament.core.errors import RecipeInvalid
from lineament.train.backbones.layers import EPSILON, activated, linear, named, weights
from lineament.train.backbones.port import Backbone, Unit, seen

TABLE_1 = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Bottlenecks of Chen et al., table 1: expansion t, channels c, repetitions n, stride s of the first."""

INSIGHTFACE: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "mobilefacenet_insightface": ((1, 4, 6, 2), 2),
    "mobilefacenet_large": ((2, 8, 12, 4), 4),
}
"""Repetitions per stage, and how many times as wide as the paper's."""

HIDDEN = (128, 256, 512)
"""Channels between the 1×1 convolutions where InsightFace's networks halve the sides; not widened."""


class Bottleneck(Unit):
    """1×1 convolution, depthwise 3×3, linear 1×1; with a shortcut where the shape stays."""

    def __init__(self, inside: int, hidden: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.path = named(
            expand=activated(inside, hidden, 1),
            depthwise=activated(hidden, hidden, 3, stride, groups=hidden),
            project=linear(hidden, outside, 1),
        )
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """(b, inside, h, w) to (b, outside, h / stride, w / stride)."""
        y: Tensor = self.path(x)
        return x + y if self.residual else y


def mobilefacenet(*, dimension: int = 512, scale: float = 1.0, reduce: int = 1) -> Backbone:
    """The network of the paper; `dimension=128` is its own choice.

    Args:
        dimension: length of an embedding.
        scale: times as many channels in every layer, rounded to multiples of 8.
        reduce: 2 to see the crops at half their size; 4 likewise.

    Raises:
        RecipeInvalid: an option outside its range.
    """
    if not scale > 0:
        raise RecipeInvalid(f"backbone.scale = {scale:g}: set it above 0, for example to 0.5")
    first, last = _scaled(64, scale), _scaled(512, scale)
    units = nn.Sequential()
    inside = first
    for expansion, channels, repetitions, stride in TABLE_1:
        outside = _scaled(channels, scale)
        for i in range(repetitions):
            units.append(Bottleneck(inside, expansion * inside, outside, stride if i == 0 else 1))
            inside = outside
    body = named(
        stem=activated(3, first, 3, 2),
        early=activated(first, first, 3, groups=first),
        units=units,
        widen=activated(inside, last, 1),
    )
    return _finished(body, last, dimension, reduce)


def mobilefacenet_insightface(
    repetitions: tuple[int, int, int, int], times: int, *, dimension: int = 512, reduce: int = 1
) -> Backbone:
    """The network of arcface_torch, whose weights `foreign` can load.

    Args:
        repetitions: units of each stage.
        times: as many times the paper's channels outside the bottlenecks.
        dimension: length of an embedding.
        reduce: 2 to see the crops at half their size; 4 likewise.

    Raises:
        RecipeInvalid: an option outside its range.
    """
    first, later = 64 * times, 128 * times
    if repetitions[0] == 1:
        # 64 groups, not one per channel: so it is in arcface_torch, and so are the weights.
        early: nn.Module = activated(first, first, 3, groups=64)
    else:
        early = nn.Sequential(*(Bottleneck(first, HIDDEN[0], first) for _ in range(repetitions[0])))
    stages = nn.Sequential(
        _stage(first, HIDDEN[0], first, HIDDEN[0], repetitions[1]),
        _stage(first, HIDDEN[1], later, HIDDEN[1], repetitions[2]),
        _stage(later, HIDDEN[2], later, HIDDEN[1], repetitions[3]),
    )
    stem, widen = activated(3, first, 3, 2), activated(later, 512, 1)
    return _finished(named(stem=stem, early=early, stages=stages, widen=widen), 512, dimension, reduce)


def _scaled(channels: int, scale: float) -> int:
    return max(8, round(channels * scale / 8) * 8)


def _stage(inside: int, halving: int, outside: int, hidden: int, repetitions: int) -> nn.Sequential:
    first = Bottleneck(inside, halving, outside, 2)
    return nn.Sequential(first, *(Bottleneck(outside, hidden, outside) for _ in range(repetitions)))


def _finished(body: nn.Sequential, channels: int, dimension: int, reduce: int) -> Backbone:
    """With the paper's global depthwise convolution (§3.2) and a linear layer; initial weights drawn."""
    if dimension < 1:
        raise RecipeInvalid(f"backbone.dimension = {dimension}: set it to 1 or more")
    side = seen(reduce, halvings=4)
    tail = named(
        depthwise=linear(channels, channels, side, groups=channels, padding=0),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels, dimension, bias=False),
        output=nn.BatchNorm1d(dimension, EPSILON),
    )
    network = Backbone(body, tail, dimension=dimension, reduce=reduce)
    for weight in weights(network, nn.Conv2d, nn.Linear):
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    return network
