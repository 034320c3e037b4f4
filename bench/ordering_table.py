"""Tables of `bench/ordering.sh`: every head over its seeds, and ArcFace less every other, paired by seed.

Usage: python bench/ordering_table.py OUTPUT_FOLDER_OF_ordering.sh
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HEADS = ("softmax", "normsoftmax", "cosface", "arcface")
ANGLES = ("w_ec", "w_inter", "intra", "inter")


def figures(folder: Path) -> dict[str, float]:
    """What one run reached; shares in per cent, angles in degrees."""
    view2 = json.loads((folder / "view2.json").read_text("utf-8"))["results"]
    blufr = json.loads((folder / "blufr.json").read_text("utf-8"))["results"]["verification"]["mean_sd"]
    point = next(p for p in view2["verification"]["points"] if p["target"] == 1e-2)
    found = {
        "View 2 accuracy %": 100 * view2["accuracy"]["mean"],
        "View 2 AUC": view2["verification"]["auc"],
        "View 2 TAR at 1e-2 %": 100 * point["tar"],
        "BLUFR VR at 1e-3 %": 100 * blufr["vr_at_far_0.001"]["mean"],
        "BLUFR DIR at 1e-2 %": 100 * blufr["dir_at_far_0.01_rank_1"]["mean"],
    }
    angles = folder / "angles.json"
    if angles.is_file():
        trained: dict[str, Any] = json.loads(angles.read_text("utf-8"))["training data"]
        found |= {f"{name} °": trained[name] for name in ANGLES if trained.get(name) is not None}
    return found


def shown(values: list[float]) -> str:
    """Mean ± standard deviation over seeds, and the values."""
    spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
    return f"{np.mean(values):8.3f} ± {spread:5.3f}  ({', '.join(f'{v:.3f}' for v in values)})"


def main(out: Path) -> None:
    """Print both tables."""
    runs = {h: {f.name.rpartition("-")[2]: figures(f) for f in sorted(out.glob(f"{h}-*"))} for h in HEADS}
    for name in next(iter(runs["arcface"].values())):
        print(f"\n{name}: mean ± standard deviation over seeds")
        for head, seeds in runs.items():
            print(f"  {head:12} {shown([seed[name] for seed in seeds.values()])}")
        for head in HEADS[:-1]:
            both = sorted(set(runs["arcface"]) & set(runs[head]))
            gains = [runs["arcface"][s][name] - runs[head][s][name] for s in both]
            half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
            mean = float(np.mean(gains))
            print(f"  arcface − {head:12} {mean:+.3f}, 95 % {mean - half:+.3f} to {mean + half:+.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
