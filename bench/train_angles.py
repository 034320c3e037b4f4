"""Angles of trained networks beside table 3 of the ArcFace paper (Deng et al., CVPR 2019).

    python bench/train_angles.py runs/a/step-00003790 cfp112.zip --up 2 --exclude shared.csv
    python bench/train_angles.py CHECKPOINT DATA --beside OTHER_CHECKPOINT --images lfw_crops.zip

DATA is what the checkpoints were trained on; persons without a class centre are left out. --images are
aligned crops of other people (`lineament train prepare`), a folder per person. --json prints one object per
checkpoint instead of the table. The paper's figures are of ResNet-50 on CASIA (10,575 people), and of LFW:
they say which way the losses differ, not what a small network on few people should reach.

Intra leaves out people with one picture, as a lone picture is its own centre; "with single" counts those at
0°. The paper does not say which it did, and 4,069 people in LFW have one picture.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from lineament.train.angles_of import AngleSource
from lineament.train.parallel import joined
from lineament.train.recipe import Data
from measure import machine

COLUMNS = ("W-EC", "W-Inter", "Intra1", "Inter1", "Intra2", "with single", "Inter2")
PAPER: dict[str, tuple[float | None, ...]] = {
    "paper: NormSoftmax": (44.26, 69.66, 50.50, 59.23, 33.97, None, 65.60),
    "paper: ArcFace": (14.29, 71.61, 38.45, 65.83, 28.05, None, 66.55),
}


def measured(checkpoint: Path, data: Data, images: Data | None, device: str) -> dict[str, Any]:
    """Angles of one checkpoint on training data and on other people."""
    begin = time.process_time()
    with joined(device) as processes:
        source = AngleSource.load(checkpoint, processes)
        size = source.recipe.data.size
        sets = {"training": source.on_training_data(dataclasses.replace(data, size=size))}
        if images is not None:
            sets["other"] = source.on_other_people(dataclasses.replace(images, size=size))
    found: dict[str, Any] = {name: dataclasses.asdict(of) for name, of in sets.items()}
    head = source.recipe.head
    return {
        "checkpoint": str(checkpoint),
        "recipe": source.recipe.name,
        "head": {"kind": head.kind, **head.options},
        "seed": source.recipe.seed,
        "cpu_seconds": round(time.process_time() - begin, 1),
        **found,
    }


def row(found: dict[str, Any]) -> tuple[float | None, ...]:
    """The columns of the table."""
    first = found["training"]["angles"]
    second = found.get("other", {}).get("angles", {})
    return (
        *(first[name] for name in ("w_ec", "w_inter", "intra", "inter")),
        *(second.get(name) for name in ("intra", "intra_with_single", "inter")),
    )


def line(name: str, values: tuple[float | None, ...]) -> str:
    """One row, `–` for what was not measured."""
    return f"| {name} | " + " | ".join("–" if v is None else f"{v:.2f}" for v in values) + " |"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", help="what it was trained on")
    parser.add_argument("--up", type=int, default=1, help="as data.up")
    parser.add_argument("--exclude", default="", help="as data.exclude")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="one more checkpoint")
    parser.add_argument("--images", default="", help="aligned crops of other people")
    parser.add_argument("--images-up", type=int, default=1)
    parser.add_argument("--images-exclude", default="")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    data = Data(path=wanted.data, up=wanted.up, exclude=wanted.exclude)
    images = Data(path=wanted.images, up=wanted.images_up, exclude=wanted.images_exclude)
    every = [
        measured(checkpoint, data, images if wanted.images else None, wanted.device)
        for checkpoint in (wanted.checkpoint, *wanted.beside)
    ]
    if wanted.json:
        json.dump(every, sys.stdout, indent=1)
        print()
        return
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"| degrees | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for found in every:
        print(line(f"{found['recipe']}, seed {found['seed']}", row(found)))
    for name, values in PAPER.items():
        print(line(name, values))
    for found in every:
        sets = [(w, found[w]) for w in ("training", "other") if w in found]
        counts = "; ".join(
            "{0}: {pictures:,} pictures of {classes:,} people, {single:,} with one".format(w, **m["angles"])
            + f" ({m['other_persons']} people without a centre and {m['broken']} broken pictures left out)"
            for w, m in sets
        )
        print(f"{found['checkpoint']}: {counts}; {found['cpu_seconds']} CPU-s")


if __name__ == "__main__":
    main()
