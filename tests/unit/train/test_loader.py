"""From rows to pixels: the same on any number of processes and threads, resumed, and with broken pictures."""

import io
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lineament.core.errors import DatasetInvalid, RecipeInvalid
from lineament.datasets.recordio_write import write_recordio
from lineament.train.augment import augment
from lineament.train.crops import decode_crop
from lineament.train.examples import Examples, open_examples
from lineament.train.loader import Loader, StepBatch, picture_rng
from lineament.train.recipe import Augment, Data
from lineament.train.sampler import Persons, Shuffled
from lineament.vision.decode import read_image

ALL = Augment(flip=0.5, crop=0.3, low_resolution=0.3, colour=0.3, gray=0.2, mask=0.3)
BATCH, MICRO = 24, 4


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def crops(astronaut: np.ndarray) -> list[np.ndarray]:
    return [astronaut[7 * n : 7 * n + 112, 11 * n : 11 * n + 112] for n in range(36)]


@pytest.fixture(scope="module")
def examples(crops: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    """Twelve persons of six pictures; JPEG, some of them PNG, gray or progressive."""
    files = [encoded(crop) for crop in crops]
    files += [encoded(crop, "PNG") for crop in crops[:12]]
    files += [encoded(crop[..., 0]) for crop in crops[:12]]
    files += [encoded(crop, progressive=True) for crop in crops[:12]]
    folder = tmp_path_factory.mktemp("data")
    write_recordio(folder, [files[n::12] for n in range(12)])
    with closing(open_examples(Data(path=str(folder)))) as found:
        yield found


@pytest.fixture
def broken(crops: list[np.ndarray], tmp_path: Path) -> Iterator[Examples]:
    """Six persons of six pictures; rows 3, 4, 5, 20 and the last cannot be used."""
    files = [encoded(crop) for crop in crops]
    files[3] = files[3][:1000]
    files[4] = b"no picture"
    files[5] = b""
    files[20] = encoded(crops[0][:100])
    files[35] = encoded(np.zeros((1, 1, 3), np.uint8), "PNG")
    write_recordio(tmp_path, [files[n : n + 6] for n in range(0, 36, 6)])
    with closing(open_examples(Data(path=str(tmp_path)))) as found:
        yield found


REASONS = {
    "0/4": "image_truncated",
    "0/5": "image_unreadable",
    "0/6": "image_empty",
    "3/21": "crop_size",
    "5/36": "crop_size",
}


def loader(examples: Examples, changes: Augment = ALL, **options: Any) -> Loader:
    sampler = Shuffled(examples.labels, BATCH, 5)
    return Loader(examples, sampler, changes, **{"micro_batch": MICRO, "seed": 9, **options})


def steps(made: Loader, first: int, count: int) -> list[StepBatch]:
    with closing(made.steps(first)) as stream:
        return list(islice(stream, count))


def assert_equal(one: StepBatch, two: StepBatch) -> None:
    assert one.step == two.step and one.broken == two.broken
    for a, b in zip(one.micro, two.micro, strict=True):
        assert a.number == b.number
        for name in ("pixels", "label", "index"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_step_is_what_its_definition_says(examples: Examples) -> None:
    sampler = Shuffled(examples.labels, BATCH, 5)
    for batch in steps(loader(examples), 2, 3):
        rows = sampler.indices(batch.step)
        assert [m.number for m in batch.micro] == list(range(6)) and batch.broken == ()
        assert np.concatenate([m.index for m in batch.micro]).tolist() == rows.tolist()
        assert np.concatenate([m.label for m in batch.micro]).tolist() == examples.labels[rows].tolist()
        pixels = np.concatenate([m.pixels for m in batch.micro])
        assert pixels.dtype == np.uint8 and pixels.shape == (24, 112, 112, 3)
        for position, row in enumerate(rows.tolist()):
            plain = read_image(examples.read(row)).pixels
            wanted = augment(plain, ALL, picture_rng(9, batch.step, position))
            np.testing.assert_array_equal(pixels[position], wanted)


@pytest.mark.parametrize("world", [2, 3, 6])
def test_any_number_of_processes_sees_the_same(examples: Examples, world: int) -> None:
    alone = steps(loader(examples), 0, 4)
    parts = [steps(loader(examples, rank=rank, world=world), 0, 4) for rank in range(world)]
    for number, whole in enumerate(alone):
        micro = sorted((m for part in parts for m in part[number].micro), key=lambda m: m.number)
        assert [m.number for m in parts[1][number].micro] == list(range(1, 6, world))
        assert_equal(whole, StepBatch(whole.step, tuple(micro), ()))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 1), (5, 4)])
