"""Choosing thresholds, beside the usual ways.

    python bench/thresholds.py                        # about a minute
    python bench/thresholds.py --section folds --repeats 40

`folds`: accuracy in ten folds of 6,000 pairs. Ours looks at every possible threshold (`strict_folds`). The
usual way is a grid of 400 on squared distances, as insightface's verification.py has it: written out here as
it works there, fold by fold and threshold by threshold, and in our own reproduction (`insightface_folds`).
Promise: ours takes at most 10 ms.

`ijbc`: as many comparisons as IJB-C has (19,557 mated, 15,638,932 non-mated), true accept rate at six false
match rates. Each way runs in a process of its own, several times in turn, for its own peak of memory.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lineament.metrics.folds import insightface_folds, strict_folds
from lineament.metrics.operating import OperatingPoint, allowed, at_fmr
from lineament.metrics.scores import Scores
from measure import in_turn, machine

SECTIONS = ("folds", "ijbc")
MATED, NONMATED = 19_557, 15_638_932
TARGETS = ("1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1")


def folds(repeats: int) -> None:
    """6,000 pairs in ten folds."""
    a, b, mated, fold = pairs(6000, 512)
    similarity = np.einsum("nd,nd->n", a, b)
    distance = np.square(a - b).sum(axis=1)
    ways: list[tuple[str, Callable[[], Any]]] = [
        ("lineament, strict_folds, every threshold", lambda: strict_folds(similarity, mated, fold)),
        ("the grid, threshold by threshold", lambda: grid_folds(distance, mated, fold)),
        ("lineament, insightface_folds, the same grid", lambda: insightface_folds(a, b, mated)),
    ]
    for _, work in ways:
        work()
    runs = in_turn(ways, 1, repeats)
    for run in runs:
        target = "   (target ≤ 10 ms)" if run is runs[0] else ""
        cpu = statistics.median(s.cpu for s in run.samples)
        print(
            f"{run.name}: median of {repeats} {run.middle * 1e3:.2f} ms, best {run.wall * 1e3:.2f} ms, "
            f"{cpu * 1e3:.2f} ms CPU{target}"
        )
    strict, (accuracies, thresholds), compat = (run.answer for run in runs)
    print(
        f"accuracy: every threshold {strict.mean:.6f} ± {strict.standard_error:.6f}, grid {compat.mean:.6f}"
    )
    equal = np.array_equal(accuracies, compat.accuracies) and np.array_equal(thresholds, compat.thresholds)
    print(f"insightface_folds and the written-out grid are equal in all folds: {equal}")


def pairs(n: int, dimension: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of both sides (float64), labels and folds; half of each fold mated."""
    generator = np.random.default_rng(0)
    mated, fold = np.arange(n) % (n // 10) < n // 20, np.arange(n) * 10 // n
    first, second = generator.standard_normal((2, n, dimension))
    second[mated] += first[mated] * 0.16
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second)]
    return sides[0], sides[1], mated, fold


