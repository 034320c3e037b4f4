"""Inner products of rows with rows, on the calling thread alone.

numpy's own product uses every processor for one product, and its idle threads (OpenBLAS) then spin for a
tenth of a second, waiting for the next: work on the result shares the processors with them. Where tiles of a
large matrix are each computed and then looked at, one thread per tile costs two thirds of the processor time
(`bench/all_pairs.py`). ONNX Runtime's product does that on every platform.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from lineament.runtime import subnormals


class Products:
    """Writes the products of two sets of rows into an array; one object per thread."""

    def __init__(self) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The first session of a process sets its own thread's treatment of subnormals for good: `as_zero`
        # takes that back.
        with subnormals.as_zero():
            self._session: Any = ort.InferenceSession(_graph(), options, providers=["CPUExecutionProvider"])

    def into(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        """`out[i, j] = a[i] · b[j]` in float32.

        Args:
            a: float32 (m, d), C-contiguous, as all of them.
            b: float32 (n, d).
            out: float32 (m, n), overwritten.

        Raises:
            ValueError: an array is of another type, layout or shape, a mistake of the calling code.
        """
        if out.shape != (len(a), len(b)) or not _plain(a, b, out):
            raise ValueError(
                f"products of {a.shape} and {b.shape} rows into {out.shape}: float32, contiguous"
            )
        binding = self._session.io_binding()
        binding.bind_cpu_input("a", a)
        binding.bind_cpu_input("b", b)
        binding.bind_output("c", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        self._session.run_with_iobinding(binding)


def _plain(*arrays: np.ndarray) -> bool:
    return all(x.dtype == np.float32 and x.flags.c_contiguous for x in arrays)


@lru_cache(maxsize=1)
def _graph() -> bytes:
    """A network of one node: `c = a · bᵀ`."""
    import onnx

    def value(name: str, *shape: str) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    node = onnx.helper.make_node("Gemm", ["a", "b"], ["c"], transB=1)
    graph = onnx.helper.make_graph(
        [node], "products", [value("a", "m", "d"), value("b", "n", "d")], [value("c", "m", "n")]
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
