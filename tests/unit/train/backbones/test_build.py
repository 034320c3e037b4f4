"""Networks by name: sizes against published ones, options, what goes in and comes out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lineament.core.errors import InvalidArgument, RecipeInvalid
from lineament.train.backbones import KINDS, build
from lineament.train.backbones.iresnet import Residual
from lineament.train.backbones.mobilefacenet import Bottleneck
from lineament.train.backbones.vit import vit
from lineament.train.recipe import Part, part

# Millions of parameters: measured on InsightFace's arcface_torch networks; multiply-adds, 10⁹: its README.
PUBLISHED = [
    ("iresnet18", 24.03, 2.6),
    ("iresnet34", 34.14, None),
    ("iresnet50", 43.59, 6.3),
    ("iresnet100", 65.16, 12.1),
    ("iresnet200", 118.83, 23.5),
    ("mobilefacenet_insightface", 2.06, 0.45),
    ("mobilefacenet_large", 6.31, None),
    ("vit_t", 19.14, 1.5),
    ("vit_s", 76.02, 5.7),
    ("vit_b", 113.83, 11.4),
    ("vit_l", 255.7, 25.3),
]

SMALL = [
    part("iresnet18", width=8, dimension=16),
    part("iresnet18", width=8, dimension=16, reduce=2, dropout=0.4),
    part("mobilefacenet", scale=0.125, dimension=16),
    part("mobilefacenet", scale=0.125, dimension=16, reduce=4),
    part("mobilefacenet_insightface", dimension=16, reduce=2),
]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("kind", "millions", "multiply_adds"), PUBLISHED)
def test_parameters_and_arithmetic_are_as_published(kind, millions, multiply_adds):
    with torch.device("meta"):
        network = build(Part(kind)).eval()
    # The published figures are rounded, some of them down.
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.05 if kind == "vit_l" else 0.0065)
    if multiply_adds is not None:
        # The README's own counter leaves out or adds small layers: within 4 %.
        with torch.device("meta"), FlopCounterMode(display=False) as flops:
            network(torch.zeros(1, 3, 112, 112))
        assert flops.get_total_flops() / 2e9 == pytest.approx(multiply_adds, rel=0.04)


def test_mobilefacenet_of_the_paper():
    """0.99 million parameters and 221 million multiply-adds (Chen et al. 2018, table 2)."""
    with torch.device("meta"):
        network = build(part("mobilefacenet", dimension=128)).eval()
        with FlopCounterMode(display=False) as flops:
            network(torch.zeros(1, 3, 112, 112))
        wide = build(part("mobilefacenet"))
    slopes = sum(parameters(m) for m in network.modules() if isinstance(m, nn.PReLU))
    # The paper does not say whether slopes count: 1.003 million with them, 0.996 without.
    assert parameters(network) == 1_003_136
    assert parameters(network) - slopes == 995_584
    assert flops.get_total_flops() / 2e6 == pytest.approx(221, abs=0.5)
    assert parameters(wide) / 1e6 == pytest.approx(1.20, abs=0.005)


@pytest.mark.parametrize("chosen", SMALL, ids=str)
def test_crops_become_embeddings_and_gradients_reach_every_parameter(chosen):
    torch.manual_seed(1)
    network = build(chosen)
    assert (network.dimension, network.size, network.training) == (16, 112, True)
    embedding = network(torch.randn(3, 3, 112, 112))
    assert embedding.shape == (3, 16)
    assert embedding.dtype is torch.float32
    embedding.square().sum().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_reduce_shows_the_body_a_smaller_picture():
    torch.manual_seed(2)
    network = build(part("iresnet18", width=8, dimension=16, reduce=2)).eval()
    crops = torch.randn(2, 3, 112, 112)
    blocks = crops.reshape(2, 3, 56, 2, 56, 2).mean((3, 5))
    expected = network.tail(network.body(blocks))
    torch.testing.assert_close(network(crops), expected, rtol=1e-5, atol=1e-5)
    assert network.tail.linear.in_features == 64 * 4 * 4


def test_iresnet_begins_as_arcface_torch_does():
    torch.manual_seed(3)
    network = build(part("iresnet18"))
    gain = network.tail.output.weight
    assert not gain.requires_grad
    assert torch.equal(gain, torch.ones(512))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 50_000:
            assert module.weight.std().item() == pytest.approx(0.1, rel=0.02)
            assert module.bias is None
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.eps == 1e-5
    shortcuts = [m.shortcut for m in network.modules() if isinstance(m, Residual)]
    assert [isinstance(s, nn.Identity) for s in shortcuts] == [False, True] * 4
    strides = [m.path.convolution_out.stride for m in network.modules() if isinstance(m, Residual)]
    assert strides == [(2, 2), (1, 1)] * 4


def test_mobilefacenet_has_a_shortcut_where_the_shape_stays():
    with torch.device("meta"):
        network = build(part("mobilefacenet"))
    units = [m for m in network.modules() if isinstance(m, Bottleneck)]
    assert [u.residual for u in units] == [False, *[True] * 4, False, *[True] * 6, False, True, True]


def test_scale_keeps_channels_in_multiples_of_eight():
    with torch.device("meta"):
        network = build(part("mobilefacenet", scale=0.3))
    channels = {m.out_channels for m in network.body.modules() if isinstance(m, nn.Conv2d)}
    assert channels == {16, 32, 40, 64, 80, 152, 160}


def test_the_seed_decides_the_initial_values():
    chosen = part("mobilefacenet", scale=0.125, dimension=8)
    torch.manual_seed(5)
    one = build(chosen).state_dict()
    torch.manual_seed(5)
    same = build(chosen).state_dict()
    other = build(chosen).state_dict()
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["tail.linear.weight"], other["tail.linear.weight"])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (part("resnet50"), "there is no backbone 'resnet50': there are iresnet18"),
        (
            part("iresnet50", depth=3),
            "has no option 'depth': its options are dimension, dropout, width, reduce",
        ),
        (part("iresnet50", layers=3), "has no option 'layers'"),
        (part("iresnet50", dimension="512"), "dimension = '512' must be of type int"),
        (part("iresnet50", dimension=True), "dimension = True must be of type int"),
        (part("iresnet50", dimension=0), "dimension = 0"),
        (part("iresnet50", dropout=1.0), "dropout = 1: set it to 0 or more and below 1"),
        (part("iresnet50", reduce=3), "reduce = 3: set it to 1, 2 or 4"),
        (part("mobilefacenet", scale=0), "scale = 0: set it above 0"),
        (part("mobilefacenet", scale=float("nan")), "scale = nan"),
        (part("mobilefacenet", dimension=-1), "dimension = -1"),
        (part("vit_t", mask_ratio=1.0), "mask_ratio = 1"),
        (part("vit_t", drop_path=-0.1), "drop_path = -0.1"),
        (part("vit_t", dimension=0), "dimension = 0"),
        (part("timm"), "needs the option 'name'"),
        (part("timm", name="resnet18", dimension=0), "dimension = 0"),
    ],
)
def test_what_cannot_be_built_is_refused(chosen, message):
    with pytest.raises(RecipeInvalid, match=message):
        build(chosen)


def test_whole_numbers_do_for_shares():
    with torch.device("meta"):
        assert build(part("mobilefacenet", scale=1)).dimension == 512


def test_kinds_cannot_be_changed():
    with pytest.raises(TypeError):
        KINDS["other"] = KINDS["timm"]


def test_crops_of_another_size_are_refused():
    network = build(part("mobilefacenet", scale=0.125, dimension=8))
    with pytest.raises(InvalidArgument, match="takes crops of 3 × 112 × 112, not 3 × 96 × 96"):
        network(torch.zeros(1, 3, 96, 96))
    with pytest.raises(InvalidArgument, match="not 112 × 112 × 3"):
        network(torch.zeros(1, 112, 112, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: build(part("iresnet18", dimension=8, width=8, reduce=2)),
        lambda: build(part("mobilefacenet", dimension=8, scale=0.25, reduce=2)),
        lambda: vit(32, 2, dimension=8),
    ],
    ids=["iresnet", "mobilefacenet", "vit"],
)
def test_a_network_learns_to_tell_pictures_apart(make):
    """Twelve steps on eight pictures: embeddings go towards where they are told."""
    torch.manual_seed(7)
    network = make()
    crops = torch.randn(8, 3, 112, 112)
    targets = torch.eye(8)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        cosines = nn.functional.normalize(network(crops)) @ targets
        loss = nn.functional.cross_entropy(8 * cosines, torch.arange(8))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
