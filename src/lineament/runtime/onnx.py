"""ONNX Runtime behind the seam."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lineament.core.errors import InvalidArgument, PackBroken, RuntimeUnavailable
from lineament.runtime import subnormals
from lineament.runtime.session import Session


class OnnxSession(Session):
    """A network run by ONNX Runtime.

    Raises:
        RuntimeUnavailable: a provider is not in this build, or did not start, and no fallback is allowed.
        PackBroken: the file is not a model that ONNX Runtime can load, or was replaced.
    """

    def _load(self) -> Any:
        import onnxruntime as ort

        providers = self._providers(ort.get_available_providers())
        try:
            # The first session of a process sets its own thread's treatment of subnormals for good: `as_zero`
            # takes that back.
            with subnormals.as_zero():
                session = ort.InferenceSession(
                    self._model(),
                    self._session_options(ort),
                    providers=[name for name, _ in providers],
                    provider_options=[dict(options) for _, options in providers],
                )
        except _failures() as error:
            raise PackBroken(
                f"ONNX Runtime cannot load {self.network.path}: {_first_line(error)}; "
                "check it with `lineament models verify`"
            ) from error
        # Kept for changing providers later, which nobody does here: as much memory again as the weights.
        vars(session)["_model_bytes"] = None
        self._require(session.get_providers())
        return session

    def _providers(self, there: list[str]) -> list[tuple[str, Any]]:
        asked = self.options.providers
        options = self.options.provider_options or ({},) * len(asked)
        missing = [name for name in asked if name not in there]
        if missing and not self.options.allow_fallback:
            raise RuntimeUnavailable(
                f"{missing[0]} is not in this ONNX Runtime, which has {', '.join(there)}: install the build "
                "that carries it (for CUDA: pip install onnxruntime-gpu), name one that is there, or allow a "
                "fallback explicitly (allow_fallback=True)"
            )
        chosen = [(n, o) for n, o in zip(asked, options, strict=True) if n in there]
        if not chosen:
            return [("CPUExecutionProvider", {})]
        return chosen

    def _require(self, running: Sequence[str]) -> None:
        # ONNX Runtime itself warns and goes on with the processor when a device does not start.
        first = self.options.providers[0]
        if first not in running and not self.options.allow_fallback:
            raise RuntimeUnavailable(
                f"{first} is installed but did not start for {self.network.path.name}; it would run on "
                f"{', '.join(running)}: check the driver, or allow a fallback (allow_fallback=True)"
            )

    def _session_options(self, ort: Any) -> Any:
        if self.options.session_options is not None:
            return self.options.session_options
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.options.thread_count
        options.inter_op_num_threads = 1
        # Threads that wait for work sleep: spinning, the default, makes a call more than twice as dear, and
        # slower where other work wants the processors (bench/side_by_side.py, section `single`).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors come as exceptions; warnings are not for a user's terminal
        if self.network.any_size:
            # A pattern is kept for every size seen. The arena stays: it reuses its blocks for all sizes, and
            # keeps memory flatter than the C library does, in two thirds of the time (bench/memory.py).
            options.enable_mem_pattern = False
        if subnormals.AVAILABLE:
            # For the threads of the session's own pool; the calling thread is seen to in `run`.
            options.add_session_config_entry("session.set_denormal_as_zero", "1")
        for key, value in self.network.config.items():
            options.add_session_config_entry(key, value)
        return options

    @property
    def device(self) -> str:
        """`onnxruntime:` and the first provider that really runs."""
        return f"onnxruntime:{self._engine().get_providers()[0]}"

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Declared shape of the first input; None where any length goes."""
        shape = self._engine().get_inputs()[0].shape
        return tuple(d if isinstance(d, int) and d > 0 else None for d in shape)

    @property
    def output_names(self) -> tuple[str, ...]:
        """In graph order."""
        return tuple(o.name for o in self._engine().get_outputs())

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for one input array, in graph order.

        Raises:
            InvalidArgument: the network refuses an input of this shape.
        """
        session = self._engine()
        try:
            with subnormals.as_zero():
                return session.run(None, {session.get_inputs()[0].name: batch})
        except _failures() as error:
            raise InvalidArgument(
                f"{self.network.path.name} refuses an input of shape {batch.shape}: {_first_line(error)}"
            ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def _failures() -> tuple[type[Exception], ...]:
    """Everything ONNX Runtime raises; its exceptions have no common base of their own."""
    import onnxruntime.capi.onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    own = tuple(getattr(state, name) for name in (*names, "NoModel", "EPFail", "RuntimeException"))
    return (*own, RuntimeError, ValueError)
