"""What a source of frames gives and promises: values, time limits, sampling."""

import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import InvalidArgument
from lineament.vision.decode import Limits

Place: TypeAlias = str | int | Path
"""A path, the number of a camera, or an address."""

State: TypeAlias = Literal["opened", "live", "reconnecting", "ended"]

# Seconds. Frames that lie this close under the next sampling moment belong to it: stamps are whole
# milliseconds, or fractions like 1/30.
_NEARLY = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        index: its number in the source, from 0, counting those that were left out.
        at: seconds since the first frame; never less than of the frame before.
        time: by the calendar, UTC. Of a live source: by this machine's clock when the frame came, which may
            go back when that clock is set. Of a recording: when it began, plus `at`.
        pixels: uint8 (height, width, 3) RGB, upright.
        session: how often a live source was connected again before this frame; 0 for a recording.
    """

    index: int
    at: float
    time: datetime.datetime
    pixels: UInt8[np.ndarray, "h w 3"]
    session: int = 0

    def __repr__(self) -> str:
        h, w = self.pixels.shape[:2]
        return f"Frame({self.index}, at={self.at:.3f} s, {w}×{h})"


@runtime_checkable
class FrameSource(Protocol):
    """Whatever gives frames, once."""

    @property
    def name(self) -> str:
        """For people and records; without secrets."""
        ...

    @property
    def identity(self) -> str:
        """What tells two recordings of one name apart: a digest; empty for a live source."""
        ...

    @property
    def live(self) -> bool:
        """Whether it goes on by itself, so that a second reading shows other frames."""
        ...

    @property
    def state(self) -> State:
        """What it is doing."""
        ...

    @property
    def dropped(self) -> int:
        """Frames that were due and came while the one before was still being worked on."""
        ...

    @property
    def unreadable(self) -> int:
        """Frames that were due and could not be decoded."""
        ...

    @property
    def reconnects(self) -> int:
        """How often a live source was lost and found again."""
        ...

    @property
    def incomplete(self) -> bool:
        """Whether a recording stopped well before the end that its header promises."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let go of the source; iteration ends."""
        ...


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a source is read.

    Attributes:
        open_timeout: seconds to wait for a server's first answer.
        read_timeout: seconds without a frame after which a live source counts as lost.
        first_wait: seconds before the first try to connect again; each further try waits twice as long.
        longest_wait: the most seconds between two tries.
        give_up: seconds of trying after which a lost source is an error; None: never.
        limits: how large a frame may be.
    """

    open_timeout: float = 10.0
    read_timeout: float = 10.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    give_up: float | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)

    def __post_init__(self) -> None:
        for name in ("open_timeout", "read_timeout", "first_wait", "longest_wait"):
            if not 0.0 < getattr(self, name) < 86_400.0:
                raise InvalidArgument(f"{name} is a number of seconds over 0, not {getattr(self, name)!r}")
        if self.give_up is not None and not self.give_up >= 0.0:
            raise InvalidArgument(f"give_up is a number of seconds or None, not {self.give_up!r}")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time comes from.

    Attributes:
        wall: seconds of the Unix epoch.
        steady: seconds from anywhere, which never go back.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Sampler:
    """Which frames are due when there may be `rate` a second: the first at or after each multiple of 1/rate.

    Args:
        rate: frames a second, or None for every frame.

    Raises:
        InvalidArgument: not a finite number over 0.
    """

    def __init__(self, rate: float | None) -> None:
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InvalidArgument(f"rate is a number of frames a second over 0, not {rate!r}")
        self._rate = rate
        self._last = -1

    def due(self, at: float) -> bool:
        """Whether the frame at this moment (seconds) is wanted; asked once per frame, in order."""
        if self._rate is None:
            return True
        slot = math.floor((at + _NEARLY) * self._rate)
        if slot <= self._last:
            return False
        self._last = slot
        return True
