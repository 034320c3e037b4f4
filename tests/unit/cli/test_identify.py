"""`lineament identify`: who is on a photograph, who is unknown, and what that rests on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.cli.main import main


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """Eileen Collins, from one photograph, in the north."""
    place = tmp_path_factory.mktemp("gallery") / "g.db"
    where = ["--gallery", str(place)]
    assert main(["gallery", "create", "staff", *where]) == 0
    call = ["gallery", "enroll", "staff", "--subject", "eileen", str(samples / "collins.jpg")]
    assert main([*call, "--set", "site=north", "--set", "level:=3", *where]) == 0
    return place


@pytest.fixture(autouse=True)
def place(database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LINEAMENT_GALLERY", str(database))
    capsys.readouterr()


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    assert main(["identify", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_somebody_is_found(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", "staff", str(samples / "collins-view.jpg")]) == 0
    out = capsys.readouterr()
    assert "collins-view.jpg: eileen, similarity 0.9" in out.out
    assert "FPIR 0.001 for a gallery of 1 samples" in out.out
    assert "LFW" in out.out and "bound: 1 references times" in out.out
    assert out.err == ""


def test_json_has_everything_to_defend_the_answer(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "staff", samples / "collins-view.jpg", "--fpir", "1e-2")
    (probe,) = said["probes"]
    (candidate,) = probe["candidates"]
    assert (candidate["subject"], candidate["rank"], candidate["lead"]) == ("eileen", 1, False)
    threshold = probe["threshold"]
    assert threshold["value"] <= candidate["similarity"] <= 1
    assert threshold["fpir"] <= 1e-2 and threshold["gallery_size"] == 1
    assert threshold["model"] == said["model"] and threshold["comparisons"] > 8e7
    assert (said["mode"], said["decides"], probe["outcome"], probe["searched"]) == (
        "identify",
        True,
        "found",
        1,
    )
    assert probe["complete"] and probe["face"]["box"]
    assert "vector" not in json.dumps(said) and "template" not in json.dumps(said)


def test_a_stranger_is_unknown(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # At a boundary that nobody reaches, everybody is a stranger.
    assert main(["identify", "staff", str(samples / "collins-view.jpg"), "--threshold", "0.999"]) == 1
    out = capsys.readouterr().out
    assert "unknown: nobody reaches the threshold 0.999" in out
    assert "typed in, measured on nothing" in out


def test_metadata_choose_who_is_searched(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = samples / "collins-view.jpg"
    assert answer(capsys, "staff", probe, "--where", "site=north", "--where", "level:=3")["where"] == {
        "site": "north",
        "level": 3,
    }
    assert answer(capsys, "staff", probe, "--where", "site=south", code=1)["probes"][0]["candidates"] == []
    # The text "3" is not the number 3.
    assert answer(capsys, "staff", probe, "--where", "level=3", code=1)["probes"][0]["outcome"] == "unknown"


def test_leads_are_marked_and_decide_nothing(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", "staff", str(samples / "collins-view.jpg"), "--investigate"]) == 0
    out = capsys.readouterr().out
    assert "leads, not decisions" in out and "threshold  " not in out
    said = answer(capsys, "staff", samples / "collins-view.jpg", "--investigate")
    assert (said["mode"], said["decides"]) == ("investigate", False)
    assert said["probes"][0]["threshold"] is None
    assert all(candidate["lead"] for candidate in said["probes"][0]["candidates"])


def test_each_face_of_a_group(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The picture shows one person twice; nobody can be in a picture twice, so one face is somebody else.
    said = answer(capsys, "staff", samples / "two-people.jpg", "--group")
    assert sorted(probe["outcome"] for probe in said["probes"]) == ["found", "unknown"]
    assert {probe["source"][-8:] for probe in said["probes"]} == {", face 1", ", face 2"}
    assert (
        answer(capsys, "staff", samples / "coffee.jpg", "--group", code=2)["probes"][0]["outcome"]
        == "no_face"
    )


def test_exit_codes(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, cup = str(samples / "collins-view.jpg"), str(samples / "coffee.jpg")
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    for arguments, code in (
        ([known, known], 0),
        ([known, cup], 2),
        ([cup], 2),
        ([str(samples / "two-people.jpg")], 2),
        ([str(samples / "two-people.jpg"), "--policy", "largest"], 0),
        ([str(empty)], 4),
        ([str(tmp_path / "none.jpg")], 4),
        ([str(empty), "--group"], 4),
        ([known, str(empty)], 8),
        ([known, "--fpir", "1e-9"], 7),
        ([known, "--fpir", "0"], 3),
        ([known, "--fpir", "nan"], 3),
        ([known, "--k", "0"], 3),
        ([known, "--threshold", "2"], 3),
        ([known, "--threshold", "0.4", "--fpir", "0.1"], 3),
        ([known, "--investigate", "--threshold", "0.4"], 3),
        ([known, "--investigate", "--group"], 3),
        ([known, "--where", "site"], 3),
        ([known, "--model", "no-such-pack"], 5),
        ([known, "--precision", "int8"], 3),
        ([known, "--index", "lucene"], 3),
        ([known, "--index", "milvus+http://localhost:1"], 11),
        ([known, "--gallery", str(tmp_path / "none.db")], 3),
        ([], 3),
    ):
        assert main(["identify", "staff", *arguments]) == code, arguments
        out = capsys.readouterr()
        assert "Traceback" not in out.err + out.out
    assert main(["identify", "nobody", known]) == 3
    assert "there are staff" in capsys.readouterr().err


def test_a_threshold_from_a_file(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recognizer = ln.Recognizer()
    pair = recognizer.thresholds[0].to_dict()
    search = {**pair, "fmr": None, "fpir": 0.01, "gallery_size": 1000}
    (tmp_path / "card.json").write_text(json.dumps(search))
    probe = str(samples / "collins-view.jpg")
    said = answer(capsys, "staff", probe, "--threshold-card", tmp_path / "card.json")
    assert said["probes"][0]["threshold"]["gallery_size"] == 1000
    (tmp_path / "card.json").write_text(json.dumps(pair))
    assert main(["identify", "staff", probe, "--threshold-card", str(tmp_path / "card.json")]) == 7
    assert "not for searching" in capsys.readouterr().err


def test_every_search_stands_in_the_audit_log(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def searches() -> int:
        assert main(["audit", "search", "--action", "identify", "--by", "kay", "--json"]) == 0
        return json.loads(capsys.readouterr().out)["found"]

    before = searches()
    probe = str(samples / "collins-view.jpg")
    assert main(["identify", "staff", probe, "--actor", "kay", "--purpose", "a test"]) == 0
    capsys.readouterr()
    assert searches() == before + 1


def test_nobody_is_enrolled(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "create", "empty"]) == 0
    assert main(["identify", "empty", str(samples / "collins.jpg")]) == 1
    assert main(["identify", "empty", str(samples / "collins.jpg"), "--investigate"]) == 1
    assert "nobody is enrolled" in capsys.readouterr().out


@pytest.mark.real
def test_portraits_of_several_people(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portraits = [
        shared / "fixtures" / "images" / "cc0" / f"{number}.jpg" for number in ("001", "004", "005", "006")
    ]
    *enrolled, stranger = portraits
    people = tmp_path / "people"
    for portrait in enrolled:
        (people / portrait.stem).mkdir(parents=True)
        small(portrait, people / portrait.stem)
    where = ["--gallery", str(tmp_path / "p.db")]
    assert main(["gallery", "create", "people", *where]) == 0
    assert main(["gallery", "enroll", "people", str(people), *where]) == 0
    capsys.readouterr()
    probes = [str(small(p, tmp_path, mirror=True)) for p in (*enrolled, stranger)]
    said = answer(capsys, "people", *probes, *where, code=1)
    names = [[c["subject"] for c in probe["candidates"]] for probe in said["probes"]]
    assert names == [*([p.stem] for p in enrolled), []]


def small(portrait: Path, folder: Path, *, mirror: bool = False) -> Path:
    """A copy of at most 640 pixels, perhaps mirrored."""
    with PIL.Image.open(portrait) as picture:
        picture.thumbnail((640, 640))
        pixels = np.asarray(picture.convert("RGB"))
    path = folder / f"{'m' if mirror else 's'}-{portrait.name}"
    PIL.Image.fromarray(pixels[:, ::-1] if mirror else pixels).save(path, quality=92)
    return path
