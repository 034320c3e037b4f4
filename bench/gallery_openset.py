"""Does a search keep the false positive identification rate it promises? On other people than measured.

    python bench/gallery_openset.py LFW_ZIP TEMPLATES_FOLDER [--blufr blufr.json.gz] [--repeats 20] [-o FILE]

TEMPLATES_FOLDER is what `lineament evaluate … --templates` left for LFW (bench/lfw.sh makes it), so nothing
is embedded here. Everything else is the product: thresholds by `lineament.evaluate.calibrate`, an SQLite
database in a temporary folder, `Gallery.identify_faces`, which chooses among the thresholds by its own rule.

People are split in two halves by a seed. Thresholds come from the first half only; galleries, mated and
non-mated probes from the second. Two kinds of evidence are tried apart: a search threshold measured for the
gallery's size (`search`), and a one-to-one threshold at FPIR / N (`bound`, the union bound). The repeats
share people, so what is told over them is a spread.

`--blufr` does the same with that protocol's own splits: thresholds from its training people.
Data: Huang et al., "Labeled Faces in the Wild", UMass TR 07-49, 2007; Liao et al., "A Benchmark Study of
Large-scale Unconstrained Face Recognition" (BLUFR), IJCB 2014.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lineament
from lineament.core.errors import EvidenceInsufficient, ThresholdMissing
from lineament.core.template import ModelId, Templates
from lineament.core.threshold import Threshold
from lineament.datasets.blufr import read_blufr
from lineament.datasets.labelled import read_exclusions, read_labelled
from lineament.datasets.pictures import open_pictures
from lineament.evaluate.allpairs import all_pairs
from lineament.evaluate.calibrate import Origin, calibrate, calibrate_search
from lineament.gallery.bulk import enroll_templates
from lineament.gallery.gallery import Gallery
from lineament.gallery.values import Found, Settings
from lineament.metrics.bootstrap import draws
from lineament.metrics.intervals import clopper_pearson
from measure import machine

SIZES = (100, 500, 1000, 2000)
RATES = (1e-2, 1e-3)
REPLICATES = 1000
SEVERAL = 3
"""References a person in the galleries of several."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """LFW: a row per picture."""

    names: Sequence[str]
    vectors: np.ndarray
    person: np.ndarray
    model: ModelId

    def take(self, rows: np.ndarray) -> Templates:
        """Some rows as templates."""
        return Templates(self.vectors[rows], np.ones(len(rows), np.float32), self.model)


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """One gallery: rows of `Faces`."""

    name: str
    size: int
    references: np.ndarray
    mated: np.ndarray
    nonmated: np.ndarray


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the searches of one gallery gave at one promised rate, by one kind of evidence."""

    name: str
    size: int
    promised: float
    evidence: str
    threshold: float
    false_positives: int
    nonmated: int
    people: tuple[float, float]
    misses: int
    misses_rank_1: int
    mated: int
    strangers: int
    strangers_found: int

    @property
    def fpir(self) -> float:
        """False positive identification rate."""
        return self.false_positives / self.nonmated


def read(pictures: Path, folder: Path, errors: Path | None) -> Faces:
    """Templates of a folder that `lineament evaluate` left, with the known label errors taken out."""
    head = json.loads((folder / "head.json").read_text())
    opened = open_pictures(pictures)
    try:
        listed = hashlib.sha256("\n".join(opened.names).encode()).hexdigest()
        if listed != head["names"]:
            sys.exit(f"{folder} holds templates of other pictures than {pictures}")
        labelled = read_labelled(opened, exclude=() if errors is None else tuple(read_exclusions(errors)))
        row = {name: i for i, name in enumerate(opened.names)}
        rows = np.array([row[name] for name in labelled.samples])
    finally:
        opened.close()
    vectors = np.load(folder / "vectors.npy")[rows]
    return Faces(labelled.samples, vectors, labelled.subject, ModelId(head["model"], head["digest"]))


