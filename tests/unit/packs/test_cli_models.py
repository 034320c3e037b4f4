"""`lineament models`, as a person types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lineament.cli.models import models
from lineament.core.errors import (
    InvalidArgument,
    LicenceNotAccepted,
    LineamentError,
    PackBroken,
    PackNotFound,
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LINEAMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


def type_in(*words: str, answer: str = "") -> Result:
    result = CliRunner().invoke(models, list(words), input=answer)
    if result.exception is not None and not isinstance(result.exception, LineamentError):
        raise result.exception
    return result


def test_list_before_and_after(networks):
    text = type_in("list").output
    assert "opencv-zoo" in text
    assert "ready at first use" in text
    assert "buffalo_l" in text
    type_in("install", str(networks.face_pack()), "--name", "mine")
    body = json.loads(type_in("list", "--json").output)
    states = {row["name"]: (row["state"], row["commercial"]) for row in body["packs"]}
    assert states["mine"] == ("installed", None)
    assert states["buffalo_s"] == ("can be installed", False)


def test_list_shows_a_damaged_card_and_goes_on(networks, home):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    (home / "packs" / "mine" / "card.json").write_text("{")
    assert "damaged" in type_in("list").output


def test_show_prints_everything_the_card_says():
    text = type_in("show").output
    for word in (
        "detection (yunet)", "recognition (embedding)", "112×112", "128 numbers", "arcface-112", "rgb", "bgr",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        "Commercial use: yes", "MIT", "Apache-2.0", "Source:", "Training data:", "ArcFace loss",
    ):  # fmt: skip
        assert word in text
    body = json.loads(type_in("show", "--json").output)
    assert body["name"] == "opencv-zoo"
    assert body["folder"].endswith("opencv-zoo")


def test_install_with_preprocessing(networks):
    path = str(networks.face_pack())
    text = type_in(
        "install", path, "--name", "mine", "--colour", "bgr", "--mean", "127.5", "--std", "128"
    ).output
    assert "Installed mine (detection, recognition)" in text
    assert "as told: bgr, mean 127.5, std 128" in text
    body = json.loads(type_in("show", "mine", "--json").output)
    recogniser = next(m for m in body["models"] if m["task"] == "recognition")
    assert (recogniser["colour"], recogniser["std"]) == ("bgr", 128.0)


def test_a_known_pack_is_not_fetched_before_its_terms_are_accepted():
    error = type_in("install", "buffalo_l").exception
    assert isinstance(error, LicenceNotAccepted)
    assert "--accept-licence" in error.message
    assert "https://github.com/deepinsight/insightface#license" in error.message


def test_terms_bind_whatever_the_file_is_called(networks_in, tmp_path):
    networks = networks_in(tmp_path / "copied")
    networks.face_pack()
    networks.vector("w600k_mbf.onnx")
    (tmp_path / "copied" / "rec.onnx").unlink()
    assert isinstance(type_in("install", str(tmp_path / "copied")).exception, LicenceNotAccepted)
    assert type_in("install", str(tmp_path / "copied"), "--accept-licence").exception is None


def test_verify_prints_the_table_and_then_refuses(networks, home):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    assert type_in("verify", "mine").exception is None
    (home / "packs" / "mine" / "rec.onnx").write_bytes(b"changed")
    (home / "packs" / "mine" / "extra.txt").write_text("x")
    result = type_in("verify")
    assert isinstance(result.exception, PackBroken)
    lines = [line.split() for line in result.output.splitlines()]
    assert ["mine", "rec.onnx", "damaged"] in lines
    assert ["mine", "extra.txt", "extra"] in lines
    result = type_in("verify", "mine", "--json")
    (report,) = json.loads(result.stdout)
    assert (report["sound"], report["damaged"]) == (False, ["rec.onnx"])


def test_remove_asks_first(networks, home):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    assert isinstance(type_in("remove", "mine", answer="n\n").exception, InvalidArgument)
    assert (home / "packs" / "mine").is_dir()
    assert type_in("remove", "mine", answer="y\n").exception is None
    assert not (home / "packs" / "mine").exists()
    assert isinstance(type_in("remove", "mine", "--yes").exception, PackNotFound)


def test_show_prints_thresholds(networks, home):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    path = home / "packs" / "mine" / "card.json"
    body = json.loads(path.read_text())
    body["thresholds"] = [
        {
            "value": 0.4123, "fmr": 1e-4, "interval": [0.40, 0.43], "fmr_interval": [5e-5, 2e-4],
            "fnmr": 0.0123, "comparisons": 123456, "false_matches": 12, "subjects": 99, "dataset": "made up",
            "model": {"name": "mine/rec", "digest": "ab" * 32}, "date": "2026-01-01", "method": "by hand",
            "gallery_size": None,
        }
    ]  # fmt: skip
    path.write_text(json.dumps(body))
    text = type_in("show", "mine").output
    for word in ("0.0001", "0.4123", "0.4000", "0.4300", "1.23%", "123,456", "made up", "mine/rec@abab"):
        assert word in text
