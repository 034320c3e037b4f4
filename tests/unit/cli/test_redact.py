"""Redaction: nothing that our own detector finds remains, and what the command says is true."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.cli.main import main
from lineament.core.errors import InvalidArgument
from lineament.pipeline.parts import PartSettings
from lineament.vision.draw import redact

STYLES = ("fill", "pixelate", "blur")


def faces_in(path: Path) -> int:
    """As sensitive as the command itself: every turn, no second look."""
    adjust = {"angles": (0, 90, 180, 270), "threshold": 0.3}
    return len(ln.Recognizer(settings=PartSettings(adjust=adjust, refine=False)).detect(path))


@pytest.mark.parametrize("style", STYLES)
def test_no_face_is_left_and_the_rest_is_kept(samples: Path, tmp_path: Path, style: str):
    out = tmp_path / "out.png"
    assert main(["redact", str(samples / "two-people.jpg"), "-o", str(out), "--style", style]) == 0
    assert faces_in(out) == 0
    before, after = (ln.read_image(p).pixels for p in (samples / "two-people.jpg", out))
    assert before.shape == after.shape
    assert 0.3 < (before == after).all(axis=2).mean() < 1.0
    assert not PIL.Image.open(out).getexif()


@pytest.mark.parametrize("style", STYLES)
def test_a_group_of_29(shared: Path, tmp_path: Path, style: str):
    out = tmp_path / "out.jpg"
    photo = shared / "fixtures/images/solvay1927.jpg"
    assert main(["redact", str(photo), "-o", str(out), "--style", style]) == 0
    assert faces_in(out) == 0


@pytest.mark.parametrize("style", STYLES)
def test_the_drawing_alone_is_strong(astronaut: np.ndarray, style: str):
    """Without the second search: the region has no more colours than 2 x 2 cells can give."""
    box = np.array([[180, 60, 280, 180]], np.float32)
    hidden = redact(astronaut, box, style, 0.0)[60:180, 180:280]
    corners = hidden[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    assert (hidden.reshape(-1, 3) <= corners.max(axis=0) + 1).all()
    assert (hidden.reshape(-1, 3) >= corners.min(axis=0) - 1).all()


def test_the_default_is_grey(samples: Path, tmp_path: Path):
    for options in ([], ["--style", "fill"]):
        main(["redact", str(samples / "collins.jpg"), "-o", str(tmp_path / f"{len(options)}.png"), *options])
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_what_still_looks_like_a_face_is_reported(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("lineament.cli.redact.redact_pixels", lambda pixels, *_: pixels)
    command = ["redact", str(samples / "collins.jpg"), "-o", str(tmp_path / "o.jpg")]
    assert main(command) == 2
    assert "like a face" in capsys.readouterr().out
    assert main([*command, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["remaining"]


def test_no_face_means_an_unredacted_copy(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "o.png"
    photo = str(samples / "coffee.jpg")
    assert main(["redact", photo, "-o", str(out), "--sensitivity", "1"]) == 2
    assert "unredacted" in capsys.readouterr().out


def test_the_original_is_kept_unless_told(samples: Path, tmp_path: Path):
    photo = tmp_path / "p.jpg"
    photo.write_bytes((samples / "collins.jpg").read_bytes())
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    before = photo.read_bytes()
    assert main(["redact", str(photo), "-o", str(photo)]) == 3
    assert main(["redact", str(photo), "-o", str(link)]) == 3
    assert photo.read_bytes() == before
    assert main(["redact", str(photo), "-o", str(photo), "--overwrite"]) == 0
    assert photo.read_bytes() != before


def test_it_says_what_is_not_kept(astronaut: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    picture = PIL.Image.fromarray(astronaut)
    picture.putalpha(128)
    picture.save(tmp_path / "a.png")
    frames = [PIL.Image.fromarray(astronaut), PIL.Image.fromarray(astronaut[::-1])]
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    for name, word in (("a.png", "transparency"), ("b.tif", "first page of 2")):
        main(["redact", str(tmp_path / name), "-o", str(tmp_path / "o.png")])
        assert word in capsys.readouterr().out


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), -0.1])
def test_margins(astronaut: np.ndarray, margin: float):
    with pytest.raises(InvalidArgument, match="margin"):
        redact(astronaut, np.zeros((0, 4), np.float32), "fill", margin)
