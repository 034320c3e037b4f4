"""What the quality gate refuses, and what the limits cost: every figure behind `QualityLimits`.

    python bench/quality_gate.py                 # about 15 minutes on one core
    python bench/quality_gate.py --no-similarity # facts only, about 2 minutes

Data: frontal and profile captures of CFP (Sengupta et al., WACV 2016) as aligned crops, 500 people; 100 CC0
portraits, one per person, through the whole pipeline. Pasted masks are judged on people 251 to 500: the rule
was fitted on the others. Shares come with 95 % intervals after Wilson (JASA 1927). LFW is not used.
"""

import argparse
import csv
import math
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from lineament import Recognizer
from lineament.core.faces import Quality
from lineament.vision.align import ARCFACE_112
from lineament.vision.quality import QualityLimits, measure, problems

LIMITS = QualityLimits()
MATCH_AT = 0.421  # SFace at FMR 1e-4 on LFW; only to express the cost of a fault as a rate
Change = Callable[[np.ndarray], np.ndarray]
COLOURS = {
    "white": (238, 238, 236),
    "black": (22, 22, 24),
    "blue": (40, 80, 170),
    "surgical": (150, 195, 215),
    "navy": (30, 36, 66),
    "grey": (128, 128, 130),
    "red": (170, 40, 45),
}
KINDS = (*COLOURS, "pattern", "stripes", "skin")


