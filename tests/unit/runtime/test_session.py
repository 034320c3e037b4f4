"""One seam over the engines: what isn't there is refused by name, sessions travel, outputs are checked."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lineament.core.errors import InvalidArgument, ModelOutputInvalid, PackBroken, RuntimeUnavailable
from lineament.packs.resolve import open_pack
from lineament.pipeline.parts import network_for
from lineament.runtime.options import RuntimeOptions, processors
from lineament.runtime.session import Network, Session, finite, open_session

CROPS = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Network:
    pack = open_pack()
    return network_for(pack, pack.card.model("recognition"))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_it_keeps_its_promise(network: Network):
    session = open_session(network, RuntimeOptions(threads=1))
    assert isinstance(session, Session)
    assert session.device == "onnxruntime:CPUExecutionProvider"
    assert session.input_shape[1:] == (3, 112, 112)
    assert len(session.output_names) == 1
    assert session.run(CROPS)[0].shape == (3, 128)


def test_a_provider_that_is_not_there_is_refused_and_what_is_there_is_named(network: Network):
    there = onnxruntime.get_available_providers()
    assert "CUDAExecutionProvider" not in there, "this test is for machines without CUDA"
    options = RuntimeOptions(providers=("CUDAExecutionProvider",))
    with pytest.raises(RuntimeUnavailable, match="CPUExecutionProvider"):
        open_session(network, options).open()


def test_a_fallback_happens_only_when_it_is_allowed_and_is_reported(network: Network):
    options = RuntimeOptions(providers=("CUDAExecutionProvider",), allow_fallback=True)
    assert open_session(network, options).device == "onnxruntime:CPUExecutionProvider"


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("allow_fallback", [False, True])
def test_onnxruntime_refuses_a_precision_it_does_not_offer(precision: str, allow_fallback: bool):
    """At once: nothing else, a threshold for instance, is looked for first."""
    with pytest.raises(RuntimeUnavailable, match="openvino"):
        RuntimeOptions(precision=precision, allow_fallback=allow_fallback)


IMPOSSIBLE = (
    ({"engine": "tensorrt"}, "use onnxruntime or openvino"),
    ({"precision": "fp8"}, "use fp32, bf16 or int8"),
    ({"threads": -1}, "not -1"),
    ({"threads": 1025}, "not 1025"),
    ({"threads": "2"}, "whole number, 0 (all processors) to 1024, not '2'"),
    ({"threads": 1.5}, "not 1.5"),
    ({"threads": True}, "not True"),
    ({"threads": None}, "not None"),
    ({"providers": ()}, "providers is empty"),
    ({"providers": "CPUExecutionProvider"}, "a tuple of names: write ('CPUExecutionProvider',)"),
    ({"providers": ("CPUExecutionProvider", 1)}, "tuple of names"),
    ({"providers": None}, "tuple of names, not None"),
    ({"provider_options": ({}, {})}, "one mapping per provider"),
)


def unhooked(expressions: list[str]) -> list[str]:
    """What each expression gives to a user: in these tests the type checker would speak first."""
    code = (
        "import sys\nimport numpy as np\n"
        "from lineament.core.errors import LineamentError\n"
        "from lineament.runtime.options import RuntimeOptions\n"
        "for expression in sys.argv[1:]:\n"
        "    try:\n        print(repr(eval(expression)))\n"
        "    except LineamentError as error:\n        print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *expressions], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_options_that_cannot_be_are_refused():
    answers = unhooked([f"RuntimeOptions(**{bad!r})" for bad, _ in IMPOSSIBLE])
    for (bad, says), answer in zip(IMPOSSIBLE, answers, strict=True):
        assert answer.startswith("InvalidArgument "), (bad, answer)
        assert says in answer, bad


def test_whole_numbers_of_numpy_and_lists_of_names_are_taken():
    assert unhooked(
        [
            "type(RuntimeOptions(threads=np.int64(3)).threads).__name__",
            "RuntimeOptions(providers=['CPUExecutionProvider']) == RuntimeOptions()",
        ]
    ) == ["'int'", "True"]


def test_threads_reach_the_engine(network: Network):
    for threads in (1, 2):
        session = open_session(network, RuntimeOptions(threads=threads))
        session.open()
        assert session._opened.get_session_options().intra_op_num_threads == threads
    assert RuntimeOptions().thread_count == processors()


def test_sessions_travel_and_answer_the_same(network: Network):
    session = open_session(network, RuntimeOptions(threads=1))
    expected = session.run(CROPS)[0]
    other = pickle.loads(pickle.dumps(session))  # noqa: S301
    assert np.array_equal(other.run(CROPS)[0], expected)


def test_many_threads_open_it_once_and_agree(network: Network):
    session = open_session(network, RuntimeOptions(threads=1))
    answers: list[np.ndarray] = []
    workers = [threading.Thread(target=lambda: answers.append(session.run(CROPS)[0])) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(answers) == 8
    assert all(np.array_equal(a, answers[0]) for a in answers)


def test_a_wrong_shape_is_named(network: Network):
    with pytest.raises(InvalidArgument, match="refuses an input of shape"):
        open_session(network, RuntimeOptions()).run(np.zeros((1, 3, 50, 50), np.float32))


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PackBroken, match=r"x\.onnx"):
        open_session(Network(path), RuntimeOptions()).open()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_numbers_are_refused(bad: float):
    good = np.ones((4, 4), np.float32)
    assert finite([good], "x")[0] is good
    spoiled = good.copy()
    spoiled[2, 3] = bad
    with pytest.raises(ModelOutputInvalid):
        finite([good, spoiled], "x")


def test_large_but_finite_outputs_pass():
    large = np.full((1000,), 3e38, np.float32)
    assert finite([large], "x")[0] is large


class TestOpenVino:
    def test_without_it_one_sentence_says_how(self, network: Network):
        code = (
            "import sys; sys.modules['openvino'] = None\n"
            "from lineament.cli.main import main\n"
            "sys.exit(main(['compare', '--engine', 'openvino', '--threshold', '0.4', 'a', 'b']))"
        )
        import skimage.data

        picture = Path(skimage.data.__file__).parent / "astronaut.png"
        code = code.replace("'a', 'b'", f"{str(picture)!r}, {str(picture)!r}")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ}
        )
        assert done.returncode == 6, done.stderr
        assert 'pip install "lineament[openvino]"' in done.stderr

    def test_a_signal_after_it_was_used_is_handled(self, network: Network):
        """OpenVINO's alternate stack for signals must not be freed while the thread has it."""
        pytest.importorskip("openvino")
        code = (
            "import gc, os, signal, sys, threading\n"
            "from pathlib import Path\n"
            "import numpy as np\n"
            "from lineament.runtime.options import RuntimeOptions\n"
            "from lineament.runtime.session import Network, open_session\n"
            "told = []\n"
            "signal.signal(signal.SIGINT, lambda *_: told.append(1))\n"
            "options = RuntimeOptions(engine='openvino', threads=1)\n"
            "sessions = [open_session(Network(Path(sys.argv[1])), options)]\n"
            "sessions[0].device\n"
            "thread = threading.Thread(target=lambda: (sessions.clear(), gc.collect()))\n"
            "thread.start(); thread.join()\n"
            "os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.exit(0 if told else 3)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(network.path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_it_agrees_with_onnxruntime(self, network: Network):
        pytest.importorskip("openvino")
        session = open_session(network, RuntimeOptions(engine="openvino", threads=1))
        assert session.device.startswith("openvino:CPU")
        expected = open_session(network, RuntimeOptions(threads=1)).run(CROPS)[0]
        assert cosine(session.run(CROPS)[0], expected).min() > 0.99999
        other = pickle.loads(pickle.dumps(session))  # noqa: S301
        assert cosine(other.run(CROPS)[0], expected).min() > 0.99999

    def test_results_are_not_overwritten_by_the_next_call(self, network: Network):
        pytest.importorskip("openvino")
        session = open_session(network, RuntimeOptions(engine="openvino", threads=1))
        first = session.run(CROPS)[0]
        kept = first.copy()
        session.run(255 - CROPS)
        assert np.array_equal(first, kept)

    def test_bf16_runs_or_says_why_not(self, network: Network):
        openvino = pytest.importorskip("openvino")
        session = open_session(network, RuntimeOptions(engine="openvino", precision="bf16", threads=1))
        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            with pytest.raises(RuntimeUnavailable, match="bf16"):
                session.open()
            return
        expected = open_session(network, RuntimeOptions(threads=1)).run(CROPS)[0]
        assert session.device == "openvino:CPU:bf16"
        assert cosine(session.run(CROPS)[0], expected).min() > 0.99

    @pytest.mark.parametrize("allow_fallback", [False, True])
    def test_a_precision_is_never_replaced_by_another(
        self, network: Network, allow_fallback: bool, monkeypatch: pytest.MonkeyPatch
    ):
        """Templates would have the identity of a precision that they were not made with."""
        openvino = pytest.importorskip("openvino")

        class OldProcessor(openvino.Core):
            def get_property(self, *_: object) -> list[str]:
                return ["FP32", "INT8"]

        monkeypatch.setattr("lineament.runtime.openvino._core", OldProcessor)
        options = RuntimeOptions("openvino", precision="bf16", allow_fallback=allow_fallback)
        with pytest.raises(RuntimeUnavailable, match=r"no bf16 arithmetic \(it has FP32, INT8\)"):
            open_session(network, options).open()

    def test_int8_of_a_network_that_is_not_quantised_is_refused(self, network: Network):
        pytest.importorskip("openvino")
        with pytest.raises(RuntimeUnavailable, match="not quantised"):
            open_session(network, RuntimeOptions(engine="openvino", precision="int8")).open()

    def test_int8_runs_a_quantised_network(self, tmp_path: Path):
        """A small convolution, quantised by ONNX Runtime's own tool, on OpenVINO's int8 kernels."""
        pytest.importorskip("openvino")
        plain, quantised = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
        batches = np.random.default_rng(1).uniform(0, 255, (8, 3, 32, 32)).astype(np.float32)
        small_network(plain)
        quantise(plain, quantised, batches)
        options = RuntimeOptions(engine="openvino", precision="int8", threads=1)
        session = open_session(Network(quantised), options)
        assert session.device == "openvino:CPU:int8"
        expected = open_session(Network(plain), RuntimeOptions(threads=1)).run(batches)[0]
        found = session.run(batches)[0]
        assert not np.array_equal(found, expected)
        assert cosine(found, expected).min() > 0.99


def small_network(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.01, (16, 3, 3, 3)).astype(np.float32), "w1"),
        numpy_helper.from_array(rng.normal(0, 0.1, (64, 16 * 16 * 16)).astype(np.float32), "w2"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w2"], ["y"], transB=1),
    ]
    shapes = (("x", ["n", 3, 32, 32]), ("y", ["n", 64]))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def quantise(source: Path, target: Path, batches: np.ndarray) -> None:
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {"x": row[None]}

    logging.disable(logging.WARNING)  # the tool advises a preprocessing that this small graph does not need
    try:
        quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
