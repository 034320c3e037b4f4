"""The journal of embed: appended to, locked, never mixed, never mistaken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lineament as ln
from lineament.cli.journal import Journal
from lineament.cli.main import main
from lineament.core.errors import InvalidArgument, OutputFailed

HEAD = {"model": "a", "digest": "1", "detection": {"angles": (0, 90)}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.partial"


def fill(path: Path, count: int = 3) -> None:
    with Journal(path, HEAD) as journal:
        for i in range(count):
            journal.add(f"{i}", (i, i), {"path": f"{i}", "n": i})


def test_it_goes_on(path: Path):
    fill(path)
    before = path.read_bytes()
    with Journal(path, HEAD) as journal:
        assert path.read_bytes() == before
        assert journal.has("1", (1, 1))
        assert not journal.has("1", (1, 2))
        assert not journal.has("9", (1, 1))
        journal.add("9", (1, 1), {"n": 9})
        assert [r["n"] for r in journal.records(["9", "0", "none", "2"])] == [9, 0, 2]
    assert path.read_bytes().startswith(before)


def test_a_torn_line_anywhere_costs_that_item_only(path: Path):
    fill(path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        inode = path.stat().st_ino
        with Journal(path, HEAD) as journal:
            kept = [i for i in range(3) if journal.has(f"{i}", (i, i))]
            assert len(kept) == max(0, whole[:length].count(b"\n") - 1)
            journal.add("x", (0, 0), {"n": 5})
            assert [r["n"] for r in journal.records(["x"])] == [5]
        assert path.stat().st_ino == inode
        assert all(json.loads(line) for line in path.read_bytes().splitlines())
        assert path.read_bytes()[:first] == whole[:first]


def test_a_damaged_line_is_done_again(path: Path):
    fill(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * 20 + b"\n"
    path.write_bytes(b"".join(lines))
    with Journal(path, HEAD) as journal:
        assert [journal.has(f"{i}", (i, i)) for i in range(3)] == [True, False, True]


@pytest.mark.parametrize("change", [{"model": "b"}, {"detection": {}}, {"views": "one"}])
def test_other_settings_are_refused_by_name(path: Path, change: dict[str, object]):
    fill(path)
    before = path.read_bytes()
    with pytest.raises(InvalidArgument, match=f"{next(iter(change))} was .* and is now .*delete"):
        Journal(path, HEAD | change).__enter__()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"holiday plans\n", b"\xff\xd8\xff\xe0" * 99, b"{}\n", b"[1]\n", b"no end"]
)
def test_a_foreign_file_is_left_alone(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="in the way"):
        Journal(path, HEAD).__enter__()
    assert path.read_bytes() == content


def test_odd_places(path: Path, tmp_path: Path):
    path.mkdir()
    with pytest.raises(InvalidArgument, match="in the way"):
        Journal(path, HEAD).__enter__()
    with pytest.raises(OutputFailed):
        Journal(tmp_path / "no/such/t.partial", HEAD).__enter__()


def test_one_process_at_a_time(path: Path):
    with Journal(path, HEAD) as journal:
        journal.add("a", (1, 1), {})
        with pytest.raises(InvalidArgument, match="another process"):
            Journal(path, HEAD).__enter__()
        journal.remove()
    fill(path)


def test_the_lock_goes_with_the_process(path: Path):
    code = (
        "import os,sys; from pathlib import Path; from lineament.cli.journal import Journal\n"
        f"j = Journal(Path({str(path)!r}), {HEAD!r}).__enter__()\n"
        "j.add('a', (1, 1), {}); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with Journal(path, HEAD) as journal:
        assert journal.has("a", (1, 1))


@pytest.fixture
def folder(samples: Path, tmp_path: Path) -> Path:
    place = tmp_path / "in"
    place.mkdir()
    (place / "a.jpg").write_bytes((samples / "collins.jpg").read_bytes())
    (place / "b.jpg").write_bytes((samples / "coffee.jpg").read_bytes())
    return place


def test_embed_does_not_mix_settings(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(*_: object) -> None:
        raise OutputFailed("disk full")

    command = ["embed", str(folder), "-o", str(tmp_path / "t.jsonl")]
    with monkeypatch.context() as patch:
        patch.setattr("lineament.cli.embed.write_table", full)
        assert main(command) == 9
    for extra, word in ((["--rotate"], "detection"), (["--views", "mirrored_sum"], "views")):
        capsys.readouterr()
        assert main(command + extra) == 3
        assert f"{word} was" in capsys.readouterr().err
    assert main(["embed", str(tmp_path), "-o", str(tmp_path / "t.jsonl")]) == 3
    assert "folder was" in capsys.readouterr().err
    assert main(command) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "t.jsonl"]


def test_names_that_are_no_utf8(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import pyarrow.parquet as pq

    raw = os.fsencode(folder) + b"/\xff\xfe.jpg"
    os.rename(folder / "a.jpg", raw)  # noqa: PTH104  (bytes)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xfd.jpg")).write_bytes(b"no picture")
    shown = "\\xff\\xfe.jpg"
    for suffix in ("parquet", "jsonl", "npz"):
        assert main(["embed", str(folder), "-o", str(tmp_path / f"t.{suffix}"), "--json"]) == 8
        assert json.loads(capsys.readouterr().out)["failed"][0]["path"] == "\\xfd.jpg"
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    assert shown in [row["path"] for row in rows]
    assert shown in pq.read_table(tmp_path / "t.parquet").column("path").to_pylist()
    assert shown in arrays_of(tmp_path / "t.npz")["path"]
    assert main(["detect", os.fsdecode(raw), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"].endswith(shown)
    assert main(["detect", os.fsdecode(raw)]) == 0
    assert main(["detect", os.fsdecode(raw) + "x", "--json"]) == 4


def test_npz_says_as_much_as_the_others(folder: Path, tmp_path: Path):
    (folder / "c.jpg").write_bytes(b"no picture")
    for suffix in ("jsonl", "npz"):
        assert main(["embed", str(folder), "-o", str(tmp_path / f"t.{suffix}")]) == 8
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    arrays = arrays_of(tmp_path / "t.npz")
    good, bad = [r for r in rows if r["template"]], [r for r in rows if not r["template"]]
    assert [str(m) for m in arrays["failed_message"]] == [r["message"] for r in bad]
    assert [str(m) for m in arrays["failed_status"]] == ["no_face", "image_unreadable"]
    assert arrays["angle"].tolist() == [r["angle"] for r in good]
    for name, value in good[0]["quality"].items():
        assert arrays[name][0] == pytest.approx(value)


def test_what_cannot_be_looked_at_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "sub").mkdir()
    scandir = os.scandir

    def refusing(place: str) -> object:
        if str(place).endswith("/sub"):  # the tests may run as root, whom no mode stops
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    assert main(["embed", str(folder), "-o", str(tmp_path / "t.jsonl"), "--json"]) == 8
    failed = json.loads(capsys.readouterr().out)["failed"]
    assert {f["path"]: f["reason"] for f in failed} == {"gone.jpg": "image_not_found", "sub": "image_error"}
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == ["a.jpg", "b.jpg", "gone.jpg", "sub"]


def test_a_broken_link_alone_is_a_failure(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/gone.jpg").symlink_to("nowhere")
    assert main(["embed", str(tmp_path / "in"), "-o", str(tmp_path / "t.parquet")]) == 8
    assert ln.Recognizer().model.digest


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
