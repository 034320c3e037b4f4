"""How fast do templates that are made already come into a gallery, and out of it again?

    python bench/gallery_import.py                        # 100,000 x 128 and x 512, sealed and not
    python bench/gallery_import.py --rows 20000 --rounds 1
    python bench/gallery_import.py --per 1                # one sample a subject instead of five

`enroll_templates` into a new SQLite file each time (write-ahead log, synchronous=FULL: what is acknowledged
survives a power cut), best of the rounds. Then the same call again, which finds everything enrolled, and the
export into one file. Processor time of the process stands beside the time on the clock: on a machine that is
shared, the first says what the work costs, the second how long it took in company.
"""

import argparse
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lineament.core.template import ModelId, Templates
from lineament.gallery import collections
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.bulk import enroll_templates
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.transfer import export_collection
from lineament.gallery.truth import Truth
from measure import Sample, machine, timed

MODEL = ModelId("bench/none", "0" * 64)
WHO = Actor("bench", "measuring")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was done, how often, and the best runs."""

    what: str
    rows: int
    best: Sample

    def __str__(self) -> str:
        wall, cpu = self.rows / self.best.wall, self.rows / self.best.cpu
        return f"{self.what:<34} {wall:>10,.0f} {cpu:>12,.0f} {self.best.wall:>9.2f} {self.best.cpu:>8.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--per", type=int, default=5, help="samples of each subject")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dimensions", type=int, nargs="*", default=[128, 512])
    parser.add_argument("--folder", type=Path, help="where the databases are made")
    asked = parser.parse_args()
    for name, value in {**machine(), "SQLite": sqlite3.sqlite_version}.items():
        print(f"{name}: {value}")
    print(f"{asked.rows:,} templates, {asked.per} a subject; best of {asked.rounds}\n")
    print(f"{'':<34} {'per s':>10} {'per cpu s':>12} {'wall s':>9} {'cpu s':>8}")
    for dimension in asked.dimensions:
        given = vectors(asked.rows, dimension)
        for sealed in (False, True):
            for row in measured(given, asked.per, sealed, asked.rounds, asked.folder):
                print(row, flush=True)


def vectors(count: int, dimension: int) -> Templates:
    """Random unit templates."""
    raw = np.random.default_rng(1).standard_normal((count, dimension), np.float32)
    return Templates.from_raw(raw, MODEL)


def measured(given: Templates, per: int, sealed: bool, rounds: int, folder: Path | None) -> list[Row]:
    """Import, import again, export."""
    names = [f"person-{i // per}" for i in range(len(given))]
    runs: dict[str, list[Sample]] = {"new": [], "again": [], "export": []}
    for _ in range(rounds):
        place = Path(tempfile.mkdtemp(dir=folder, prefix="lineament-import-"))
        try:
            with new_gallery(place, given.vectors.shape[1], sealed) as gallery:
                summary, run = timed(lambda: enroll_templates(gallery, names, given))
                assert summary.counts == {"enrolled": len(given)}
                runs["new"].append(run)
                summary, run = timed(lambda: enroll_templates(gallery, names, given))
                assert summary.counts == {"already_enrolled": len(given)}
                runs["again"].append(run)
                target, keys = place / "out", gallery.keys
                exported, run = timed(lambda: export_collection(gallery, target, keys=keys))  # noqa: B023  (called at once)
                assert exported.references == len(given)
                runs["export"].append(run)
        finally:
            shutil.rmtree(place)
    kind = f"{given.vectors.shape[1]} numbers, {'sealed' if sealed else 'not sealed'}"
    best = {n: Sample(min(s.wall for s in some), min(s.cpu for s in some)) for n, some in runs.items()}
    return [Row(f"{kind}, {name}", len(given), run) for name, run in best.items()]


def new_gallery(place: Path, dimension: int, sealed: bool) -> Gallery:
    """An empty collection in a new file."""
    keys = FileKeys.create(place / "keys.json") if sealed else None
    truth = Truth(f"sqlite:///{place / 'people.db'}", create=True)
    collections.create(truth, Audit(truth, keys), WHO, "bench", MODEL, "none", dimension, keys=keys)
    return Gallery(truth, "bench", keys=keys, index=GrowingIndex(dimension), actor=WHO)


if __name__ == "__main__":
    main()
