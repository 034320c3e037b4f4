"""OpenVINO behind the seam (extra `openvino`): faster on Intel and AMD processors, bf16 and int8."""

import threading
from functools import cache
from typing import Any

import numpy as np

from lineament.core.errors import InvalidArgument, PackBroken, RuntimeUnavailable
from lineament.runtime.options import processors
from lineament.runtime.session import Session


@cache
def _core() -> Any:
    """OpenVINO's entry, one for the life of the process.

    Its CPU plugin gives the thread that first compiles a network an alternate stack for signals, and frees
    that memory with the last `Core`, on whichever thread that happens. The next signal to the first thread, a
    Ctrl-C for example, would then be a segmentation fault.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise RuntimeUnavailable(
            'OpenVINO is not installed: pip install "lineament[openvino]", or use the engine onnxruntime'
        ) from error
    return ov.Core()


class OpenVinoSession(Session):
    """A network run by OpenVINO on the processor.

    `bf16` lets the engine calculate in bfloat16 where it pays, `int8` needs a model file that was quantised
    beforehand (Q/DQ nodes): OpenVINO then runs integer kernels. Each thread has an inference request of
    its own.

    Raises:
        RuntimeUnavailable: OpenVINO is not installed, or the processor has no such arithmetic.
        PackBroken: the file is not a model that OpenVINO can load, or was replaced.
    """

    def _load(self) -> Any:
        core = _core()
        if self.options.providers != ("CPUExecutionProvider",):
            raise RuntimeUnavailable(
                f"the openvino engine runs on the processor, not on {self.options.providers[0]}: "
                "use the engine onnxruntime for that provider"
            )
        self._require_precision(core)
        try:
            model = core.read_model(self._model())
            if self.options.precision == "int8":
                self._require_quantised(model)
            # Compiled outputs go by the names of merged operations as well, in no useful order.
            names = tuple(output.get_any_name() for output in model.outputs)
            compiled = core.compile_model(model, "CPU", self._config())
        except RuntimeError as error:
            raise PackBroken(f"OpenVINO cannot load {self.network.path}: {str(error)[:300]}") from error
        return _Compiled(compiled, names)

    def _require_precision(self, core: Any) -> None:
        able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        need = {"fp32": "FP32", "bf16": "BF16", "int8": "INT8"}[self.options.precision]
        if need not in able:  # whatever is allowed for providers: templates are bound to their precision
            raise RuntimeUnavailable(
                f"this processor has no {self.options.precision} arithmetic (it has "
                f"{', '.join(sorted(able))}): use precision fp32"
            )

    def _require_quantised(self, model: Any) -> None:
        if not any(op.get_type_name() == "FakeQuantize" for op in model.get_ops()):
            raise RuntimeUnavailable(
                f"{self.network.path.name} is not quantised, so int8 would change nothing: "
                "quantise it first, or use precision bf16 or fp32"
            )

    def _config(self) -> dict[str, Any]:
        hint = "bf16" if self.options.precision == "bf16" else "f32"
        # A stream runs one call at a time: with a single one, workers that share the session would queue.
        streams = max(1, processors() // self.options.thread_count)
        return {
            "INFERENCE_NUM_THREADS": self.options.thread_count * streams,
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY",
        }

    @property
    def device(self) -> str:
        """`openvino:CPU:` and the precision that the compiled network really uses."""
        kind = str(self._engine().model.get_property("INFERENCE_PRECISION_HINT").to_string())
        return f"openvino:CPU:{'int8' if self.options.precision == 'int8' else kind}"

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Declared shape of the first input; None where any length goes."""
        shape = self._engine().model.input(0).get_partial_shape()
        return tuple(int(d.get_length()) if d.is_static else None for d in shape)

    @property
    def output_names(self) -> tuple[str, ...]:
        """In graph order."""
        return self._engine().names

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for one input array, in graph order.

        Raises:
            InvalidArgument: the network refuses an input of this shape.
        """
        request = self._engine().request()
        try:
            results = request.infer({0: batch}, share_inputs=True)
        except RuntimeError as error:
            raise InvalidArgument(
                f"{self.network.path.name} refuses an input of shape {batch.shape}: {str(error)[:300]}"
            ) from error
        # Results live in the request and are overwritten by its next call: hand out copies.
        return [np.array(results[i]) for i in range(len(results))]


class _Compiled:
    """A compiled model, its outputs' names in the file, and one inference request per thread."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        self.model = model
        self.names = names
        self._local = threading.local()

    def request(self) -> Any:
        """This thread's request; requests die with their threads."""
        if not hasattr(self._local, "request"):
            self._local.request = self.model.create_infer_request()
        return self._local.request