def cards(faces: Faces, rows: np.ndarray, sizes: Sequence[int], name: str) -> list[Threshold]:
    """All thresholds that these people certify, search thresholds and one-to-one ones."""
    vectors, person = faces.vectors[rows], faces.person[rows]
    origin = Origin(faces.model, "", name, len(np.unique(person)))
    found: list[Threshold] = []
    scores = all_pairs(vectors, person, keep=max(RATES) / min(sizes)).scores
    for rate in RATES:
        for size in sizes:
            # Galleries of the half as large as those that are searched: nothing is extrapolated.
            try:
                found.append(calibrate_search(vectors, person, size, rate, origin))
            except EvidenceInsufficient as error:
                print(f"  no search threshold for FPIR {rate:g}, {size}: {error}", file=sys.stderr)
            try:
                found.append(calibrate(scores, rate / size, origin, replicates=0))
            except EvidenceInsufficient as error:
                print(f"  no one-to-one threshold for {rate / size:g}: {error}", file=sys.stderr)
    return found


def halves(faces: Faces, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two halves of the people."""
    people = np.unique(faces.person)
    first = np.random.default_rng(seed).permutation(people)[: len(people) // 2]
    mine = np.isin(faces.person, first)
    return np.flatnonzero(mine), np.flatnonzero(~mine)


def galleries(faces: Faces, rows: np.ndarray, sizes: Sequence[int], seed: int) -> Iterator[Experiment]:
    """Galleries of one reference a person, and one of several references a person."""
    generator = np.random.default_rng(seed + 1000)
    rows = generator.permutation(rows)
    person = faces.person[rows]
    people, first = np.unique(person, return_index=True)
    for size in sizes:
        chosen = generator.choice(len(people), size, replace=False)
        references, inside = rows[first[chosen]], np.isin(person, people[chosen])
        mated = np.setdiff1d(rows[inside], references)
        yield Experiment("one reference", size, references, mated, rows[~inside])
    # People with more pictures than are enrolled, so that there is one to search with.
    counts = np.bincount(person)
    many = generator.permutation(np.flatnonzero(counts > SEVERAL))
    references = np.concatenate([rows[person == one][:SEVERAL] for one in many])
    inside = np.isin(person, many)
    mated = np.setdiff1d(rows[inside], references)
    firsts = references[::SEVERAL]
    # The same people and probes with their first reference only, to compare with.
    yield Experiment("one of the same people", len(firsts), firsts, mated, rows[~inside])
    yield Experiment(f"{SEVERAL} references", len(references), references, mated, rows[~inside])


def run(
    faces: Faces, experiment: Experiment, thresholds: Sequence[Threshold], recognizer: Any, place: Path
) -> list[Outcome]:
    """Enrol and search, by the product."""
    url = f"sqlite:///{place / 'people.db'}"
    name = f"g{time.monotonic_ns()}"
    Gallery.create(url, name, recognizer=recognizer, settings=Settings(review="off")).close()
    found: list[Outcome] = []
    for kind in ("search", "bound"):
        own = [t for t in thresholds if (t.gallery_size is None) == (kind == "bound")]
        # Without the recognizer, whose own thresholds were measured on all of these people.
        with Gallery.open(url, name, thresholds=own) as gallery:
            if not gallery.size:
                rows = experiment.references
                people = [f"p{faces.person[r]}" for r in rows]
                summary = enroll_templates(gallery, people, faces.take(rows))
                if not summary.complete or gallery.size != experiment.size:
                    sys.exit(f"{summary.record()} instead of {experiment.size} references")
            for rate in RATES:
                try:
                    found.append(searched(faces, experiment, gallery, rate, kind))
                except ThresholdMissing as error:
                    print(f"  {experiment.name} {experiment.size} {kind}: {error}", file=sys.stderr)
    return found


def searched(faces: Faces, experiment: Experiment, gallery: Gallery, rate: float, kind: str) -> Outcome:
    """All probes of one gallery at one promised rate."""
    threshold = gallery.threshold(rate).value
    strangers = gallery.identify_faces(faces.take(experiment.nonmated), fpir=rate)
    known = gallery.identify_faces(faces.take(experiment.mated), fpir=rate)
    hit = np.array([bool(f.candidates) for f in strangers])
    names = [f"p{faces.person[r]}" for r in experiment.mated]
    check(faces, experiment, [*strangers, *known], threshold)
    who = faces.person[experiment.nonmated]
    return Outcome(
        experiment.name, experiment.size, rate, kind, threshold,
        int(hit.sum()), len(hit), over_people(hit, who),
        sum(not any(c.subject == n for c in f.candidates) for f, n in zip(known, names, strict=True)),
        sum(not f.candidates or f.candidates[0].subject != n for f, n in zip(known, names, strict=True)),
        len(known), len(np.unique(who)), len(np.unique(who[hit])),
    )  # fmt: skip


def check(faces: Faces, experiment: Experiment, answers: Sequence[Found], threshold: float) -> None:
    """The product's answers, counted again by one matrix product in float64."""
    rows = np.concatenate([experiment.nonmated, experiment.mated])
    references = faces.vectors[experiment.references].astype(np.float64)
    unit = references / np.linalg.norm(references, axis=1, keepdims=True)
    probes = faces.vectors[rows].astype(np.float64)
    top = ((probes / np.linalg.norm(probes, axis=1, keepdims=True)) @ unit.T).max(axis=1)
    wrong = [i for i, f in enumerate(answers) if bool(f.candidates) != bool(top[i] >= threshold)]
    wrong = [i for i in wrong if abs(top[i] - threshold) > 1e-9]
    if wrong:
        first = faces.names[rows[wrong[0]]]
        sys.exit(f"{len(wrong)} answers differ from a plain comparison, the first for {first}")


def over_people(hit: np.ndarray, who: np.ndarray) -> tuple[float, float]:
    """95 % interval of a rate when people are drawn again, each with all of their pictures."""
    people, column = np.unique(who, return_inverse=True)
    hits, counts = np.bincount(column, hit, len(people)), np.bincount(column, minlength=len(people))
    rates = [w @ hits / (w @ counts) for w in draws(len(people), REPLICATES, 20251125)]
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)