def grid_folds(distance: np.ndarray, mated: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies and thresholds of all folds by the grid: each threshold is tried on each fold in turn."""
    grid = np.arange(0, 4, 0.01)
    accuracies, thresholds = np.empty(10), np.empty(10)
    for number in range(10):
        test = fold == number
        train = np.array([right(distance[~test], mated[~test], t) for t in grid])
        thresholds[number] = grid[np.argmax(train)]
        # The rates of the test fold are computed at every threshold too, for its curve.
        curve = [right(distance[test], mated[test], t) for t in grid]
        accuracies[number] = curve[int(np.argmax(train))]
    return accuracies, thresholds


def right(distance: np.ndarray, mated: np.ndarray, threshold: float) -> float:
    """Share of right decisions when distances below a threshold are accepted."""
    accept = np.less(distance, threshold)
    hits = np.sum(np.logical_and(accept, mated))
    rejections = np.sum(np.logical_and(np.logical_not(accept), np.logical_not(mated)))
    return float(hits + rejections) / distance.size


def ijbc(repeats: int) -> None:
    """Each way in its own process."""
    with tempfile.TemporaryDirectory() as place:
        generator = np.random.default_rng(0)
        similarity = np.empty(MATED + NONMATED, np.float32)
        similarity[:MATED] = 0.45 + 0.14 * generator.standard_normal(MATED, dtype=np.float32)
        similarity[MATED:] = 0.075 * generator.standard_normal(NONMATED, dtype=np.float32)
        mated = np.arange(len(similarity)) < MATED
        order = generator.permutation(len(similarity))
        np.save(Path(place) / "similarity.npy", similarity[order])
        np.save(Path(place) / "mated.npy", mated[order])
        del similarity, mated, order
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
        for _ in range(repeats):
            for name, runs in found.items():
                command = [sys.executable, __file__, "--one", name, place]
                runs.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    for name, runs in found.items():
        cpu, wall, more, peak = (
            statistics.median(r[k] for r in runs) for k in ("cpu", "wall", "more", "peak")
        )
        print(f"{name}: {cpu:.2f} CPU-s, {wall:.2f} s, {more:.0f} MB over the data, peak {peak:.0f} MB")
    compare({name: runs[0]["points"] for name, runs in found.items()})


def compare(points: dict[str, list[list[int]]]) -> None:
    """Whether the ways agree, and where the nearest rate is beyond the target."""
    ours = points["lineament, Scores.of"]
    for name in ("lineament, partition", "scikit-learn, every point, floor rule"):
        same = points[name] == ours
        print(f"TAR of `lineament, Scores.of` and `{name}` equal at all targets, in counts: {same}")
    print("target   FMR and TAR by floor rule    by nearest rate (scikit-learn)")
    nearest = points["scikit-learn roc_curve, nearest rate"]
    for target, (matches, hits), (near, near_hits) in zip(TARGETS, ours, nearest, strict=True):
        beyond = "   exceeds the target" if near > allowed(target, NONMATED) else ""
        print(
            f"{target:<8} {matches / NONMATED:.6e} {hits / MATED:.6f}{'':<8}{near / NONMATED:.6e} "
            f"{near_hits / MATED:.6f}{beyond}"
        )


def by_scores(similarity: np.ndarray, mated: np.ndarray) -> list[list[int]]:
    """Everything sorted once."""
    scores = Scores.of(similarity, mated)
    return [counts(at_fmr(scores, t)) for t in TARGETS]


def counts(point: OperatingPoint) -> list[int]:
    """False matches and true accepts."""
    return [point.false_matches, point.mated - point.false_nonmatches]


def by_partition(similarity: np.ndarray, mated: np.ndarray) -> list[list[int]]:
    """Only what the largest rate needs is kept and sorted."""
    nonmated = similarity[~mated]
    count = allowed(TARGETS[-1], len(nonmated)) + 1
    nonmated.partition(len(nonmated) - count)
    scores = Scores(similarity[mated], np.sort(nonmated[-count:])[::-1], len(nonmated))
    return [counts(at_fmr(scores, t)) for t in TARGETS]


def by_roc_nearest(similarity: np.ndarray, mated: np.ndarray) -> list[list[int]]:
    """scikit-learn's curve, read where the rate is nearest to the target, as evaluation programs often do."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(mated, similarity)
    at = [int(np.argmin(np.abs(fpr - float(t)))) for t in TARGETS]
    return [[round(fpr[i] * NONMATED), round(tpr[i] * MATED)] for i in at]


def by_roc_floor(similarity: np.ndarray, mated: np.ndarray) -> list[list[int]]:
    """scikit-learn's curve with every point, read at the last one whose rate does not exceed the target."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(mated, similarity, drop_intermediate=False)
    matches = np.rint(fpr * NONMATED)
    at = [int(np.searchsorted(matches, allowed(t, NONMATED), side="right")) - 1 for t in TARGETS]
    return [[int(matches[i]), round(tpr[i] * MATED)] for i in at]


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], list[list[int]]]] = {
    "lineament, Scores.of": by_scores,
    "lineament, partition": by_partition,
    "scikit-learn roc_curve, nearest rate": by_roc_nearest,
    "scikit-learn, every point, floor rule": by_roc_floor,
}


def one(name: str, place: Path) -> None:
    """Run one way and print what it took as JSON."""
    if name.startswith("scikit"):
        import sklearn.metrics  # noqa: F401  (loading it is not what is measured)
    similarity, mated = np.load(place / "similarity.npy"), np.load(place / "mated.npy")
    before = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    points = WAYS[name](similarity, mated)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory()
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "more": peak - before, "points": points}))


def peak_memory() -> float:
    """Most memory of this process so far, MB (10⁶ bytes).

    From Linux's own account of the process: what `getrusage` says includes the parent before `exec`.
    """
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this one; may be repeated")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one[0], Path(arguments.one[1]))
        return
    if arguments.repeats < 1:
        parser.error("at least 1 repeat")
    from sklearn import __version__

    print(", ".join(f"{name} {value}" for name, value in (machine() | {"scikit-learn": __version__}).items()))
    for name in arguments.section or SECTIONS:
        if name == "folds":
            folds(arguments.repeats)
        else:
            ijbc(max(1, arguments.repeats // 7))


if __name__ == "__main__":
    main()
