"""How many training pictures per second the loader delivers, from a RecordIO file of 112×112 JPEG crops.

The crops are parts of scikit-image's astronaut with noise, quality 95, about 8 kB each, as in the data sets
that are shared for training. The file is in the page cache: a disk is not measured. Best of three runs each.

    python bench/train_loader.py [--pictures 4000] [--threads 1 2]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from lineament.datasets.recordio_write import write_recordio
from lineament.train.augment import augment
from lineament.train.crops import decode_crop
from lineament.train.examples import Examples, open_examples
from lineament.train.loader import Loader
from lineament.train.recipe import Augment, Data
from lineament.train.sampler import Shuffled

OFF = Augment(flip=0.0)
SETTINGS = {
    "none": OFF,
    "flip": Augment(),
    "AdaFace (flip, 0.2 each)": Augment(crop=0.2, low_resolution=0.2, colour=0.2),
    "all (and gray 0.1, mask 0.1)": Augment(crop=0.2, low_resolution=0.2, colour=0.2, gray=0.1, mask=0.1),
}
ALONE = {
    "flip": Augment(flip=1.0),
    "crop": Augment(flip=0.0, crop=1.0),
    "low_resolution": Augment(flip=0.0, low_resolution=1.0),
    "colour": Augment(flip=0.0, colour=1.0),
    "gray": Augment(flip=0.0, gray=1.0),
    "mask": Augment(flip=0.0, mask=1.0),
}
BATCH = 256


def crop(rng: np.random.Generator) -> bytes:
    """One encoded crop."""
    y, x = rng.integers(0, 400, 2)
    pixels = skimage.data.astronaut()[y : y + 112, x : x + 112, ::-1] + rng.normal(0, 4, (112, 112, 3))
    done, data = cv2.imencode(
        ".jpg", np.clip(pixels, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    assert done
    return data.tobytes()


def best(run: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> float:
    """Pictures per second of the best of three runs."""
    found = 0.0
    for _ in range(3):
        begin = clock()
        count = run()
        found = max(found, count / (clock() - begin))
    return found


def load(examples: Examples, settings: Augment, threads: int) -> int:
    """One pass over the data; how many pictures it gave."""
    sampler = Shuffled(examples.labels, BATCH, 0)
    loader = Loader(examples, sampler, settings, micro_batch=BATCH // 2, seed=0, threads=threads)
    with closing(loader.steps(0)) as steps:
        return sum(len(m.index) for batch in islice(steps, sampler.steps_per_epoch) for m in batch.micro)


def parts(examples: Examples) -> None:
    """Microseconds of one core per picture, of each part alone."""
    data = [examples.read(row) for row in range(500)]
    pixels = [decode_crop(encoded, 112, "") for encoded in data]

    def decode() -> int:
        for encoded in data:
            decode_crop(encoded, 112, "")
        return len(data)

    def read() -> int:
        for row in range(500):
            examples.read(row)
        return 500

    print("| part | µs of one core per picture |\n|---|---|")
    print(f"| read | {1e6 / best(read, time.thread_time):.1f} |")
    print(f"| decode | {1e6 / best(decode, time.thread_time):.1f} |")
    for name, settings in ALONE.items():

        def change(settings: Augment = settings) -> int:
            rng = np.random.default_rng(0)
            for picture in pixels:
                augment(picture, settings, rng)
            return len(pixels)

        print(f"| {name} | {1e6 / best(change, time.thread_time):.1f} |")


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    wanted = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        made = [crop(rng) for _ in range(wanted.pictures)]
        write_recordio(Path(folder), [made[n : n + 10] for n in range(0, len(made), 10)])
        size = sum(map(len, made)) / len(made)
        begin = time.perf_counter()
        with closing(open_examples(Data(path=folder))) as examples:
            took = time.perf_counter() - begin
            print(f"{examples.describe()}, {size / 1000:.1f} kB each; opened in {took:.2f} s\n")
            parts(examples)
            print(
                "\n| augmentation | "
                + " | ".join(f"{n} threads" for n in wanted.threads)
                + " | µs of a core |"
            )
            print("|---|---|" + "---|" * len(wanted.threads))
            for name, settings in SETTINGS.items():
                cost = 1e6 / best(lambda s=settings: load(examples, s, 1), time.process_time)
                speeds = [best(lambda s=settings, n=n: load(examples, s, n)) for n in wanted.threads]
                print(f"| {name} | " + " | ".join(f"{speed:.0f}/s" for speed in speeds) + f" | {cost:.0f} |")


if __name__ == "__main__":
    main()
