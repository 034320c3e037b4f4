"""lineament beside insightface 2.1 and face_recognition, in one run, on the same files.

    python bench/side_by_side.py                       # everything, about 15 minutes on two cores
    python bench/side_by_side.py --section folder --photographs 65 --repeats 5
    python bench/side_by_side.py --json results.json

Sections: `folder`, `single`, `large` (a recogniser of IResNet-50's size), `dlib` (needs bench/peers.sh),
`cold` (the whole command), `megapixels` (a 12-megapixel JPEG to detector input). Beside each stands its
floor: what decoding and the networks alone take, one thread each, shared out over the processors.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from iresnet import iresnet50
from lineament import Recognizer
from lineament.pipeline.recognizer import for_detection
from lineament.runtime.options import processors
from lineament.vision.decode import open_picture
from lineament.vision.fit import fit
from measure import Runs, in_turn, machine, ratio
from photographs import compose, write_folder, write_jpeg
from rivals import (
    RECOGNISER,
    Found,
    Insightface,
    agreement,
    floor,
    folder_of,
    imported,
    make_pack,
    options,
    ours,
    quantised,
    theirs,
    without_tiny,
)

BENCH = Path(__file__).resolve().parent
SECTIONS = ("folder", "single", "large", "dlib", "cold", "megapixels")


@dataclass(slots=True)
class Work:
    """What the sections share, and the rows they report."""

    shared: Path
    place: Path
    photographs: int
    repeats: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    def photos(self) -> list[Path]:
        """The folder, made at the first call."""
        if not self.paths:
            folder = self.place / "photographs"
            folder.mkdir()
            self.paths = write_folder(self.shared / "fixtures/images", folder, self.photographs)
        return self.paths

    def some(self, count: int) -> list[Path]:
        """A part of the folder without the group of 28, which would outweigh all others."""
        return [path for number, path in enumerate(self.photos()) if number != 1][:count]

    def row(self, section: str, what: str, value: str, target: str = "", **facts: Any) -> None:
        """Report a row at once, and keep it."""
        self.rows.append({"section": section, "what": what, "value": value, "target": target, **facts})
        print(f"{section:<11}{what}\n{'':<15}{value}{target and f'   (target {target})'}", flush=True)

    def rates(self, section: str, runs: list[Runs], unit: str = "images") -> None:
        """A row for each rival: units a second, best and median, and processor time."""
        for run in runs:
            value = f"{1 / run.wall:.1f} {unit}/s (median {1 / run.middle:.1f}), {run.cpu * 1e3:.0f} ms CPU"
            facts = {"per_second": 1 / run.wall, "median": 1 / run.middle, "cpu_ms": run.cpu * 1e3}
            self.row(section, run.name, value, **facts)

    def times(self, section: str, slow: Runs, fast: Runs, target: str) -> None:
        """A row for how many times faster `fast` is."""
        wall, cpu = ratio(slow, fast), ratio(slow, fast, "cpu")
        what = f"{fast.name} : {slow.name}"
        self.row(section, what, f"{wall:.2f} times as fast, CPU 1 : {cpu:.2f}", target, wall=wall, cpu=cpu)

    def agree(self, section: str, what: str, a: list[Found], b: list[Found]) -> None:
        """A row for how well two answers agree."""
        facts = agreement(a, b)
        low, middle = facts["cosine_min"], facts["cosine_median"]
        shown = "" if low is None else f", cosine min {low:.6f} median {middle:.6f}"
        self.row(section, what, f"{facts['faces'][0]} and {facts['faces'][1]} faces{shown}", **facts)

    def bottom(self, section: str, parts: dict[str, float], what: str = "floor") -> None:
        """A row for the floor."""
        total, count = sum(parts.values()), processors()
        shown = " + ".join(f"{name} {value:.1f}" for name, value in parts.items())
        value = f"{1e3 * count / total:.1f} images/s: {total:.1f} ms CPU"
        self.row(section, f"{what} ({shown} ms CPU, {count} processors)", value, floor=total, **parts)


def folder(work: Work) -> None:
    """Photographs of one to two megapixels, detection and embedding."""
    paths, models = work.photos(), work.shared / "models"
    pack = make_pack(models, work.place / "pack")
    clean = work.place / RECOGNISER
    tiny = without_tiny(models / RECOGNISER, clean)
    rival = Insightface(pack)
    auto = Insightface(pack, None)
    helped = Insightface(make_pack(models, work.place / "pack-clean", clean))
    same, free = Recognizer(pack), Recognizer(imported(pack, work.place / "store"))
    rivals = [
        ("insightface, det_size 640", lambda: rival.folder(paths)),
        ("lineament, files as they are", folder_of(same, paths)),
        ("insightface, det_size auto", lambda: auto.folder(paths)),
        ("lineament, pack imported (any size, two passes)", folder_of(free, paths)),
        (f"insightface, {tiny:,} tiny weights set to 0 by hand", lambda: helped.folder(paths)),
    ]
    for one in (rival, auto, helped):
        one.folder(paths[:3])
    for one in (same, free):
        folder_of(one, paths[:3])()
    runs = in_turn(rivals, len(paths), work.repeats)
    work.rates("folder", runs)
    work.times("folder", runs[0], runs[1], "≥ 2")
    work.times("folder", runs[2], runs[3], "≥ 2")
    work.times("folder", runs[4], runs[3], "")
    answers = [[theirs(f) for f in runs[0].answer], *([ours(f) for f in runs[k].answer] for k in (1, 3))]
    work.agree("folder", "insightface and lineament, files as they are", answers[0], answers[1])
    work.agree("folder", "insightface and lineament, pack imported", answers[0], answers[2])
    for recognizer, answer, what in ((same, answers[1], "as they are"), (free, answers[2], "imported")):
        found = sum(len(f[0]) for f in answer)
        work.bottom("folder", floor(recognizer, paths, found, 7), f"floor, {what}")


def single(work: Work) -> None:
    """One photograph at a time."""
    pack = make_pack(work.shared / "models", work.place / "pack-single")
    paths = work.some(8)
    rival, recognizer = Insightface(pack), Recognizer(pack)
    from lineament.app import FaceAnalysis

    door = FaceAnalysis(str(pack), providers=["CPUExecutionProvider"])
    door.prepare(ctx_id=-1, det_size=(640, 640))
    ways: list[tuple[str, Any]] = [
        ("insightface, imread + get", rival.one),
        ("lineament, Recognizer.analyze", recognizer.analyze),
        ("lineament.app, imread + get", lambda p: door.get(cv2.imread(str(p)))),
    ]
    pooled = [Runs(name, 1) for name, _ in ways]
    for path in paths:
        for _, one in ways:
            one(path)
        rivals = [(name, lambda o=one, p=path: o(p)) for name, one in ways]
        for total, run in zip(pooled, in_turn(rivals, 1, 3 * work.repeats), strict=True):
            total.samples += run.samples
    for run in pooled:
        value = f"{run.middle * 1e3:.1f} ms (best {run.wall * 1e3:.1f}), {run.cpu * 1e3:.1f} ms CPU"
        facts = {"median_ms": run.middle * 1e3, "best_ms": run.wall * 1e3, "cpu_ms": run.cpu * 1e3}
        work.row("single", run.name, value, **facts)
    for fast in pooled[1:]:
        work.times("single", pooled[0], fast, "≥ 1")
    faces = sum(len(recognizer.analyze(p)) for p in paths)
    work.bottom("single", floor(recognizer, paths, faces, 7))


def large(work: Work) -> None:
    """A recogniser of the size of IResNet-50, random weights."""
    path = work.place / "iresnet50.onnx"
    onnx.save(iresnet50(), path)
    pack = make_pack(work.shared / "models", work.place / "pack-large", path)
    paths = work.some(max(6, work.photographs // 4))
    rival = Insightface(pack)
    ways = [
        ("lineament, OpenVINO bf16", options(engine="openvino", precision="bf16")),
        ("lineament, OpenVINO fp32", options(engine="openvino")),
        ("lineament, ONNX Runtime fp32", options()),
    ]
    recognizers = [Recognizer(pack, runtime=runtime) for _, runtime in ways]
    crops = np.concatenate([recognizers[2].align(p).pixels for p in paths[:6]])
    small = quantised(path, work.place / "iresnet50-int8.onnx", crops)
    ways.append(("lineament, OpenVINO int8", options(engine="openvino", precision="int8")))
    int8 = make_pack(work.shared / "models", work.place / "pack-int8", small)
    recognizers.append(Recognizer(int8, runtime=ways[3][1]))
    rivals = [("insightface, ONNX Runtime fp32", lambda: rival.folder(paths))]
    rivals += [(name, folder_of(r, paths)) for (name, _), r in zip(ways, recognizers, strict=True)]
    rival.folder(paths[:1])
    for recognizer in recognizers:
        folder_of(recognizer, paths[:2])()
    runs = in_turn(rivals, len(paths), max(2, work.repeats // 2))
    work.rates("large", runs)
    for fast, target in zip(runs[1:], ("≥ 2.5", "", "", ""), strict=True):
        work.times("large", runs[0], fast, target)
    reference = [ours(f) for f in runs[3].answer]
    for run in (runs[1], runs[2], runs[4]):
        work.agree("large", f"{run.name}, against fp32", [ours(f) for f in run.answer], reference)
    work.agree("large", "insightface against lineament fp32", [theirs(f) for f in runs[0].answer], reference)
    vectors = np.concatenate([v for _, v in reference])
    apart = float(np.median((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]))
    work.row("large", "for scale: median cosine of two different faces", f"{apart:.3f}", cosine=apart)
    for (name, _), recognizer in zip(ways, recognizers, strict=True):
        work.bottom("large", floor(recognizer, paths, len(vectors), 4), f"floor of {name}")


def dlib(work: Work) -> None:
    """face_recognition, in a process of its own."""
    python = BENCH.parent / ".venv-peers/bin/python"
    if not python.exists():
        work.row("dlib", "face_recognition", "left out: run bench/peers.sh first")
        return
    paths = work.some(8)
    recognizer = Recognizer()
    command = [str(python), str(BENCH / "peer_face_recognition.py"), *map(str, paths)]
    folder_of(recognizer, paths)()
    ratios: list[float] = []
    for _ in range(max(1, min(3, work.repeats))):
        other = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        mine = in_turn([("lineament", folder_of(recognizer, paths))], len(paths), 3)[0]
        ratios.append(other["wall"] / len(paths) / mine.middle)
    rate, cpu = len(paths) / other["wall"], other["cpu"] / len(paths) * 1e3
    value = f"{rate:.2f} images/s, {cpu:.0f} ms CPU, {sum(other['faces'])} faces"
    work.row("dlib", f"face_recognition {other['versions']['face_recognition']}", value, **other)
    mine.name = "lineament, default pack"
    work.rates("dlib", [mine])
    times = statistics.median(ratios)
    value = f"{times:.1f} times as fast, CPU 1 : {cpu / mine.cpu / 1e3:.1f}"
    work.row("dlib", "lineament : face_recognition (other weights)", value, "≥ 10", wall=times)
    found = sum(len(f) for f in mine.answer)
    work.row("dlib", "faces found by lineament", str(found), faces=found)


def cold(work: Work) -> None:
    """`lineament compare` as a whole process; files already in the system's cache."""
    a, b = (str(p) for p in work.some(3)[1:])
    command = [str(Path(sys.executable).parent / "lineament"), "compare", a, b]
    walls, cpus = [], []
    for turn in range(8):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode in (0, 1, 2), done.stderr
        if turn:
            walls.append(took)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    value = f"{statistics.median(walls):.2f} s (best {min(walls):.2f}), {min(cpus):.2f} s CPU"
    facts = {"median": statistics.median(walls), "best": min(walls), "cpu": min(cpus)}
    work.row("cold", "lineament compare a.jpg b.jpg, median of 7", value, "< 1.5 s", **facts)
    command = [sys.executable, str(BENCH / "cold.py"), a, b]
    tries = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    for step in tries[0]:
        least = min(t[step] for t in tries)
        work.row("cold", f"  {step}", f"{least:.0f} ms", milliseconds=least)


