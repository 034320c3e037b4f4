"""`lineament erase`: gone from every file, with a receipt that anyone can check."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lineament.cli.main import main


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """A folder with a sealed gallery of one person."""
    place = tmp_path_factory.mktemp("erase")
    options = ["--gallery", str(place / "g.db"), "--key", f"file:{place / 'k'}"]
    assert main(["gallery", "create", "staff", "--keep-crops", *options]) == 0
    call = ["gallery", "enroll", "staff", "--subject", "eileen", str(samples / "collins.jpg")]
    assert main([*call, "--set", "badge=Q7781", *options]) == 0
    return place


@pytest.fixture
def place(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    for file in before.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINEAMENT_GALLERY", "g.db")
    monkeypatch.setenv("LINEAMENT_ACTOR", "ada")
    capsys.readouterr()
    return tmp_path


ERASE = ["erase", "staff", "eileen", "--key", "file:k"]


def test_nothing_of_the_person_is_left_in_any_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(place / "g.db") as base:
        vector, crop = base.execute("SELECT vector, crop FROM reference").fetchone()
    base.close()
    assert main([*ERASE, "--yes", "--receipt", "r.json", "--purpose", "she asked"]) == 0
    assert capsys.readouterr().out.startswith("Erased eileen from staff: ")
    for file in place.iterdir():
        data = file.read_bytes()
        assert vector not in data and crop[:64] not in data
        if file.name != "r.json":
            assert b"Q7781" not in data and b"eileen" not in data, file.name
    assert main(["gallery", "verify", "--key", "file:k"]) == 0


def test_nor_in_the_log_that_another_process_keeps_open(place: Path) -> None:
    # Its connection keeps the write-ahead log from vanishing when ours is closed.
    other = sqlite3.connect(place / "g.db")
    other.execute("SELECT count(*) FROM subject").fetchone()
    assert main(["gallery", "rename", "staff", "eileen", "zoe-Q9913", "--key", "file:k"]) == 0
    assert b"zoe-Q9913" in (place / "g.db-wal").read_bytes()
    assert main(["erase", "staff", "zoe-Q9913", "--key", "file:k", "--yes"]) == 0
    for file in place.iterdir():
        assert b"zoe-Q9913" not in file.read_bytes(), file.name
    other.close()


def test_nobody_to_ask_is_a_no(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ERASE, "--receipt", "r.json"]) == 3
    assert "--yes" in capsys.readouterr().err
    assert not (place / "r.json").exists()
    assert main(["gallery", "show", "staff", "eileen", "--key", "file:k"]) == 0


def test_a_place_that_cannot_be_written_stops_it_before_anything_is_erased(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for receipt in ("no/such/place.json", "."):
        assert main([*ERASE, "--yes", "--receipt", receipt]) == 9
    assert main(["gallery", "show", "staff", "eileen", "--key", "file:k"]) == 0


def test_the_receipt_holds_and_no_change_of_it_does(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ERASE, "--yes", "--receipt", "r.json", "--purpose", "she asked", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    receipt = json.loads((place / "r.json").read_text())
    assert said == {"receipt": receipt, "receipt_file": "r.json"}
    assert (place / "r.json").stat().st_mode & 0o077 == 0
    content = receipt["receipt"]
    assert (content["subject"], content["actor"], content["purpose"]) == ("eileen", "ada", "she asked")
    assert content["removed"]["references"] == 1 and content["removed"]["crops"] == 1
    assert content["key_id"]
    (place / "g.db").unlink()
    assert main(["erase", "--check", "r.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"]
    assert main(["erase", "--check", "r.json", "--public-key", receipt["public_key"]]) == 0
    assert main(["erase", "--check", "r.json", "--public-key", "0" * 64]) == 11
    changes: list[tuple[str, Any]] = [
        ("subject", "somebody"),
        ("audit_seq", 1),
        ("at", "2020-01-01T00:00:00Z"),
    ]
    for name, value in changes:
        (place / "forged.json").write_text(json.dumps({**receipt, "receipt": {**content, name: value}}))
        assert main(["erase", "--check", "forged.json"]) == 11, name
    (place / "forged.json").write_text("[]")
    assert main(["erase", "--check", "forged.json"]) == 3
    assert main(["erase", "--check", "none.json"]) == 3


def test_the_same_command_again_gives_the_receipt_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As after a stop between the erasure and the writing of its receipt.
    assert main([*ERASE, "--yes"]) == 0
    assert "--receipt FILE" in capsys.readouterr().err
    assert main([*ERASE, "--receipt", "r.json"]) == 0
    assert "was erased from staff before" in capsys.readouterr().out
    assert main(["erase", "--check", "r.json"]) == 0


def test_the_order_of_erasing_and_of_the_log(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ERASE, "--yes", "--receipt", "r.json"]) == 0
    content = json.loads((place / "r.json").read_text())["receipt"]
    capsys.readouterr()
    assert main(["audit", "search", "--action", "erase", "--key", "file:k", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert (record["seq"], record["hash"]) == (content["audit_seq"], content["audit_hash"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 3),
        (["staff"], 3),
        (["staff", "nobody", "--yes", "--key", "file:k"], 3),
        (["none", "eileen", "--yes", "--key", "file:k"], 3),
        (["staff", "eileen", "--yes"], 11),
        (["staff", "eileen", "--yes", "--key", "file:none"], 11),
        (["staff", "eileen", "--public-key", "00"], 3),
        (["staff", "--check", "r.json"], 3),
        (["--check", "r.json", "--receipt", "x"], 3),
    ],
)
def test_what_cannot_be(
    place: Path, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", *arguments]) == code
    assert "Traceback" not in capsys.readouterr().err
