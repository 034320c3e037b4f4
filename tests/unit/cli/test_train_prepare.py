"""`lineament train prepare`: the evaluation's own crops, every failure named, resumable, atomic."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.cli import exits
from lineament.cli.train.prepare import prepare_command
from lineament.cli.train.unfinished import Unfinished
from lineament.core.errors import LineamentError, OutputFailed
from lineament.core.ports import Acquired
from lineament.datasets.pictures import open_pictures
from lineament.datasets.recordio import RecordFile
from lineament.evaluate.bordered import Bordered
from lineament.pipeline.acquire import FromPhotographs
from lineament.pipeline.crops import EncodedCrop, SubjectCrops
from lineament.pipeline.recognizer import Analysis

PHOTOGRAPHS = 30
PROGRAM = (
    "import sys; from lineament.cli.train.prepare import prepare_command as c; "
    "c.main(sys.argv[1:], standalone_mode=False)"
)


def prepare(*arguments: object) -> int:
    """The exit code of the command line."""
    try:
        return prepare_command.main([str(a) for a in arguments], standalone_mode=False)
    except LineamentError as error:
        return exits.code_of(error)


def save(path: Path, pixels: np.ndarray, **how: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **how)


@pytest.fixture(scope="session")
def people(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two persons: plain, turned by its EXIF mark, large, and large with a small second face."""
    folder = tmp_path_factory.mktemp("people")
    save(folder / "Ada/1.png", astronaut)
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    save(folder / "Ada/1.jpg", np.rot90(astronaut).copy(), quality=95, exif=turned)
    large = cv2.resize(astronaut, (3000, 3000), interpolation=cv2.INTER_CUBIC)
    save(folder / "Bob/large.jpg", large, quality=90)
    with_another = large.copy()
    with_another[2700:, :300] = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA)
    save(folder / "Bob/two.jpg", with_another, quality=90)
    return folder


@pytest.fixture(scope="session")
def recognizer() -> ln.Recognizer:
    return ln.Recognizer(runtime=ln.RuntimeOptions(threads=2))


def embedded_crop(recognizer: ln.Recognizer, encoded: bytes) -> np.ndarray:
    """The crop whose template an evaluation takes for a photograph."""
    inspected: list[Analysis] = []

    class Watched(FromPhotographs):
        def _one(self, analysis: Analysis | None, error: LineamentError | None) -> Acquired:
            assert analysis is not None
            inspected.append(analysis)
            return super()._one(analysis, error)

    (acquired,) = Watched(recognizer).acquire_many([encoded])
    found = inspected[0]
    assert acquired.template is not None
    assert found.faces.templates is not None and found.crops is not None
    rows = np.flatnonzero((found.faces.templates.vectors == acquired.template.vector).all(axis=1))
    return found.crops.pixels[rows[0]]


