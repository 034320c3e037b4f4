"""Timing for machines that do other work at the same time.

Processor time of the process is reported beside the time on the clock: on a machine that is shared, the first
still says what the work costs. Rivals are run in turn, A B A B, and compared pair by pair.
"""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lineament.runtime.options import processors

REST = 0.05
"""Seconds between two runs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds that one run took: on the clock, and of all processors together."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Runs:
    """The runs of one rival, and what the last of them answered."""

    name: str
    units: int
    samples: list[Sample] = field(default_factory=list)
    answer: Any = None

    @property
    def wall(self) -> float:
        """Seconds per unit, best run."""
        return min(s.wall for s in self.samples) / self.units

    @property
    def middle(self) -> float:
        """Seconds per unit, median run."""
        return statistics.median(s.wall for s in self.samples) / self.units

    @property
    def cpu(self) -> float:
        """Processor seconds per unit, best run."""
        return min(s.cpu for s in self.samples) / self.units


def timed(work: Callable[[], Any]) -> tuple[Any, Sample]:
    """What `work` returns, and what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    return answer, Sample(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(rivals: Sequence[tuple[str, Callable[[], Any]]], units: int, repeats: int) -> list[Runs]:
    """Run every rival `repeats` times, one after the other each time; the caller has warmed them up.

    Before each run there is a short rest: threads of an engine that spin while they wait for more work go on
    doing so for a while, and their processor time would be charged to the next rival.
    """
    runs = [Runs(name, units) for name, _ in rivals]
    for _ in range(repeats):
        for run, (_, work) in zip(runs, rivals, strict=True):
            time.sleep(REST)
            run.answer, sample = timed(work)
            run.samples.append(sample)
    return runs


def ratio(slow: Runs, fast: Runs, of: str = "wall") -> float:
    """How many times longer `slow` takes: median over the pairs that ran side by side."""
    pairs = zip(slow.samples, fast.samples, strict=True)
    return statistics.median((getattr(a, of) / slow.units) / (getattr(b, of) / fast.units) for a, b in pairs)


def best_cpu(work: Callable[[], Any], repeats: int) -> float:
    """Smallest processor seconds of the process over `repeats` calls, after one call to warm up."""
    work()
    return min(timed(work)[1].cpu for _ in range(repeats))


def machine() -> dict[str, Any]:
    """Processor, number of them, load, and versions of what is measured."""
    names = (
        "lineament",
        "insightface",
        "onnxruntime",
        "openvino",
        "opencv-python-headless",
        "numpy",
        "Pillow",
    )
    found: dict[str, Any] = {"processor": _processor(), "processors": processors()}
    try:
        found["load"] = Path("/proc/loadavg").read_text().split()[0]
    except OSError:
        found["load"] = "unknown"
    found["python"] = platform.python_version()
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in rows.items()}
    flags = values.get("flags", "").split()
    arithmetic = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if f in flags]
    return (
        f"{values.get('model name', 'unknown')}, model {values.get('model', '?')} ({', '.join(arithmetic)})"
    )
