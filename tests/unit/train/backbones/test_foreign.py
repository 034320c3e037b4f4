"""Weights of arcface_torch, against small networks written here from the names and shapes alone.

The reference networks are plain functions of a state dict with arcface_torch's names; they share no code with
ours.
"""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from lineament.core.errors import CheckpointInvalid
from lineament.train.backbones import build
from lineament.train.backbones.foreign import load_arcface_torch


class State(dict):
    """A state dict that is filled with random values as the names are listed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def random(self, name: str, *shape: int, spread: float = 1.0, centre: float = 0.0) -> None:
        self[name] = centre + spread * torch.randn(shape, generator=self.generator)

    def conv(self, name: str, outside: int, inside: int, kernel: int) -> None:
        self.random(f"{name}.weight", outside, inside, kernel, kernel, spread=(inside * kernel**2) ** -0.5)

    def dense(self, name: str, outside: int, inside: int, *, bias: bool = True, gain: float = 1.0) -> None:
        self.random(f"{name}.weight", outside, inside, spread=gain * inside**-0.5)
        if bias:
            self.random(f"{name}.bias", outside, spread=0.1)

    def affine(self, name: str, channels: int) -> None:
        self.random(f"{name}.weight", channels, spread=0.1, centre=1.0)
        self.random(f"{name}.bias", channels, spread=0.1)

    def norm(self, name: str, channels: int) -> None:
        self.affine(name, channels)
        self.random(f"{name}.running_mean", channels, spread=0.1)
        self[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=self.generator)
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def slope(self, name: str, channels: int) -> None:
        self.random(f"{name}.weight", channels, spread=0.05, centre=0.25)

    def block(
        self, name: str, outside: int, inside: int, kernel: int, *, groups: int = 1, prelu=True
    ) -> None:
        self.conv(f"{name}.layers.0", outside, inside // groups, kernel)
        self.norm(f"{name}.layers.1", outside)
        if prelu:
            self.slope(f"{name}.layers.2", outside)


def normalised(s, name, x, eps=1e-5):
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = (x - mean.view(shape)) / (var + eps).sqrt().view(shape)
    return y * s[f"{name}.weight"].view(shape) + s[f"{name}.bias"].view(shape)


def sloped(s, name, x):
    return x.clamp(min=0) + s[f"{name}.weight"].view(1, -1, 1, 1) * x.clamp(max=0)


# IResNet-18 ------------------------------------------------------------


def iresnet_state(width: int = 64) -> State:
    s = State(1)
    s.conv("conv1", width, 3, 3)
    s.norm("bn1", width)
    s.slope("prelu", width)
    inside = width
    for stage in range(1, 5):
        outside = width * 2 ** (stage - 1)
        for unit in range(2):
            name = f"layer{stage}.{unit}"
            s.norm(f"{name}.bn1", inside)
            s.conv(f"{name}.conv1", outside, inside, 3)
            s.norm(f"{name}.bn2", outside)
            s.slope(f"{name}.prelu", outside)
            s.conv(f"{name}.conv2", outside, outside, 3)
            s.norm(f"{name}.bn3", outside)
            if unit == 0:
                s.conv(f"{name}.downsample.0", outside, inside, 1)
                s.norm(f"{name}.downsample.1", outside)
            inside = outside
    s.norm("bn2", inside)
    s.dense("fc", 512, inside * 49)
    s.norm("features", 512)
    return s


def iresnet_forward(s, x):
    x = sloped(s, "prelu", normalised(s, "bn1", F.conv2d(x, s["conv1.weight"], padding=1)))
    for stage in range(1, 5):
        for unit in range(2):
            name, stride = f"layer{stage}.{unit}", 2 - unit
            y = F.conv2d(normalised(s, f"{name}.bn1", x), s[f"{name}.conv1.weight"], padding=1)
            y = sloped(s, f"{name}.prelu", normalised(s, f"{name}.bn2", y))
            y = F.conv2d(y, s[f"{name}.conv2.weight"], padding=1, stride=stride)
            y = normalised(s, f"{name}.bn3", y)
            if f"{name}.downsample.0.weight" in s:
                x = F.conv2d(x, s[f"{name}.downsample.0.weight"], stride=stride)
                x = normalised(s, f"{name}.downsample.1", x)
            x = x + y
    x = normalised(s, "bn2", x).flatten(1) @ s["fc.weight"].T + s["fc.bias"]
    return normalised(s, "features", x)


# MobileFaceNet ------------------------------------------------------------


def mobilefacenet_state(repetitions: tuple[int, ...], times: int) -> State:
    s = State(2)
    one, two = 64 * times, 128 * times

    def bottleneck(name, outside, inside, hidden):
        s.block(f"{name}.layers.0", hidden, inside, 1)
        s.block(f"{name}.layers.1", hidden, hidden, 3, groups=hidden)
        s.block(f"{name}.layers.2", outside, hidden, 1, prelu=False)

    s.block("layers.0", one, 3, 3)
    if repetitions[0] == 1:
        s.block("layers.1", one, one, 3, groups=64)
    for unit in range(repetitions[0] if repetitions[0] > 1 else 0):
        bottleneck(f"layers.1.layers.{unit}", one, one, 128)
    plan = ((2, one, one, 128, 128), (4, two, one, 256, 256), (6, two, two, 512, 256))
    for (place, outside, inside, halving, hidden), count in zip(plan, repetitions[1:], strict=True):
        bottleneck(f"layers.{place}", outside, inside, halving)
        for unit in range(count):
            bottleneck(f"layers.{place + 1}.layers.{unit}", outside, outside, hidden)
    s.block("conv_sep", 512, two, 1)
    s.block("features.layers.0", 512, 512, 7, groups=512, prelu=False)
    s.dense("features.layers.2", 512, 512, bias=False)
    s.norm("features.layers.3", 512)
    return s


def mobilefacenet_forward(s, x):
    def block(name, x, stride=1, padding=None):
        weight = s[f"{name}.layers.0.weight"]
        padding = weight.shape[2] // 2 if padding is None else padding
        x = F.conv2d(x, weight, None, stride, padding, groups=x.shape[1] // weight.shape[1])
        x = normalised(s, f"{name}.layers.1", x)
        return sloped(s, f"{name}.layers.2", x) if f"{name}.layers.2.weight" in s else x

    def bottleneck(name, x, stride=1):
        x = block(f"{name}.layers.1", block(f"{name}.layers.0", x), stride)
        return block(f"{name}.layers.2", x)

    def residuals(name, x):
        unit = 0
        while f"{name}.layers.{unit}.layers.0.layers.0.weight" in s:
            x = x + bottleneck(f"{name}.layers.{unit}", x)
            unit += 1
        return x

    x = block("layers.0", x, 2)
    x = block("layers.1", x) if "layers.1.layers.0.weight" in s else residuals("layers.1", x)
    for place in (2, 4, 6):
        x = residuals(f"layers.{place + 1}", bottleneck(f"layers.{place}", x, 2))
    x = block("features.layers.0", block("conv_sep", x), padding=0).flatten(1)
    return normalised(s, "features.layers.3", x @ s["features.layers.2.weight"].T)


# ViT-T ------------------------------------------------------------


def vit_state(width: int = 256, depth: int = 12) -> State:
    s = State(3)
    s.conv("patch_embed.proj", width, 3, 9)
    s.random("patch_embed.proj.bias", width, spread=0.1)
    s.random("pos_embed", 1, 144, width, spread=0.5)
    s.random("mask_token", 1, 1, width)
    for i in range(depth):
        s.affine(f"blocks.{i}.norm1", width)
        s.dense(f"blocks.{i}.attn.qkv", 3 * width, width, bias=False)
        s.dense(f"blocks.{i}.attn.proj", width, width)
        s.affine(f"blocks.{i}.norm2", width)
        # Large enough that the activation is cut off at 6 now and then.
        s.dense(f"blocks.{i}.mlp.fc1", 4 * width, width, gain=4.0)
        s.dense(f"blocks.{i}.mlp.fc2", width, 4 * width)
    s.affine("norm", width)
    s.dense("feature.0", width, 144 * width, bias=False)
    s.norm("feature.1", width)
    s.dense("feature.2", 512, width, bias=False)
    s.norm("feature.3", 512)
    return s


def vit_forward(s, x):
    def layer_norm(name, x):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return x * s[f"{name}.weight"] + s[f"{name}.bias"]

    def dense(name, x):
        return x @ s[f"{name}.weight"].T + s.get(f"{name}.bias", 0)

    x = F.conv2d(x, s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=9)
    x = x.flatten(2).transpose(1, 2) + s["pos_embed"]
    width = x.shape[2]
    for i in range(12):
        qkv = dense(f"blocks.{i}.attn.qkv", layer_norm(f"blocks.{i}.norm1", x))
        q, k, v = (t.unflatten(2, (8, width // 8)).transpose(1, 2) for t in qkv.split(width, 2))
        weights = (q @ k.transpose(2, 3) / (width // 8) ** 0.5).softmax(3)
        x = x + dense(f"blocks.{i}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))
        y = dense(f"blocks.{i}.mlp.fc1", layer_norm(f"blocks.{i}.norm2", x)).clamp(0, 6)
        x = x + dense(f"blocks.{i}.mlp.fc2", y)
    x = normalised(s, "feature.1", dense("feature.0", layer_norm("norm", x).flatten(1)), 2e-5)
    return normalised(s, "feature.3", dense("feature.2", x), 2e-5)


# --------------------------------------------------------------------------------

NETWORKS = {
    "iresnet18": (iresnet_state, iresnet_forward),
    "mobilefacenet_insightface": (lambda: mobilefacenet_state((1, 4, 6, 2), 2), mobilefacenet_forward),
    "mobilefacenet_large": (lambda: mobilefacenet_state((2, 8, 12, 4), 4), mobilefacenet_forward),
    "vit_t": (vit_state, vit_forward),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_their_weights_give_their_embeddings(kind):
    make, forward = NETWORKS[kind]
    state = make()
    chosen, ours = load_arcface_torch(state)
    assert chosen.kind == kind
    network = build(chosen)
    network.load_state_dict(ours)
    crops = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = forward(state, crops)
        answer = network.eval()(crops)
    assert expected.std().item() > 0.1
    # Relative to the size of the embedding, since random weights give it any.
    scale = expected.abs().max().item()
    torch.testing.assert_close(answer / scale, expected / scale, rtol=0, atol=1e-5)


def test_options_are_read_from_the_shapes():
    chosen, _ = load_arcface_torch(iresnet_state(8))
    assert dict(chosen.options) == {"dimension": 512, "width": 8}
    chosen, _ = load_arcface_torch(vit_state())
    assert dict(chosen.options) == {"dimension": 512, "mask_ratio": 0.1}


def test_files_and_prefixes(tmp_path):
    state = dict(iresnet_state(8))
    _, expected = load_arcface_torch(state)
    save_file(state, tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "model.pt")
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "parallel.pth")
    whole = {"epoch": 3, "state_dict_backbone": state, "state_optimizer": {"lr": 0.1}}
    torch.save(whole, tmp_path / "checkpoint_gpu_0.pt")
    for file in sorted(tmp_path.iterdir()):
        chosen, ours = load_arcface_torch(file)
        assert chosen.kind == "iresnet18", file
        assert ours.keys() == expected.keys()
        assert all(torch.equal(ours[name], expected[name]) for name in ours)


def test_old_files_without_counters():
    state = {k: v for k, v in iresnet_state(8).items() if not k.endswith("num_batches_tracked")}
    chosen, ours = load_arcface_torch(state)
    build(chosen).load_state_dict(ours)


class Trap:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return (open, ("trap", "w"))


def test_files_that_are_not_plain_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"lr": 0.1}, tmp_path / "settings.pt")
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(CheckpointInvalid, match=file.stem):
            load_arcface_torch(file)
    assert not (tmp_path / "trap").exists()
    with pytest.raises(CheckpointInvalid, match="there is no file"):
        load_arcface_torch(tmp_path / "absent.pt")


def without(state, name):
    return {k: v for k, v in state.items() if k != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {}, "not the weights of a network of arcface_torch .found nothing"),
        (lambda s: {"encoder.weight": torch.zeros(1)}, "found encoder.weight"),
        (lambda s: s | {"se.weight": torch.zeros(1)}, "has what iresnet18 has not: se.weight"),
        (lambda s: without(s, "layer2.1.bn2.bias"), "not complete: no layer2.1.bn2.bias"),
        (lambda s: without(s, "features.weight"), "has no features.weight"),
        (lambda s: s | {"fc.weight": torch.zeros(512, 64)}, "fc.weight has the shape .512, 64."),
        (
            lambda s: {k: v for k, v in s.items() if not k.startswith("layer3.1.")},
            r"an IResNet with stages of \(2, 2, 1, 2\) is none of ours: there are iresnet18 \(2, 2, 2, 2\)",
        ),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(CheckpointInvalid, match=message):
        load_arcface_torch(change(dict(iresnet_state(8))))
