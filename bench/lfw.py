"""The default pack on Labeled Faces in the Wild: View 2, and the first threshold cards.

    python bench/lfw.py templates      # about 10 minutes on two cores; kept in build/lfw.npz
    python bench/lfw.py view2
    python bench/lfw.py thresholds -o src/lineament/packs/data/opencv-zoo.thresholds.json

Data: Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", UMass TR 07-49, 2007; here its
13,233 pictures cropped without loss to the central 160×160 pixels. The subject of a picture is the most
central face. A picture without a usable face is a failure to acquire: it is counted, and every pair with it
is rejected (similarity −1).
"""

import argparse
import datetime
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from lineament import Recognizer, Threshold
from lineament.packs.card import Views
from lineament.pipeline.batch import in_order
from lineament.runtime.options import processors
from lineament.vision.boxes import rank

VIEWS: tuple[Views, ...] = ("one", "mirrored_sum")
FMRS = (1e-3, 1e-4, 1e-5)
Tail = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Similarity, subject, subject of the most similar non-mated pairs, descending."""
DATASET = "LFW, all pairs of different people (13,233 pictures, 5,749 people, central 160×160 pixels)"


def pictures(shared: Path) -> Iterator[tuple[str, bytes]]:
    """(name, JPEG) of every picture, `First_Last/First_Last_0001.jpg`, in order of name."""
    with zipfile.ZipFile(shared / "data/lfw/lfw160.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            yield name, archive.read(name)


def make_templates(shared: Path, cache: Path) -> None:
    """Run detector and embedder over every picture and keep the raw outputs of both views."""
    recognizer = Recognizer()
    embedder = recognizer.parts(1).embedder
    names: list[str] = []
    jpegs: list[bytes] = []
    for name, jpeg in pictures(shared):
        names.append(name)
        jpegs.append(jpeg)
    raw = np.full((len(names), 2, embedder.card.dimension), np.nan, np.float32)
    found = np.zeros(len(names), np.int64)

    def work(jpeg: bytes) -> tuple[int, np.ndarray | None]:
        analysis = recognizer.inspect(jpeg, threads=1)
        faces, crops = analysis.faces, analysis.crops
        if not len(faces):
            return 0, None
        best = int(rank(faces.boxes, faces.scores, "central", analysis.picture.full_size)[0])
        row = int(faces.template_rows[best])
        if row < 0:
            return len(faces), None
        first = faces.templates.vectors[row] * faces.templates.norms[row]
        return len(faces), np.stack([first, embedder.raw(crops.pixels[row : row + 1, :, ::-1])[0]])

    for result in in_order(jpegs, work, processors()):
        found[result.index], both = result.value
        if both is not None:
            raw[result.index] = both
        if result.index % 500 == 499:
            print(f"{result.index + 1} of {len(names)} pictures", file=sys.stderr, flush=True)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, names=np.array(names), raw=raw, found=found, detector=recognizer.parts().detector.name)
    failures = int(np.isnan(raw[:, 0, 0]).sum())
    print(f"{len(names)} pictures, {failures} failures to acquire, {(found > 1).sum()} with several faces")


def read_cache(cache: Path) -> dict[str, np.ndarray]:
    """What `templates` wrote."""
    with np.load(cache) as archive:
        return dict(archive)


def unit(raw: np.ndarray, views: Views) -> np.ndarray:
    """Unit templates (n, d); rows of NaN for failures to acquire."""
    vectors = raw[:, 0] if views == "one" else raw[:, 0] + raw[:, 1]
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def read_pairs(path: Path) -> list[list[tuple[str, str, bool]]]:
    """The ten folds of `pairs.txt`: (picture, picture, mated)."""
    lines = path.read_text().splitlines()
    folds, per = (int(v) for v in lines[0].split())
    pairs: list[tuple[str, str, bool]] = []
    for line in lines[1:]:
        parts = line.split()
        if len(parts) == 3:
            person, i, j = parts
            pairs.append((picture(person, i), picture(person, j), True))
        elif len(parts) == 4:
            pairs.append((picture(parts[0], parts[1]), picture(parts[2], parts[3]), False))
    size = 2 * per
    return [pairs[k * size : (k + 1) * size] for k in range(folds)]


def picture(person: str, number: str) -> str:
    """Name of a picture in the archive."""
    return f"{person}/{person}_{int(number):04d}.jpg"


def best_threshold(similarity: np.ndarray, mated: np.ndarray) -> float:
    """The threshold with the most correct decisions on these pairs (accept when ≥), exactly."""
    order = np.argsort(-similarity, kind="stable")
    scores, labels = similarity[order], mated[order]
    correct = np.concatenate([[0], np.cumsum(np.where(labels, 1, -1))]) + (~mated).sum()
    # A cut is possible only between two different scores.
    possible = np.concatenate([[True], scores[1:] != scores[:-1], [True]])
    cut = int(np.argmax(np.where(possible, correct, -1)))
    upper = scores[cut - 1] if cut else 2.0
    lower = scores[cut] if cut < len(scores) else -2.0
    return float((upper + lower) / 2)


def view2(shared: Path, cache: Path) -> None:
    """Strict 10-fold accuracy: the threshold of each fold comes from the other nine."""
    data = read_cache(cache)
    index = {name: i for i, name in enumerate(data["names"])}
    folds = read_pairs(shared / "data/lfw/pairs.txt")
    pairs = [pair for fold in folds for pair in fold]
    a = np.array([index[p[0]] for p in pairs])
    b = np.array([index[p[1]] for p in pairs])
    mated = np.array([p[2] for p in pairs])
    fold = np.repeat(np.arange(len(folds)), len(folds[0]))
    for views in VIEWS:
        vectors = unit(data["raw"], views)
        similarity = np.einsum("nd,nd->n", vectors[a], vectors[b])
        failed = np.isnan(similarity)
        similarity = np.where(failed, -1.0, similarity)
        accuracies = []
        for k in range(len(folds)):
            test = fold == k
            threshold = best_threshold(similarity[~test], mated[~test])
            accuracies.append(((similarity[test] >= threshold) == mated[test]).mean())
        accuracy = np.array(accuracies)
        error = accuracy.std(ddof=1) / np.sqrt(len(folds))
        used = np.unique(np.concatenate([a, b]))
        failures = int(np.isnan(vectors[used, 0]).sum())
        print(
            f"LFW View 2, {views}: accuracy {accuracy.mean():.4%} ± {error:.4%} (standard error over folds); "
            f"{failures} failures to acquire among {len(used)} pictures, {failed.sum()} of {len(pairs)} "
            f"pairs rejected for them; folds {' '.join(f'{v:.4f}' for v in accuracy)}"
        )


def thresholds(cache: Path, output: Path, replicates: int = 1000) -> None:
    """Threshold cards from all pairs of different people.

    The value is safe: the smallest similarity at which the one-sided 95 % Clopper–Pearson bound of the false
    match rate stays at or under the target. Its interval is the 95 % interval of the similarity at which the
    rate equals the target, by a bootstrap over people (both people of a pair are drawn), which the
    Clopper–Pearson bound, counting pairs as independent, does not see.
    """
    data = read_cache(cache)
    recognizer = Recognizer()
    people = np.array([name.split("/")[0] for name in data["names"]])
    cards: list[Threshold] = []
    for views in VIEWS:
        vectors = unit(data["raw"], views)
        ok = ~np.isnan(vectors[:, 0])
        _, subject = np.unique(people[ok], return_inverse=True)
        tail, total, mated = all_pairs(vectors[ok], subject, keep=4e-3)
        model = recognizer.parts().embedder.card.identity(recognizer.model.name, views)
        for fmr in FMRS:
            cards.append(card(tail, total, mated, subject, fmr, model, str(data["detector"]), replicates))
            show(views, cards[-1], mated)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([c.to_dict() for c in cards], indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {output}")


def all_pairs(vectors: np.ndarray, subject: np.ndarray, keep: float) -> tuple[Tail, int, np.ndarray]:
    """The most similar non-mated pairs, the number of all non-mated pairs, and the mated similarities.

    Returns:
        ((similarity, subject, subject) of at least the share `keep` of non-mated pairs, descending), count,
        mated similarities.
    """
    n = len(vectors)
    floor = _rough_floor(vectors, subject, keep)
    similarities, firsts, seconds, mated = [], [], [], []
    total = 0
    for start in range(0, n, 1024):
        block = vectors[start : start + 1024] @ vectors[start:].T
        rows, columns = np.triu_indices(block.shape[0], k=1, m=block.shape[1])
        i, j = subject[start + rows], subject[start + columns]
        values = block[rows, columns]
        same = i == j
        mated.append(values[same])
        total += int((~same).sum())
        high = ~same & (values >= floor)
        similarities.append(values[high])
        firsts.append(i[high])
        seconds.append(j[high])
    value = np.concatenate(similarities)
    order = np.argsort(-value, kind="stable")
    tail = (value[order], np.concatenate(firsts)[order], np.concatenate(seconds)[order])
    return tail, total, np.concatenate(mated)


def _rough_floor(vectors: np.ndarray, subject: np.ndarray, keep: float) -> float:
    generator = np.random.default_rng(0)
    i, j = generator.integers(0, len(vectors), (2, 2_000_000))
    different = subject[i] != subject[j]
    values = np.einsum("nd,nd->n", vectors[i[different]], vectors[j[different]])
    return float(np.quantile(values, 1 - 2 * keep))


def card(
    tail: Tail,
    total: int,
    mated: np.ndarray,
    subject: np.ndarray,
    fmr: float,
    model: object,
    detector: str,
    replicates: int,
) -> Threshold:
    """One measured threshold."""
    values = tail[0].astype(np.float64)
    # The largest k with a bound under the target; then accept just above the (k+1)-th largest value.
    k = int(_largest_k(total, fmr))
    value = float(np.nextafter(np.float32(values[k]), np.float32(2)))
    false_matches = int((values >= value).sum())
    (low, high), rates = bootstrap(tail, subject, fmr, value, replicates)
    return Threshold(
        value=value,
        fmr=fmr,
        interval=(min(low, value), max(high, value)),
        fmr_interval=rates,
        fnmr=float((mated < value).mean()),
        comparisons=total,
        false_matches=false_matches,
        subjects=int(subject.max()) + 1,
        dataset=DATASET,
        model=model,
        detector=detector,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        method=(
            "smallest similarity whose one-sided 95 % Clopper–Pearson bound of the false match rate is at or "
            f"under the target; intervals by bootstrap over people ({replicates} replicates); failures to "
            "acquire left out; LFW's known label errors left in"
        ),
    )


def _largest_k(total: int, fmr: float) -> int:
    low, high = 0, int(total * fmr) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if stats.beta.ppf(0.95, middle + 1, total - middle) <= fmr:
            low = middle
        else:
            high = middle
    return low


def bootstrap(
    tail: Tail, subject: np.ndarray, fmr: float, value: float, replicates: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Drawing people: 95 % intervals of the similarity at rate `fmr`, and of the rate at `value`."""
    values, first, second = tail
    sizes = np.bincount(subject).astype(np.float64)
    generator = np.random.default_rng(20251125)
    accepted = int(np.searchsorted(-values.astype(np.float64), -value, side="right"))
    cuts, rates = np.empty(replicates), np.empty(replicates)
    for r in range(replicates):
        weight = np.bincount(generator.integers(0, len(sizes), len(sizes)), minlength=len(sizes))
        weighted = weight * sizes
        pairs = (weighted.sum() ** 2 - (weighted**2).sum()) / 2
        reached = np.cumsum(weight[first] * weight[second])
        position = int(np.searchsorted(reached, fmr * pairs))
        cuts[r] = values[min(position, len(values) - 1)]
        rates[r] = reached[accepted - 1] / pairs if accepted else 0.0
    return _middle(cuts), _middle(rates)


def _middle(draws: np.ndarray) -> tuple[float, float]:
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def show(views: str, threshold: Threshold, mated: np.ndarray) -> None:
    """One line a card."""
    low, high = threshold.interval
    print(
        f"{views}: FMR {threshold.fmr:g}: threshold {threshold.value:.4f} [{low:.4f}, {high:.4f}], "
        f"rate [{threshold.fmr_interval[0]:.3g}, {threshold.fmr_interval[1]:.3g}], "
        f"{threshold.false_matches} false matches of {threshold.comparisons:,}, "
        f"FNMR {threshold.fnmr:.4f} of {len(mated):,}"
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["templates", "view2", "thresholds"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, default=Path("build/lfw.npz"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "templates":
        make_templates(arguments.shared, arguments.cache)
    elif arguments.what == "view2":
        view2(arguments.shared, arguments.cache)
    else:
        thresholds(arguments.cache, arguments.output)


if __name__ == "__main__":
    main()