class Cfp:
    """Aligned crops of CFP, and its mated frontal pairs."""

    def __init__(self, shared: Path) -> None:
        self._zip = zipfile.ZipFile(shared / "data/cfp/cfp112.zip")
        self._pairs = shared / "data/cfp/pairs.csv"

    def names(self, kind: str) -> list[str]:
        """Members of `frontal` or `profile`, in order."""
        return sorted(n for n in self._zip.namelist() if f"/{kind}/" in n)

    def crops(self, names: Iterable[str]) -> np.ndarray:
        """uint8 (n, 112, 112, 3) RGB."""
        return np.stack([decode(self._zip.read(name)) for name in names])

    def mated(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Both sides of `count` mated frontal pairs, drawn without replacement."""
        with self._pairs.open() as file:
            rows = [r for r in csv.DictReader(file) if r["protocol"] == "FF" and r["same"] == "1"]
        chosen = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))[:count]]
        return self.crops(r["a"] for r in chosen), self.crops(r["b"] for r in chosen)


def decode(blob: bytes) -> np.ndarray:
    """RGB pixels of a JPEG."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def wilson(k: int, n: int, z: float = 1.96) -> str:
    """A share with its 95 % interval, in per cent."""
    centre, half = (k / n + z * z / 2 / n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / 4 / n / n)
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    return f"{100 * k / n:6.2f} % [{100 * max(low, 0):.2f}, {100 * min(high, 1):.2f}] n={n}"


def facts(crops: np.ndarray) -> Quality:
    """Facts of crops that stand for themselves (size, pose and framing unknown)."""
    n = len(crops)
    motions, points = np.tile(np.eye(2, 3), (n, 1, 1)), np.tile(ARCFACE_112, (n, 1, 1))
    return measure(crops, motions, points, (112, 112))


def codes(quality: Quality) -> list[set[str]]:
    """Codes of the problems of every face."""
    return [{p.code for p in problems(quality.row(i), None, LIMITS)} for i in range(len(quality))]


def refused(found: list[set[str]]) -> int:
    """How many have a blocking problem."""
    return sum(bool(f - LIMITS.advisory) for f in found)


def counts(found: list[set[str]]) -> str:
    """How often each code occurs."""
    names = sorted(set().union(*found))
    return ", ".join(f"{name} {sum(name in f for f in found)}" for name in names) or "nothing"


# ---- ways of spoiling a crop ----


def blurred(sigma: float) -> Change:
    """Gaussian blur, crop pixels (eyes are 35 apart)."""
    return lambda crop: cv2.GaussianBlur(crop, (0, 0), sigma)


def small(eye_distance: float) -> Change:
    """Reduced by area until the eyes are that far apart, and enlarged again as alignment does."""
    side = round(112 * eye_distance / 35.24)

    def change(crop: np.ndarray) -> np.ndarray:
        reduced = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(reduced, (112, 112), interpolation=cv2.INTER_LINEAR)

    return change


def exposed(times: float, noise: float = 0.0) -> Change:
    """As taken with `times` the light (gamma 2.2), with read and photon noise; 8 bits."""
    rng = np.random.default_rng(3)

    def change(crop: np.ndarray) -> np.ndarray:
        light = (crop / 255.0) ** 2.2 * times
        light = light + rng.normal(0, 1, light.shape) * np.sqrt(noise**2 + 0.3 * noise * light)
        return np.round(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)

    return change


def faded(share: float) -> Change:
    """That share of the contrast, around mid-grey."""
    return lambda crop: np.round(128 + share * (crop - 128.0)).astype(np.uint8)


def noisy(sigma: float) -> Change:
    """Gaussian noise, levels of 255."""
    rng = np.random.default_rng(4)
    return lambda crop: np.clip(crop + rng.normal(0, sigma, crop.shape), 0, 255).astype(np.uint8)


def cut(share: float) -> Change:
    """The lowest share black, as where the picture ends."""

    def change(crop: np.ndarray) -> np.ndarray:
        crop = crop.copy()
        crop[112 - round(112 * share) :] = 0
        return crop

    return change


def masked(kind: str, shape: str, rng: np.random.Generator) -> Change:
    """A mask pasted from the nose down: `rectangle`, `half` (whole width) or `polygon`."""

    def change(crop: np.ndarray) -> np.ndarray:
        canvas = np.zeros((448, 448), np.uint8)
        cv2.fillPoly(canvas, [np.round(_outline(shape, rng) * 4).astype(np.int32)], 255)
        cover = cv2.resize(canvas, (112, 112), interpolation=cv2.INTER_AREA) / 255.0
        cover = cv2.GaussianBlur(cover, (0, 0), 0.6)[..., None]
        cloth = _cloth(kind, crop, rng)
        return np.clip(crop * (1 - cover) + cloth * cover, 0, 255).astype(np.uint8)

    return change


def _outline(shape: str, rng: np.random.Generator) -> np.ndarray:
    top = rng.uniform(56, 68)  # bridge of the nose to just above its tip
    if shape == "half":
        return np.array([[-5, top], [117, top], [117, 118], [-5, 118]])
    if shape == "rectangle":
        left, right = rng.uniform(14, 28), rng.uniform(84, 98)
        return np.array([[left, top], [right, top], [right, 118], [left, 118]])
    side = top + rng.uniform(2, 9)
    points = [[16, side], [40, top + 2.5], [56, top], [72, top + 2.5], [96, side]]
    points += [[94, 86], [80, 106], [56, 116], [32, 106], [18, 86]]
    return np.array(points) + rng.normal(0, 1, (10, 2))


def _cloth(kind: str, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:112, :112]
    if kind in COLOURS:
        cloth = np.ones((112, 112, 3)) * COLOURS[kind] * rng.uniform(0.85, 1.08)
    elif kind == "skin":
        skin = np.concatenate([crop[36:46, 46:66].reshape(-1, 3), crop[58:66, 30:42].reshape(-1, 3)])
        cloth = np.ones((112, 112, 3)) * np.median(skin, axis=0) * rng.uniform(0.92, 1.05)
    elif kind == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(5, 14)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period) > 0
        cloth = np.where(wave[..., None], rng.uniform(20, 235, 3), rng.uniform(20, 235, 3))
    else:
        n = int(rng.integers(8, 20))
        cloth = cv2.resize(rng.uniform(15, 240, (n, n, 3)), (112, 112), interpolation=cv2.INTER_CUBIC)
    shade = 1 - rng.uniform(0, 0.3) * ((x - 56) / 48) ** 2 + rng.uniform(-0.12, 0.12) * (x - 56) / 48
    for _ in range(int(rng.integers(0, 4))):  # folds
        row = rng.uniform(70, 104) + rng.uniform(-0.1, 0.1) * (x - 56)
        shade = shade - rng.uniform(0.03, 0.12) * np.exp(-(((y - row) / rng.uniform(1, 2.5)) ** 2))
    light = 1.0 if kind == "skin" else np.clip(np.median(crop[36:66, 30:82].mean(axis=2)) / 140, 0.35, 1.15)
    return cloth * shade[..., None] * light + rng.normal(0, 2, (112, 112, 3))


