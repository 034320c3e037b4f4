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
    print(f"{'run':26} steps  trained on, %  own cosine  held out: TAR at FMR 1e-2 in %, AUC")
    for run in sorted(out.glob("*/done")):
        step, held = rows_of(run.parent, "step")[-1], rows_of(run.parent, "validation")[-1]
        right, own, tar = 100 * step["accuracy"], step["own_cosine"], 100 * held["tar"]
        low, high = 100 * held["tar_low"], 100 * held["tar_high"]
        print(
            f"{run.parent.name:26} {step['step']:5}  {right:13.1f}  {own:10.3f}  {tar:.1f} "
            f"({low:.1f} to {high:.1f}), {held['auc']:.4f}; {held['mated']:,} mated and "
            f"{held['nonmated']:,} non-mated comparisons"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
