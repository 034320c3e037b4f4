"""Weights of InsightFace's arcface_torch in our networks.

Names of its state dicts as measured on its networks (`iresnet.py`, `mobilefacenet.py`, `vit.py` of
recognition/arcface_torch/backbones). Nothing is run from a file: `.pt` files are read as plain tensors only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch._weights_only_unpickler import (
    UnpicklingError,  # pyright: ignore[reportPrivateImportUsage] - what the reader of plain tensors raises
)

from lineament.core.errors import CheckpointInvalid
from lineament.train import backbones
from lineament.train.backbones.iresnet import LAYERS
from lineament.train.backbones.mobilefacenet import INSIGHTFACE
from lineament.train.backbones.vit import SIZES
from lineament.train.recipe import Part, Value, part

Names = Iterator[tuple[str, str]]
"""Our name of a layer (or of a parameter), and theirs."""

Sizes = tuple[Any, ...]

SEVERAL = 5
"""Names that a message lists at most."""


def load_arcface_torch(source: Path | Mapping[str, Tensor]) -> tuple[Part, dict[str, Tensor]]:
    """Which of our networks a state dict of arcface_torch fits, and its weights under our names.

    Args:
        source: a `.pt`, `.pth` or `.safetensors` file (also `checkpoint_gpu_0.pt`, which has more in it), or
            the state dict itself.

    Returns:
        The part to build, and what its `load_state_dict` takes. Dropout and stochastic depth are not in a
        state dict and are off.

    Raises:
        CheckpointInvalid: not readable without running code, or not one of the networks that we know; names
            what is unknown, missing or of another shape.
    """
    state = _read(source) if isinstance(source, Path) else dict(source)
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): weight for name, weight in state.items()}
    chosen, names = _recognised(state)
    return chosen, _renamed(state, chosen, dict(names))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointInvalid(f"there is no file {path}: give a .pt, .pth or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or "it ends too early"
        raise CheckpointInvalid(
            f"{path} is not a file of plain weights ({reason}): save the state dict "
            "alone with torch.save, or as safetensors"
        ) from error
    if isinstance(content, Mapping) and "state_dict_backbone" in content:
        content = cast(Mapping[str, Any], content)["state_dict_backbone"]
    if not isinstance(content, Mapping):
        raise CheckpointInvalid(f"{path} holds a {type(content).__name__}, not a state dict")
    state = cast(Mapping[str, Any], content)
    if strange := [name for name, weight in state.items() if not isinstance(weight, Tensor)]:
        raise CheckpointInvalid(f"{path} is not a state dict: {strange[0]} is not a tensor")
    return dict(state)


def _recognised(state: Mapping[str, Tensor]) -> tuple[Part, Names]:
    if "layer1.0.conv1.weight" in state:
        return _iresnet(state)
    if "conv_sep.layers.0.weight" in state:
        return _mobilefacenet(state)
    if "patch_embed.proj.weight" in state:
        return _vit(state)
    raise CheckpointInvalid(
        f"these are not the weights of a network of arcface_torch (found {_some(state)}): IResNet, "
        "MobileFaceNet and ViT can be loaded"
    )


def _count(state: Mapping[str, Tensor], before: str, after: str) -> int:
    number = 0
    while f"{before}{number}{after}" in state:
        number += 1
    return number


def _length(state: Mapping[str, Tensor], name: str) -> int:
    """The first number of a tensor's shape."""
    weight = state.get(name)
    if weight is None or not weight.ndim:
        raise CheckpointInvalid(f"the state dict has no {name}, so the network cannot be told: is it whole?")
    return weight.shape[0]


def _kind(table: Mapping[str, Sizes], sizes: Sizes, what: str) -> str:
    for kind, known in table.items():
        if known == sizes:
            return kind
    raise CheckpointInvalid(
        f"{what} of {sizes} is none of ours: there are "
        + ", ".join(f"{kind} {known}" for kind, known in table.items())
    )


def _iresnet(state: Mapping[str, Tensor]) -> tuple[Part, Names]:
    one, two, three, four = (_count(state, f"layer{stage}.", ".conv1.weight") for stage in (1, 2, 3, 4))
    layers = (one, two, three, four)
    kind = _kind(LAYERS, layers, "an IResNet with stages")
    options: dict[str, Value] = {"dimension": _length(state, "features.weight")}
    if (width := _length(state, "conv1.weight")) != 64:
        options["width"] = width
    return part(kind, **options), _iresnet_names(layers)


def _iresnet_names(layers: tuple[int, ...]) -> Names:
    yield from (
        ("body.stem.convolution", "conv1"),
        ("body.stem.norm", "bn1"),
        ("body.stem.activation", "prelu"),
        ("tail.norm", "bn2"),
        ("tail.linear", "fc"),
        ("tail.output", "features"),
    )
    inner = {
        "path.norm_in": "bn1",
        "path.convolution_in": "conv1",
        "path.norm_middle": "bn2",
        "path.activation": "prelu",
        "path.convolution_out": "conv2",
        "path.norm_out": "bn3",
        "shortcut.convolution": "downsample.0",
        "shortcut.norm": "downsample.1",
    }
    for stage, count in enumerate(layers):
        for unit in range(count):
            for ours, theirs in inner.items():
                yield f"body.stages.{stage}.{unit}.{ours}", f"layer{stage + 1}.{unit}.{theirs}"


