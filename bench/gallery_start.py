"""How long until a large gallery answers, how fast it does then, and what it takes in memory?

    python bench/gallery_start.py                             # 1,000,000 x 128, not sealed and sealed
    python bench/gallery_start.py --rows 200000 --dimensions 128 512

The whole product, from SQL to candidate: templates are enrolled into a new SQLite file, then a new process
opens it. `start` is from `Gallery.open` to the first answer, most of which is filling the index from the
database. `one` is a search with its look at the truth and its audit record, written and synchronised; `64`
is each of 64 in one call. The rows are random unit templates; every tenth probe is a noisy copy of a row
(cosine near 0.65).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lineament.core.template import ModelId, Templates
from lineament.core.threshold import Threshold
from lineament.gallery import collections
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.bulk import enroll_templates
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.truth import Truth
from measure import machine

MODEL = ModelId("bench/none", "0" * 64)
WHO = Actor("bench", "measuring")
AT_ONCE = 100_000
PROBES = 101
FLOOR = 0.4


def main() -> None:
    """Fill, then start a process that searches, for each size and kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, nargs="*", default=[128])
    parser.add_argument("--sealed", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--folder", type=Path, help="where the databases are made")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.search is not None:
        searched(asked.search)
        return
    print(machine())
    for dimension in asked.dimensions:
        for sealed in {"no": (False,), "yes": (True,), "both": (False, True)}[asked.sealed]:
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                filled(Path(folder), asked.rows, dimension, sealed)
                subprocess.run([sys.executable, __file__, "--search", folder], check=True)


def filled(folder: Path, rows: int, dimension: int, sealed: bool) -> None:
    """A database of so many rows, five of each person."""
    keys = FileKeys.create(folder / "keys.json") if sealed else None
    with Truth(f"sqlite:///{folder / 'people.db'}", create=True) as truth:
        audit = Audit(truth, keys)
        collections.create(truth, audit, WHO, "staff", MODEL, "arcface-112", dimension, keys=keys)
    url = f"sqlite:///{folder / 'people.db'}"
    # Filling needs no index; this one is never asked.
    with Gallery.open(url, "staff", keys=keys, actor=WHO, index=GrowingIndex(dimension)) as gallery:
        begin, cpu = time.perf_counter(), time.process_time()
        for start in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - start)
            names = [f"person-{(start + i) // 5}" for i in range(count)]
            enroll_templates(gallery, names, made(start, count, dimension))
        wall, used = time.perf_counter() - begin, time.process_time() - cpu
    size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    kind = "sealed" if sealed else "not sealed"
    speed = f"enrolled {rows / wall:,.0f}/s ({rows / used:,.0f} per CPU s)"
    print(f"{rows:,} x {dimension}, {kind}: {speed}, {size:,.0f} MB", flush=True)
    (folder / "what.json").write_text(json.dumps({"rows": rows, "dimension": dimension, "sealed": sealed}))


def made(seed: int, count: int, dimension: int) -> Templates:
    """Random unit templates, the same for the same seed."""
    raw = np.random.default_rng(seed).standard_normal((count, dimension), np.float32)
    return Templates.from_raw(raw, MODEL)


def searched(folder: Path) -> None:
    """Open, search, and tell."""
    what = json.loads((folder / "what.json").read_text())
    keys = FileKeys(folder / "keys.json") if what["sealed"] else None
    rng = np.random.default_rng(7)
    some = made(0, min(AT_ONCE, what["rows"]), what["dimension"])
    chosen = rng.choice(len(some), PROBES + 64, replace=False)
    noise = rng.standard_normal((len(chosen), what["dimension"])).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    probes = Templates.from_raw(some.vectors[chosen] + 1.15 * noise, MODEL)
    truth = [f"person-{i // 5}" for i in chosen]
    begin, cpu = time.perf_counter(), time.process_time()
    with Gallery.open(f"sqlite:///{folder / 'people.db'}", "staff", keys=keys, actor=WHO) as gallery:
        threshold = Threshold.typed_in(FLOOR, MODEL)
        found = [gallery.identify(probes[0], threshold=threshold.value)]
        start, start_cpu = time.perf_counter() - begin, time.process_time() - cpu
        took: list[float] = []
        for i in range(1, PROBES):
            at = time.perf_counter()
            found.append(gallery.identify(probes[i], threshold=threshold.value))
            took.append(time.perf_counter() - at)
        at = time.perf_counter()
        batch = gallery.identify_faces(probes.take(np.arange(PROBES, PROBES + 64)), threshold=threshold.value)
        each = (time.perf_counter() - at) / 64
    right = sum(t in [c.subject for c in f] for t, f in zip(truth, found, strict=False))
    right += sum(t in [c.subject for c in b.candidates] for t, b in zip(truth[PROBES:], batch, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    p50, p95 = np.percentile(np.array(took) * 1000, [50, 95])
    hits, load = f"found {right} of {len(chosen)}", os.getloadavg()[0]
    print(f"  start {start:.1f} s (CPU {start_cpu:.1f}); one p50 {p50:.1f} p95 {p95:.1f} ms;", end=" ")
    print(f"64: {each * 1000:.2f} ms each; {hits}; peak {peak:,.0f} MB; load {load:.1f}", flush=True)


if __name__ == "__main__":
    main()
