"""`lineament audit`: the log is searched, exported, and every change of it found."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lineament.cli.main import main


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """A gallery in which something has happened."""
    place = tmp_path_factory.mktemp("audit")
    who = ["--gallery", str(place / "g.db"), "--purpose", "a test", "--actor"]
    photo, probe = str(samples / "collins.jpg"), str(samples / "collins-view.jpg")
    assert main(["gallery", "create", "staff", *who, "ada"]) == 0
    assert main(["gallery", "enroll", "staff", "--subject", "eileen", photo, *who, "ada"]) == 0
    assert main(["identify", "staff", probe, *who, "kay"]) == 0
    assert main(["identify", "staff", probe, "--threshold", "0.999", *who, "kay"]) == 1
    return place / "g.db"


@pytest.fixture
def place(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    shutil.copy(before, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINEAMENT_GALLERY", "g.db")
    monkeypatch.setenv("LINEAMENT_ACTOR", "eve")
    capsys.readouterr()
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["audit", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def change(place: Path, statement: str) -> None:
    with sqlite3.connect(place / "g.db") as base:
        base.execute(statement)
    base.close()


def test_the_log_holds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "verify")
    assert said["holds"] and said["count"] == 4 and said["problems"] == []
    assert main(["audit", "verify"]) == 0
    assert capsys.readouterr().out.startswith("The audit log holds: 4 records")


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE audit SET actor = 'kim' WHERE seq = 3", "changed"),
        ("UPDATE audit SET body = replace(body, '0.9', '0.1') WHERE seq = 3", "changed"),
        ("DELETE FROM audit WHERE seq = 2", "missing"),
        ("DELETE FROM audit WHERE seq = 4", "cut"),
    ],
)
def test_a_change_is_found(
    place: Path, statement: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(place, statement)
    said = answer(capsys, "verify", code=11)
    assert kind in {problem["kind"] for problem in said["problems"]}
    assert main(["audit", "verify"]) == 11
    assert "does not hold" in capsys.readouterr().out
    assert main(["gallery", "verify", "--skip-index"]) == 11


def test_an_anchor_finds_a_log_that_was_cut_with_its_head(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "anchor", "-o", "anchor.json"]) == 0
    kept = json.loads((place / "anchor.json").read_text())
    capsys.readouterr()
    assert answer(capsys, "anchor") == kept
    assert main(["audit", "verify", "--anchor", "anchor.json"]) == 0
    change(place, "DELETE FROM audit WHERE seq = 4")
    change(place, "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)")
    assert main(["audit", "verify"]) == 0
    assert main(["audit", "verify", "--anchor", "anchor.json"]) == 11
    assert main(["gallery", "verify", "--anchor", "anchor.json"]) == 11
    for text in ("{}", "[]", "no JSON", '{"seq": "1", "hash": "x"}'):
        (place / "bad.json").write_text(text)
        assert main(["audit", "verify", "--anchor", "bad.json"]) == 3


def test_search(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def seqs(*arguments: str) -> list[int]:
        return [record["seq"] for record in answer(capsys, "search", *arguments)["records"]]

    assert seqs() == [1, 2, 3, 4]
    assert seqs("--action", "identify") == [3, 4]
    assert seqs("--by", "ada") == [1, 2]
    assert seqs("--collection", "none") == []
    # What was done to her, and the search that found her; not the one that found nobody.
    assert seqs("--subject", "eileen") == [2, 3]
    assert seqs("--limit", "1") == [4]
    assert seqs("--since", "2020-01-01", "--until", "2021-01-01") == []
    assert len(seqs("--since", "2020-01-01")) == 4
    (record,) = answer(capsys, "search", "--action", "enrol")["records"]
    assert record["subject_id"] == "eileen" and record["body"]["items"] == {"enrolled": 1}
    assert main(["audit", "search", "--subject", "nobody"]) == 3
    assert "--row" in capsys.readouterr().err
    assert main(["audit", "search", "--since", "yesterday"]) == 3
    capsys.readouterr()
    assert main(["audit", "search", "--by", "kay"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "kay (a test)  identify  staff" in lines[0]


def test_an_erased_subject_stays_by_number(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = answer(capsys, "search", "--action", "enrol")["records"][0]["subject"]
    assert main(["gallery", "remove", "staff", "eileen", "--yes"]) == 0
    capsys.readouterr()
    found = answer(capsys, "search", "--row", row)["records"]
    assert [record["action"] for record in found] == ["enrol", "identify", "remove"]
    assert all(record["subject_id"] is None for record in found)


def test_export_is_whole_private_and_logged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "export", "-o", "log.jsonl"]) == 0
    lines = [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["create", "enrol", "identify", "identify", "audit_export"]
    assert lines[-1]["actor"] == "eve"
    assert (place / "log.jsonl").stat().st_mode & 0o077 == 0
    # The exported text is the text that the chain is over.
    from lineament.gallery.chain import Entry, verify

    assert verify(Entry(**line) for line in lines).ok
    assert main(["audit", "export", "-o", "no/such/place.jsonl"]) == 9
    assert main(["audit", "export", "-o", "s.jsonl", "--subject", "nobody"]) == 3
    assert not (place / "s.jsonl").exists()
    capsys.readouterr()
    assert answer(capsys, "search", "--action", "audit_export")["found"] == 1


def test_by_the_installed_command_in_a_pipe(place: Path) -> None:
    program = str(Path(sys.executable).with_name("lineament"))
    done = subprocess.run(
        [program, "audit", "search", "--json"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["found"] == 4


def test_a_keyed_log_needs_its_key(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--gallery", "sealed.db"]
    assert main(["gallery", "create", "x", *where, "--key", "file:k"]) == 0
    assert main(["audit", "verify", *where]) == 11
    assert "--key" in capsys.readouterr().err
    assert main(["audit", "verify", *where, "--key", "file:k"]) == 0
