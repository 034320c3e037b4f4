"""`lineament models`, as a person types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lineament.cli.main import cli
from lineament.core.errors import (
    InvalidArgument,
    LicenceNotAccepted,
    LineamentError,
    PackBroken,
    PackNotFound,
    PackUnrecognised,
)
from lineament.packs.catalogue import DEFAULT_NAMES
from lineament.packs.default import DEFAULT_NAME


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LINEAMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


def type_in(*words: str, answer: str = "") -> Result:
    # From the outermost command: click keeps on each command the settings that it was first run with.
    result = CliRunner().invoke(cli, ["models", *words], input=answer)
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


def test_list_does_not_call_a_pack_installed_whose_weights_are_gone(networks, home):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    type_in("install", str(networks.face_pack()), "--name", "other")
    (home / "packs" / "mine" / "rec.onnx").unlink()
    (home / "packs" / "other" / "rec.onnx").write_bytes(b"cut")
    rows = {row["name"]: row for row in json.loads(type_in("list", "--json").output)["packs"]}
    assert (rows["mine"]["state"], rows["other"]["state"]) == ("damaged", "damaged")
    assert "rec.onnx is missing" in rows["mine"]["summary"]


def test_list_hashes_nothing_that_looks_as_it_did(networks, home, monkeypatch):
    type_in("install", str(networks.face_pack()), "--name", "mine")
    monkeypatch.setattr("lineament.packs.integrity.sha256_of", lambda path: pytest.fail(f"hashed {path}"))
    assert "installed" in type_in("list").output


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
    assert "Commercial use: unstated\n" in text
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


def test_verify_ends_with_what_to_do_for_every_damaged_pack(networks, home):
    type_in("install", "default")
    for name in ("first", "mine"):
        type_in("install", str(networks.face_pack()), "--name", name)
    (home / "packs" / "mine" / "rec.onnx").unlink()
    (home / "packs" / "first" / "card.json").write_text("{")
    (home / "packs" / "opencv-zoo" / "face_detection_yunet_2023mar.onnx").write_bytes(b"changed")
    result = type_in("verify")
    assert isinstance(result.exception, PackBroken)
    first, mine, default = result.exception.message.split("; and ")
    assert "card.json is not a readable pack card" in first
    assert first.endswith("remove it with `lineament models remove first`, then install it again")
    assert mine.endswith("remove it with `lineament models remove mine`, then install it again")
    assert default.endswith("install it again with `lineament models install opencv-zoo`")
    assert type_in("install", "opencv-zoo").exception is None
    assert type_in("verify", "opencv-zoo").exception is None


def test_a_different_pack_is_only_replaced_when_asked(networks, networks_in, tmp_path):
    first = str(networks.face_pack())
    type_in("install", first, "--name", "mine")
    assert type_in("install", first, "--name", "mine").exception is None
    smaller = networks_in(tmp_path / "smaller")
    smaller.detector("det.onnx")
    (smaller.folder / "rec.onnx").write_bytes(b"broken")
    words = ("install", str(smaller.folder), "--name", "mine", "--skip-broken")
    error = type_in(*words).exception
    assert isinstance(error, InvalidArgument)
    for word in ("'mine'", "detection, recognition", "--replace", "--name"):
        assert word in error.message
    assert len(json.loads(type_in("show", "mine", "--json").output)["models"]) == 2
    assert type_in(*words, "--replace").exception is None
    assert len(json.loads(type_in("show", "mine", "--json").output)["models"]) == 1


@pytest.mark.parametrize("name", ["default", "opencv-zoo", "OpenCV-Zoo"])
def test_the_default_packs_names_are_its_own(networks, networks_in, tmp_path, name):
    error = type_in("install", str(networks.face_pack()), "--name", name).exception
    assert isinstance(error, InvalidArgument)
    assert "default pack's own name" in error.message
    named = networks_in(tmp_path / name).face_pack()
    assert isinstance(type_in("install", str(named)).exception, InvalidArgument)
    assert isinstance(type_in("install", "default", "--name", "mine").exception, InvalidArgument)
    assert DEFAULT_NAMES[1] == DEFAULT_NAME


def test_a_published_packs_name_is_not_for_a_single_file(networks):
    error = type_in("install", str(networks.vector("rec.onnx")), "--name", "buffalo_l").exception
    assert isinstance(error, InvalidArgument)
    assert "single .onnx file is not that pack" in error.message
    words = ("install", str(networks.face_pack()), "--name", "buffalo_l")
    assert isinstance(type_in(*words).exception, LicenceNotAccepted)
    assert type_in(*words, "--accept-licence").exception is None


def test_a_picture_is_not_a_pack(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    for command in ("install", "show"):
        error = type_in(command, str(tmp_path / "photo.jpg")).exception
        assert isinstance(error, PackUnrecognised)
        assert "photo.jpg is not a model pack" in error.message


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
