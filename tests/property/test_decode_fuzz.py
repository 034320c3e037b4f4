"""Ten thousand damaged pictures: each is answered with an image or a named reason, and nothing else.

The work is done in a process of its own, so that a crash in a decoder's C code would be seen as such.
Run it with -s for the table of outcomes.
"""

import faulthandler
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import pytest

SEED = 20_260_101
# A mutated header may announce anything: what is within these limits is really decoded.
MOST_PIXELS = 20_000_000

REASONS = {
    "image",
    "image_empty",
    "image_unreadable",
    "image_truncated",
    "image_too_large",
    "image_zero_sized",
    "image_format_unsupported",
}


def seeds() -> dict[str, bytes]:
    """Small files of every format, made by code."""
    import numpy as np
    import skimage.data
    from PIL import Image

    face = Image.fromarray(np.ascontiguousarray(skimage.data.astronaut()[40:200:2, 160:320:2]))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (face, "JPEG", {"exif": exif.tobytes()}),
        "jpeg progressive": (face, "JPEG", {"progressive": True}),
        "jpeg restarts": (face, "JPEG", {"restart_marker_blocks": 2}),
        "jpeg cmyk": (face.convert("CMYK"), "JPEG", {}),
        "png": (face, "PNG", {"exif": exif.tobytes()}),
        "png palette": (face.quantize(32), "PNG", {"transparency": 3}),
        "png animated": (face, "PNG", {"save_all": True, "append_images": [face.rotate(90)]}),
        "gif": (face, "GIF", {"save_all": True, "append_images": [face.rotate(90)]}),
        "webp": (face, "WEBP", {"exif": exif.tobytes()}),
        "webp lossless": (face.convert("RGBA"), "WEBP", {"lossless": True}),
        "tiff": (face, "TIFF", {"exif": exif}),
        "tiff lzw": (face, "TIFF", {"compression": "tiff_lzw"}),
        "tiff jpeg": (face, "TIFF", {"compression": "jpeg"}),
        "bmp": (face, "BMP", {}),
        "avif": (face, "AVIF", {"speed": 10}),
        "jpeg 2000": (face, "JPEG2000", {}),
        "pnm": (face, "PPM", {}),
    }
    made: dict[str, bytes] = {}
    for name, (image, kind, options) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made[name] = buffer.getvalue()
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        buffer = io.BytesIO()
        pillow_heif.from_pillow(face).save(buffer, quality=60)
        made["heic"] = buffer.getvalue()
    return made


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three random damages; two in five of them in the first 200 bytes, where the headers are."""
    for _ in range(rng.randint(1, 3)):
        if not data:
            return data
        at = rng.randrange(min(len(data), 200) if rng.random() < 0.4 else len(data))
        length = rng.choice((1, 2, 4, 8, 32, 200))
        match rng.randrange(6):
            case 0:
                flipped = data[at] ^ (1 << rng.randrange(8))
                data = data[:at] + bytes((flipped,)) + data[at + 1 :]
            case 1:
                run = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
                data = data[:at] + run + data[at + length :]
            case 2:
                data = data[:at]
            case 3:
                data = data[:at] + rng.randbytes(length) + data[at:]
            case 4:
                data = data[:at] + data[at + length :]
            case _:
                first, second = sorted((at, rng.randrange(len(data))))
                end = min(len(data), second + length)
                data = data[:first] + data[second:end] + data[first:second] + data[end:]
    return data


def answer(data: bytes, at_least: int | None) -> str:
    """`image`, or the reason that was named."""
    from lineament.core.errors import LineamentError
    from lineament.vision.decode import open_picture
    from lineament.vision.sources import Limits

    try:
        picture = open_picture(data, limits=Limits(max_pixels=MOST_PIXELS))
        image = picture.decode(at_least)
    except LineamentError as error:
        if not error.message.strip():
            raise ValueError("an error without a message") from error
        return error.reason
    if image.full_size != picture.full_size or image.pixels.shape[2] != 3:
        raise ValueError("an image that is not what was announced")
    if at_least is None and image.pixels.shape[:2] != picture.full_size:
        raise ValueError("a full image of another size")
    return "image"


def remarks_during(work: Callable[[], None]) -> list[str]:
    """What C libraries write to standard error meanwhile, line by line."""
    usual = os.dup(2)
    faulthandler.enable(file=usual)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            work()
        finally:
            os.dup2(usual, 2)
        file.seek(0)
        return file.read().decode(errors="replace").splitlines()


def main(number: int) -> None:
    """Damage every seed, `number` files in all, and print the outcomes as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    made = seeds()
    for name, data in made.items():
        if (first := answer(data, None)) != "image":
            raise ValueError(f"the undamaged {name} file is answered with {first}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    table: dict[str, Counter[str]] = {name: Counter() for name in made}

    def work(name: str) -> None:
        rng = random.Random(f"{SEED} {name}")  # noqa: S311  (mutations, not secrets)
        for index in range(-(-number // len(made))):
            data = mutate(made[name], rng)
            try:
                table[name][answer(data, 32 if rng.random() < 0.3 else None)] += 1
            except BaseException as error:
                # The bytes are what someone needs to look into it.
                raise ValueError(f"file {index} of {name}: {data.hex()}") from error

    remarks = {name: remarks_during(partial(work, name)) for name in made}
    spent = time.process_time() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    json.dump({"table": table, "remarks": remarks, "seconds": spent, "grown_mib": grown}, sys.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits memory with rlimit")
def test_ten_thousand_damaged_files() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", __file__, "10000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    result = json.loads(done.stdout)
    columns = sorted({reason for row in result["table"].values() for reason in row})
    print()  # noqa: T201  (the table, shown by -s)
    for name, row in result["table"].items():
        print(f"{name:18}", *(f"{reason} {row.get(reason, 0)}" for reason in columns))  # noqa: T201  (the table, shown by -s)
    print(f"{result['seconds']:.1f} s of CPU, {result['grown_mib']:.0f} MiB more at the peak")  # noqa: T201  (the table, shown by -s)
    assert sum(sum(row.values()) for row in result["table"].values()) >= 10_000
    assert set(columns) <= REASONS
    assert all(len(row) > 2 for row in result["table"].values())
    assert sum(row.get("image", 0) for row in result["table"].values()) > 1000
    # Three bytes and four bytes a pixel, twice, of the largest picture allowed.
    assert result["grown_mib"] < 2 * 7 * MOST_PIXELS / 1e6
    # A remark about an undefined code is all that a JPEG file can cause (see plain_jpeg.py), libtiff remarks
    # on whatever it cannot decode (see pixels.py), and all others are silent.
    for name, remarks in result["remarks"].items():
        if name.startswith("tiff"):
            continue
        assert set(remarks) <= ({"Corrupt JPEG data: bad Huffman code"} if name.startswith("jpeg") else set())
    assert result["seconds"] < 90


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
