"""What users of other products complain about, one test a row of the study of those products.

The numbers are the rows of that study; each docstring says the complaint and what we owe instead.
"""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.cli.main import main
from lineament.core.errors import ImageTruncated, ImageUnreadable, InvalidArgument

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recognizer() -> ln.Recognizer:
    return ln.Recognizer()


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "portrait.jpg"
    PIL.Image.fromarray(astronaut).save(path, quality=95)
    return path


def codes(verdict: ln.Verdict) -> set[str]:
    return {reason.code for reason in verdict.reasons}


def beside(large: np.ndarray, small: np.ndarray) -> np.ndarray:
    """A selfie of `large` with a small photograph of `small` held beside it."""
    inset = cv2.resize(small, (large.shape[1] // 2, large.shape[0] // 2), interpolation=cv2.INTER_AREA)
    canvas = np.full((large.shape[0], large.shape[1] + inset.shape[1], 3), 90, np.uint8)
    canvas[:, : large.shape[1]] = large
    canvas[: inset.shape[0], large.shape[1] :] = inset
    return canvas


class TestRow01:
    """A selfie with somebody's photograph beside it is accepted as that somebody: best pair of any faces."""

    def test_it_is_not_accepted(self, recognizer: ln.Recognizer, shared: Path):
        a, b = (ln.read_image(shared / f"fixtures/images/cc0/{n}.jpg").pixels for n in ("001", "031"))
        selfie = beside(b, a)
        assert len(recognizer.analyze(selfie, colour="rgb")) == 2
        verdict = recognizer.compare(a, selfie, fmr=1e-3, colour="rgb")
        assert verdict.decision is ln.Decision.NO_COMPARISON
        assert not verdict.match
        assert "multiple_faces" in codes(verdict)

    def test_largest_uses_the_person_and_says_that_there_was_a_choice(
        self, recognizer: ln.Recognizer, shared: Path
    ):
        a, b = (ln.read_image(shared / f"fixtures/images/cc0/{n}.jpg").pixels for n in ("001", "031"))
        verdict = recognizer.compare(a, beside(b, a), fmr=1e-3, policy="largest", colour="rgb")
        assert verdict.decision is ln.Decision.NO_MATCH
        assert "multiple_faces" in codes(verdict)
        assert verdict.b is not None
        assert verdict.b.box[0] < b.shape[1]

    def test_the_same_with_one_persons_picture(self, recognizer: ln.Recognizer, astronaut: np.ndarray):
        verdict = recognizer.compare(astronaut, beside(astronaut, astronaut), fmr=1e-3, colour="rgb")
        assert verdict.decision is ln.Decision.NO_COMPARISON


def test_row_02_no_face_means_no_decision(recognizer: ln.Recognizer, portrait: Path):
    """With detection not enforced the whole picture is embedded and "always matches"."""
    import skimage.data

    verdict = recognizer.compare(portrait, skimage.data.coffee(), fmr=1e-3, colour="rgb")
    assert verdict.decision is ln.Decision.NO_COMPARISON
    assert verdict.similarity is None
    assert "no_face" in codes(verdict)


def test_row_03_booleans_are_booleans():
    """The text "false" switches an option on."""
    for make in (
        lambda: ln.RuntimeOptions(allow_fallback="false"),
        lambda: ln.DetectionSettings(clip="false"),
        lambda: ln.DetectionSettings(tight=0),
        lambda: ln.PartSettings(refine="false"),
    ):
        with pytest.raises((InvalidArgument, TypeError)):
            make()
    assert main(["compare", "a.jpg", "b.jpg", "--json=false"]) == 3


@pytest.mark.parametrize(
    "name", ["Ricard_Sánchez_한글.jpg", "🙂 with spaces.jpg", "x" * 251 + ".jpg", "-dash.jpg", "a'b\"c.jpg"]
)
def test_row_04_names_of_any_script_work(name: str, portrait: Path, tmp_path: Path, capsys):
    """Files with other than ASCII names raise, or are silently left out of a folder."""
    shutil.copy(portrait, tmp_path / name)
    assert main(["compare", "--json", "--fmr", "1e-3", "--", str(portrait), str(tmp_path / name)]) == 0
    table = tmp_path / "out.jsonl"
    assert main(["embed", str(tmp_path), "-o", str(table)]) == 0
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    assert [row["path"] for row in rows] == [name]
    assert rows[0]["status"] == "ok"


def test_row_05_a_bad_file_does_not_stop_the_folder(portrait: Path, tmp_path: Path, capsys):
    """One text file named .jpg ends the whole run with a traceback."""
    shutil.copy(portrait, tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("hello")
    shutil.copy(portrait, tmp_path / "c.jpg")
    (tmp_path / "readme.txt").write_text("no picture, and nobody says it is one")
    table = tmp_path / "out.jsonl"
    assert main(["embed", str(tmp_path), "-o", str(table), "--json"]) == 8
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [(row["path"], row["status"]) for row in rows] == [
        ("a.jpg", "ok"),
        ("b.jpg", "image_unreadable"),
        ("c.jpg", "ok"),
    ]
    summary = json.loads(capsys.readouterr().out)
    assert summary["other_files"] == 1
    assert [f["path"] for f in summary["failed"]] == ["b.jpg"]


def test_row_06_truncated_is_its_own_reason(recognizer: ln.Recognizer, portrait: Path):
    """A truncated JPEG decodes to grey and is reported as "no face"."""
    data = portrait.read_bytes()
    for share in (0.3, 0.6, 0.95):
        with pytest.raises(ImageTruncated):
            recognizer.analyze(data[: int(len(data) * share)])
    assert len(recognizer.analyze(data)) == 1


class TestRow07:
    """Turned photographs of telephones are not found: EXIF is ignored."""

    def test_all_eight_marks(self, recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path):
        upright = PIL.Image.fromarray(astronaut[:400])
        undo = {
            1: [],
            2: [PIL.Image.Transpose.FLIP_LEFT_RIGHT],
            3: [PIL.Image.Transpose.ROTATE_180],
            4: [PIL.Image.Transpose.FLIP_TOP_BOTTOM],
            5: [PIL.Image.Transpose.TRANSPOSE],
            6: [PIL.Image.Transpose.ROTATE_90],
            7: [PIL.Image.Transpose.TRANSVERSE],
            8: [PIL.Image.Transpose.ROTATE_270],
        }
        base = recognizer.analyze(astronaut[:400], colour="rgb")[0]
        for mark, steps in undo.items():
            stored = upright
            for step in steps:
                stored = stored.transpose(step)
            exif = PIL.Image.Exif()
            exif[0x0112] = mark
            path = tmp_path / f"exif{mark}.jpg"
            stored.save(path, quality=97, exif=exif)
            faces = recognizer.analyze(path)
            assert len(faces) == 1, mark
            assert np.abs(faces[0].box - base.box).max() < 3, mark
            assert faces[0].template.similarity(base.template) > 0.99, mark

    def test_the_fixtures(self, recognizer: ln.Recognizer, shared: Path):
        folder = shared / "fixtures/images/odd"
        faces = [recognizer.analyze(folder / f"exif_{mark}.jpg") for mark in range(1, 9)]
        assert [len(f) for f in faces] == [1] * 8
        for other in faces[1:]:
            assert other[0].template.similarity(faces[0][0].template) > 0.99
            assert np.abs(other[0].box - faces[0][0].box).max() < 3


def test_row_09_content_counts_not_the_suffix(
    recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path
):
    """WebP content under a .jpg name empties the whole base; .JPG is not seen."""
    PIL.Image.fromarray(astronaut).save(tmp_path / "x.webp", quality=95)
    shutil.copy(tmp_path / "x.webp", tmp_path / "webp-inside.jpg")
    PIL.Image.fromarray(astronaut).save(tmp_path / "upper.JPG", format="JPEG", quality=95)
    shutil.copy(tmp_path / "upper.JPG", tmp_path / "no-suffix")
    table = tmp_path / "out.jsonl"
    assert main(["embed", str(tmp_path), "-o", str(table)]) == 0
    rows = {r["path"]: r["status"] for r in map(json.loads, table.read_text().splitlines())}
    assert rows == {"x.webp": "ok", "webp-inside.jpg": "ok", "upper.JPG": "ok", "no-suffix": "ok"}


def test_row_10_webp_and_heic(recognizer: ln.Recognizer, shared: Path):
    """Photographs of telephones end in "unknown error"."""
    folder = shared / "fixtures/images/odd"
    for name in ("face.webp", "face.heic", "face.avif", "face.tif", "animated.gif", "rgba.png", "cmyk.jpg"):
        assert len(recognizer.analyze(folder / name)) == 1, name
    blocked = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from lineament.cli.main import main\n"
        f"sys.exit(main(['detect', {str(folder / 'face.heic')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert 'pip install "lineament[heic]"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_row_11_a_tiny_picture_is_not_guessed_about(recognizer: ln.Recognizer, astronaut: np.ndarray):
    """A picture 40 pixels wide: nothing, or a guess. We say that the face is too small."""
    head = astronaut[0:220, 120:340]
    for side in (16, 24, 40):
        tiny = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
        verdict = recognizer.compare(astronaut, tiny, fmr=1e-3, colour="rgb")
        assert verdict.decision is ln.Decision.NO_COMPARISON, side
        assert codes(verdict) & {"no_face", "face_too_small"}, side


def test_row_15_one_score_one_decision(recognizer: ln.Recognizer, astronaut: np.ndarray):
    """Cosine says no and Euclid says yes about the same pair. There is one score, and it has no order."""
    other = cv2.GaussianBlur(astronaut[:, ::-1], (0, 0), 1.5)
    there = recognizer.compare(astronaut, other, fmr=1e-3, colour="rgb")
    back = recognizer.compare(other, astronaut, fmr=1e-3, colour="rgb")
    assert there.similarity == pytest.approx(back.similarity, abs=1e-6)
    assert there.decision is back.decision
    a, b = there.a.template.vector.astype(np.float64), there.b.template.vector.astype(np.float64)
    # Every monotone function of the angle gives the same order: squared distance is 2 − 2·cosine.
    assert ((a - b) ** 2).sum() == pytest.approx(2 - 2 * there.similarity, abs=1e-5)


def test_row_30_every_way_in_gives_the_same_template(
    recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path
):
    """Blue and red are swapped on one way in, and accuracy falls quietly."""
    path = tmp_path / "p.png"
    PIL.Image.fromarray(astronaut).save(path)
    ways = {
        "path": recognizer.analyze(path),
        "str": recognizer.analyze(str(path)),
        "bytes": recognizer.analyze(path.read_bytes()),
        "file": recognizer.analyze(io.BytesIO(path.read_bytes())),
        "pil": recognizer.analyze(PIL.Image.open(path)),
        "rgb": recognizer.analyze(astronaut, colour="rgb"),
        "bgr": recognizer.analyze(astronaut[:, :, ::-1], colour="bgr"),
        "image": recognizer.analyze(ln.read_image(path)),
        "float": recognizer.analyze(
            (astronaut / 255).astype(np.float32), colour="rgb", value_range=(0.0, 1.0)
        ),
    }
    base = ways["path"][0].template
    for name, faces in ways.items():
        assert faces[0].template.similarity(base) > 0.9999, name
    swapped = recognizer.analyze(astronaut, colour="bgr")
    assert swapped[0].template.similarity(base) < 0.999


@pytest.mark.slow
def test_row_31_memory_stays_flat(shared: Path):
    """Memory grows with every request. 5,000 pictures of mixed sizes: flat after the first 500."""
    command = [sys.executable, "bench/memory.py", "--pictures", "5000", "--shared", str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_not_a_picture_is_named(recognizer: ln.Recognizer):
    with pytest.raises(ImageUnreadable):
        recognizer.analyze(b"hello")
