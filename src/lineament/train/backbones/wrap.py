"""How a backbone is run, applied from outside: memory layout, recomputed activations, compilation.

None of it changes what is calculated (beyond rounding), nor a name in the state dict: a network that was
wrapped and one that was not load each other's checkpoints. Recomputing: Chen et al., "Training Deep Nets with
Sublinear Memory Cost", arXiv 1604.06174.
"""

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] - SyncBatchNorm too
from torch.utils.checkpoint import checkpoint

from lineament.core.errors import RecipeInvalid, RuntimeUnavailable
from lineament.train.backbones.port import Backbone, Unit

SAFE_CHANNELS = 16
"""Channels from which torch's processor kernels are well; see `_refuse_a_crash`."""


def wrapped(
    backbone: Backbone,
    *,
    channels_last: bool = False,
    checkpoint_activations: bool = False,
    compile: bool = False,  # noqa: A002 - the name of the recipe's setting
    compiler: str = "inductor",
) -> Backbone:
    """The same network, changed in place.

    Args:
        backbone: already on its device.
        channels_last: keep maps with the channels innermost, which convolutions prefer.
        checkpoint_activations: keep only what enters each unit, and calculate the rest again on the way
            back: about a third more arithmetic for much less memory.
        compile: apply `torch.compile`; the first step then takes minutes, and one more for each new shape.
        compiler: its backend.

    Raises:
        RecipeInvalid: both recomputing and compiling, or channels last where torch is known to crash.
        RuntimeUnavailable: no C++ compiler for `inductor`.
    """
    if compile and checkpoint_activations:
        raise RecipeInvalid(
            "compile and checkpoint_activations do not go together, because the compiler cannot follow how "
            "running statistics are kept: set one of them to false"
        )
    if channels_last:
        _refuse_a_crash(backbone)
        cast(Any, backbone).to(memory_format=torch.channels_last)
    if checkpoint_activations:
        for module in backbone.modules():
            if isinstance(module, Unit):
                cast(Any, module).forward = _Recomputed(module)
    if compile:
        if compiler == "inductor":
            _need_compiler()
        backbone.compile(backend=compiler)
    return backbone


def _refuse_a_crash(backbone: nn.Module) -> None:
    """Ask for another layout where torch would end the process.

    Measured with torch 2.13 on x86-64: the backward pass of a strided 1×1 convolution of 8 or 12 channels,
    channels last, is a segmentation fault; 16 and more are well, and so is the ordinary layout.
    """
    for module in backbone.modules():
        if not isinstance(module, nn.Conv2d) or module.weight.device.type != "cpu":
            continue
        if module.kernel_size == (1, 1) and module.stride != (1, 1) and module.in_channels < SAFE_CHANNELS:
            raise RecipeInvalid(
                f"a strided 1×1 convolution of {module.in_channels} channels, channels last, crashes torch "
                "on a processor: set channels_last=false, or backbone.width to 16 or more"
            )


class _Recomputed:
    """Stands in for `forward` of one unit.

    An object with the unit as its attribute, not a closure: a deep copy of the network (a teacher, a moving
    average) then runs the weights of the copy.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit

    def __call__(self, x: Tensor) -> Tensor:
        forward = partial(type(self.unit).forward, self.unit)
        if not (self.unit.training and torch.is_grad_enabled()):
            return cast(Tensor, forward(x))
        answer = checkpoint(
            forward, x, use_reentrant=False, preserve_rng_state=True, context_fn=self._contexts
        )
        return cast(Tensor, answer)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(self.unit)


@contextmanager
def _statistics_kept(unit: nn.Module) -> Generator[None]:
    """Batch normalisations calculate as before, but the second pass leaves their running statistics alone.

    The second pass gets copies to update. (Switching `track_running_stats` off would save other tensors for
    the backward pass than the first did, which checkpointing refuses.)
    """
    norms = [m for m in unit.modules() if isinstance(m, _BatchNorm)]
    own = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, own, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)


def _need_compiler() -> None:
    names = (os.environ.get("CXX", ""), "clang++" if sys.platform == "darwin" else "g++")
    if sys.platform != "win32" and not any(name and shutil.which(name) for name in names):
        raise RuntimeUnavailable(
            "torch.compile needs a C++ compiler, and none was found: install g++, or say where it is in the "
            "environment variable CXX, or set compile=false"
        )
