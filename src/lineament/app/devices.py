"""Execution providers and `ctx_id`, as this door takes them.

A provider that is not there is never replaced silently. A list that also names `CPUExecutionProvider` is the
caller's permission to use the processor: the fallback is logged as a warning and `device` says what really
runs. Without it, a missing provider is `RuntimeUnavailable`.

`ctx_id` below 0 means the processor, whatever the list says; n ≥ 0 is the number of the graphics processor.
"""

import logging
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lineament.core.errors import InvalidArgument
from lineament.runtime.options import RuntimeOptions

CPU: Final = "CPUExecutionProvider"
NUMBERED: Final = frozenset(
    f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml")
)
"""Providers of which a machine may have several devices, told apart by the option `device_id`."""

AUTOMATIC: Final = ("CUDAExecutionProvider", CPU)
"""What `providers=None` tries."""

log = logging.getLogger("lineament.app")


@dataclass(frozen=True, slots=True)
class Devices:
    """Where networks may run.

    Attributes:
        options: engine options before a `ctx_id` is known.
        chosen: whether the caller named providers; falling back from an automatic choice is no news.
    """

    options: RuntimeOptions
    chosen: bool = True

    @classmethod
    def of(
        cls,
        providers: Sequence[Any] | None,
        provider_options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
        sess_options: Any = None,
        threads: int = 0,
    ) -> "Devices":
        """From insightface's arguments.

        Args:
            providers: names, or (name, options) pairs, first choice first; None tries CUDA, then the
                processor.
            provider_options: one mapping per provider, or a mapping from name to mapping.
            sess_options: an `onnxruntime.SessionOptions`.
            threads: threads inside one network call; 0 means every processor.

        Raises:
            InvalidArgument: names that are none, or another number of options than of providers.
        """
        names, inside = _names(AUTOMATIC if providers is None else providers)
        options = RuntimeOptions(
            providers=names,
            provider_options=_aligned(names, inside, provider_options),
            threads=threads,
            allow_fallback=CPU in names,
            session_options=sess_options,
        )
        return cls(options, providers is not None)

    def at(self, ctx_id: Any) -> RuntimeOptions:
        """Options for a `ctx_id`; an explicit `device_id` in the provider's own options wins over it.

        Raises:
            InvalidArgument: not a whole number.
        """
        try:
            number = operator.index(ctx_id)
        except TypeError as error:
            raise InvalidArgument(
                f"ctx_id is a whole number (-1 for the processor), not {ctx_id!r}"
            ) from error
        if number < 0:
            return replace(self.options, providers=(CPU,), provider_options=())
        given = self.options.provider_options or ({},) * len(self.options.providers)
        numbered = tuple(
            {"device_id": number, **own} if name in NUMBERED else dict(own)
            for name, own in zip(self.options.providers, given, strict=True)
        )
        return replace(self.options, provider_options=numbered)

    def report(self, device: str, ctx_id: int, what: str) -> None:
        """Log a warning when `device` is not the caller's first choice."""
        first = self.options.providers[0]
        if self.chosen and ctx_id >= 0 and not device.endswith(first):
            log.warning(
                "%s is not available for %s; it runs on %s, as the list of providers allows",
                first,
                what,
                device,
            )


def _names(providers: Sequence[Any]) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...]]:
    if isinstance(providers, str):
        raise InvalidArgument(f"providers is a list of names: write [{providers!r}]")
    names: list[str] = []
    inside: list[dict[str, Any]] = []
    for entry in providers:
        name, own = entry if isinstance(entry, tuple | list) and len(entry) == 2 else (entry, {})
        if not isinstance(name, str) or not isinstance(own, Mapping):
            raise InvalidArgument(f"a provider is a name or a (name, options) pair, not {entry!r}")
        names.append(name)
        inside.append(dict(own))
    return tuple(names), tuple(inside)


def _aligned(
    names: tuple[str, ...],
    inside: tuple[dict[str, Any], ...],
    given: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None,
) -> tuple[dict[str, Any], ...]:
    """One mapping per provider."""
    if given is None:
        return inside if any(inside) else ()
    if any(inside):
        raise InvalidArgument("give provider options inside the providers or as provider_options, not both")
    if isinstance(given, Mapping):
        if unknown := sorted(set(given) - set(names)):
            raise InvalidArgument(
                f"provider_options has {unknown[0]!r}, which is none of the providers {', '.join(names)}"
            )
        return tuple(dict(given.get(name, {})) for name in names)
    return tuple(dict(own or {}) for own in given)
