import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lineament.runtime import subnormals
from lineament.runtime.onnx import OnnxSession
from lineament.runtime.options import RuntimeOptions
from lineament.runtime.session import Network

pytestmark = pytest.mark.skipif(not subnormals.AVAILABLE, reason="only Linux on x86-64 has this switch")
SUBNORMAL = np.float32(1e-39)


def product() -> float:
    return float(SUBNORMAL * np.float32(0.5))


def test_within_they_count_as_zero_and_afterwards_they_count_again() -> None:
    with subnormals.as_zero():
        assert product() == 0.0
    assert product() == pytest.approx(5e-40, rel=1e-3)


def test_an_error_within_leaves_them_as_they_were() -> None:
    with pytest.raises(KeyError), subnormals.as_zero():
        raise KeyError
    assert product() > 0


def test_no_other_thread_is_touched() -> None:
    inside, measured = threading.Event(), threading.Event()
    seen: list[float] = []

    def other() -> None:
        inside.wait()
        seen.append(product())
        measured.set()

    thread = threading.Thread(target=other)
    thread.start()
    with subnormals.as_zero():
        inside.set()
        measured.wait()
    thread.join()
    assert seen[0] > 0


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """y = (x + x), which a subnormal x survives unless it counts as zero."""
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "doubling.onnx")
    return tmp_path / "doubling.onnx"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_takes_them_as_zero_on_every_thread_and_the_caller_does_not(
    doubling: Path, threads: int
) -> None:
    session = OnnxSession(Network(doubling), RuntimeOptions(threads=threads))
    # Long enough for the engine to share it out.
    assert not session.run(np.full(1 << 20, SUBNORMAL))[0].any()
    assert product() > 0
