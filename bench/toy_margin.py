"""The toy figure of the ArcFace paper (Deng et al., CVPR 2019, figure 3): eight classes on a circle.

    python bench/toy_margin.py --out toy.png                              # made-up classes, a minute
    python bench/toy_margin.py --data cfp112.zip --up 2 --out toy.png     # faces of eight people
    python bench/toy_margin.py --scales 16 8 32 64 --json toy.json

A small network with two outputs is trained with NormSoftmax and with ArcFace: same data, first weights,
order, steps and learning rate, and the heads and class centres (`PartialFC`) that real training uses.
Measured, with three seeds: between each class and its neighbour on the circle, the gap from the 95th
percentile of one's angles to the 5th of the other's, negative where they overlap; and the mean angle to the
middle of the class. The circle is full, so that the mean gap says how narrow the classes are, 360°/8 = 45° at
most, and the smallest gap how evenly they lie: two classes in one place have a large mean gap, too.

Made-up classes are points in 16 dimensions around eight means, with a spread of their own along a few
directions; they are measured on points that were not trained on. Faces are measured on the pictures that were
trained on, as in the paper: with 14 per person there is nothing else to see in two dimensions.
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from lineament.train import heads
from lineament.train.examples import open_examples
from lineament.train.partial import PartialFC
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data, Part, part
from lineament.train.rows import RowSGD

CLASSES, PER_CLASS, DIMENSIONS, SIDE = 8, 1500, 16, 28
BATCH, MOMENTUM, DECAY = 128, 0.9, 5e-4
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """What is trained on and what is measured, and a network for it."""

    what: str
    train: tuple[Tensor, Tensor]
    seen: tuple[Tensor, Tensor]
    network: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One trained network: angles in degrees."""

    gaps: np.ndarray
    intra: float
    right: float
    loss: float
    feature: np.ndarray
    centre: np.ndarray
    label: np.ndarray


