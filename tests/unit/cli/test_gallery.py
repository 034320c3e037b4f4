"""`lineament gallery`: made, filled, looked after, by the real command on real pictures."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lineament as ln
from lineament.cli.main import main

Call = Callable[..., int]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINEAMENT_GALLERY", str(tmp_path / "g.db"))
    monkeypatch.setenv("LINEAMENT_ACTOR", "ada")
    monkeypatch.setenv("LINEAMENT_PURPOSE", "a test")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def staff(place: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A database with an empty collection."""
    assert main(["gallery", "create", "staff"]) == 0
    capsys.readouterr()
    return place


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """What a command says in JSON: one object and nothing else."""
    assert main([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def table_of(path: Path, people: dict[str, int], **extra: str) -> Path:
    """A CSV of random templates of the default model, so many a person."""
    digest, rng = ln.Recognizer().model.digest, np.random.default_rng(7)
    lines = [f"subject,vector,model_digest{''.join(',' + n for n in extra)}"]
    for name, count in people.items():
        for vector in rng.standard_normal((count, 128)):
            numbers = " ".join(f"{v:.6f}" for v in vector)
            lines.append(f"{name},{numbers},{digest}{''.join(',' + v for v in extra.values())}")
    path.write_text("\n".join(lines) + "\n")
    return path


class TestCreate:
    def test_it_says_what_was_made_and_warns_that_nothing_is_sealed(
        self, place: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["gallery", "create", "staff"]) == 0
        out = capsys.readouterr()
        assert out.out.startswith("Made staff in sqlite:///")
        assert "opencv-zoo" in out.out
        assert out.err.startswith("Not sealed")
        assert (place / "g.db").stat().st_mode & 0o077 == 0

    def test_settings_are_kept(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--review", "strict", "--retain-days", "30", "--ask-consent", "--keep-crops"]
        made = answer(capsys, "gallery", "create", "staff", *options, "--key", "file:k", "--transform")
        shown = answer(capsys, "gallery", "show", "staff", "--key", "file:k")
        assert made["settings"] == shown["settings"]
        assert shown["settings"]["review"] == "strict"
        assert shown["settings"]["retain_days"] == 30
        assert all(shown["settings"][name] for name in ("ask_consent", "keep_crops", "transform"))
        assert shown["sealed"] and shown["model"]["digest"] == ln.Recognizer().model.digest
        assert (place / "k").stat().st_mode & 0o077 == 0

    def test_the_key_is_needed_from_then_on(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["gallery", "create", "staff", "--key", "file:k"]) == 0
        assert "Made the key file k" in capsys.readouterr().err
        assert main(["gallery", "stats", "staff"]) == 11
        assert "--key" in capsys.readouterr().err
        assert main(["gallery", "stats", "staff", "--key", "file:other"]) == 11
        assert not (place / "other").exists()

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["staff"], 3),
            (["a/b"], 3),
            (["x", "--transform"], 3),
            (["x", "--review-fmr", "1e-12"], 7),
            (["x", "--model", "no-such-pack"], 5),
            (["x", "--key", "hunter2"], 3),
            (["x", "--key", "env:NO_SUCH_VARIABLE"], 11),
            (["x", "--gallery", "mysql://a/b"], 3),
            (["x", "--gallery", "/proc/x/g.db"], 9),
            (["x", "--index", "lucene"], 3),
        ],
    )
    def test_what_cannot_be(
        self, staff: Path, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["gallery", "create", *arguments]) == code
        out = capsys.readouterr()
        assert out.err.startswith("lineament: ") and "Traceback" not in out.err
        assert "hunter2" not in out.err

    def test_the_default_place_is_in_the_data_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("LINEAMENT_GALLERY", raising=False)
        monkeypatch.setenv("LINEAMENT_HOME", str(tmp_path / "home"))
        assert main(["gallery", "list"]) == 3
        assert "lineament gallery create" in capsys.readouterr().err
        assert main(["gallery", "create", "staff"]) == 0
        assert (tmp_path / "home" / "gallery.db").is_file()


