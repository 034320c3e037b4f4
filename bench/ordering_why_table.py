"""Table of `bench/ordering_why.sh`: what every run reached on people it trained on, and on those held out.

Usage: python bench/ordering_why_table.py OUTPUT_FOLDER_OF_ordering_why.sh
"""

import json
import sys
from pathlib import Path
from typing import Any


def rows_of(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in a run's log."""
    lines = (run / "log.jsonl").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def main(out: Path) -> None:
    """Print one line per run; the accuracy is that of the last logged steps, on logits without margin."""
    print(
        f"{'run':26} {'steps':>5} {'trained on %':>12} {'own cosine':>10}  held out: TAR at FMR 1e-2 %, AUC"
    )
    for run in sorted(out.glob("*/done")):
        step, held = rows_of(run.parent, "step")[-1], rows_of(run.parent, "validation")[-1]
        low, high = 100 * held["tar_low"], 100 * held["tar_high"]
        print(
            f"{run.parent.name:26} {step['step']:5}  {100 * step['accuracy']:13.1f} {step['own_cosine']:11.3f}"
            f"  {100 * held['tar']:.1f} ({low:.1f} to {high:.1f}), {held['auc']:.4f};"
            f" {held['mated']:,} mated and {held['nonmated']:,} non-mated comparisons"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