def made_up(seed: int, noise: float) -> Classes:
    """Eight noisy clusters in 16 dimensions; training points and fresh ones."""
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((CLASSES, DIMENSIONS))
    spread = noise * rng.standard_normal((CLASSES, DIMENSIONS, 4)) / 2

    def points(count: int) -> tuple[Tensor, Tensor]:
        label = np.repeat(np.arange(CLASSES), count)
        own = np.einsum("ndk,nk->nd", spread[label], rng.standard_normal((len(label), 4)))
        value = mean[label] + own + 0.5 * noise * rng.standard_normal((len(label), DIMENSIONS))
        return torch.from_numpy(value.astype(np.float32)), torch.from_numpy(label)

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Linear(DIMENSIONS, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
        )

    what = f"{CLASSES} made-up classes, {PER_CLASS} points each"
    return Classes(what, points(PER_CLASS), points(PER_CLASS // 3), network)


def faces(data: Data) -> Classes:
    """The eight people with most pictures, reduced to 28 pixels; each picture also mirrored."""
    with closing(open_examples(data)) as examples:
        count = np.bincount(examples.labels)
        people = np.argsort(-count, kind="stable")[:CLASSES].tolist()
        pixels, label = [], []
        for row in np.flatnonzero(np.isin(examples.labels, people)).tolist():
            crop = read_crop(examples, row, data.colour, data.size)
            if isinstance(crop, np.ndarray):
                pixels.append(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
                label.append(people.index(int(examples.labels[row])))
    value = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    number = torch.tensor(label)
    both = torch.cat([value, value.flip(3)]), torch.cat([number, number])

    def network() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, 2))

    return Classes(f"{CLASSES} people, {len(pixels)} pictures", both, both, network)


def trained(classes: Classes, head: Part, seed: int, steps: int, rate: float, warmup: float) -> Outcome:
    """Train one network and look at it."""
    torch.manual_seed(seed)
    network = classes.network()
    model = heads.build(head)
    centres = PartialFC(model, CLASSES, 2, seed=seed)
    centres.rows = RowSGD(MOMENTUM, DECAY)
    optimiser = torch.optim.SGD(network.parameters(), rate, momentum=MOMENTUM, weight_decay=DECAY)
    value, label = classes.train
    order = torch.Generator().manual_seed(seed)
    loss = torch.tensor(float("nan"))
    for step in range(steps):
        rows = torch.randint(len(value), (BATCH,), generator=order)
        now = rate * 0.5 * (1.0 + np.cos(np.pi * step / steps)) * min(1.0, (step + 1) / (0.02 * steps))
        optimiser.param_groups[0]["lr"] = now
        model.strength = min(1.0, step / (warmup * steps)) if warmup else 1.0
        centres.begin(label[rows], step)
        loss = centres(network(value[rows]), label[rows]).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        centres.step(float(now))
    network.eval()
    with torch.no_grad():
        feature = network(classes.seen[0]).numpy()
    return looked_at(feature, classes.seen[1].numpy(), centres.weight[:, 0].numpy(), loss.item())


def looked_at(feature: np.ndarray, label: np.ndarray, centre: np.ndarray, loss: float) -> Outcome:
    """Angles on the circle, in degrees, of features and class centres."""
    angle = np.degrees(np.arctan2(feature[:, 1], feature[:, 0]))
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    mean = np.array([unit[label == c].mean(axis=0) for c in range(CLASSES)])
    middle = np.degrees(np.arctan2(mean[:, 1], mean[:, 0]))
    # Signed angle from the middle of the class, so that nothing breaks at 180°.
    off = (angle - middle[label] + 180.0) % 360.0 - 180.0
    low, high = (np.array([np.percentile(off[label == c], q) for c in range(CLASSES)]) for q in (5, 95))
    round_ = np.argsort(middle)
    following = np.roll(round_, -1)
    gaps = (middle[following] - middle[round_]) % 360.0 + low[following] - high[round_]
    near = (unit @ (centre / np.linalg.norm(centre, axis=1, keepdims=True)).T).argmax(axis=1)
    return Outcome(gaps, float(np.abs(off).mean()), float((near == label).mean()), loss, unit, centre, label)


def figure(path: Path, what: str, shown: list[tuple[str, Outcome]]) -> None:
    """Features on the circle and class centres, a panel per loss."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, panels = pyplot.subplots(1, len(shown), figsize=(5.2 * len(shown), 6.4), facecolor="white")
    rng = np.random.default_rng(0)
    for panel, (name, found) in zip(panels, shown, strict=True):
        panel.add_patch(pyplot.Circle((0, 0), 1.0, fill=False, color="0.85", linewidth=1))
        # The radius means nothing: it lets points at one angle be seen side by side.
        radius = rng.uniform(0.9, 1.1, len(found.feature))[:, None]
        for number, colour in enumerate(COLOURS):
            own = (found.feature * radius)[found.label == number]
            panel.scatter(own[:, 0], own[:, 1], s=5, color=colour, alpha=0.45, linewidths=0)
            x, y = found.centre[number] / np.linalg.norm(found.centre[number])
            panel.plot([0, 0.86 * x], [0, 0.86 * y], color=colour, linewidth=1.8)
            panel.text(1.22 * x, 1.22 * y, str(number + 1), color=colour, ha="center", va="center", size=12)
        panel.set_title(
            f"{name}\n"
            f"gap between neighbours {found.gaps.min():.1f}° at least, {found.gaps.mean():.1f}° on average\n"
            f"{found.intra:.1f}° to the middle of a class, {found.right:.1%} right",
            size=11,
        )
        panel.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
        panel.axis("off")
    drawn.suptitle(f"{what}; features of two numbers, lines are class centres", size=12)
    # The title does not count in the layout of panels.
    drawn.tight_layout(rect=(0.0, 0.0, 1.0, 0.95))
    drawn.savefig(path, dpi=130)
    pyplot.close(drawn)


def spread(values: list[float], digits: int = 1) -> str:
    """Mean and range over the seeds."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="", help="aligned crops, instead of made-up classes")
    parser.add_argument("--up", type=int, default=1, help="as data.up")
    parser.add_argument("--scales", type=float, nargs="+", default=[16.0], help="s; the first is drawn")
    parser.add_argument("--margin", type=float, default=0.5, help="m of ArcFace, radians")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first is drawn")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate")
    parser.add_argument("--warmup", type=float, default=0.3, help="share of steps while the margin grows")
    parser.add_argument("--noise", type=float, default=1.0, help="spread of the made-up classes")
    parser.add_argument("--out", type=Path, help="the figure, .png")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(path=wanted.data, up=wanted.up)
    sets = {seed: faces(data) if wanted.data else made_up(seed, wanted.noise) for seed in wanted.seeds}
    what = sets[wanted.seeds[0]].what
    print(f"{what}; {wanted.steps} steps of {BATCH}, rate {wanted.rate}, {len(wanted.seeds)} seeds")
    print("| head | mean gap, ° | smallest gap, ° | within a class, ° | right, % | last loss |")
    print("|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    drawn: list[tuple[str, Outcome]] = []
    for scale in wanted.scales:
        for name, head in (
            (f"NormSoftmax, s = {scale:g}", part("normsoftmax", scale=scale)),
            (
                f"ArcFace, s = {scale:g}, m = {wanted.margin:g}",
                part("arcface", scale=scale, margin=wanted.margin),
            ),
        ):
            found = [
                trained(sets[seed], head, seed, wanted.steps, wanted.rate, wanted.warmup)
                for seed in wanted.seeds
            ]
            columns = (
                [float(f.gaps.mean()) for f in found],
                [float(f.gaps.min()) for f in found],
                [f.intra for f in found],
                [100.0 * f.right for f in found],
                [f.loss for f in found],
            )
            cells = [*(spread(c) for c in columns[:-1]), spread(columns[-1], 2)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            keys = ("gap", "smallest_gap", "intra", "right", "loss")
            rows.append({"head": name, "seeds": wanted.seeds, **dict(zip(keys, columns, strict=True))})
            if scale == wanted.scales[0]:
                drawn.append((name, found[0]))
    if wanted.json:
        wanted.json.write_text(
            json.dumps({"what": what, "command": sys.argv[1:], "rows": rows}, indent=1) + "\n"
        )
    if wanted.out:
        figure(wanted.out, what, drawn)


if __name__ == "__main__":
    main()
