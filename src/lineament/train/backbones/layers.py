"""The few layers that the convolutional networks share."""

from collections import OrderedDict

from torch import Tensor, nn

EPSILON = 1e-5
"""Of batch normalisation; arcface_torch uses the same in its convolutional networks."""


def named(**parts: nn.Module) -> nn.Sequential:
    """The parts one after the other, each under its name in the state dict."""
    return nn.Sequential(OrderedDict(parts))


def convolution(
    inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Conv2d:
    """A convolution without bias; stride 1 keeps the sides, unless the padding is given."""
    if padding is None:
        padding = kernel // 2
    return nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False)


def activated(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, PReLU with a slope per channel."""
    return named(
        convolution=convolution(inside, outside, kernel, stride, groups),
        norm=nn.BatchNorm2d(outside, EPSILON),
        activation=nn.PReLU(outside),
    )


def linear(
    inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution and batch normalisation."""
    return named(
        convolution=convolution(inside, outside, kernel, stride, groups, padding),
        norm=nn.BatchNorm2d(outside, EPSILON),
    )


def weights(network: nn.Module, *kinds: type[nn.Module]) -> list[Tensor]:
    """The weights of all layers of these kinds, for initialisation."""
    found: list[Tensor] = []
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, kinds) and isinstance(weight, Tensor):
            found.append(weight)
    return found
