"""The exported file: any batch, the same numbers, nothing of the machine, and quick."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lineament.core.errors import ExportFailed, OutputFailed
from lineament.export.onnx import SMALLEST_WEIGHT, flush_small_weights, ready, to_onnx
from lineament.packs.graph import inputs, load_model, outputs
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session
from lineament.train.backbones import build
from lineament.train.backbones.port import Backbone
from lineament.train.backbones.vit import vit
from lineament.train.recipe import part

Make = Callable[..., Backbone]

FAMILIES: dict[str, Callable[[], Backbone]] = {
    # An IResNet is exported in test_command.py.
    "mobilefacenet": lambda: build(part("mobilefacenet", dimension=64, scale=0.125, reduce=4)),
    "vit": lambda: vit(64, 1, dimension=64, dropout=0.1, drop_path=0.1),
}


def run(path: Path, x: torch.Tensor) -> np.ndarray:
    return open_session(Network(path), RuntimeOptions(threads=1)).run(x.numpy())[0]


def test_the_file(make_small: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = make_small()
    path, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    to_onnx(network, path, metadata={"lineament.step": "7", "lineament.recipe": "r"})
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert network.training and next(network.parameters()).requires_grad

    model = load_model(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(p.name, p.shape) for p in inputs(model)] == [("input", ("batch", 3, 112, 112))]
    assert [(p.name, p.shape) for p in outputs(model)] == [("embedding", ("batch", 64))]
    assert {p.key: p.value for p in model.metadata_props} == {"lineament.step": "7", "lineament.recipe": "r"}
    assert model.producer_name == "lineament"
    assert [o.version for o in model.opset_import if o.domain == ""] == [18]
    # Batch normalisation is folded, PReLU rewritten, dropout gone.
    assert set(Counter(n.op_type for n in model.graph.node)) == {"Conv", "Mul", "Max", "Reshape", "Gemm"}
    content = path.read_bytes()
    assert str(Path.cwd()).encode() not in content and b"stack_trace" not in content and b".py" not in content

    to_onnx(network, again, metadata={"lineament.recipe": "r", "lineament.step": "7"})
    assert again.read_bytes() == content

    x = torch.rand(33, 3, 112, 112, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        wanted = ready(network)(x).numpy()
    for batch in (1, 2, 7, 33):
        np.testing.assert_allclose(run(path, x[:batch]), wanted[:batch], atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_backbones(family: str, make_settled: Make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = make_settled(FAMILIES[family]())
    path = tmp_path / "n.onnx"
    to_onnx(network, path)
    x = torch.rand(5, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        wanted = ready(network)(x).numpy()
    for batch in (1, 5):
        got = run(path, x[:batch])
        assert np.abs(got - wanted[:batch]).max() < 2e-5 * np.linalg.norm(wanted, axis=1).max()
    assert "PRelu" not in {n.op_type for n in load_model(path).graph.node}


def test_weights_too_small_to_be_seen_are_zero(make_small: Make, tmp_path: Path) -> None:
    network = make_small()
    with torch.no_grad():
        network.tail[2].weight[:, ::2] = 3e-39  # subnormal
        network.tail[2].weight[:, 1] = 2 * SMALLEST_WEIGHT
    path = tmp_path / "n.onnx"
    to_onnx(network, path)
    model = load_model(path)
    values = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == 1]
    small = [v[(np.abs(v) < SMALLEST_WEIGHT) & (v != 0)] for v in values]
    assert sum(s.size for s in small) == 0
    assert flush_small_weights(model) == 0
    assert sum(int((v == 0).sum()) for v in values) >= 64 * 32 * 49 // 2


def test_a_network_that_cannot_be_followed_is_refused(make_small: Make, odd, tmp_path: Path) -> None:
    network = make_small(odd(lambda x: x * 2 if float(x.sum()) > 0 else x))
    with pytest.raises(ExportFailed, match="torch cannot write this network as ONNX"):
        to_onnx(network, tmp_path / "n.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_for_batches_of_one_size_is_refused(make_small: Make, odd, tmp_path: Path) -> None:
    network = make_small(odd(lambda x: x.reshape(2, -1, 7, 7) if x.shape[0] != 8 else x))
    with pytest.raises(ExportFailed, match="batch"):
        to_onnx(network, tmp_path / "n.onnx")


def test_a_place_that_is_not_there(make_small: Make, tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="there is no folder"):
        to_onnx(make_small(nn.Identity()), tmp_path / "no" / "n.onnx")
