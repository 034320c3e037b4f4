"""Search in a large gallery: time, memory, and what is found, beside other ways to do it, in one run.

    python bench/gallery_search.py                            # 1M rows of 512 and of 128 numbers
    python bench/gallery_search.py --rows 100000 --peers ""   # small, ours only
    python bench/gallery_search.py --templates DIR            # and rows like those of `evaluate --templates`
    python bench/gallery_search.py --codes --rows 300000 --templates DIR    # which code, by recall

Data: identities of five samples each, mated cosine about 0.65. Isotropic, and for each `--templates`
folder with the mean and the covariance of its templates, which are themselves among the rows then. Probes:
mated (`near`), with a mated cosine of 0.40 to 0.55 (`hard`), and templates of the folder (`real`).

What an index proposes is fetched from a plain SQLite table and compared exactly, which is part of the time.
Found is the share of the rows of cosine 0.4 or more (the 100 best of each probe) that remain.

Aim: at 1M rows a probe takes at most 12 ms (p50), and 6 ms each in batches of 64, on two hyperthreads, and
everything is found. LOG.md says on which rows the first is missed.
"""

import argparse
import importlib.util
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lineament.gallery.choose import kind_for, open_index
from lineament.gallery.codes import CodesIndex
from lineament.gallery.port import VectorIndex
from measure import machine, timed

FLOOR, WANTED, BATCH = 0.4, 100, 64
PEERS = "numpy,faiss-flat,faiss-rabitq,milvus-lite,face_recognition,deepface"


