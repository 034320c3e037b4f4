"""Reading graphs that strangers made."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineament.core.errors import PackBroken
from lineament.packs.graph import input_normalisation, inputs, load_model, outputs


@pytest.mark.parametrize(
    ("kinds", "constants", "names"),
    [
        (("Sub", "Mul"), (127.5, 1 / 127.5), ("Sub_0", "Mul_1")),
        (("Sub", "Mul"), (127.5, 1 / 127.5), ("node_Sub_1", "node_Mul_2")),
        (("Sub", "Mul"), (127.5, 1 / 127.5), ("/pre/Sub", "/pre/Mul")),
        (("Sub", "Mul"), (127.5, 1 / 127.5), ("_minusscalar0", "_mulscalar0")),
        (("Sub", "Div"), (127.5, 127.5), ("a", "b")),
        (("Add", "Mul"), (-127.5, 1 / 127.5), ("", "")),
        (("Mul", "Add"), (1 / 127.5, -1.0), ("", "")),
        (("Div", "Sub"), (127.5, 1.0), ("", "")),
    ],
)
def test_normalisation_is_found_by_operator_type_whatever_the_names(networks, kinds, constants, names):
    path = networks.vector(
        "r.onnx", before=[(k, [np.array([c])]) for k, c in zip(kinds, constants, strict=True)], names=names
    )
    found = input_normalisation(load_model(path))
    assert found is not None
    assert found.operators == kinds
    assert found.range == "raw"
    assert found.mean == pytest.approx([127.5], rel=1e-5)
    assert found.std == pytest.approx([127.5], rel=1e-5)


def test_per_channel_constants_are_reported(networks):
    mean, std = np.array([123.7, 116.3, 103.5]), np.array([58.4, 57.1, 57.4])
    path = networks.vector(
        "r.onnx", before=[("Sub", [mean.reshape(1, 3, 1, 1)]), ("Div", [std.reshape(1, 3, 1, 1)])]
    )
    found = input_normalisation(load_model(path))
    assert found is not None
    assert found.mean == pytest.approx(mean, rel=1e-5)
    assert found.std == pytest.approx(std, rel=1e-5)


def test_a_graph_that_scales_unit_pixels_says_so(networks):
    path = networks.vector("r.onnx", before=[("Sub", [np.array([0.5])]), ("Div", [np.array([0.5])])])
    found = input_normalisation(load_model(path))
    assert found is not None
    assert found.range == "unit"


def batch_norm(mean: float, variance: float) -> list[tuple[str, list[np.ndarray]]]:
    three = np.ones(3)
    return [("BatchNormalization", [three, 0 * three, mean * three, variance * three])]


def test_batch_normalisation_of_raw_pixels_counts(networks):
    found = input_normalisation(load_model(networks.vector("r.onnx", before=batch_norm(127.5, 70.0**2))))
    assert found is not None
    assert found.operators == ("BatchNormalization",)
    assert found.mean == pytest.approx([127.5] * 3, rel=1e-4)


def test_batch_normalisation_of_scaled_pixels_is_a_layer(networks):
    assert input_normalisation(load_model(networks.vector("r.onnx", before=batch_norm(-0.1, 0.3)))) is None


def test_batch_normalisation_behind_a_convolution_is_a_layer(networks):
    path = networks.vector("r.onnx", before=[("Conv", [np.ones((3, 3, 1, 1))]), *batch_norm(127.5, 70.0**2)])
    assert input_normalisation(load_model(path)) is None


def test_arithmetic_behind_a_convolution_is_a_layer(networks):
    path = networks.vector(
        "r.onnx",
        before=[("Conv", [np.ones((3, 3, 1, 1))]), ("Sub", [np.array([127.5])])],
        names=("conv", "Sub_0"),
    )
    assert input_normalisation(load_model(path)) is None


def test_names_alone_say_nothing(networks):
    path = networks.vector("r.onnx", before=[("Relu", []), ("Relu", [])], names=("Sub_0", "Mul_1"))
    assert input_normalisation(load_model(path)) is None


def test_normalisation_is_found_through_operators_that_change_nothing(networks):
    path = networks.vector(
        "r.onnx",
        before=[
            ("Identity", []),
            ("Sub", [np.array([127.5])]),
            ("Identity", []),
            ("Mul", [np.array([1 / 128])]),
        ],
    )
    found = input_normalisation(load_model(path))
    assert found is not None
    assert found.std == pytest.approx([128.0])


def test_constants_from_constant_nodes_are_seen(networks):
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(127.5, np.float32))),
        helper.make_node("Constant", [], ["d"], value_float=127.5),
        helper.make_node("Sub", ["x", "c"], ["y"]),
        helper.make_node("Div", ["y", "d"], ["z"]),
        helper.make_node("GlobalAveragePool", ["z"], ["out"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in ("x", "out")]
    ports[1] = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 1, 1])
    found = input_normalisation(load_model(networks.save("r.onnx", nodes, ports[:1], ports[1:], [])))
    assert found is not None
    assert found.operators == ("Sub", "Div")


def test_ports_skip_initialisers_and_name_free_dimensions(networks):
    path = networks.vector("r.onnx", size=(112, 96))
    model = load_model(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 512]))
    assert [(p.name, p.shape) for p in inputs(model)] == [("data", ("N", 3, 112, 96))]
    assert outputs(model)[0].shape == ("N", 512)


@pytest.mark.parametrize(
    "content", [b"", b"not an onnx file at all", b"\x08\x09\x12\x07pytorch", bytes(range(256)) * 8]
)
def test_a_corrupt_file_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(PackBroken, match=r"broken\.onnx"):
        load_model(path)


def test_a_truncated_file_is_named(networks):
    path = networks.vector("cut.onnx")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(PackBroken, match=r"cut\.onnx"):
        load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PackBroken, match=r"nosuch\.onnx"):
        load_model(tmp_path / "nosuch.onnx")


@pytest.mark.parametrize("where", ["../../../etc/passwd", "/etc/passwd", ""])
def test_weights_outside_the_folder_are_refused(networks, where):
    path = networks.vector("r.onnx")
    model = onnx.load(path)
    point_outside(model, where)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PackBroken, match="outside its own folder"):
        load_model(path)


def test_weights_in_a_second_file_are_refused_with_the_way_out(networks):
    path = networks.vector("r.onnx")
    model = onnx.load(path)
    point_outside(model, "weights.bin")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PackBroken, match=r"weights\.bin.*as one file"):
        load_model(path)


def point_outside(model: onnx.ModelProto, where: str) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", where
