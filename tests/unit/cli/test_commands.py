"""The command line: exit codes, JSON, files whole or not at all, resuming."""

import json
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.cli import exits
from lineament.cli.main import main
from lineament.core.errors import ImageEmpty, LineamentError, ThresholdMissing


def test_two_views_of_one_person_match(samples: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", str(samples / "collins.jpg"), str(samples / "collins-view.jpg")]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("Same person: similarity 0.")
    assert "false match rate 0.0001" in out.out
    assert "LFW" in out.out
    assert out.err == ""


@pytest.mark.parametrize("fmr", ["1e-3", "1e-4", "1e-5"])
def test_json_has_everything_to_defend_the_answer(
    samples: Path, fmr: str, capsys: pytest.CaptureFixture[str]
):
    a, b = samples / "collins.jpg", samples / "collins-crop.jpg"
    assert main(["compare", str(a), str(b), "--fmr", fmr, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["decision"] == "match"
    threshold = record["threshold"]
    assert threshold["fmr"] == float(fmr)
    assert threshold["interval"][0] <= threshold["value"] <= threshold["interval"][1]
    assert threshold["comparisons"] > 8e7
    assert threshold["model"] == record["model"]
    assert "template" not in json.dumps(record["a"])


def test_exit_codes(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    portrait = str(samples / "collins.jpg")
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    for arguments, code in (
        (["compare", portrait, str(samples / "coffee.jpg")], 2),
        (["compare", portrait, str(samples / "two-people.jpg")], 2),
        (["compare", portrait, portrait, "--threshold", "1.0"], 0),
        (["compare", portrait, str(empty)], 4),
        (["compare", portrait, str(tmp_path / "none.jpg")], 4),
        (["compare", portrait], 3),
        (["compare", portrait, portrait, "--fmr", "0"], 3),
        (["compare", portrait, portrait, "--fmr", "1e-9"], 7),
        (["compare", portrait, portrait, "--threshold", "7"], 3),
        (["compare", portrait, portrait, "--model", "no-such-pack"], 5),
        (["compare", portrait, portrait, "--provider", "NoSuchProvider"], 6),
        (["compare", portrait, portrait, "--threshold", "0.4", "--precision", "bf16"], 6),
        (["detect", portrait], 0),
        (["detect", str(samples / "coffee.jpg")], 2),
        (["detect", portrait, "--draw", str(tmp_path / "no/such/place.png")], 9),
        (["detect", portrait, "--draw", str(tmp_path / "x.xyz")], 9),
        (["redact", portrait, "-o", str(tmp_path / "r.jpg")], 0),
        (["redact", portrait, "-o", str(tmp_path / "r.jpg"), "--margin", "nan"], 3),
        (["redact", portrait, "-o", str(tmp_path / "r.jpg"), "--margin", "inf"], 3),
        (["redact", portrait, "-o", str(tmp_path / "r.jpg"), "--sensitivity", "nan"], 3),
        (["detect", portrait, "--min-size", "nan"], 3),
        (["detect", portrait, "--min-size", "-1"], 3),
        (["samples", "/proc/xx"], 9),
        (["embed", str(tmp_path / "none"), "-o", str(tmp_path / "x.npz")], 3),
        (["embed", str(samples), "-o", str(tmp_path / "x.csv")], 3),
        (["bogus"], 3),
        (["--version"], 0),
    ):
        assert main(arguments) == code, arguments
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out


def test_a_fault_of_ours_is_70_and_never_no_match(
    samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("wires crossed")

    monkeypatch.setattr(ln.Recognizer, "compare", broken)
    assert main(["compare", str(samples / "collins.jpg"), str(samples / "collins.jpg"), "--json"]) == 70
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "fault"


def test_every_error_has_a_code_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exits.code_of(ImageEmpty("x")) == 4
    assert exits.code_of(ThresholdMissing("x")) == 7
    assert exits.code_of(LineamentError("x")) == 70
    assert main(["detect", str(tmp_path / "none.jpg"), "--json"]) == 4
    out = capsys.readouterr()
    assert json.loads(out.out)["error"]["reason"] == "image_not_found"
    assert out.err.startswith("lineament: ")


def test_a_threshold_card_from_a_file(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    card = ln.Recognizer().thresholds[0]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card.to_dict()))
    pair = [str(samples / "collins.jpg"), str(samples / "collins-view.jpg")]
    assert main(["compare", *pair, "--threshold-card", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"]["value"] == card.value
    path.write_text("[]")
    assert main(["compare", *pair, "--threshold-card", str(path)]) == 3
    assert main(["compare", *pair, "--threshold-card", str(path), "--threshold", "0.3"]) == 3


def test_drawing(samples: Path, tmp_path: Path):
    out = tmp_path / "drawn.png"
    assert main(["detect", str(samples / "collins.jpg"), "--draw", str(out), "--json"]) == 0
    before, after = ln.read_image(samples / "collins.jpg").pixels, ln.read_image(out).pixels
    changed = (before != after).any(axis=2)
    assert 0.001 < changed.mean() < 0.2
    assert [p.name for p in tmp_path.iterdir()] == ["drawn.png"]


class TestEmbed:
    def test_three_kinds_of_table_say_the_same(self, samples: Path, tmp_path: Path):
        import pyarrow.parquet as pq

        for suffix in ("parquet", "npz", "jsonl"):
            assert main(["embed", str(samples), "-o", str(tmp_path / f"t.{suffix}")]) == 0
        lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
        table = pq.read_table(tmp_path / "t.parquet")
        arrays = arrays_of(tmp_path / "t.npz")
        embedded = [row for row in lines if row["template"]]
        assert len(embedded) == len(arrays["template"]) == 5
        assert table.column("path").to_pylist() == [row["path"] for row in lines]
        for row, vector in zip(embedded, arrays["template"], strict=True):
            assert np.allclose(row["template"], vector, atol=1e-6)
        model = ln.Recognizer().model
        assert table.schema.metadata[b"digest"].decode() == model.digest
        assert {row["status"] for row in lines} == {"ok", "no_face"}
        assert sorted(p.name for p in tmp_path.iterdir()) == ["t.jsonl", "t.npz", "t.parquet"]

    def test_it_goes_on_where_it_was_stopped(self, samples: Path, tmp_path: Path):
        folder = tmp_path / "many"
        folder.mkdir()
        pixels = ln.read_image(samples / "collins.jpg").pixels
        for i in range(60):
            PIL.Image.fromarray(np.roll(pixels, i, axis=1)).save(folder / f"{i:03d}.jpg", quality=90)
        out = tmp_path / "t.jsonl"
        command = [sys.executable, "-m", "lineament", "embed", str(folder), "-o", str(out)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        journal = tmp_path / "t.jsonl.partial"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (
            journal.exists() and journal.read_bytes().count(b"\n") > 5
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert b"Traceback" not in err
        assert not out.exists()
        done = journal.read_bytes().count(b"\n") - 1
        assert 5 <= done < 60
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
        # A line cut in the middle, as after a power failure, is done again.
        journal.write_bytes(journal.read_bytes()[:-40])
        before = [json.loads(line) for line in journal.read_text().splitlines()[1:-1]]
        assert main(["embed", str(folder), "-o", str(out)]) == 0
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["path"] for row in rows] == [f"{i:03d}.jpg" for i in range(60)]
        kept = {r["name"]: r["record"]["faces"][0]["template"] for r in before}
        assert all(row["template"] == kept[row["path"]] for row in rows if row["path"] in kept)
        assert not journal.exists()

    def test_a_folder_without_photographs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        (tmp_path / "in").mkdir()
        (tmp_path / "in/notes.txt").write_text("x")
        for suffix in ("parquet", "npz", "jsonl"):
            assert main(["embed", str(tmp_path / "in"), "-o", str(tmp_path / f"t.{suffix}"), "--json"]) == 2
            out = capsys.readouterr()
            assert json.loads(out.out)["photographs"] == 0
            assert "nothing to do" in out.err
        assert [p.name for p in tmp_path.iterdir()] == ["in"]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