def unit(raw: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


class Faces:
    """Makes samples of identities, isotropic or with the mean and covariance of real templates."""

    def __init__(self, dimension: int, real: np.ndarray | None) -> None:
        self.generator = np.random.default_rng(5)
        self.real = np.zeros((0, dimension), np.float32) if real is None else real
        self.mean = np.zeros(dimension, np.float32) if real is None else real.mean(axis=0)
        self.root = np.float32(1.0 / np.sqrt(dimension)) * np.eye(dimension, dtype=np.float32)
        if real is not None:
            values, vectors = np.linalg.eigh(np.cov(real.T))
            self.root = (vectors * np.sqrt(values.clip(0))).T.astype(np.float32)

    def deviations(self, count: int) -> np.ndarray:
        """(count, d) with the covariance, about zero."""
        return self.generator.standard_normal((count, len(self.root)), dtype=np.float32) @ self.root

    def rows(self, count: int, path: Path) -> np.ndarray:
        """`count` rows in a file: the real ones, then identities of five samples."""
        shape = (count, len(self.root))
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        real = min(count, len(self.real))
        rows[:real] = self.real[:real]
        for start in range(real, count, 50_000):
            some = min(50_000, count - start)
            own = np.repeat(self.deviations(-(-some // 5)), 5, axis=0)[:some]
            rows[start : start + some] = unit(self.mean + 0.81 * own + 0.59 * self.deviations(some))
        return rows

    def probes(self, rows: np.ndarray, count: int) -> dict[str, np.ndarray]:
        """Probes that are mated with some rows: near, hard, and real ones where there are any."""
        picked = np.asarray(rows[np.sort(self.generator.integers(len(self.real), len(rows), count))])
        noise = unit(self.deviations(count))
        near = unit(picked + 0.75 * noise)
        cosine = self.generator.uniform(0.40, 0.55, (count, 1)).astype(np.float32)
        off = noise - (noise * picked).sum(axis=1, keepdims=True) * picked
        probes = {"near": near, "hard": unit(cosine * picked + np.sqrt(1 - cosine**2) * unit(off))}
        if len(self.real):
            probes["real"] = self.real[self.generator.permutation(len(self.real))[:count]]
        return probes


def truth(rows: np.ndarray, probes: np.ndarray) -> list[np.ndarray]:
    """Of each probe the rows of cosine 0.4 or more, at most the 100 best."""
    best: list[list[tuple[float, int]]] = [[] for _ in probes]
    for start in range(0, len(rows), 50_000):
        scores = probes @ np.asarray(rows[start : start + 50_000]).T
        for i, j in zip(*np.nonzero(scores >= FLOOR), strict=True):
            best[i].append((-float(scores[i, j]), start + int(j)))
    return [np.array([row for _, row in sorted(one)[:WANTED]], np.int64) for one in best]


class Table:
    """Templates in a plain SQLite table, as the truth keeps them."""

    def __init__(self, path: Path, rows: np.ndarray) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("CREATE TABLE reference (id INTEGER PRIMARY KEY, vector BLOB)")
        for start in range(0, len(rows), 50_000):
            block = np.asarray(rows[start : start + 50_000])
            self.connection.executemany(
                "INSERT INTO reference VALUES (?, ?)", ((start + i, r.tobytes()) for i, r in enumerate(block))
            )
        self.connection.commit()

    def exact(self, probe: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Those of the ids whose exact cosine reaches 0.4, best first."""
        found: list[tuple[int, bytes]] = []
        for start in range(0, len(ids), 1000):
            some = ids[start : start + 1000].tolist()
            query = f"SELECT id, vector FROM reference WHERE id IN ({','.join('?' * len(some))})"  # noqa: S608 - marks only
            found += self.connection.execute(query, some).fetchall()
        if not found:
            return np.zeros(0, np.int64)
        names = np.array([name for name, _ in found])
        scores = np.frombuffer(b"".join(v for _, v in found), np.float32).reshape(len(names), -1) @ probe
        return names[np.argsort(-scores)][: np.count_nonzero(scores >= FLOOR)][:WANTED]


Search = Callable[[np.ndarray], list[np.ndarray]]
"""From probes to ids whose exact cosine reaches 0.4."""


def line(
    name: str, search: Search, probes: dict[str, np.ndarray], wanted: dict[str, list[np.ndarray]]
) -> None:
    """Time of one probe and of batches, and what was found."""
    every = np.concatenate(list(probes.values()))
    search(every[:1])
    walls, cpus, answers = [], [], []
    for i in range(len(every)):
        answer, sample = timed(lambda i=i: search(every[i : i + 1]))
        walls.append(sample.wall * 1e3), cpus.append(sample.cpu * 1e3), answers.extend(answer)
    batches = [
        timed(lambda s=s: search(every[s : s + BATCH])) for s in range(0, len(every) - BATCH + 1, BATCH)
    ]
    found, at = [], 0
    for kind, sets in wanted.items():
        hit = sum(len(np.intersect1d(answers[at + i], w)) for i, w in enumerate(sets))
        total = sum(len(w) for w in sets)
        found.append(f"{kind} {hit}/{total}" + (f" = {hit / total:.4f}" if total else ""))
        at += len(sets)
    p50, p95 = np.percentile(walls, [50, 95])
    text = f"{name}: one p50 {p50:.1f} p95 {p95:.1f} ms, CPU {np.median(cpus):.1f}"
    if batches:
        wall = np.median([s.wall for _, s in batches]) / BATCH * 1e3
        cpu = np.median([s.cpu for _, s in batches]) / BATCH * 1e3
        text += f"; batch of {BATCH} {wall:.2f} ms each, CPU {cpu:.2f}"
    print(f"  {text}; found {', '.join(found)}", flush=True)


def ours(index: VectorIndex, table: Table) -> Search:
    """An index of this package, with the exact comparison after it."""

    def search(probes: np.ndarray) -> list[np.ndarray]:
        answers = index.search(probes, k=WANTED, floor=FLOOR)
        return [table.exact(probe, hits.ids) for probe, hits in zip(probes, answers, strict=True)]

    return search


def fill(index: VectorIndex, rows: np.ndarray, name: str) -> None:
    """All rows, 100,000 at a time; prints seconds and memory."""

    def work() -> None:
        for start in range(0, len(rows), 100_000):
            part = np.asarray(rows[start : start + 100_000])
            index.upsert(np.arange(start, start + len(part)), part, start + len(part))

    _, sample = timed(work)
    memory = f", {index.nbytes / 1e6:.0f} MB" if isinstance(index, CodesIndex) else ""
    print(f"  {name}: built in {sample.wall:.1f} s, CPU {sample.cpu:.1f} s{memory}", flush=True)


def peers(names: set[str], rows: np.ndarray, table: Table, few: int) -> dict[str, Callable[[], Search | str]]:
    """What else can search, by name; each makes its search, or says why it does not."""
    import faiss

    def flat_numpy() -> Search:
        every = np.ascontiguousarray(rows)

        def search(probes: np.ndarray) -> list[np.ndarray]:
            return [np.flatnonzero(scores >= FLOOR) for scores in probes @ every.T]

        return search

    def of_faiss(index: Any, exact: bool) -> Search:
        index.train(np.asarray(rows[:50_000]))
        index.add(np.ascontiguousarray(rows))

        def search(probes: np.ndarray) -> list[np.ndarray]:
            scores, ids = index.search(probes, WANTED)
            if exact:
                return [i[s >= FLOOR] for s, i in zip(scores, ids, strict=True)]
            return [table.exact(probe, i) for probe, i in zip(probes, ids, strict=True)]

        return search

    def rabitq() -> Search:
        index = faiss.IndexRaBitQ(rows.shape[1], faiss.METRIC_INNER_PRODUCT, 1)
        index.qb = 8
        return of_faiss(index, exact=False)

    def face_distance() -> Search:
        every = np.asarray(rows[:few]).astype(np.float64)

        def search(probes: np.ndarray) -> list[np.ndarray]:
            # |a − b|² = 2 − 2·cos for unit rows.
            bound = np.sqrt(2 - 2 * FLOOR)
            return [np.flatnonzero(np.linalg.norm(every - p, axis=1) <= bound) for p in probes]

        return search

    def deepface() -> Search | str:
        if importlib.util.find_spec("deepface") is None:
            return "not installed, left out"
        from deepface.modules import verification

        every = list(np.asarray(rows[:few]))

        def search(probes: np.ndarray) -> list[np.ndarray]:
            distances = [[verification.find_distance(row, p, "cosine") for row in every] for p in probes]
            return [np.flatnonzero(1 - np.array(one) >= FLOOR) for one in distances]

        return search

    every: dict[str, Callable[[], Search | str]] = {
        "numpy": flat_numpy,
        "faiss-flat": lambda: of_faiss(faiss.IndexFlatIP(rows.shape[1]), exact=True),
        "faiss-rabitq": rabitq,
        "milvus-lite": lambda: milvus_lite(rows[:few]),
        "face_recognition": face_distance,
        "deepface": deepface,
    }
    return {name: make for name, make in every.items() if name in names}


def milvus_lite(rows: np.ndarray) -> Search | str:
    """Milvus in this process, flat."""
    if importlib.util.find_spec("milvus_lite") is None:
        return "not installed, left out"
    from pymilvus import MilvusClient

    client = MilvusClient(str(Path(tempfile.mkdtemp(dir=SCRATCH)) / "lite.db"))
    client.create_collection("faces", dimension=rows.shape[1], metric_type="COSINE")
    for start in range(0, len(rows), 1000):
        data = [{"id": start + i, "vector": row} for i, row in enumerate(rows[start : start + 1000])]
        client.insert("faces", data)

    def search(probes: np.ndarray) -> list[np.ndarray]:
        answers = client.search("faces", list(probes), limit=WANTED)
        return [np.array([hit["id"] for hit in a if hit["distance"] >= FLOOR], np.int64) for a in answers]

    return search


SLOW = {"milvus-lite", "face_recognition", "deepface"}
SCRATCH: Path | None = None


def compare(name: str, faces: Faces, options: argparse.Namespace, place: Path) -> None:
    """One set of rows, ours and the others."""
    dimension = len(faces.root)
    print(f"{name}: {options.rows:,} rows of {dimension}", flush=True)
    rows = faces.rows(options.rows, place / "rows.npy")
    probes = faces.probes(rows, options.probes)
    wanted = {kind: truth(rows, p) for kind, p in probes.items()}
    table = Table(place / "truth.db", rows)
    kinds = options.kinds or [kind_for(dimension)]
    for kind in kinds:
        index = CodesIndex(dimension, kind) if kind != "flat" else open_index(dimension)
        fill(index, rows, kind)
        line(kind, ours(index, table), probes, wanted)
        index.close()
    for peer, make in peers(set(options.peers.split(",")), rows, table, options.slow_rows).items():
        count = min(options.slow_rows, len(rows)) if peer in SLOW else len(rows)
        begin = time.perf_counter()
        search = make()
        if isinstance(search, str):
            print(f"  {peer}: {search}")
            continue
        few = {kind: p[:4] if peer in SLOW else p[: options.peer_probes] for kind, p in probes.items()}
        small = {kind: [w[w < count] for w in wanted[kind][: len(p)]] for kind, p in few.items()}
        line(f"{peer} ({count:,} rows, ready in {time.perf_counter() - begin:.1f} s)", search, few, small)


def codes(name: str, real: np.ndarray, rows: int, place: Path) -> None:
    """Share of the pairs of cosine 0.42 or more within the first k rows of a code's own order."""
    import faiss

    from lineament.gallery.codec import Codec

    faces = Faces(real.shape[1], real)
    every = np.asarray(faces.rows(rows, place / "codes.npy"))
    probes = real[faces.generator.permutation(len(real))[:300]]
    codec = Codec(real.shape[1], "rabitq")
    turned, asked = codec.rotated(every), codec.rotated(probes)
    exact = probes @ every.T
    kept = [i for i, scores in enumerate(exact) if np.count_nonzero(scores >= 0.42) <= 60]
    print(f"{name}: {rows:,} rows of {real.shape[1]}, {len(kept)} probes of at most 60 pairs >= 0.42")
    for bits in (1, 2, 4, 8):
        store = codec.byte_store() if bits == 8 else faiss.IndexRaBitQ(every.shape[1], 0, bits)
        if bits < 8:
            store.train(np.concatenate([turned[:1], -turned[:1]]))
            store.qb = 8
        store.add(turned)
        (_, order), sample = timed(lambda store=store: store.search(asked[kept], 1000))
        pairs = [np.flatnonzero(exact[i] >= 0.42) for i in kept]
        total = sum(len(p) for p in pairs)
        inside = {
            k: sum(len(np.intersect1d(o[:k], p)) for o, p in zip(order, pairs, strict=True))
            for k in (100, 300, 1000)
        }
        shares = [f"k={k} {hit / total:.4f}" for k, hit in inside.items()]
        what = f"{'bytes' if bits == 8 else f'RaBitQ {bits} bit'}, {store.sa_code_size()} B"
        cpu = sample.cpu / len(kept) * 1e3
        print(
            f"  {what}: {', '.join(shares)} of {total}; CPU {cpu:.1f} ms",
            flush=True,
        )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, nargs="*", default=[512, 128], help="of isotropic rows")
    parser.add_argument("--templates", type=Path, action="append", default=[], help="a folder of templates")
    parser.add_argument("--probes", type=int, default=128, help="of each kind")
    parser.add_argument("--peer-probes", type=int, default=64, help="of each kind, for the others")
    parser.add_argument("--kinds", nargs="*", help="of codes, or flat; the one that is chosen by default")
    parser.add_argument("--peers", default=PEERS, help="the others, by name")
    parser.add_argument("--slow-rows", type=int, default=100_000, help="for those of them that take long")
    parser.add_argument("--codes", action="store_true", help="the test of recall that the choice rests on")
    parser.add_argument("--scratch", type=Path, help="where the rows and the table go; removed at the end")
    options = parser.parse_args()
    print({**machine(), "faiss-cpu": version("faiss-cpu"), "load": Path("/proc/loadavg").read_text().strip()})
    global SCRATCH
    sets: list[tuple[str, np.ndarray | None, int]] = (
        [] if options.codes else [("isotropic", None, d) for d in options.dimensions]
    )
    for folder in options.templates:
        real = np.load(folder / "vectors.npy")
        real = unit(real[np.linalg.norm(real, axis=1) > 0.5])
        sets.append((folder.name, real, real.shape[1]))
    for name, real, dimension in sets:
        SCRATCH = Path(tempfile.mkdtemp(dir=options.scratch))
        try:
            if options.codes and real is not None:
                codes(name, real, options.rows, SCRATCH)
            else:
                compare(name, Faces(dimension, real), options, SCRATCH)
        finally:
            shutil.rmtree(SCRATCH)


if __name__ == "__main__":
    main()
