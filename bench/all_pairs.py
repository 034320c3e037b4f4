"""All pairs of a hundred thousand templates, exactly: seconds by part, and memory.

    python bench/all_pairs.py                                  # 5 billion pairs, about a minute on two cores
    python bench/all_pairs.py --n 30000 --dimension 512 --keep 1e-3

The templates are random unit vectors, about ten samples of each subject, which lean towards the subject's own
direction. In the same run a part of them is checked against sorting all their pairs, bit for bit.

Promise: at most 100 CPU seconds and 1 GB for 100,000 templates of 512 dimensions, exact down to FMR 1e-6.
"""

import argparse
import resource
import sys
import threading
import time
from collections import Counter
from typing import Any

import numpy as np

from lineament.evaluate import account
from lineament.evaluate.allpairs import all_pairs
from lineament.evaluate.largest import Largest
from lineament.metrics.operating import allowed, at_fmr
from lineament.runtime.products import Products
from measure import machine

FMRS = (1e-6, 1e-5, 1e-4, 1e-3)


def templates(n: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, d) unit vectors and (n,) subjects, in no order."""
    generator = np.random.default_rng(seed)
    subject = generator.integers(0, max(1, n // 10), n)
    vectors = np.empty((n, dimension), np.float32)
    own = generator.standard_normal((max(1, n // 10), dimension), dtype=np.float32)
    for start in range(0, n, 4096):
        who = subject[start : start + 4096]
        raw = generator.standard_normal((len(who), dimension), dtype=np.float32) + own[who]
        vectors[start : start + 4096] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return vectors, subject


class Parts:
    """CPU seconds of the functions that do the work, each of which runs on one thread."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def time(self, owner: Any, name: str, part: str) -> None:
        """Add what a function takes to a part from now on."""
        function = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                with self._lock:
                    self.seconds[part] += time.thread_time() - start

        setattr(owner, name, timed)


def peak() -> float:
    """Most memory of this process so far, MB (10⁶ bytes)."""
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    )


def measure(vectors: np.ndarray, subject: np.ndarray, keep: float, block: int) -> None:
    """The whole comparison; prints seconds and memory."""
    parts = Parts()
    parts.time(Products, "into", "gemm")
    parts.time(account, "_count", "histogram and moments")
    parts.time(account.Account, "_candidates", "tail")
    parts.time(Largest, "offer", "tail")
    parts.time(Largest, "descending", "tail")
    parts.time(account.Account, "_take_mated", "mated")
    before = peak()
    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"  {done / total:.0%}", file=sys.stderr, flush=True)

    wall, cpu = time.perf_counter(), time.process_time()
    found = all_pairs(vectors, subject, keep=keep, block=block, progress=progress)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scores, pairs = found.scores, len(vectors) * (len(vectors) - 1) // 2
    parts.seconds["rest"] = cpu - sum(parts.seconds.values())
    print(f"{pairs:,} pairs: {scores.nonmated_total:,} non-mated, {len(scores.mated):,} mated")
    print(f"wall {wall:.1f} s, CPU {cpu:.1f} s, {pairs / cpu / 1e6:.0f} M pairs per CPU second")
    print("CPU " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.seconds.items()))
    print(f"peak memory {peak():.0f} MB, of it {before:.0f} MB before the comparison, with the templates")
    print(
        f"kept {len(scores.nonmated):,} non-mated, from {scores.nonmated[0]:.6f} to {scores.nonmated[-1]:.6f}"
    )
    for fmr in (f for f in FMRS if f <= keep):
        point = at_fmr(scores, fmr)
        print(
            f"FMR {fmr:g}: threshold {point.threshold:.9f}, {point.false_matches:,} false matches "
            f"(allowed {point.allowed:,}), FNMR {point.fnmr:.6f}, {point.status}"
        )


def check(vectors: np.ndarray, subject: np.ndarray, block: int) -> None:
    """Compare with the sorted products of all rows, and these with float64."""
    n = len(vectors)
    found = all_pairs(vectors, subject, keep=FMRS[-1], block=block).scores
    matrix = np.empty((n, n), np.float32)
    Products().into(vectors, vectors, matrix)
    upper = np.triu(np.ones((n, n), np.bool_), 1)
    same = subject[:, None] == subject[None, :]
    nonmated = np.sort(matrix[upper & ~same])[::-1]
    bars = [(nonmated[k], found.nonmated[k]) for k in (allowed(f, len(nonmated)) for f in FMRS)]
    print(
        f"check on {n:,}: {len(nonmated):,} non-mated pairs sorted; "
        f"bars at FMR {', '.join(f'{f:g}' for f in FMRS)} equal: {all(a == b for a, b in bars)}; "
        f"all {len(found.nonmated):,} kept equal: "
        f"{np.array_equal(found.nonmated, nonmated[: len(found.nonmated)])}; mated equal: "
        f"{np.array_equal(found.mated, matrix[upper & same])}; number equal: "
        f"{found.nonmated_total == len(nonmated)}"
    )
    some = vectors[:1000].astype(np.float64)
    print(f"largest difference from float64: {np.abs(some @ some.T - matrix[:1000, :1000]).max():.1e}")
    mean, variance = found.nonmated_moments or (np.nan, np.nan)
    wide = nonmated.astype(np.float64)
    print(f"moments differ by {abs(mean - wide.mean()):.1e} and {abs(variance - wide.var()):.1e}")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--keep", type=float, default=1e-6)
    parser.add_argument("--block", type=int, default=2048)
    parser.add_argument("--check", type=int, default=8000, help="how many of them are checked")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.n < 2 or arguments.dimension < 1:
        parser.error("at least 2 templates of 1 dimension")
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    vectors, subject = templates(arguments.n, arguments.dimension, arguments.seed)
    measure(vectors, subject, arguments.keep, arguments.block)
    few = min(arguments.check, arguments.n)
    if few >= 2:
        check(vectors[:few], subject[:few], arguments.block)
    print(f"load at the end: {machine()['load']}")


if __name__ == "__main__":
    main()
