"""One seam over the inference engines.

A `Session` runs one network: array in, arrays out. Everything above this file sees only that promise, and
nothing above it imports an engine. Sessions may be used from many threads at once, can be pickled (the
engine is opened again on the other side), and open their engine at the first call or at `open()`. However
late that is, the file that runs has the digest that the card promised.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lineament.core.errors import ModelOutputInvalid, PackBroken
from lineament.runtime.options import RuntimeOptions


@dataclass(frozen=True, slots=True)
class Network:
    """A model file and what its card says about running it.

    Attributes:
        path: the ONNX file.
        config: engine configuration entries from the card, for example `session.disable_quant_qdq`.
        any_size: the input's sides vary from call to call.
        sha256: hex digest that the file must have when it is opened; empty when nobody knows.
    """

    path: Path
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    any_size: bool = False
    sha256: str = ""


class Session(ABC):
    """Runs one network. The engine is opened once, on demand, under a lock, and left behind by pickling.

    Args:
        network: what to run.
        options: how to run it.
    """

    def __init__(self, network: Network, options: RuntimeOptions) -> None:
        self.network = network
        self.options = options
        self._opened: Any = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"network": self.network, "options": self.options}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.network = state["network"]
        self.options = state["options"]
        self._opened = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network.path.name}, threads={self.options.thread_count})"

    def open(self) -> None:
        """Load the network now instead of at the first call."""
        self._engine()

    def _engine(self) -> Any:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = self._load()
        return self._opened

    @property
    @abstractmethod
    def device(self) -> str:
        """What the engine really uses, for example `onnxruntime:CPUExecutionProvider`."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int | None, ...]:
        """Declared shape of the first input; None where any length goes."""

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """In graph order."""

    @abstractmethod
    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for one input array, in graph order."""

    @abstractmethod
    def _load(self) -> Any:
        """Open the engine; called once, under the lock."""

    def _model(self) -> str | bytes:
        """What the engine opens: bytes that have the network's digest, or the path where it has none.

        The engine gets the very bytes that were hashed: another process may replace a file at any moment.

        Raises:
            PackBroken: the file is missing, unreadable, or not the one that the network was made for.
        """
        path = self.network.path
        if not path.is_file():
            raise PackBroken(f"{path} is missing: install the pack again")
        if not self.network.sha256:
            return str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PackBroken(
                f"{path} cannot be read ({error.strerror or error}): install the pack again"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.network.sha256:
            raise PackBroken(f"{path} was replaced since this recognizer was made: make a new Recognizer")
        return content


def open_session(network: Network, options: RuntimeOptions) -> Session:
    """A session on the engine that `options` names; the engine is loaded at the first call.

    Raises:
        RuntimeUnavailable: at the first call, when the engine, a provider or the precision is not on this
            machine.
        PackBroken: at the first call, when the file is missing, not a model, or not the one meant.
    """
    if options.engine == "openvino":
        from lineament.runtime.openvino import OpenVinoSession

        return OpenVinoSession(network, options)
    from lineament.runtime.onnx import OnnxSession

    return OnnxSession(network, options)


def finite(outputs: Sequence[np.ndarray], what: str) -> Sequence[np.ndarray]:
    """The outputs, checked to be numbers.

    Raises:
        ModelOutputInvalid: an output holds NaN or infinity.
    """
    for array in outputs:
        # One pass without a temporary: NaN and infinity survive summation.
        if not np.isfinite(np.sum(array, dtype=np.float64)) and not np.isfinite(array).all():
            raise ModelOutputInvalid(
                f"{what} answered with values that are not numbers: the pack may be damaged (run "
                "`lineament models verify`) or the precision too low for it (use fp32)"
            )
    return outputs