class TestEnroll:
    def test_photographs_of_one_person(
        self, staff: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call: list[str | Path] = ["gallery", "enroll", "staff", "--subject", "eileen"]
        known = ["--set", "site=north", "--set", "level:=3", "--set", "badge=17", "--sensitive", "badge"]
        pictures = [samples / "collins.jpg", samples / "coffee.jpg"]
        done = answer(capsys, *call, *pictures, *known, "--retain-until", "2030-01-01", code=8)
        assert (done["counts"], done["new_subjects"]) == ({"enrolled": 1, "rejected": 1}, 1)
        (problem,) = done["problems"]
        assert problem["reasons"][0]["code"] == "no_face" and problem["source"].endswith("coffee.jpg")
        assert answer(capsys, *call, samples / "collins.jpg")["counts"] == {"already_enrolled": 1}
        assert answer(capsys, *call, samples / "coffee.jpg", code=2)["counts"] == {"rejected": 1}
        seen = answer(capsys, "gallery", "show", "staff", "eileen")
        assert seen["metadata"] == {"site": "north", "level": 3} and "sensitive" not in seen
        assert seen["retain_until"].startswith("2030-01-01")
        opened = answer(capsys, "gallery", "show", "staff", "eileen", "--sensitive")
        assert opened["sensitive"] == {"badge": "17"}

    def test_the_review_names_the_other_subject(
        self, staff: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        enroll = ["gallery", "enroll", "staff", "--subject"]
        assert main([*enroll, "eileen", str(samples / "collins.jpg")]) == 0
        capsys.readouterr()
        assert main([*enroll, "e2", str(samples / "collins-view.jpg"), "--review", "strict"]) == 2
        out = capsys.readouterr().out
        assert "possible_duplicate" in out and "eileen (0." in out
        assert main([*enroll, "e2", str(samples / "collins-view.jpg")]) == 0
        assert "worth a look" in capsys.readouterr().out

    def test_a_folder_with_a_table_of_people(
        self, staff: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        people = staff / "people"
        (people / "eileen").mkdir(parents=True)
        (people / "cup").mkdir()
        shutil.copy(samples / "collins.jpg", people / "eileen")
        shutil.copy(samples / "coffee.jpg", people / "cup")
        (staff / "people.csv").write_text("subject,site,ssn,consent.given\neileen,north,1,2026-11-25\n")
        call = ["gallery", "enroll", "staff", str(people), "--metadata", "people.csv", "--sensitive", "ssn"]
        assert main(call) == 8
        out = capsys.readouterr()
        assert out.out.startswith("staff: 1 sample enrolled, 0 already there, 1 not enrolled; 1 new subject")
        assert "cup/coffee.jpg" in out.out and "no_face" in out.out
        seen = answer(capsys, "gallery", "show", "staff", "eileen", "--sensitive")
        assert seen["metadata"] == {"site": "north"} and seen["sensitive"] == {"ssn": "1"}
        assert seen["consent"] == {"given": "2026-11-25"}
        # The same command goes on where it was.
        assert answer(capsys, *call, code=8)["counts"] == {"already_enrolled": 1, "rejected": 1}

    def test_a_table_of_templates_needs_no_photograph(
        self, staff: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = table_of(staff / "t.csv", {"a": 2, "b": 1})
        assert answer(capsys, "gallery", "enroll", "staff", table)["counts"] == {"enrolled": 3}
        assert answer(capsys, "gallery", "enroll", "staff", table)["counts"] == {"already_enrolled": 3}

    def test_consent_is_asked_for(
        self, place: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["gallery", "create", "staff", "--ask-consent"]) == 0
        call = ["gallery", "enroll", "staff", "--subject", "eileen", str(samples / "collins.jpg")]
        assert main(call) == 12
        assert "--consent" in capsys.readouterr().err
        assert main([*call, "--consent", "given=2026-11-25"]) == 0

    def test_an_idempotency_key(self, staff: Path, samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
        call = ["gallery", "enroll", "staff", "--subject", "e", "--idempotency-key", "k1"]
        first = answer(capsys, *call, samples / "collins.jpg")
        assert answer(capsys, *call, samples / "collins.jpg") == first
        assert main([*call, str(samples / "collins-view.jpg")]) == 3
        assert "k1" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["staff"],
            ["staff", "a.jpg", "b.jpg"],
            ["staff", "none"],
            ["staff", "note.txt"],
            ["staff", ".", "--set", "a=b"],
            ["staff", ".", "--idempotency-key", "x"],
            ["staff", "a.jpg", "--subject", "x", "--set", "novalue"],
            ["staff", "a.jpg", "--subject", "x", "--set", "a:=north"],
            ["staff", "a.jpg", "--subject", "x", "--sensitive", "a"],
            ["staff", "a.jpg", "--subject", " x"],
            ["none", "a.jpg", "--subject", "x"],
        ],
    )
    def test_wrong_command_lines(
        self, staff: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (staff / "note.txt").write_text("hello")
        assert main(["gallery", "enroll", *arguments]) == 3
        assert "Traceback" not in capsys.readouterr().err

    def test_another_model_s_pack_is_refused(
        self, staff: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # The collection is of another model than any pack here: as if its pack had been removed.
        with sqlite3.connect(staff / "g.db") as base:
            base.execute("UPDATE collection SET model_digest = ?", ("f" * 64,))
        call = ["gallery", "enroll", "staff", "--subject", "e", str(samples / "collins.jpg")]
        assert main(call) == 5
        assert "no pack here makes templates of" in capsys.readouterr().err
        assert main([*call, "--model", "default"]) == 5
        assert "leave --model out" in capsys.readouterr().err

    def test_views_are_the_collection_s_own(
        self, place: Path, samples: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["gallery", "create", "staff", "--views", "mirrored_sum", "--review", "off"]) == 0
        assert main(["gallery", "enroll", "staff", "--subject", "e", str(samples / "collins.jpg")]) == 0
        assert main(["identify", "staff", str(samples / "collins-view.jpg"), "--threshold", "0.4"]) == 0
        capsys.readouterr()
        assert answer(capsys, "gallery", "show", "staff")["model"]["name"].endswith("+mirror")


class TestLookingAfter:
    @pytest.fixture
    def filled(self, staff: Path, capsys: pytest.CaptureFixture[str]) -> Path:
        assert (
            main(["gallery", "enroll", "staff", str(table_of(staff / "t.csv", {"a": 3, "b": 1, "c": 1}))])
            == 0
        )
        capsys.readouterr()
        return staff

    def test_lists_go_on_where_they_stopped(self, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
        first = answer(capsys, "gallery", "list", "staff", "--limit", "2")
        assert [s["id"] for s in first["subjects"]] == ["a", "b"] and first["next"] == "b"
        rest = answer(capsys, "gallery", "list", "staff", "--after", "b")
        assert [s["id"] for s in rest["subjects"]] == ["c"] and rest["next"] is None
        (collection,) = answer(capsys, "gallery", "list")["collections"]
        assert (collection["name"], collection["subjects"], collection["references"]) == ("staff", 3, 5)
        assert main(["gallery", "list"]) == 0
        assert "staff" in capsys.readouterr().out
        assert main(["gallery", "list", "staff", "--limit", "1"]) == 0
        assert '--after "a"' in capsys.readouterr().err

    def test_rename_merge_update_remove(self, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert answer(capsys, "gallery", "rename", "staff", "a", "anna")["id"] == "anna"
        assert main(["gallery", "rename", "staff", "anna", "b"]) == 3
        assert main(["gallery", "merge", "staff", "b", "anna"]) == 3
        assert "--yes" in capsys.readouterr().err
        assert answer(capsys, "gallery", "merge", "staff", "b", "anna", "--yes")["references"] == 4
        changed = answer(
            capsys, "gallery", "update", "staff", "anna", "--set", "n:=2", "--retain-until", "2031-05-06"
        )
        assert changed["metadata"] == {"n": 2} and changed["retain_until"].startswith("2031-05-06")
        assert main(["gallery", "update", "staff", "anna"]) == 3
        assert answer(capsys, "gallery", "remove", "staff", "c", "--yes")["references"] == 1
        assert main(["gallery", "remove", "staff", "c", "--yes"]) == 3
        capsys.readouterr()
        (stats,) = answer(capsys, "gallery", "stats", "staff")["collections"]
        assert (stats["subjects"], stats["references"]) == (1, 4)

    def test_a_collection_is_removed_when_empty_or_on_request(
        self, filled: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["gallery", "remove", "staff", "--yes"]) == 3
        assert "3 subjects" in capsys.readouterr().err
        assert main(["gallery", "remove", "staff", "--with-subjects"]) == 3
        assert answer(capsys, "gallery", "stats", "staff")["collections"][0]["subjects"] == 3
        assert answer(capsys, "gallery", "remove", "staff", "--with-subjects", "--yes")["references"] == 5
        assert answer(capsys, "gallery", "list")["collections"] == []

    def test_verify_finds_a_changed_template(self, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["gallery", "verify"]) == 0
        assert "3 subjects, 5 samples" in capsys.readouterr().out
        with sqlite3.connect(filled / "g.db") as base:
            vector = bytearray(base.execute("SELECT vector FROM reference WHERE id = 2").fetchone()[0])
            vector[20] ^= 1
            base.execute("UPDATE reference SET vector = ? WHERE id = 2", (bytes(vector),))
        report = answer(capsys, "gallery", "verify", "--skip-index", code=11)["collections"][0]
        assert not report["well"]
        assert {(p["what"], p["where"]) for p in report["problems"]} >= {("reference_damaged", "reference 2")}
        assert main(["gallery", "verify", "staff", "--skip-index"]) == 11
        assert "reference 2" in capsys.readouterr().out

    def test_rebuild_and_rewrite(self, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert answer(capsys, "gallery", "rebuild") == {"references": {"staff": 5}}
        assert answer(capsys, "gallery", "rewrite")["database"].endswith("g.db")

    def test_a_file_that_is_no_database(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (place / "g.db").write_bytes(b"no database " * 500)
        assert main(["gallery", "list"]) == 11
        out = capsys.readouterr()
        assert "damaged" in out.err and "Traceback" not in out.err

    def test_sweep_writes_a_receipt_for_each(self, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert answer(capsys, "gallery", "sweep", "staff") == {
            "collection": "staff",
            "due": [],
            "erased": True,
        }
        for who in ("a", "b"):
            assert main(["gallery", "update", "staff", who, "--retain-until", "2020-01-01"]) == 0
        capsys.readouterr()
        assert answer(capsys, "gallery", "sweep", "staff", "--dry-run")["due"] == ["a", "b"]
        assert main(["gallery", "sweep", "staff"]) == 3
        assert main(["gallery", "sweep", "staff", "--yes", "--receipts", "r"]) == 0
        assert "erased: a" in capsys.readouterr().out
        receipts = sorted((filled / "r").iterdir())
        assert len(receipts) == 2
        for receipt in receipts:
            assert main(["erase", "--check", str(receipt)]) == 0
        assert [s["id"] for s in self.left(capsys)] == ["c"]

    @staticmethod
    def left(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
        capsys.readouterr()
        return answer(capsys, "gallery", "list", "staff")["subjects"]


class TestKeysAndFiles:
    @pytest.fixture
    def sealed(self, place: Path, capsys: pytest.CaptureFixture[str]) -> Path:
        assert main(["gallery", "create", "staff", "--key", "file:k"]) == 0
        table = table_of(place / "t.csv", {"a": 2, "b": 1})
        assert main(["gallery", "enroll", "staff", str(table), "--key", "file:k"]) == 0
        capsys.readouterr()
        return place

    def test_the_master_key_is_changed(self, sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shutil.copy(sealed / "k", sealed / "old")
        first = answer(capsys, "gallery", "rotate-key", "--key", "file:k")
        assert first["keys"] == 4 and first["retired"] == []
        assert main(["gallery", "verify", "--key", "file:k"]) == 0
        assert main(["gallery", "verify", "--key", "file:old"]) == 11
        capsys.readouterr()
        second = answer(capsys, "gallery", "rotate-key", "--key", "file:k", "--retire")
        assert first["key"] in second["retired"] and len(second["retired"]) == 2
        assert main(["gallery", "verify", "--key", "file:k"]) == 0
        assert main(["gallery", "rotate-key"]) == 11

    def test_a_change_that_was_begun_goes_on_under_the_same_key(
        self, sealed: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from lineament.gallery.keys import FileKeys

        begun = FileKeys(sealed / "k").rotate()
        assert answer(capsys, "gallery", "rotate-key", "--key", "file:k")["key"] == begun

    def test_keys_of_the_environment(
        self, sealed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from lineament.gallery.keys import new_key_text

        monkeypatch.setenv("LINEAMENT_KEY", new_key_text())
        monkeypatch.setenv("LINEAMENT_GALLERY", "second.db")
        assert main(["gallery", "create", "x", "--key", "env:LINEAMENT_KEY"]) == 0
        monkeypatch.setenv("LINEAMENT_KEY_PREVIOUS", os.environ["LINEAMENT_KEY"])
        monkeypatch.setenv("LINEAMENT_KEY", new_key_text())
        capsys.readouterr()
        assert answer(capsys, "gallery", "rotate-key", "--key", "env:LINEAMENT_KEY")["keys"] == 2
        monkeypatch.delenv("LINEAMENT_KEY_PREVIOUS")
        assert main(["gallery", "verify", "--key", "env:LINEAMENT_KEY"]) == 0
        assert main(["gallery", "rotate-key", "--key", "env:LINEAMENT_KEY", "--retire"]) == 3

    def test_out_into_a_file_and_back(self, sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
        key = ("--key", "file:k")
        out = answer(capsys, "gallery", "export", "staff", "-o", "staff.export", *key)
        assert (out["subjects"], out["references"], out["sealed"]) == (2, 3, True)
        back = answer(capsys, "gallery", "import", "staff.export", "copy", *key)
        assert back["collection"] == "copy" and back["counts"] == {"enrolled": 3}
        assert main(["gallery", "import", "staff.export", "--gallery", "other.db"]) == 11
        assert not (sealed / "other.db").exists()
        capsys.readouterr()
        moved = answer(capsys, "gallery", "import", "staff.export", "--gallery", "new.db", "--key", "file:k2",
                       "--file-key", "file:k")  # fmt: skip
        assert moved["collection"] == "staff" and (sealed / "k2").is_file()
        assert main(["gallery", "verify", "--gallery", "new.db", "--key", "file:k2"]) == 0
        assert main(["gallery", "export", "staff", "-o", "p", *key, "--plain", "--file-key", "file:k"]) == 3
        assert main(["gallery", "export", "staff", "-o", "no/such/place", *key]) == 9
        assert main(["gallery", "import", "t.csv", *key]) == 3


def test_another_model_from_kept_crops(
    place: Path, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "create", "staff", "--keep-crops"]) == 0
    assert main(["gallery", "enroll", "staff", "--subject", "e", str(samples / "collins.jpg")]) == 0
    capsys.readouterr()
    assert main(["gallery", "migrate", "staff"]) == 3
    assert "--model" in capsys.readouterr().err
    assert main(["gallery", "migrate", "staff", "--model", "default"]) == 3
    assert "already" in capsys.readouterr().err
    pack = other_pack(place / "pack")
    done = answer(capsys, "gallery", "migrate", "staff", "--model", pack)
    assert (done["references"], done["lost"], done["finished"]) == (1, [], False)
    assert answer(capsys, "gallery", "migrate", "staff", "--model", pack, "--finish")["finished"]
    # The new pack is not installed, so it has to be named; the old one does not fit any more.
    assert main(["identify", "staff", str(samples / "collins-view.jpg")]) == 5
    assert main(["identify", "staff", str(samples / "collins-view.jpg"), "--model", str(pack)]) == 0
    names = [c["name"] for c in answer_after(capsys, "gallery", "list")["collections"]]
    assert names == ["staff", "staff+before"]
    assert main(["gallery", "remove", "staff+before", "--with-subjects", "--yes"]) == 0


def answer_after(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    return answer(capsys, *arguments)


def other_pack(folder: Path) -> Path:
    """The default pack with another normalisation: another model with thresholds of its own."""
    from dataclasses import replace

    from lineament.packs.resolve import open_pack

    pack = open_pack()
    shutil.copytree(pack.folder, folder)
    models = tuple(replace(m, std=1.01) if m.task == "recognition" else m for m in pack.card.models)
    card = replace(pack.card, name="other", models=models)
    network = card.model("recognition")
    assert network is not None
    model = network.identity("other")
    measured = tuple(replace(t, model=model) for t in pack.card.thresholds)
    (folder / "card.json").write_text(card.with_thresholds(measured).to_json())
    return folder


def test_without_the_extra_it_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    for arguments in (
        ["gallery", "create", "staff"],
        ["gallery", "list"],
        ["gallery", "enroll", "staff", "."],
        ["gallery", "export", "staff", "-o", "x"],
        ["gallery", "import", "x"],
        ["gallery", "verify"],
        ["gallery", "rotate-key", "--key", "file:k"],
        ["identify", "staff", "a.jpg"],
        ["erase", "staff", "x"],
        ["erase", "--check", "x.json"],
        ["audit", "verify"],
        ["audit", "search"],
    ):
        assert main(arguments) == 6, arguments
        out = capsys.readouterr()
        assert 'pip install "lineament[gallery]"' in out.err
        assert len(out.err.splitlines()) == 1


def test_by_the_installed_command_in_a_pipe(staff: Path) -> None:
    command = [str(Path(sys.executable).with_name("lineament")), "gallery"]
    done = subprocess.run(
        [*command, "list", "--json"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["collections"][0]["name"] == "staff"
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait(60)
    gone = subprocess.run(
        [*command, "show", "staff"], stdout=reader.stdin, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert reader.stdin is not None
    reader.stdin.close()
    assert (gone.returncode, gone.stderr) == (0, "")
