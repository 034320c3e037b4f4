"""Repairs change nothing but what engines refuse."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lineament.packs.dimensions import free_dimensions
from lineament.packs.graph import inputs, load_model, outputs
from lineament.packs.repair import fold_quantised_weights, repair_for_onnxruntime


def run(model: onnx.ModelProto, picture: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})


def quantised(
    weights: np.ndarray, scale: np.ndarray, zero: np.ndarray, **attributes: int
) -> tuple[onnx.ModelProto, str]:
    """A 1×1 convolution whose weights are dequantised in the graph."""
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], **attributes),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["out"]),
    ]
    tensors = [
        numpy_helper.from_array(weights, "q"),
        numpy_helper.from_array(scale, "s"),
        numpy_helper.from_array(zero, "z"),
        numpy_helper.from_array(np.array([*weights.shape, 1, 1], np.int64), "shape"),
        numpy_helper.from_array(np.zeros(3, np.float32), "stale"),
    ]
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, weights.shape[1], 4, 4]),
        helper.make_tensor_value_info("stale", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("forgotten", TensorProto.FLOAT, [3]),
    ]
    result = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, weights.shape[0], 4, 4])]
    graph = helper.make_graph(nodes, "made", ports, result, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), "x"


def test_block_size_of_a_scalar_scale_is_dropped_and_the_graph_then_runs():
    weights = np.array([[3, -5, 7, 9]], np.int8)
    model, _ = quantised(
        weights, np.array([[0.5]], np.float32), np.array([[1]], np.int8), axis=1, block_size=4
    )
    repair_for_onnxruntime(model)
    assert [p.name for p in inputs(model)] == ["x"]
    assert {t.name for t in model.graph.initializer} == {"q", "s", "z", "shape"}
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    expected = np.einsum("oc,nchw->nohw", (weights.astype(np.float32) - 1) * 0.5, x)
    assert np.allclose(run(model, x)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "zero", "attributes"),
    [
        (np.array([[0.5, 0.25], [2.0, 3.0]]), np.array([[1, 2], [3, -4]]), {"axis": 1, "block_size": 3}),
        (np.array([0.5, 0.25]), np.array([1, -2]), {"axis": 0}),
        (np.array(0.5), np.array(3), {}),
    ],
    ids=["blocked", "per axis", "per tensor"],
)
def test_folding_dequantises_as_the_operator_says(scale, zero, attributes):
    # Five columns in blocks of three: the last block is short.
    weights = np.arange(-5, 5, dtype=np.int8).reshape(2, 5)
    model, _ = quantised(weights, scale.astype(np.float32), zero.astype(np.int8), **attributes)
    x = np.random.default_rng(0).normal(size=(1, 5, 4, 4)).astype(np.float32)
    reference = ReferenceEvaluator(without_strays(model)).run(None, {"x": x})[0]
    repair_for_onnxruntime(model)
    assert fold_quantised_weights(model) == 2
    assert [n.op_type for n in model.graph.node] == ["Conv"]
    assert [t.data_type for t in model.graph.initializer] == [TensorProto.FLOAT]
    assert np.allclose(run(model, x)[0], reference, atol=1e-5)


def without_strays(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.input[1:]
    return copy


def test_wide_differences_of_bytes_do_not_wrap():
    model, _ = quantised(
        np.array([[127]], np.int8), np.array([1.0], np.float32), np.array([-128], np.int8), axis=0
    )
    fold_quantised_weights(model)
    folded = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "w"))
    assert folded.item() == 255.0


def test_the_batch_is_freed_also_behind_a_literal_reshape(networks):
    tensors = [
        numpy_helper.from_array(np.ones((8, 3, 112, 112), np.float32), "w"),
        numpy_helper.from_array(np.array([1, -1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["out"]),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])]
    result = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 8])]
    model = load_model(networks.save("r.onnx", nodes, ports, result, tensors))
    batch = np.random.default_rng(0).normal(size=(3, 3, 112, 112)).astype(np.float32)
    alone = np.concatenate([run(model, picture[None])[0] for picture in batch])
    assert free_dimensions(model, spatial=False) == ("batch",)
    onnx.checker.check_model(model)
    assert inputs(model)[0].shape == ("batch", 3, 112, 112)
    assert outputs(model)[0].shape[1] == 8
    assert np.array_equal(run(model, batch)[0], alone)


def test_a_network_that_mixes_the_batch_keeps_it(networks):
    # Rows of all pictures end up in one list, as in SCRFD.
    path = networks.detector("d.onnx")
    assert free_dimensions(load_model(path), spatial=False) == ()


def test_height_and_width_are_freed_where_nothing_depends_on_them(networks):
    model = load_model(networks.detector("d.onnx"))
    fix_size(model, 64)
    assert free_dimensions(model, batch=False) == ("height", "width")
    onnx.checker.check_model(model)
    rows = run(model, np.ones((1, 3, 32, 96), np.float32))
    assert [r.shape for r in rows[:1]] == [(32 * 96, 1)]


def test_height_and_width_stay_where_a_layer_is_made_for_them(networks):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["out"]),
    ]
    tensors = [numpy_helper.from_array(np.ones((3 * 16, 4), np.float32), "w")]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])]
    result = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4])]
    model = load_model(networks.save("r.onnx", nodes, ports, result, tensors))
    assert free_dimensions(model, batch=False) == ()
    assert inputs(model)[0].shape == (1, 3, 4, 4)


def test_height_and_width_stay_with_a_position_map(networks):
    nodes = [
        helper.make_node("Add", ["x", "map"], ["y"]),
        helper.make_node("Relu", ["y"], ["out"]),
    ]
    tensors = [numpy_helper.from_array(np.ones((1, 1, 4, 4), np.float32), "map")]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in ("x", "out")]
    model = load_model(networks.save("r.onnx", nodes, ports[:1], ports[1:], tensors))
    assert free_dimensions(model, batch=False) == ()


def test_height_and_width_are_free_behind_a_global_pooling(networks):
    model = load_model(networks.vector("r.onnx"))
    assert free_dimensions(model, batch=False) == ("height", "width")


def fix_size(model: onnx.ModelProto, size: int) -> None:
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size


def test_real_networks_answer_the_same_after_their_sizes_are_freed(shared):
    for name, shape, other in (
        ("fr_feature.onnx", (1, 3, 112, 112), (3, 3, 112, 112)),
        ("scrfd_500m_kps.onnx", (1, 3, 640, 640), (1, 3, 320, 256)),
    ):
        model = load_model(shared / "models" / name)
        picture = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        before = run(model, picture)
        assert free_dimensions(model)
        for a, b in zip(before, run(model, picture), strict=True):
            assert np.allclose(a, b, atol=1e-5)
        run(model, np.zeros(other, np.float32))
