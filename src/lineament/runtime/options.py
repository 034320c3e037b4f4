"""How networks are to be run: engine, device, threads, precision."""

import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from lineament.core.checks import require_bool
from lineament.core.errors import InvalidArgument, RuntimeUnavailable

Engine = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]


def processors() -> int:
    """Processors this process may use (its affinity mask, not the machine's count)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity mask
        return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How networks are to be run.

    Attributes:
        engine: `onnxruntime`, or `openvino` (extra `openvino`).
        providers: ONNX Runtime execution providers by name, first choice first, for example
            `("CUDAExecutionProvider", "CPUExecutionProvider")`.
        provider_options: one mapping per provider, or empty.
        threads: threads inside one network call; 0 means every processor this process may use.
        precision: arithmetic. `bf16` and `int8` need OpenVINO; templates made with them have a `ModelId`
            of their own, so what the processor does not have is always refused.
        allow_fallback: run on the processor when a provider is not there, instead of refusing. This is about
            providers only: engine and precision never fall back.
        session_options: a ready `onnxruntime.SessionOptions`, for callers that need one; not picklable.
    """

    engine: Engine = "onnxruntime"
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    provider_options: tuple[Mapping[str, Any], ...] = ()
    threads: int = 0
    precision: Precision = "fp32"
    allow_fallback: bool = False
    session_options: Any = None

    def __post_init__(self) -> None:
        require_bool(allow_fallback=self.allow_fallback)
        if self.engine not in ("onnxruntime", "openvino"):
            raise InvalidArgument(f"no engine is called {self.engine!r}: use onnxruntime or openvino")
        if self.precision not in ("fp32", "bf16", "int8"):
            raise InvalidArgument(f"no precision is called {self.precision!r}: use fp32, bf16 or int8")
        if self.engine == "onnxruntime" and self.precision != "fp32":
            raise RuntimeUnavailable(
                f"precision {self.precision} is offered by the openvino engine only: use "
                'engine="openvino" (pip install "lineament[openvino]") or precision="fp32"'
            )
        # Frozen: this is how a dataclass sets its own fields.
        object.__setattr__(self, "threads", _threads(self.threads))
        object.__setattr__(self, "providers", _names(self.providers))
        if self.provider_options and len(self.provider_options) != len(self.providers):
            raise InvalidArgument(
                f"{len(self.provider_options)} provider_options for {len(self.providers)} providers: "
                "give one mapping per provider, in the same order"
            )

    @property
    def thread_count(self) -> int:
        """Threads inside one network call, at least 1."""
        return self.threads or processors()


def _threads(value: object) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  (this is the check)
    except TypeError as error:
        raise InvalidArgument(
            f"threads is a whole number, 0 (all processors) to 1024, not {value!r}"
        ) from error
    if not 0 <= number <= 1024:
        raise InvalidArgument(f"threads must be 0 (all processors) to 1024, not {number}")
    return number


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidArgument(f"providers is a tuple of names: write ({value!r},)")
    if not isinstance(value, tuple | list):
        raise InvalidArgument(f"providers is a tuple of names, not {value!r}")
    entries = cast("tuple[object, ...] | list[object]", value)
    names = tuple(entry for entry in entries if isinstance(entry, str))
    if len(names) != len(entries):
        raise InvalidArgument(
            f"providers is a tuple of names, not {value!r}: options go into provider_options"
        )
    if not names:
        raise InvalidArgument("providers is empty: name at least CPUExecutionProvider")
    return names