def test_threads_change_nothing(examples: Examples, broken: Examples, threads: int, ahead: int) -> None:
    for data in (examples, broken):
        wanted = steps(loader(data, threads=1, ahead=2), 0, 3)
        for one, two in zip(wanted, steps(loader(data, threads=threads, ahead=ahead), 0, 3), strict=True):
            assert_equal(one, two)


def test_a_resumed_run_goes_on_as_if_uninterrupted(examples: Examples) -> None:
    wanted = steps(loader(examples), 0, 6)
    for first in (1, 4):
        for one, two in zip(wanted[first:], steps(loader(examples), first, 6 - first), strict=True):
            assert_equal(one, two)


def test_chance_differs_by_seed_step_and_place(examples: Examples) -> None:
    draws = {
        picture_rng(seed, step, place).random()
        for seed in (0, 1, -1)
        for step in range(5)
        for place in range(5)
    }
    assert len(draws) == 75
    one, two = steps(loader(examples), 0, 1), steps(loader(examples, seed=10), 0, 1)
    assert not np.array_equal(one[0].micro[0].pixels, two[0].micro[0].pixels)


def test_it_ends_at_the_limit(examples: Examples) -> None:
    assert [b.step for b in loader(examples, limit=5).steps(2)] == [2, 3, 4]
    assert list(loader(examples, limit=5).steps(5)) == []


def test_persons_per_batch(examples: Examples) -> None:
    made = Loader(examples, Persons(examples.labels, 24, 6, 0), Augment(), micro_batch=24, seed=0)
    (batch,) = steps(made, 0, 1)
    assert sorted(np.bincount(batch.micro[0].label, minlength=12).tolist()) == [0] * 6 + [4] * 6


def test_swapped_channels(examples: Examples) -> None:
    plain = Augment(flip=0.0)
    (rgb,) = steps(loader(examples, plain), 0, 1)
    (bgr,) = steps(loader(examples, plain, colour="bgr"), 0, 1)
    np.testing.assert_array_equal(rgb.micro[0].pixels, bgr.micro[0].pixels[..., ::-1])


def test_broken_pictures_are_replaced_and_named_once(broken: Examples) -> None:
    made = loader(broken, Augment(flip=0.5))
    sampler, names = Shuffled(broken.labels, BATCH, 5), []
    instead = {3: 6, 4: 6, 5: 6, 20: 21, 35: 0}
    for batch in steps(made, 0, 12):
        rows = [instead.get(row, row) for row in sampler.indices(batch.step).tolist()]
        index = np.concatenate([m.index for m in batch.micro])
        assert index.tolist() == rows
        assert np.concatenate([m.label for m in batch.micro]).tolist() == broken.labels[rows].tolist()
        pixels = np.concatenate([m.pixels for m in batch.micro])
        for position, row in enumerate(rows):
            plain, rng = read_image(broken.read(row)).pixels, picture_rng(9, batch.step, position)
            np.testing.assert_array_equal(pixels[position], augment(plain, Augment(flip=0.5), rng))
        names += batch.broken
    assert sorted(names) == [f"{name}: {reason}" for name, reason in REASONS.items()]
    assert dict(sorted(made.broken.items())) == REASONS


def test_broken_pictures_are_the_same_on_several_processes(broken: Examples) -> None:
    alone = steps(loader(broken), 0, 6)
    parts = [steps(loader(broken, rank=rank, world=2), 0, 6) for rank in range(2)]
    for number, whole in enumerate(alone):
        micro = sorted((m for part in parts for m in part[number].micro), key=lambda m: m.number)
        assert_equal(StepBatch(number, whole.micro, ()), StepBatch(number, tuple(micro), ()))


