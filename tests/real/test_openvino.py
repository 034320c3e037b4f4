"""The default pack under OpenVINO, end to end: the same faces and the same similarities."""

from pathlib import Path

import numpy as np
import pytest

import lineament as ln
from lineament.packs.resolve import open_pack
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network, open_session

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def recognizer() -> ln.Recognizer:
    return ln.Recognizer(runtime=RuntimeOptions(engine="openvino", threads=2))


def test_it_compares_as_onnxruntime_does(recognizer: ln.Recognizer, astronaut: np.ndarray):
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    found = recognizer.compare(astronaut, mirrored, colour="rgb")
    expected = ln.Recognizer().compare(astronaut, mirrored, colour="rgb")
    assert {s.device for s in recognizer.parts().sessions} == {"openvino:CPU:f32"}
    assert found.similarity == pytest.approx(expected.similarity, abs=1e-3)
    assert found.similarity > 0.7
    assert found.match == expected.match


def test_many_pictures_are_analysed_as_one_is(recognizer: ln.Recognizer, astronaut: np.ndarray):
    pictures = [astronaut, np.ascontiguousarray(astronaut[:, ::-1]), astronaut[:, 60:].copy()] * 2
    results = list(recognizer.analyze_many(pictures, workers=2, colour="rgb"))
    assert len(results) == len(pictures)
    for picture, result in zip(pictures, results, strict=True):
        one = recognizer.analyze(picture, colour="rgb")
        assert len(result.faces) == len(one) == 1
        np.testing.assert_allclose(result.faces.boxes, one.boxes, atol=1e-2)
        np.testing.assert_allclose(result.faces.points, one.points, atol=1e-2)
        np.testing.assert_allclose(result.faces.templates.vectors, one.templates.vectors, atol=1e-3)


def agree(path: Path) -> None:
    """Same outputs in the same order under the same names, as graph and both engines tell them."""
    import onnx

    names = tuple(o.name for o in onnx.load(str(path), load_external_data=False).graph.output)
    for engine in ("onnxruntime", "openvino"):
        assert open_session(Network(path), RuntimeOptions(engine=engine)).output_names == names


@pytest.mark.parametrize("task", ["detection", "recognition"])
def test_outputs_of_the_default_pack_have_the_names_of_the_graph(task: str):
    pack = open_pack()
    agree(pack.path(pack.card.model(task)))


@pytest.mark.parametrize("file", ["scrfd_500m_kps.onnx", "fr_feature.onnx"])
def test_outputs_of_other_networks_have_the_names_of_the_graph(shared: Path, file: str):
    agree(shared / "models" / file)


def test_outputs_that_are_one_tensor_keep_their_own_names(tmp_path: Path):
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xbay"]
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Identity", ["y"], ["b"]),
        helper.make_node("Identity", ["y"], ["a"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "twins.onnx"))
    agree(tmp_path / "twins.onnx")
