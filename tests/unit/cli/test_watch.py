"""`lineament watchlist` and `lineament watch`: a real face walks through a video made by code."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from lineament.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of nobody, one of Eileen Collins, three of nobody, at 5 frames a second."""
    path = tmp_path_factory.mktemp("video") / "entrance.mp4"
    face = skimage.data.astronaut()[:240, 100:340]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5, (400, 240))
    for i in range(25):
        frame = np.full((240, 400, 3), 90, np.uint8)
        if 5 <= i < 10:
            frame[:, 4 * i + 40 : 4 * i + 280] = face
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "collins.png"
    cv2.imwrite(str(path), skimage.data.astronaut()[:300, 60:400, ::-1])
    return path


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with its own database and key; (exit code, standard output, standard error)."""
    monkeypatch.setenv("LINEAMENT_GALLERY", str(tmp_path / "people.db"))
    monkeypatch.setenv("LINEAMENT_ACTOR", "ann")

    def _run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--key", f"file:{tmp_path / 'key.json'}"])
        out, err = capsys.readouterr()
        return code, out, err

    return _run


def add(run: Run, photo: Path, *more: str) -> tuple[int, str, str]:
    return run(
        "watchlist",
        "add",
        "visitors",
        "eileen",
        str(photo),
        "--reason",
        "expected",
        "--source",
        "desk",
        *more,
    )


def test_somebody_is_seen_reviewed_and_ruled_out(run: Run, video: Path, photo: Path, tmp_path: Path) -> None:
    assert run("watchlist", "create", "visitors")[0] == 0
    code, out, _ = add(run, photo)
    assert (code, "the entry is approved" in out) == (0, True)
    file = tmp_path / "alerts.jsonl"
    watching = ("watch", str(video), "--watchlist", "visitors", "--alerts", str(file), "--absence", "2")
    code, out, err = run(*watching)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["enter", "exit"]
    assert "25 frames" in err
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(a["kind"], a["subject"]) for a in lines] == [("enter", "eileen"), ("exit", "eileen")]
    assert lines[0]["threshold"]["fpir"] == 0.001
    assert (tmp_path / lines[0]["evidence"]).stat().st_mode & 0o077 == 0
    # Watched once more, nothing is told twice.
    code, out, err = run(*watching, "--json")
    assert (code, out) == (0, "")
    assert len(file.read_text().splitlines()) == 2
    listed = json.loads(run("watchlist", "alerts", "visitors", "--json")[1])["alerts"]
    assert [a["kind"] for a in listed] == ["exit", "enter"]
    enter = listed[1]["id"]
    face = tmp_path / "face.png"
    assert run("watchlist", "alerts", "visitors", "--face", enter[:8], "-o", str(face))[0] == 0
    assert cv2.imread(str(face)).shape == (112, 112, 3)
    assert run("watchlist", "judge", "visitors", enter[:8], "reject")[0] == 0
    code, _, err = run("watchlist", "judge", "visitors", enter[:8], "confirm")
    assert (code, "rejected by ann already" in err) == (11, True)
    assert run("watch", str(video), "--watchlist", "visitors", "--absence", "2")[0] == 1
    assert run("audit", "verify")[0] == 0
    log = run("audit", "search", "--json")[1]
    assert all(f'"{action}"' in log for action in ("watch_begin", "watch_end", "alert", "alert_judged"))


def test_two_persons_and_dates(run: Run, photo: Path) -> None:
    assert run("watchlist", "create", "visitors", "--two-persons")[0] == 0
    code, out, _ = add(run, photo, "--until", "2099-01-01")
    assert (code, "proposed, and is not found yet" in out) == (0, True)
    code, _, err = run("watchlist", "review", "visitors", "eileen", "approve")
    assert (code, "second person" in err) == (12, True)
    assert run("identify", "visitors", str(photo))[0] == 1
    assert run("watchlist", "review", "visitors", "eileen", "approve", "--actor", "bob")[0] == 0
    assert run("identify", "visitors", str(photo))[0] == 0
    entries = json.loads(run("watchlist", "list", "visitors", "--json")[1])["entries"]
    assert [(e["subject"], e["state"], e["active"], e["decided_by"]) for e in entries] == [
        ("eileen", "approved", True, "bob")
    ]
    code, _, err = add(run, photo, "--from", "2030-01-01", "--until", "2029-01-01")
    assert (code, "would end" in err) == (3, True)


def test_an_expired_entry_is_erased_with_a_receipt(run: Run, photo: Path, tmp_path: Path) -> None:
    run("watchlist", "create", "visitors")
    assert add(run, photo, "--from", "2020-01-01", "--until", "2021-01-01")[0] == 0
    assert run("identify", "visitors", str(photo))[0] == 1
    code, _, err = run("watchlist", "expire", "visitors", "--erase")
    assert (code, "--yes" in err) == (3, True)
    receipts = tmp_path / "receipts.json"
    code, out, _ = run("watchlist", "expire", "visitors", "--erase", "--yes", "--receipts", str(receipts))
    assert (code, "Erased 1 subject" in out) == (0, True)
    assert json.loads(receipts.read_text())[0]["receipt"]["subject"] == "eileen"
    assert "No entry" in run("watchlist", "expire", "visitors")[1]


def test_a_wrong_source_and_a_wrong_list_are_told(run: Run, photo: Path, tmp_path: Path) -> None:
    run("watchlist", "create", "visitors")
    add(run, photo)
    run("gallery", "create", "staff")
    assert run("watchlist", "list", "staff")[0] == 3
    assert run("watch", str(tmp_path / "none.mp4"), "--watchlist", "visitors")[0] == 4
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    code, _, err = run("watch", str(text), "--watchlist", "visitors")
    assert (code, "text.mp4" in err) == (4, True)
    code, _, err = run("watch", "rtsp://user:secret@127.0.0.1:1/x", "--watchlist", "visitors")
    assert code == 4
    assert "secret" not in err