def blufr(faces: Faces, file: Path) -> Iterator[tuple[str, Experiment, list[Threshold]]]:
    """BLUFR's splits, without the label errors."""
    row = {Path(name).name: i for i, name in enumerate(faces.names)}

    def rows(names: Sequence[str]) -> np.ndarray:
        return np.array([row[Path(n).name] for n in names if Path(n).name in row])

    for split in read_blufr(file):
        gallery, mated, other = rows(split.gallery), rows(split.probe_mated), rows(split.probe_nonmated)
        # A person whose reference is a label error is in the gallery no more: their probes are left out.
        mated = mated[np.isin(faces.person[mated], faces.person[gallery])]
        experiment = Experiment("BLUFR", len(gallery), gallery, mated, other)
        yield split.name, experiment, cards(faces, rows(split.train), (len(gallery),), f"BLUFR {split.name}")


def kinds(outcomes: Sequence[Outcome]) -> list[tuple[str, int, float, str]]:
    """What belongs in one row: the size is 0 where it follows from the people."""
    every = ((o.name, o.size if o.name == "one reference" else 0, o.promised, o.evidence) for o in outcomes)
    return list(dict.fromkeys(every))


def told(outcomes: Sequence[Outcome]) -> None:
    """A row per kind of gallery, promised rate and evidence."""
    print(
        "| gallery | references | promised FPIR | evidence | threshold | FPIR: mean, range | galleries over "
        "it, of them with the whole interval | FPIR of all searches (mean 95 % interval, people drawn) | "
        "FNIR, rank 1 |"
    )
    print("|" + "---|" * 9)
    for name, size, promised, evidence in kinds(outcomes):
        own = [
            o for o in outcomes
            if (o.name, o.promised, o.evidence) == (name, promised, evidence) and size in (0, o.size)
        ]  # fmt: skip
        print(row_of(own))


