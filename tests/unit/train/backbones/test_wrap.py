"""Layout, recomputation and compilation change how a network is run, never what it calculates."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel  # noqa: F401 - its import warns; before the tests do

from lineament.core.errors import RecipeInvalid, RuntimeUnavailable
from lineament.train.backbones import build
from lineament.train.backbones.vit import vit
from lineament.train.backbones.wrap import wrapped
from lineament.train.recipe import part

CHOSEN = [
    part("iresnet18", width=16, dimension=16, reduce=4),
    part("mobilefacenet", scale=0.125, dimension=16, reduce=2),
]


def network(chosen):
    torch.manual_seed(1)
    return build(chosen) if chosen is not None else vit(16, 2, dimension=8, dropout=0.2, drop_path=0.3)


def step(model, crops):
    """Embeddings, gradients and buffers after one forward and backward pass with a fixed seed."""
    torch.manual_seed(2)
    embedding = model(crops)
    (embedding * torch.linspace(-1, 1, embedding.shape[1])).sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return embedding.detach(), gradients, dict(model.named_buffers())


@pytest.mark.parametrize("chosen", [*CHOSEN, None], ids=["iresnet", "mobilefacenet", "vit"])
def test_recomputing_gives_the_same_gradients_and_running_statistics(chosen):
    crops = torch.randn(4, 3, 112, 112)
    plain = network(chosen)
    small = wrapped(network(chosen), checkpoint_activations=True)
    for _ in range(2):
        embedding, gradients, buffers = step(plain, crops)
        again, recomputed, kept = step(small, crops)
        assert torch.equal(embedding, again)
        assert gradients.keys() == recomputed.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(recomputed[name], gradient, rtol=1e-6, atol=1e-6, msg=name)
        assert buffers.keys() == kept.keys()
        for name, buffer in buffers.items():
            assert torch.equal(kept[name], buffer), name
    counts = [b for n, b in kept.items() if n.endswith("num_batches_tracked")]
    assert {int(c) for c in counts} == {2}


def test_recomputing_keeps_fewer_activations():
    crops = torch.randn(2, 3, 112, 112)

    def kept(model) -> int:
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model(crops)
        return total

    assert kept(wrapped(network(CHOSEN[0]), checkpoint_activations=True)) < 0.7 * kept(network(CHOSEN[0]))


def test_recomputing_under_bf16():
    crops = torch.randn(4, 3, 112, 112)
    plain, small = network(CHOSEN[1]), wrapped(network(CHOSEN[1]), checkpoint_activations=True)
    with torch.autocast("cpu", torch.bfloat16):
        expected, answer = plain(crops), small(crops)
    assert torch.equal(expected, answer)
    expected.sum().backward()
    answer.sum().backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), small.named_parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)


def test_a_copy_of_a_recomputing_network_runs_its_own_weights():
    crops = torch.randn(2, 3, 112, 112)
    original = wrapped(network(CHOSEN[0]), checkpoint_activations=True)
    twin = copy.deepcopy(original)
    with torch.no_grad():
        for parameter in original.body.stages.parameters():
            parameter.zero_()
    _, gradients, _ = step(twin, crops)
    expected, wanted, _ = step(network(CHOSEN[0]), crops)
    assert torch.equal(step(copy.deepcopy(network(CHOSEN[0])), crops)[0], expected)
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-6, atol=1e-6, msg=name)


def test_inference_is_not_recomputed():
    crops = torch.randn(2, 3, 112, 112)
    plain, small = network(CHOSEN[0]).eval(), wrapped(network(CHOSEN[0]), checkpoint_activations=True).eval()
    with torch.no_grad():
        assert torch.equal(plain(crops), small(crops))


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda p: p.kind)
def test_channels_last_calculates_the_same(chosen):
    # In float64, where another order of sums cannot hide a mistake.
    crops = torch.randn(4, 3, 112, 112, dtype=torch.float64)
    plain, other = network(chosen).double(), wrapped(network(chosen).double(), channels_last=True)
    layouts: list[bool] = []
    for module in other.body.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _m, _x, y: layouts.append(y.is_contiguous(memory_format=torch.channels_last))
            )
    embedding, gradients, buffers = step(plain, crops)
    for given in (crops, crops.contiguous(memory_format=torch.channels_last)):
        other.zero_grad()
        other.load_state_dict(network(chosen).state_dict())
        answer, others, kept = step(other, given)
        torch.testing.assert_close(answer, embedding, rtol=1e-9, atol=1e-9)
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-8, atol=1e-8, msg=name)
        for name, buffer in buffers.items():
            torch.testing.assert_close(kept[name], buffer, rtol=1e-9, atol=1e-9, msg=name)
    assert all(layouts)


def test_names_in_the_state_dict_stay():
    plain = network(CHOSEN[0])
    names = list(plain.state_dict())
    one = wrapped(network(CHOSEN[0]), channels_last=True, checkpoint_activations=True)
    two = wrapped(network(CHOSEN[0]), compile=True, compiler="eager")
    assert list(one.state_dict()) == list(two.state_dict()) == names


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own, in tracing
def test_a_traced_network_calculates_the_same():
    crops = torch.randn(2, 3, 112, 112)
    expected, gradients, buffers = step(network(CHOSEN[0]), crops)
    answer, traced, kept = step(wrapped(network(CHOSEN[0]), compile=True, compiler="eager"), crops)
    torch.testing.assert_close(answer, expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(traced[name], gradient, msg=name)
    for name, buffer in buffers.items():
        torch.testing.assert_close(kept[name], buffer, msg=name)


def test_recomputing_and_compiling_are_refused_together():
    with pytest.raises(RecipeInvalid, match="set one of them to false"):
        wrapped(network(CHOSEN[0]), compile=True, checkpoint_activations=True)


def test_no_compiler_is_said_before_the_first_step(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RuntimeUnavailable, match=r"install g\+\+"):
        wrapped(network(CHOSEN[0]), compile=True)


def test_a_layout_that_crashes_torch_is_refused() -> None:
    narrow = build(part("iresnet18", dimension=16, width=8, reduce=4))
    with pytest.raises(RecipeInvalid, match="channels_last=false"):
        wrapped(narrow, channels_last=True)
    wrapped(narrow, channels_last=False)
    wrapped(build(part("iresnet18", dimension=16, width=16, reduce=4)), channels_last=True)
