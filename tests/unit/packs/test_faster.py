"""Rewritten graphs give the same numbers, to the last bit."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineament.packs.default import DISTRIBUTION
from lineament.packs.faster import prelu_as_max
from lineament.packs.graph import load_model
from lineament.packs.repair import fold_quantised_weights, repair_for_onnxruntime
from lineament.packs.resolve import open_pack
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session


def prelu(slopes: np.ndarray, opset: int = 17) -> onnx.ModelProto:
    node = helper.make_node("PRelu", ["x", "slope"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4, 2, 2]) for n in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [numpy_helper.from_array(slopes, "slope")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def run(model: onnx.ModelProto, path: Path, x: np.ndarray) -> np.ndarray:
    onnx.save(model, path)
    return open_session(Network(path), RuntimeOptions(threads=1)).run(x)[0]


def column(*slopes: float) -> np.ndarray:
    return np.array(slopes, np.float32).reshape(4, 1, 1)


def test_the_same_to_the_last_bit(tmp_path: Path):
    x = np.random.default_rng(0).normal(0, 3, (5, 4, 2, 2)).astype(np.float32)
    x[0, :, 0, 0] = 0.0
    x[0, :, 0, 1] = -0.0
    x[0, :, 1, 0] = np.float32(3e38)
    x[0, :, 1, 1] = np.float32(-3e38)
    model = prelu(column(0.25, 1.0, -0.7, 0.0))
    before = run(model, tmp_path / "a.onnx", x)
    assert prelu_as_max(model) == 1
    onnx.checker.check_model(model)
    assert {n.op_type for n in model.graph.node} == {"Mul", "Max"}
    assert np.array_equal(run(model, tmp_path / "b.onnx", x), before)


@pytest.mark.parametrize("slopes", [column(0.2, 1.5, 0.1, 0.1), column(0.2, np.nan, 0.1, 0.1)])
def test_other_slopes_stay(slopes: np.ndarray):
    model = prelu(slopes)
    assert prelu_as_max(model) == 0
    assert [n.op_type for n in model.graph.node] == ["PRelu"]


def test_slopes_that_are_calculated_and_old_graphs_stay():
    model = prelu(column(0.1, 0.1, 0.1, 0.1))
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("slope", TensorProto.FLOAT, [4, 1, 1]))
    assert prelu_as_max(model) == 0
    assert prelu_as_max(prelu(column(0.1, 0.1, 0.1, 0.1), opset=6)) == 0


def test_the_default_recogniser_is_unchanged(tmp_path: Path):
    from importlib.util import find_spec

    spec = find_spec(DISTRIBUTION)
    assert spec is not None
    assert spec.submodule_search_locations
    name = "face_recognition_sface_2021dec_int8bq.onnx"
    model = load_model(Path(spec.submodule_search_locations[0], "models", name))
    repair_for_onnxruntime(model)
    fold_quantised_weights(model)
    onnx.save(model, tmp_path / "plain.onnx")
    crops = np.random.default_rng(1).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)
    plain = open_session(Network(tmp_path / "plain.onnx"), RuntimeOptions(threads=1))
    pack = open_pack()
    shipped = open_session(Network(pack.path(pack.card.model("recognition"))), RuntimeOptions(threads=1))
    for crop in crops:
        expected, found = plain.run(crop[None])[0], shipped.run(crop[None])[0]
        assert np.abs(expected - found).max() <= 1e-5 * np.abs(expected).max()