def test_data_of_another_size_are_refused(examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match=r"72 pictures in a row from .*crop_size.*128×128"):
        steps(loader(examples, size=128), 0, 1)
    write_recordio(tmp_path, [[b"x"] * 90, [b"y"] * 90])
    with (
        closing(open_examples(Data(path=str(tmp_path)))) as found,
        pytest.raises(DatasetInvalid, match="100 pictures in a row"),
    ):
        steps(loader(found), 0, 1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"micro_batch": 5}, "batch = 24 is not a multiple of micro_batch = 5"),
        ({"micro_batch": 0}, "micro_batch = 0"),
        ({"world": 4}, "6 micro-batches of 4, which cannot be shared among 4 processes.*multiple of 16"),
        ({"world": 2, "rank": 2}, "process 2 of 2"),
        ({"threads": 0}, "threads = 0"),
        ({"ahead": -1}, "ahead = -1"),
    ],
)
def test_numbers_that_do_not_fit(examples: Examples, options: Mapping[str, Any], why: str) -> None:
    with pytest.raises(RecipeInvalid, match=why):
        loader(examples, **options)


def ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("lineament-loader")]


def test_threads_stop_with_the_steps(examples: Examples, tmp_path: Path) -> None:
    assert not ours()
    stream = loader(examples, threads=3).steps(0)
    next(stream)
    assert ours()
    stream.close()
    assert not ours()
    list(loader(examples, limit=2).steps(0))
    assert not ours()
    # An interruption in the body of the loop.
    with pytest.raises(KeyboardInterrupt), closing(loader(examples).steps(0)) as going:
        for _ in going:
            raise KeyboardInterrupt
    assert not ours()
    with pytest.raises(DatasetInvalid):
        next(loader(examples, size=64).steps(0))
    assert not ours()


def test_closing_does_not_wait_for_what_was_prepared(examples: Examples) -> None:
    stream = loader(examples, threads=1, ahead=200).steps(0)
    next(stream)
    begin = time.monotonic()
    stream.close()
    assert time.monotonic() - begin < 1.0 and not ours()


def test_steps_are_prepared_ahead(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, asked = Shuffled(examples.labels, BATCH, 5), list[int]()
    original = Shuffled.indices

    def noting(self: Shuffled, step: int) -> np.ndarray:
        asked.append(step)
        return original(self, step)

    monkeypatch.setattr(Shuffled, "indices", noting)
    with closing(Loader(examples, sampler, ALL, micro_batch=4, seed=0, ahead=3).steps(7)) as stream:
        assert asked == []
        assert next(stream).step == 7 and asked == [7, 8, 9, 10]
        assert next(stream).step == 8 and asked == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("quality", [30, 75, 95, 100])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]
)
def test_crops_are_decoded_as_photographs_are(
    crops: list[np.ndarray], quality: int, options: Mapping[str, Any]
) -> None:
    for pixels in (crops[0], crops[1][..., 1]):
        data = encoded(pixels, quality=quality, **options)
        np.testing.assert_array_equal(decode_crop(data, 112, "x"), read_image(data).pixels)


def test_turned_and_other_pictures_are_decoded_as_photographs_are(crops: list[np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    four = np.dstack([crops[0], np.full((112, 112), 128, np.uint8)])
    for data in (
        *(encoded(crops[0], exif=exif.tobytes()), encoded(crops[0], "PNG"), encoded(crops[0], "WEBP")),
        *(encoded(four, "PNG"), encoded(crops[0], "BMP")),
    ):
        np.testing.assert_array_equal(decode_crop(data, 112, "x"), read_image(data).pixels)
    assert not np.array_equal(
        decode_crop(encoded(crops[0], exif=exif.tobytes()), 112, "x"),
        decode_crop(encoded(crops[0]), 112, "x"),
    )


@pytest.mark.real
def test_every_crop_of_cfp(shared: Path) -> None:
    path = shared / "data" / "cfp" / "cfp112.zip"
    if not path.is_file():
        pytest.skip("needs the crops of CFP")
    with closing(open_examples(Data(path=str(path), up=2))) as found:
        for row in range(0, len(found), 53):
            data = found.read(row)
            np.testing.assert_array_equal(decode_crop(data, 112, "x"), read_image(data).pixels)
