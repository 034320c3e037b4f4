"""`python -m lineament.train RECIPE`, which is what torchrun starts: the same as `lineament train RECIPE`."""

import importlib
import sys

if __name__ == "__main__":
    # By name: the command line is above training, and training imports nothing from above.
    raise SystemExit(importlib.import_module("lineament.cli").main(["train", *sys.argv[1:]]))