def crops_of(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as opened:
        return {name: np.asarray(PIL.Image.open(BytesIO(opened.read(name)))) for name in opened.namelist()}


def check_against_evaluation(
    recognizer: ln.Recognizer, photos: Path, crops: Path, pairs: dict[str, str], border: float = 0.0
) -> None:
    found = crops_of(crops)
    assert sorted(found) == sorted(pairs.values())
    pictures = open_pictures(photos)
    bordered = Bordered(pictures, border) if border else pictures
    for name, target in pairs.items():
        expected = embedded_crop(recognizer, bordered.read(name))
        assert np.array_equal(found[target], expected), name
    pictures.close()


def test_crops_are_those_that_an_evaluation_embeds(
    people: Path, recognizer: ln.Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "crops.zip"
    assert prepare(people, "-o", out, "--lossless", "--json", "--threads", 2) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == {
        "output": str(out), "format": "zip", "pictures": 4, "crops": 4, "persons": 2, "persons_lost": [],
        "several_faces": 1, "failures": {}, "failed": [],
    }  # fmt: skip
    pairs = {
        "Ada/1.jpg": "Ada/1.png", "Ada/1.png": "Ada/1-2.png",
        "Bob/large.jpg": "Bob/large.png", "Bob/two.jpg": "Bob/two.png",
    }  # fmt: skip
    check_against_evaluation(recognizer, people, out, pairs)
    assert [p.name for p in tmp_path.iterdir()] == ["crops.zip"]


def test_the_recognition_network_is_not_even_opened(people: Path):
    recognizer = ln.Recognizer(runtime=ln.RuntimeOptions(threads=1))
    pictures = open_pictures(people)
    assert next(SubjectCrops(recognizer).crop_many(pictures, ["Ada/1.png"], "jpeg")).content
    detector, recognition = recognizer.parts().sessions
    assert detector._opened is not None
    assert recognition._opened is None


def test_jpeg_crops_are_close_and_stored(people: Path, tmp_path: Path):
    assert prepare(people, "-o", tmp_path / "a.zip") == 0
    assert prepare(people, "-o", tmp_path / "b.zip", "--lossless") == 0
    near, exact = crops_of(tmp_path / "a.zip"), crops_of(tmp_path / "b.zip")
    assert [name[:-4] for name in near] == [name[:-4] for name in exact]
    for a, b in zip(near.values(), exact.values(), strict=True):
        assert a.shape == (112, 112, 3)
        assert 0 < np.abs(a.astype(int) - b).mean() < 4
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}


def test_every_failure_is_named(astronaut: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    photos = tmp_path / "photos"
    small = astronaut[:300, 80:380]
    save(photos / "Ada/good.jpg", small)
    save(photos / "Ada/wall.png", np.full((200, 200, 3), 90, np.uint8))
    (photos / "Ada/empty.jpg").write_bytes(b"")
    (photos / "Ada/cut.jpg").write_bytes((photos / "Ada/good.jpg").read_bytes()[:2000])
    (photos / "Ada/gone.jpg").symlink_to(photos / "nowhere.jpg")
    save(photos / "Bob/good.jpg", small[:, ::-1])
    save(photos / "Cy/two.jpg", np.concatenate([small, small[:, ::-1]], axis=1))
    assert prepare(photos, "-o", tmp_path / "c.zip", "--policy", "exactly_one", "--json") == 8
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert {record["path"]: record["reason"] for record in summary["failed"]} == {
        "Ada/cut.jpg": "image_truncated", "Ada/empty.jpg": "image_empty", "Ada/gone.jpg": "image_not_found",
        "Ada/wall.png": "no_face", "Cy/two.jpg": "multiple_faces",
    }  # fmt: skip
    assert all(record["message"] for record in summary["failed"])
    assert summary["failures"]["no_face"] == 1
    assert (summary["pictures"], summary["crops"], summary["persons"]) == (7, 2, 2)
    assert summary["persons_lost"] == ["Cy"]
    assert "--border" in captured.err
    assert sorted(crops_of(tmp_path / "c.zip")) == ["Ada/good.jpg", "Bob/good.jpg"]
    assert prepare(photos, "-o", tmp_path / "d.zip", "--policy", "exactly_one") == 8
    captured = capsys.readouterr()
    for name in ("Ada/cut.jpg: image_truncated", "Ada/wall.png: no_face", "Cy: no crop"):
        assert name in captured.err
    assert "2 crops of 2 persons from 7 photographs; 5 left out" in captured.out


def test_nothing_is_written_when_no_photograph_gives_a_crop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("Ada", "Bob"):
        save(tmp_path / "photos" / name / "wall.png", np.full((200, 200, 3), 90, np.uint8))
    assert prepare(tmp_path / "photos", "-o", tmp_path / "c.zip", "--json") == 2
    assert json.loads(capsys.readouterr().out)["output"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


@pytest.fixture(scope="session")
def many(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    small = astronaut[:240, 100:340]
    for number in range(PHOTOGRAPHS):
        save(folder / f"P{number // 6}" / f"{number:02d}.jpg", np.roll(small, number, axis=1), quality=85)
    (folder / "P0/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


def interrupt(arguments: Sequence[object], journal: Path) -> None:
    """Run the command and stop it with Ctrl-C after a few photographs."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert 5 <= journal.read_bytes().count(b"\n") - 1 < PHOTOGRAPHS


@pytest.mark.parametrize("output", ["c.zip", "c.rec"])
def test_interrupted_and_resumed_it_writes_the_same_bytes(
    many: Path, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
):
    whole, out = tmp_path / "whole" / output, tmp_path / output
    whole.parent.mkdir()
    assert prepare(many, "-o", whole, "--threads", 1) == 8
    partial = tmp_path / f"{output}.partial"
    interrupt([many, "-o", out, "--threads", 1], partial / "journal")
    assert not out.exists()
    assert stat.S_IMODE(partial.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in partial.iterdir()} == {0o600}
    kept = (partial / "crops").read_bytes()
    # As a power failure leaves it: half a crop without its line, and half a line.
    (partial / "crops").write_bytes(kept + b"half a crop")
    (partial / "journal").write_bytes((partial / "journal").read_bytes()[:-10])
    capsys.readouterr()
    assert prepare(many, "-o", out, "--border", 0.5) == 3  # other settings: refused
    assert prepare(many, "-o", out, "--json") == 8
    assert json.loads(capsys.readouterr().out)["failures"] == {"image_truncated": 1}
    assert files_of(out) == files_of(whole)
    assert not partial.exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def files_of(path: Path) -> dict[str, bytes]:
    """Contents of a file, or of those in a folder."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in found}


def test_what_was_done_is_not_done_again_unless_it_changed(many: Path, tmp_path: Path):
    out = tmp_path / "c.zip"
    photos = tmp_path / "photos"
    shutil.copytree(many, photos)
    partial = tmp_path / "c.zip.partial"
    interrupt([photos, "-o", out, "--threads", 1], partial / "journal")
    done = [json.loads(line)["name"] for line in (partial / "journal").read_bytes().splitlines()[1:]]
    first, second = [name for name in done if "broken" not in name][:2]
    before = (photos / first).stat()
    (photos / first).write_bytes(b"x" * before.st_size)
    os.utime(photos / first, ns=(before.st_atime_ns, before.st_mtime_ns))  # nobody can tell
    (photos / second).write_bytes(b"another file")
    assert prepare(photos, "-o", out) == 8
    names = set(crops_of(out))
    assert first in names
    assert second not in names


def test_damaged_unfinished_work_is_noticed(tmp_path: Path):
    folder = tmp_path / "c.zip.partial"
    with Unfinished(folder, {"border": 0}) as unfinished:
        for name in ("a", "b"):
            unfinished.add(EncodedCrop(name, name.encode() * 500, faces=1), "stamp")
    data = bytearray((folder / "crops").read_bytes())
    data[-1] ^= 1
    (folder / "crops").write_bytes(data)
    with Unfinished(folder, {"border": 0}) as unfinished:
        assert unfinished.has("b", "stamp") and not unfinished.has("b", "another")
        assert unfinished.get("a").content == b"a" * 500
        with pytest.raises(OutputFailed, match="damaged at the crop of b: delete that folder"):
            unfinished.get("b")
    (folder / "journal").unlink()  # as half-deleted: what lies there belongs to nothing
    with Unfinished(folder, {"border": 1}) as unfinished:
        assert not unfinished.has("a", "stamp")
        unfinished.remove()
    assert not folder.exists()


def test_a_finished_output_is_left_alone(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("c.zip", "c.rec"):
        out = tmp_path / name
        assert prepare(people, "-o", out) == 0
        before = files_of(out)
        with pytest.raises(LineamentError, match=r"finished already.*--force"):
            prepare_command.main([str(people), "-o", str(out)], standalone_mode=False)
        assert files_of(out) == before
        assert prepare(people, "-o", out, "--force", "--lossless") == 0
        assert files_of(out) != before
        assert prepare(people, "-o", out, "--force") == 0
        assert files_of(out) == before
    (tmp_path / "c.rec/mine.txt").write_text("x")
    assert prepare(people, "-o", tmp_path / "c.rec", "--force") == 3
    assert (tmp_path / "c.rec/mine.txt").exists()


def test_places_that_are_refused(people: Path, tmp_path: Path):
    (tmp_path / "file.rec").write_bytes(b"x")
    (tmp_path / "x.zip.partial").mkdir()
    (tmp_path / "x.zip.partial/mine.txt").write_text("x")
    zipped = tmp_path / "photos.zip"
    with zipfile.ZipFile(zipped, "w") as opened:
        opened.write(people / "Ada/1.png", "Ada/1.png")
        opened.write(people / "Ada/1.jpg", "Bob/1.jpg")
    before = zipped.read_bytes()
    for arguments, code in (
        ((people, "-o", tmp_path / "crops"), 3),
        ((people, "-o", tmp_path / "file.rec", "--force"), 3),
        ((people, "-o", tmp_path / "x.zip"), 3),
        ((people, "-o", people, "--format", "recordio"), 3),
        ((zipped, "-o", zipped, "--force"), 3),
        ((people, "-o", tmp_path / "no/such/place.zip"), 9),
        ((people / "Ada", "-o", tmp_path / "y.zip"), 4),
        ((people, "-o", tmp_path / "y.zip", "--up", "2"), 4),
        ((people, "-o", tmp_path / "y.zip", "--model", "no-such-pack"), 5),
        ((people, "-o", tmp_path / "y.zip", "--provider", "NoSuchProvider"), 6),
        ((zipped, "-o", tmp_path / "z.zip"), 0),
    ):
        assert prepare(*arguments) == code, arguments
    assert zipped.read_bytes() == before
    assert list(crops_of(tmp_path / "z.zip")) == ["Ada/1.jpg", "Bob/1.jpg"]


def test_names_that_a_zip_cannot_hold(people: Path, tmp_path: Path):
    small = PIL.Image.open(people / "Ada/1.png").convert("RGB")
    for person in ("Ada", "C:", "Bob\\Cy", "D\u2028E"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        small.save(tmp_path / "photos" / person / "1\\2.png")
        if person != "Ada":
            with pytest.raises(LineamentError, match="rename it"):
                prepare_command.main(
                    [str(tmp_path / "photos"), "-o", str(tmp_path / "c.zip")], standalone_mode=False
                )
            (tmp_path / "photos" / person).rename(tmp_path / "photos" / f"Person {ord(person[0])}")
    assert prepare(tmp_path / "photos", "-o", tmp_path / "c.zip") == 0
    assert sorted(crops_of(tmp_path / "c.zip")) == [
        "Ada/1_2.jpg",
        "Person 66/1_2.jpg",
        "Person 67/1_2.jpg",
        "Person 68/1_2.jpg",
    ]


@pytest.mark.parametrize("output", ["c.zip", "c.rec", "records"])
def test_it_can_be_trained_on(people: Path, tmp_path: Path, output: str):
    from lineament.train.examples import open_examples
    from lineament.train.recipe import Data

    photos = tmp_path / "photos"
    for name in ("Ada/left/1.png", "Ada/right/1.png", "Bob/left/1.png"):
        (photos / name).parent.mkdir(parents=True)
        (photos / name).write_bytes((people / "Ada/1.png").read_bytes())
    save(photos / "Abe/left/wall.png", np.full((99, 99, 3), 9, np.uint8))
    kind = ["--format", "recordio"] if output == "records" else []
    assert prepare(photos, "-o", tmp_path / output, "--up", 2, "--lossless", *kind) == 8
    examples = open_examples(Data(path=str(tmp_path / output)))
    persons = [examples.classes[label] for label in examples.labels.tolist()]
    if output == "c.zip":
        assert [examples.name(row) for row in range(3)] == [
            "Ada/left_1.png", "Ada/right_1.png", "Bob/left_1.png",
        ]  # fmt: skip
    else:
        assert (tmp_path / output / "property").read_text() == "2,112,112\n"
        file = RecordFile(tmp_path / output / "train.rec")
        assert not file.rebuilt
        file.close()
    assert persons == ["Ada", "Ada", "Bob"]
    for row in range(3):
        pixels = ln.read_image(examples.read(row)).pixels
        assert pixels.shape == (112, 112, 3)
    examples.close()


def test_photographs_cut_tightly_need_a_border(
    shared: Path, recognizer: ln.Recognizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Photographs of LFW, cut to their middle 160 pixels."""
    photos = tmp_path / "photos"
    with zipfile.ZipFile(shared / "data/lfw/lfw160.zip") as opened:
        for name in [n for n in opened.namelist() if n.endswith(".jpg")][:16]:
            opened.extract(name, photos)
    out = tmp_path / "c.zip"
    code = prepare(photos, "-o", out, "--border", 0.5, "--lossless", "--json", "--threads", 2)
    summary = json.loads(capsys.readouterr().out)
    assert summary["pictures"] == 16
    assert summary["crops"] >= 15
    assert code == (8 if summary["failed"] else 0)
    failed = {record["path"] for record in summary["failed"]}
    names = [n for n in open_pictures(photos).names if n not in failed]
    check_against_evaluation(
        recognizer, photos, out, {n: n.replace(".jpg", ".png") for n in names}, border=0.5
    )


def test_a_real_crowd_and_a_portrait(shared: Path, recognizer: ln.Recognizer, tmp_path: Path):
    photos = tmp_path / "photos"
    for person, name in (("A", "solvay1927.jpg"), ("B", "astronaut.jpg")):
        (photos / person).mkdir(parents=True)
        (photos / person / name).write_bytes((shared / "fixtures/images" / name).read_bytes())
    out = tmp_path / "c.zip"
    assert prepare(photos, "-o", out, "--lossless", "--threads", 2) == 0
    names = open_pictures(photos).names
    check_against_evaluation(recognizer, photos, out, {n: n.replace(".jpg", ".png") for n in names})