def megapixels(work: Work) -> None:
    """A JPEG of 12 megapixels to the detector's input."""
    generator = np.random.default_rng(3)
    faces = sorted((work.shared / "fixtures/images/cc0").glob("*.jpg"))[:1]
    path = work.place / "large.jpg"
    write_jpeg(path, compose([cv2.imread(str(p)) for p in faces], (3024, 4032), generator), 85)

    def mine() -> None:
        image = for_detection(open_picture(path))
        cv2.dnn.blobFromImage(fit(image.pixels, (640, 640), 32, True).canvas, 1 / 128, mean=(127.5,) * 3)

    def usual() -> None:
        pixels = cv2.imread(str(path))
        cv2.dnn.blobFromImage(fit(pixels, (640, 640), 32, True).canvas, 1 / 128, mean=(127.5,) * 3)

    encoded = np.frombuffer(path.read_bytes(), np.uint8)
    flags = (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_COLOR_8)
    rivals = [
        ("lineament, path to detector input", mine),
        ("cv2.imread in full to detector input", usual),
        ("floor: cv2 decodes at a half", lambda: cv2.imdecode(encoded, flags[0])),
        ("floor: cv2 decodes at an eighth (entropy decoding)", lambda: cv2.imdecode(encoded, flags[1])),
    ]
    for run in in_turn(rivals, 1, 5 * work.repeats):
        middle = statistics.median(s.cpu for s in run.samples) * 1e3
        size = f"{path.stat().st_size / 1e6:.1f} MB" if run.name.startswith("lineament") else ""
        target = "≤ 40 ms CPU" if run.name.startswith("lineament") else ""
        value = f"{run.cpu * 1e3:.1f} ms CPU (median {middle:.1f}) {size}"
        work.row("megapixels", run.name, value, target, cpu_ms=run.cpu * 1e3, median_ms=middle)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this one; may be repeated")
    parser.add_argument("--photographs", type=int, default=65)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    arguments = parser.parse_args()
    if arguments.photographs < 4 or arguments.repeats < 1:
        parser.error("at least 4 photographs and 1 repeat")
    # insightface's alignment calls a function that scikit-image wants to drop.
    warnings.filterwarnings("ignore", category=FutureWarning, module="insightface")
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory() as place:
        work = Work(arguments.shared, Path(place), arguments.photographs, arguments.repeats)
        for name in arguments.section or SECTIONS:
            globals()[name](work)
    if arguments.json:
        body = {"machine": facts, "rows": work.rows}
        half = arguments.json.with_name(arguments.json.name + ".part")
        half.write_text(json.dumps(body, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
        half.replace(arguments.json)


if __name__ == "__main__":
    main()