def developed(rng: np.random.Generator) -> Change:
    """What cameras do to a picture afterwards: some blur, noise, grey, JPEG, at random."""

    def change(crop: np.ndarray) -> np.ndarray:
        if rng.uniform() < 0.5:
            crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 2))
        if rng.uniform() < 0.12:
            crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if rng.uniform() < 0.3:
            crop = np.clip(crop + rng.normal(0, rng.uniform(2, 12), crop.shape), 0, 255).astype(np.uint8)
        if rng.uniform() < 0.3:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 92))]
            crop = cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR)
        return crop

    return change


# ---- the tables ----


def ordinary(cfp: Cfp, frontal: np.ndarray) -> None:
    """Refusals of ordinary captures."""
    quality = facts(frontal)
    found = codes(quality)
    share = wilson(refused(found), len(found))
    print(f"\nCFP frontal crops refused (light and focus): {share}; {counts(found)}")
    for name in ("sharpness", "brightness", "contrast", "occlusion"):
        column = getattr(quality, name)
        print(f"  {name:11} 0.1/1/50/99/99.9 % {np.percentile(column, [0.1, 1, 50, 99, 99.9]).round(3)}")
    darkest = np.argsort(quality.brightness)[: len(frontal) // 10]
    some = [found[i] for i in darkest]
    edge = quality.brightness[darkest].max()
    print(f"  darkest tenth (brightness up to {edge:.2f}): {wilson(refused(some), len(some))}")


def portraits(shared: Path, recognizer: Recognizer) -> None:
    """The CC0 portraits through the whole pipeline, and by skin tone as photographed."""
    files = sorted((shared / "fixtures/images/cc0").glob("*.jpg"))
    found: list[set[str]] = []
    frontal: list[bool] = []
    tones: list[float] = []
    for file in files:
        analysis = recognizer.inspect(file)
        faces = analysis.faces
        if not len(faces) or faces.quality is None or analysis.crops is None:
            print(f"  {file.name}: no face")
            continue
        best = int(np.argmax((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)))
        row = faces.quality.row(best)
        found.append({p.code for p in problems(row, None, LIMITS)})
        frontal.append(abs(row["yaw"]) < 30)
        tones.append(tone_angle(analysis.crops.pixels[int(faces.template_rows[best])]))
    print(f"\nCC0 portraits refused: {wilson(refused(found), len(found))}; {counts(found)}")
    for name, low, high in (("all tones", -180, 181), ("tone angle < 10° (brown, dark)", -180, 10)):
        some = [f for f, near, t in zip(found, frontal, tones, strict=True) if near and low <= t < high]
        print(f"  turned by less than 30°, {name}: {wilson(refused(some), len(some))}; {counts(some)}")


def tone_angle(crop: np.ndarray) -> float:
    """Individual typology angle of the forehead and cheeks as photographed, degrees (Chardon et al. 1991)."""
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    patches = (lab[34:44, 46:66], lab[58:68, 30:42], lab[58:68, 70:82])
    lightness, _, yellow = np.median(np.concatenate([p.reshape(-1, 3) for p in patches]), axis=0)
    return math.degrees(math.atan2(float(lightness) - 50, float(yellow)))


def sweep(
    title: str, ways: dict[str, Change], pairs: tuple[np.ndarray, np.ndarray], recognizer: Recognizer | None
) -> None:
    """Share refused, median facts and (with a recogniser) what is left of the mated similarity."""
    print(f"\n{title}: {len(pairs[1])} mated CFP-FF pairs, one side changed")
    first = None if recognizer is None else recognizer.embed_aligned(pairs[0]).vectors
    for name, change in ways.items():
        crops = np.stack([change(crop) for crop in pairs[1]])
        quality = facts(crops)
        found = codes(quality)
        line = f"  {name:>9}: refused {wilson(refused(found), len(found))}; "
        line += f"sharpness {np.median(quality.sharpness):.2f}"
        line += f" contrast {np.median(quality.contrast):.3f} brightness {np.median(quality.brightness):.2f}"
        if recognizer is not None:
            templates = recognizer.embed_aligned(crops)
            s = (first * templates.vectors).sum(axis=1)
            line += (
                f" | similarity {s.mean():.3f} ± {1.96 * s.std() / math.sqrt(len(s)):.3f}, below {MATCH_AT}: "
            )
            line += f"{(s < MATCH_AT).mean():.1%}, norm {np.median(templates.norms):.1f}"
        print(line + f"; {counts(found)}")


def nonsense(recognizer: Recognizer | None) -> None:
    """Noise of several grains, and flat crops: all must be refused."""
    rng = np.random.default_rng(0)
    print("\nnoise and flat crops")
    for grain in (1, 2, 3, 4, 5, 8, 16):
        side = 112 // grain
        fields = [rng.integers(0, 256, (side, side, 3)).astype(np.uint8) for _ in range(100)]
        report(f"noise, grain {grain} px", np.stack([cv2.resize(f, (112, 112)) for f in fields]), recognizer)
    report("flat", np.stack([np.full((112, 112, 3), v, np.uint8) for v in range(0, 256, 3)]), recognizer)


def report(name: str, crops: np.ndarray, recognizer: Recognizer | None) -> None:
    """One line about crops that show no face."""
    found = codes(facts(crops))
    line = f"  {name:16}: refused {wilson(refused(found), len(found))}; {counts(found)}"
    if recognizer is not None:
        templates = recognizer.embed_aligned(crops[:60])
        alike = (templates.vectors @ templates.vectors.T)[np.triu_indices(len(templates), 1)]
        line += f" | norm at most {templates.norms.max():.1f}, similarity to each other {alike.mean():.2f}"
    print(line)


def covered(cfp: Cfp) -> None:
    """Pasted masks against uncovered faces, on people the rule was not fitted on."""
    names = [n for n in cfp.names("frontal") if int(n[:3]) > 250]
    crops = cfp.crops(names)
    rng = np.random.default_rng(21)
    after = developed(rng)
    plain = facts(crops).occlusion > LIMITS.occlusion
    worked = facts(np.stack([after(c) for c in crops])).occlusion > LIMITS.occlusion
    print(f"\ncovered lower face: false alarms as they are {wilson(int(plain.sum()), len(plain))}")
    print(f"  after blur, noise, grey, JPEG at random   {wilson(int(worked.sum()), len(worked))}")
    for kind in KINDS:
        hits = []
        for shape in ("rectangle", "half", "polygon"):
            change = masked(kind, shape, rng)
            made = np.stack([change(crops[i]) for i in rng.choice(len(crops), 100)])
            hits.append(facts(made).occlusion > LIMITS.occlusion)
            hits.append(facts(np.stack([after(c) for c in made])).occlusion > LIMITS.occlusion)
        as_is, later = np.concatenate(hits[::2]), np.concatenate(hits[1::2])
        print(
            f"  {kind:9} found {wilson(int(as_is.sum()), len(as_is))}; "
            f"after blur … {wilson(int(later.sum()), len(later))}"
        )


def speed(frontal: np.ndarray) -> None:
    """Milliseconds of one core per face."""
    cv2.setNumThreads(1)
    for size in (1, 16, 256):
        start = time.process_time()
        for i in range(0, 512, size):
            facts(frontal[i : i + size])
        print(f"  {1000 * (time.process_time() - start) / 512:.2f} ms of CPU a face, {size} at a time")


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--pairs", type=int, default=500, help="mated pairs per step of a sweep")
    parser.add_argument("--no-similarity", action="store_true", help="facts only, no embedding")
    options = parser.parse_args()
    cfp = Cfp(options.shared)
    frontal = cfp.crops(cfp.names("frontal"))
    recognizer = Recognizer()
    judge = None if options.no_similarity else recognizer
    ordinary(cfp, frontal)
    portraits(options.shared, recognizer)
    covered(cfp)
    nonsense(judge)
    pairs = cfp.mated(options.pairs)
    steps = {
        "blur, σ in crop pixels": (blurred, (0.5, 1, 1.5, 2, 2.34, 2.5, 3, 4, 5, 6, 8)),
        "eye distance, pixels": (small, (6, 8, 10, 12, 14, 16, 20, 24, 28, 32)),
        "exposure, no noise": (exposed, (2, 4, 6, 8, 12, 1 / 16, 1 / 64, 1 / 256, 1 / 512)),
        "exposure, read noise 0.002": (
            lambda e: exposed(e, 0.002),
            (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128),
        ),
        "contrast left": (faded, (0.3, 0.2, 0.1, 0.07, 0.05, 0.03)),
        "noise, σ in levels": (noisy, (10, 20, 30, 40, 60)),
        "lowest share outside": (cut, (0.1, 0.2, 0.3, 0.4, 0.5)),
    }
    for title, (make, values) in steps.items():
        ways = {f"{value:.4g}": make(value) for value in values}
        sweep(title, {"as it is": lambda crop: crop, **ways}, pairs, judge)
    print("\nspeed")
    speed(frontal)


if __name__ == "__main__":
    main()
