"""Inner products of bytes with bytes, exactly, on the calling thread alone.

Processors multiply bytes four to eight times faster than floats and read a quarter of the memory. ONNX
Runtime's `MatMulInteger` does it on every platform. On x86 processors without VNNI its kernel adds two
products into 16 bits with saturation, so that the full range of both sides is not exact there; `levels`
finds out, and gives the range of the second side that is.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int32, UInt8

from lineament.core.errors import RuntimeUnavailable

FULL, HALF = 127, 63
"""Largest absolute value of the signed side: all of a byte, or what fits where sums of two saturate."""


def multiply(
    rows: UInt8[np.ndarray, "n d"], columns: Int8[np.ndarray, "d m"], out: Int32[np.ndarray, "n m"]
) -> None:
    """`out[i, j] = Σ rows[i, :] · columns[:, j]`; any number of threads may call it at once.

    Args:
        rows: C-contiguous, as all of them.
        columns: values of at most `levels()`, or the sums may be wrong.
        out: overwritten.

    Raises:
        ValueError: an array is of another layout or shape, a mistake of the calling code.
    """
    plain = all(x.flags.c_contiguous for x in (rows, columns, out))
    if not plain or out.shape != (len(rows), columns.shape[1]) or rows.shape[1] != columns.shape[0]:
        raise ValueError(f"products of {rows.shape} and {columns.shape} bytes into {out.shape}: contiguous")
    binding = _session().io_binding()
    binding.bind_cpu_input("a", rows)
    binding.bind_cpu_input("b", columns)
    binding.bind_output("c", "cpu", 0, np.int32, out.shape, out.ctypes.data)
    _session().run_with_iobinding(binding)


class Rounded:
    """Rows of floats as bytes, each with a scale of its own, to be multiplied with decoded bytes.

    A decoded byte is `low + step·(code + 1/2)`; the product of a row with decoded bytes is about
    `unit·multiply(…) + base`.

    Args:
        rows: (m, d), none of them zero.
    """

    def __init__(self, rows: Float32[np.ndarray, "m d"]) -> None:
        most = levels()
        self.scale: Float64[np.ndarray, "m"] = np.abs(rows).max(axis=1).astype(np.float64) / most
        rounded = np.rint(rows / self.scale[:, None]).clip(-most, most)
        self.columns: Int8[np.ndarray, "d m"] = np.ascontiguousarray(rounded.T.astype(np.int8))
        self._sums = rounded.sum(axis=1)
        self._taken = np.linalg.norm(rows - rounded * self.scale[:, None], axis=1)

    def line(self, low: float, step: float) -> tuple[Float64[np.ndarray, "m"], Float64[np.ndarray, "m"]]:
        """(unit, base) for bytes of that range."""
        return self.scale * step, self.scale * self._sums * (low + step / 2)

    def error(self, radius: float) -> Float64[np.ndarray, "m"]:
        """How far such a product may be from that of the row with a unit vector, decoded to within `radius`.

        By Cauchy and Schwarz: what rounding took from the row times the longest decoded vector, and `radius`.
        """
        return radius + self._taken * (1.0 + radius) + 1e-6


@lru_cache(maxsize=1)
def levels() -> int:
    """How large the signed side may be here so that every sum is exact: 127, or 63 on older processors.

    Raises:
        RuntimeUnavailable: products are not exact even at 63.
    """
    for level in (FULL, HALF):
        if all(_exact(level, m) for m in (1, 3, 64)):
            return level
    raise RuntimeUnavailable(
        "ONNX Runtime multiplies bytes inexactly on this processor: update onnxruntime, or search one probe "
        "at a time"
    )


def _exact(level: int, m: int) -> bool:
    """Whether the largest sums of both signs come out right, by the kernels for few and for many columns."""
    rows = np.full((37, 133), 255, np.uint8)
    rows[1::2, ::3] = 1
    columns = np.full((133, m), level, np.int8)
    columns[:, 1::2] = -level
    out = np.empty((37, m), np.int32)
    multiply(rows, columns, out)
    return np.array_equal(out, rows.astype(np.int32) @ columns.astype(np.int32))


@lru_cache(maxsize=1)
def _session() -> Any:
    import onnxruntime as ort

    from lineament.runtime import subnormals

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with subnormals.as_zero():
        return ort.InferenceSession(_graph(), options, providers=["CPUExecutionProvider"])


def _graph() -> bytes:
    """A network of one node: `c = a · b`."""
    import onnx

    kinds = onnx.TensorProto
    inputs = [
        onnx.helper.make_tensor_value_info("a", kinds.UINT8, ("n", "d")),
        onnx.helper.make_tensor_value_info("b", kinds.INT8, ("d", "m")),
    ]
    output = onnx.helper.make_tensor_value_info("c", kinds.INT32, ("n", "m"))
    node = onnx.helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = onnx.helper.make_graph([node], "byte products", inputs, [output])
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
