"""Is memory flat over thousands of pictures of mixed sizes?

    python bench/memory.py                   # 5,000 pictures, about two minutes on two cores
    python bench/memory.py --pictures 600    # a short look
    python bench/memory.py --pack FOLDER     # another pack than the default one

Pictures of 64 to 1,600 pixels and any shape between go through `analyze_many`. Resident memory is read after
the warm-up (the first tenth, 500 of 5,000) and at the end; flat means that it grew by less than 50 MB. Exit
code 1 when it did not stay flat.
"""

import argparse
import gc
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lineament import Recognizer
from photographs import mixed_sizes, originals

LIMIT_MB = 50.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident megabytes after the warm-up, at the end, and at each tenth."""

    warm: float
    end: float
    course: tuple[float, ...]

    @property
    def growth(self) -> float:
        """Megabytes gained after the warm-up."""
        return self.end - self.warm


def resident() -> float:
    """Resident memory of this process, MB (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watch(recognizer: Recognizer, images: Path, pictures: int, warm_up: int) -> tuple[Memory, int]:
    """Send the pictures through, and say how memory went and how many faces there were."""
    faces, warm = 0, 0.0
    course: list[float] = []
    whole = originals(images)  # kept to the end, so that freeing it hides no growth
    for result in recognizer.analyze_many(mixed_sizes(whole, pictures)):
        faces += len(result.faces)
        number = result.index + 1
        if number == warm_up:
            warm = resident()
        if number % max(1, pictures // 10) == 0:
            course.append(resident())
    memory = Memory(warm, resident(), tuple(course))
    del whole
    return memory, faces


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--pack", help="name or folder of a pack")
    arguments = parser.parse_args()
    if arguments.pictures < 20:
        parser.error("at least 20 pictures")
    start = time.perf_counter()
    images = arguments.shared / "fixtures/images"
    recognizer = Recognizer(arguments.pack)
    memory, faces = watch(recognizer, images, arguments.pictures, arguments.pictures // 10)
    seconds = time.perf_counter() - start
    flat = memory.growth < LIMIT_MB
    print(f"{arguments.pictures} pictures, {faces} faces, {seconds:.0f} s; resident MB at each tenth:")
    print("  " + " ".join(f"{mb:.0f}" for mb in memory.course))
    print(
        f"after warm-up {memory.warm:.0f} MB, at the end {memory.end:.0f} MB: grew by {memory.growth:.0f} MB "
        f"(limit {LIMIT_MB:.0f}): {'flat' if flat else 'NOT flat'}"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