def _mobilefacenet(state: Mapping[str, Tensor]) -> tuple[Part, Names]:
    # The first place holds one convolution in the small network and bottlenecks in the large one.
    places = ("layers.1.layers.", "layers.3.layers.", "layers.5.layers.", "layers.7.layers.")
    one, two, three, four = (_count(state, place, ".layers.0.layers.0.weight") for place in places)
    repetitions = (max(1, one), two, three, four)
    sizes = (repetitions, _length(state, "layers.0.layers.0.weight") // 64)
    kind = _kind(INSIGHTFACE, sizes, "a MobileFaceNet with stages and width")
    chosen = part(kind, dimension=_length(state, "features.layers.3.weight"))
    return chosen, _mobilefacenet_names(repetitions)


def _mobilefacenet_names(repetitions: tuple[int, int, int, int]) -> Names:
    yield from _activated("body.stem", "layers.0")
    yield from _activated("body.widen", "conv_sep")
    if repetitions[0] == 1:
        yield from _activated("body.early", "layers.1")
    else:
        for unit in range(repetitions[0]):
            yield from _bottleneck(f"body.early.{unit}", f"layers.1.layers.{unit}")
    for stage, count in enumerate(repetitions[1:]):
        yield from _bottleneck(f"body.stages.{stage}.0", f"layers.{2 * stage + 2}")
        for unit in range(count):
            theirs = f"layers.{2 * stage + 3}.layers.{unit}"
            yield from _bottleneck(f"body.stages.{stage}.{unit + 1}", theirs)
    yield "tail.depthwise.convolution", "features.layers.0.layers.0"
    yield "tail.depthwise.norm", "features.layers.0.layers.1"
    yield "tail.linear", "features.layers.2"
    yield "tail.output", "features.layers.3"


def _activated(ours: str, theirs: str) -> Names:
    for number, name in enumerate(("convolution", "norm", "activation")):
        yield f"{ours}.{name}", f"{theirs}.layers.{number}"


def _bottleneck(ours: str, theirs: str) -> Names:
    for number, name in enumerate(("expand", "depthwise", "project")):
        yield from _activated(f"{ours}.path.{name}", f"{theirs}.layers.{number}")


def _vit(state: Mapping[str, Tensor]) -> tuple[Part, Names]:
    depth = _count(state, "blocks.", ".attn.qkv.weight")
    kind = _kind(SIZES, (_length(state, "patch_embed.proj.weight"), depth), "a ViT with width and depth")
    options: dict[str, Value] = {"dimension": _length(state, "feature.3.weight")}
    if "mask_token" in state:
        # Their share: the token is there for training on.
        options["mask_ratio"] = 0.1
    return part(kind, **options), _vit_names(depth)


def _vit_names(depth: int) -> Names:
    yield from (
        ("body.patches", "patch_embed.proj"),
        ("body.positions", "pos_embed"),
        ("body.mask", "mask_token"),
        ("body.norm", "norm"),
        ("tail.compress", "feature.0"),
        ("tail.compress_norm", "feature.1"),
        ("tail.linear", "feature.2"),
        ("tail.output", "feature.3"),
    )
    inner = {
        "attention_norm": "norm1",
        "attention.inputs": "attn.qkv",
        "attention.output": "attn.proj",
        "perceptron_norm": "norm2",
        "perceptron.widen": "mlp.fc1",
        "perceptron.narrow": "mlp.fc2",
    }
    for block in range(depth):
        for ours, theirs in inner.items():
            yield f"body.blocks.{block}.{ours}", f"blocks.{block}.{theirs}"


def _renamed(state: Mapping[str, Tensor], chosen: Part, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights under our names, every one of them used and of the right shape."""
    with torch.device("meta"):
        wanted = backbones.build(chosen).state_dict()
    theirs = {name: _their_name(name, names) for name in wanted}
    if unknown := set(state) - set(theirs.values()):
        raise CheckpointInvalid(f"the state dict has what {chosen.kind} has not: {_some(unknown)}")
    found: dict[str, Tensor] = {}
    for ours, name in theirs.items():
        if name in state:
            found[ours] = state[name]
        elif ours.endswith(".num_batches_tracked"):
            # Not in files of before PyTorch 0.4.1; it has no effect with a fixed momentum.
            found[ours] = torch.zeros((), dtype=torch.int64)
    if missing := [theirs[ours] for ours in wanted if ours not in found]:
        raise CheckpointInvalid(f"the state dict of a {chosen.kind} is not complete: no {_some(missing)}")
    for ours, weight in found.items():
        if weight.shape != wanted[ours].shape:
            raise CheckpointInvalid(
                f"{theirs[ours]} has the shape {tuple(weight.shape)}, and in {chosen.kind} "
                f"{tuple(wanted[ours].shape)}: it is another network, or for crops of another size"
            )
    return found


def _their_name(ours: str, names: Mapping[str, str]) -> str:
    if ours in names:
        return names[ours]
    layer, _, leaf = ours.rpartition(".")
    return f"{names[layer]}.{leaf}"


def _some(names: Mapping[str, Any] | set[str] | list[str]) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - SEVERAL} more" if len(listed) > SEVERAL else ""
    return (", ".join(listed[:SEVERAL]) or "nothing") + rest