def row_of(own: Sequence[Outcome]) -> str:
    """One row of the table, over the repeats."""
    promised, rates = own[0].promised, [o.fpir for o in own]
    over = sum(r > promised for r in rates)
    certainly = sum(o.people[0] > promised for o in own)
    wrong, searches = sum(o.false_positives for o in own), sum(o.nonmated for o in own)
    low, high = np.mean([o.people for o in own], axis=0)
    values, sizes = [o.threshold for o in own], [o.size for o in own]
    mated, missed = sum(o.mated for o in own), sum(o.misses for o in own)
    first = sum(o.misses_rank_1 for o in own)
    size = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,}–{max(sizes):,}"
    return (
        f"| {own[0].name} | {size} | {promised:g} | {own[0].evidence} | {min(values):.3f}–{max(values):.3f} "
        f"| {np.mean(rates):.3%}, {min(rates):.3%}–{max(rates):.3%} | {over} of {len(own)}, {certainly} | "
        f"{wrong / searches:.3%} ({low:.3%}–{high:.3%}) | {missed / mated:.2%}, {first / mated:.2%} |"
    )


def single(outcome: Outcome) -> str:
    """One gallery with Clopper–Pearson's intervals, which count searches as independent."""
    a = clopper_pearson(outcome.false_positives, outcome.nonmated)
    b = clopper_pearson(outcome.misses, outcome.mated)
    return (
        f"{outcome.name}, {outcome.size}, FPIR {outcome.promised:g} by {outcome.evidence}: at "
        f"{outcome.threshold:.4f} {outcome.false_positives} of {outcome.nonmated} = {outcome.fpir:.3%} "
        f"({a.low:.3%}–{a.high:.3%} searches independent, {outcome.people[0]:.3%}–{outcome.people[1]:.3%} "
        f"people drawn; {outcome.strangers_found} of {outcome.strangers} strangers); FNIR {outcome.misses} "
        f"of {outcome.mated} = {outcome.misses / outcome.mated:.2%} ({b.low:.2%}–{b.high:.2%})"
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("templates", type=Path)
    parser.add_argument("--blufr", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--with-errors", action="store_true", help="leave the wrong labels of LFW in")
    parser.add_argument("-o", "--output", type=Path, help="every outcome as JSON")
    arguments = parser.parse_args()
    errors = None if arguments.with_errors else Path(__file__).with_name("lfw_label_errors.csv")
    faces = read(arguments.pictures, arguments.templates, errors)
    recognizer = lineament.Recognizer()
    if recognizer.model != faces.model:
        sys.exit(f"the templates are of {faces.model}, the default pack makes those of {recognizer.model}")
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"{len(faces.names):,} pictures of {len(np.unique(faces.person)):,} people; {faces.model}\n")
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place:
        for seed in range(arguments.seed, arguments.seed + arguments.repeats):
            first, second = halves(faces, seed)
            thresholds = cards(faces, first, SIZES, f"half of LFW, seed {seed}")
            for experiment in galleries(faces, second, SIZES, seed):
                outcomes += run(faces, experiment, thresholds, recognizer, Path(place))
            print(f"seed {seed}", file=sys.stderr, flush=True)
        if arguments.blufr is not None:
            for name, experiment, thresholds in blufr(faces, arguments.blufr):
                outcomes += run(faces, experiment, thresholds, recognizer, Path(place))
                print(name, file=sys.stderr, flush=True)
    told(outcomes)
    print("\nThe first of them, each by itself:\n")
    for name, size, promised, evidence in kinds(outcomes):
        own = (o for o in outcomes if (o.name, o.promised, o.evidence) == (name, promised, evidence))
        print("- " + single(next(o for o in own if size in (0, o.size))))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    main()
