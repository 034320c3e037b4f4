"""The evaluating commands as a person or a script uses them, on crops cut from a public-domain portrait."""

import json
import pickle
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from lineament.cli import main
from lineament.core.errors import InvalidArgument
from lineament.core.template import ModelId
from lineament.packs.card import CARD_NAME, PackCard
from lineament.packs.measured import UNMEASURED, put_thresholds
from lineament.packs.resolve import open_pack

PEOPLE, EACH = 6, 3


@pytest.fixture(scope="module")
def crops(astronaut: np.ndarray) -> dict[str, bytes]:
    """Eighteen pieces of a picture, three shifted ones per `person`: nobody's faces, but real templates."""
    made: dict[str, bytes] = {}
    corners = np.random.default_rng(0).integers(10, 380, (PEOPLE, 2))
    for person, (y, x) in enumerate(corners.tolist()):
        for k in range(EACH):
            stream = BytesIO()
            piece = astronaut[y + 2 * k : y + 2 * k + 112, x + k : x + k + 112]
            PillowImage.fromarray(piece).save(stream, "PNG")
            made[f"p{person}/{k}.png"] = stream.getvalue()
    return made


@pytest.fixture
def people(tmp_path: Path, crops: dict[str, bytes]) -> Path:
    for name, data in crops.items():
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_bytes(data)
    return tmp_path / "people"


@pytest.fixture
def listed(people: Path) -> Path:
    """A list of pairs with two folds and subjects."""
    rows = ["a,b,same,fold,subject_a,subject_b"]
    for p in range(PEOPLE):
        other = (p + 1) % PEOPLE
        rows += [f"p{p}/0.png,p{p}/{k}.png,1,{k},p{p},p{p}" for k in (1, 2)]
        rows += [f"p{p}/{k}.png,p{other}/{k}.png,0,{k},p{p},p{other}" for k in (1, 2)]
    path = people.parent / "pairs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_pairs_from_list_to_page(listed: Path, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, page = listed.parent / "run.json", listed.parent / "page.html"
    call = [
        "evaluate",
        "pairs",
        str(listed),
        "--images",
        str(people),
        "--crops",
        "aligned",
        "--replicates",
        "50",
    ]
    assert main([*call, "-o", str(run), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "accuracy " in said and "failures to acquire: 0" in said
    body = json.loads(run.read_text())
    assert body["data"]["mated"] == body["data"]["nonmated"] == 12
    assert body["system"]["detector"] == "aligned crops"
    assert not list(listed.parent.glob("*.templates"))
    assert page.read_text().startswith("<!doctype html>")
    assert main(["report", str(run), "--csv", str(listed.parent / "csv"), "--json"]) == 0
    assert sorted(p.name for p in (listed.parent / "csv").iterdir()) == [
        "edc.csv",
        "histogram.csv",
        "roc.csv",
    ]
    assert main(["compare-models", str(run), str(run), "--replicates", "100"]) == 0
    assert "no clear difference" in capsys.readouterr().out


def test_a_missing_picture_is_a_counted_failure(
    listed: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (people / "p0" / "1.png").unlink()
    (people / "p1" / "1.png").write_bytes(b"no picture")
    call = ["evaluate", "pairs", str(listed), "--images", str(people), "--crops", "aligned", "--json"]
    assert main([*call, "--replicates", "0"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["failures"] == {"image_not_found": 1, "image_unreadable": 1}
    assert (data["mated_failed"], data["nonmated_failed"]) == (2, 3)


def test_codes_of_gates_and_of_too_little_data(
    listed: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = str(listed.parent / "kept")
    call = [
        "evaluate",
        "pairs",
        str(listed),
        "--images",
        str(people),
        "--crops",
        "aligned",
        "--templates",
        kept,
    ]
    call += ["--replicates", "0"]
    assert main([*call, "--gate", "accuracy>=0.3"]) == 0
    assert main([*call, "--gate", "accuracy>=0.999"]) == 4
    assert "DOES NOT HOLD" in capsys.readouterr().out
    assert main([*call, "--at", "1e-3"]) == 3
    assert "too little data" in capsys.readouterr().err
    assert main([*call, "--at", "1e-3", "--allow-insufficient"]) == 0
    assert main([*call, "--gate", "auc>=1"]) == 2
    assert main(["evaluate", "pairs", str(listed)]) == 2
    assert main(["evaluate", "pairs", str(listed.parent / "none.csv"), "--images", str(people)]) == 2


def test_a_pair_file_holds_its_own_crops(
    tmp_path: Path, crops: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    images, same = [], []
    for p in range(PEOPLE):
        images += [crops[f"p{p}/0.png"], crops[f"p{p}/1.png"]]
        images += [crops[f"p{p}/0.png"], crops[f"p{(p + 1) % PEOPLE}/1.png"]]
        same += [True, False]
    path = tmp_path / "own.bin"
    path.write_bytes(pickle.dumps((images, same)))
    assert main(["evaluate", "pairs", str(path), "--json", "--mirror", "sum_raw", "--replicates", "0"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["data"]["mated"] == 6
    assert body["system"]["views"] == "sum_raw" and "+mirror" in body["system"]["model"]
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path.write_bytes(pickle.dumps(Hostile()))
    assert main(["evaluate", "pairs", str(path)]) == 2
    assert not marker.exists()


def test_a_folder_of_people_calibrates_and_refuses(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, card = str(people.parent / "kept"), people.parent / "card.json"
    source = ["--crops", "aligned", "--templates", kept]
    run = people.parent / "run.json"
    assert main(["evaluate", "folder", str(people), *source, "-o", str(run), "--replicates", "50"]) == 0
    body = json.loads(run.read_text())
    assert (body["data"]["mated"], body["data"]["nonmated"]) == (18, 135)
    assert main(["calibrate", "--fmr", "0.2", "--images", str(people), *source, "-o", str(card)]) == 0
    said = json.loads(card.read_text())
    assert said["comparisons"] == 135 and said["subjects"] == PEOPLE
    capsys.readouterr()
    assert main(["calibrate", "--fmr", "1e-4", "--images", str(people), *source]) == 3
    assert "at least 29,956 are needed" in capsys.readouterr().err
    assert main(["calibrate", "--images", str(people)]) == 2
    again = ["evaluate", "folder", str(people), *source, "--threshold-card", str(card), "--replicates", "0"]
    assert main([*again, "--json"]) == 0
    deployed = json.loads(capsys.readouterr().out)["results"]["verification"]["deployed"]
    assert deployed["false_matches"] == said["false_matches"]


def test_people_two_folders_up_calibrate(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat, place = people.parent / "flat.json", people.parent / "deep"
    source = ["calibrate", "--fmr", "0.2", "--crops", "aligned", "--replicates", "50", "--json"]
    assert main([*source, "--images", str(people)]) == 0
    flat_card = json.loads(capsys.readouterr().out)
    for picture in sorted(people.glob("*/*.png")):
        # As CFP lies: person/frontal/01.jpg, person/profile/01.jpg.
        side = "profile" if picture.stem == "2" else "frontal"
        target = place / picture.parent.name / side / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.read_bytes())
    assert main([*source, "--images", str(place), "--up", "2", "-o", str(flat)]) == 0
    deep_card = json.loads(flat.read_text())
    assert (deep_card["subjects"], deep_card["comparisons"]) == (PEOPLE, 135)
    assert deep_card["value"] == flat_card["value"]
    capsys.readouterr()
    assert main([*source, "--images", str(place)]) == 2
    assert "further up" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_threshold_goes_into_the_card_of_ones_own_pack(
    people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = people.parent / "mine"
    shutil.copytree(open_pack(None).folder, pack)
    text = (pack / CARD_NAME).read_text("utf-8")
    card = PackCard.from_json(text, "the card")
    bare = replace(card, name="mine", notes=(UNMEASURED, "Another note."), thresholds=())
    (pack / CARD_NAME).write_text(bare.to_json(), "utf-8")
    call = ["calibrate", "--images", str(people), "--crops", "aligned", "--replicates", "50", "--into-pack"]
    assert main([*call, "--fmr", "0.2", "--fmr", "0.5", "--model", str(pack)]) == 0
    assert f"kept in {pack / CARD_NAME}" in capsys.readouterr().out
    kept = open_pack(pack).card
    assert [t.fmr for t in kept.thresholds] == [0.5, 0.2] and kept.notes == ("Another note.",)
    # Another measurement for the same rate takes the place of the first.
    assert main([*call, "--fmr", "0.2", "--name", "again", "--model", str(pack)]) == 0
    rates = {t.fmr: t.dataset.partition(",")[0] for t in open_pack(pack).card.thresholds}
    assert rates == {0.5: "people", 0.2: "again"} and len(open_pack(pack).card.thresholds) == 2
    for model in ([], ["--model", "default"]):
        assert main([*call, "--fmr", "0.2", *model]) != 0
    foreign = replace(kept.thresholds[0], model=ModelId("mine/other", "0" * 64))
    with pytest.raises(InvalidArgument, match="does not make"):
        put_thresholds(pack, [foreign])


def test_groups_and_searches_of_a_folder(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = people.parent
    kept = ["--crops", "aligned", "--templates", str(place / "kept"), "--json"]
    (place / "groups.csv").write_text(
        "name,group\n" + "".join(f"p{p},{'xy'[p % 2]}\n" for p in range(PEOPLE))
    )
    assert (
        main(
            ["evaluate", "groups", str(people), "--groups", str(place / "groups.csv"), "--fmr", "0.1", *kept]
        )
        == 0
    )
    section = json.loads(capsys.readouterr().out)["results"]["groups"]
    assert section["names"] == ["x", "y"]
    assert [c["mated"] for c in section["counts"]] == [9, 9]
    for name, chosen in (
        ("gallery", [f"p{p}/0.png" for p in range(3)]),
        ("mated", [f"p{p}/{k}.png" for p in range(3) for k in (1, 2)]),
        ("nonmated", [f"p{p}/0.png" for p in range(3, PEOPLE)]),
    ):
        (place / f"{name}.txt").write_text("\n".join(chosen) + "\n")
    lists = [v for n in ("gallery", "mated", "nonmated") for v in (f"--{n}", str(place / f"{n}.txt"))]
    call = ["evaluate", "openset", "--images", str(people), *lists, *kept, "--at", "0.4"]
    assert main(call) == 0
    section = json.loads(capsys.readouterr().out)["results"]["identification"]
    assert section["gallery"] == 3
    assert section["rank_rates"][0]["rate"] == 1.0
    (place / "nonmated.txt").write_text("p0/1.png\n")
    assert main(call) == 2


def test_scores_and_attacks_need_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    mated = np.arange(400) < 200
    rows = [f"{v:.6f},{int(m)}" for v, m in zip(rng.normal(0, 0.1, 400) + mated, mated, strict=True)]
    (tmp_path / "s.csv").write_text("similarity,mated\n" + "\n".join(rows) + "\n")
    assert main(["evaluate", "scores", str(tmp_path / "s.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["mated"] == 200
    (tmp_path / "p.csv").write_text("score,species\n0.9,\n0.8,bona_fide\n0.2,print\n0.7,mask\n")
    assert main(["evaluate", "pad", str(tmp_path / "p.csv"), "--threshold", "0.5", "--json"]) == 0
    section = json.loads(capsys.readouterr().out)["results"]["attack"]
    assert (section["apcer_worst"], section["bpcer"]) == (1.0, 0.0)
    assert main(["calibrate", "--fmr", "0.1", "--scores", str(tmp_path / "s.csv")]) == 2
    assert "--model-digest" in capsys.readouterr().err


def test_distractors_are_searched_among(
    people: Path, astronaut: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = people.parent / "strangers"
    strangers.mkdir()
    for i, (y, x) in enumerate(np.random.default_rng(9).integers(0, 400, (5, 2)).tolist()):
        PillowImage.fromarray(astronaut[y : y + 112, x : x + 112]).save(strangers / f"{i}.png")
    call = ["evaluate", "distractors", str(people), str(strangers), "--crops", "aligned", "--at", "0.1"]
    assert main([*call, "--replicates", "0", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["data"]["mated"], body["data"]["nonmated"]) == (18, 90)
    assert body["results"]["identification"]["gallery"] == 6
    assert main([*call, "--replicates", "0"]) == 0
    assert "gallery of 6; rank 1" in capsys.readouterr().out


@pytest.fixture
def ijb(tmp_path: Path, crops: dict[str, bytes]) -> Path:
    """The layout of IJB-C: six people of two templates, the first of two pictures."""
    points = "38.3 51.7 73.5 51.5 56.0 71.7 41.5 92.4 70.7 92.2"
    faces, owners, number = [], [], 0
    (tmp_path / "IJBC" / "loose_crop").mkdir(parents=True)
    (tmp_path / "IJBC" / "meta").mkdir()
    for p in range(PEOPLE):
        for k in range(EACH):
            number += 1
            (tmp_path / "IJBC" / "loose_crop" / f"{number}.jpg").write_bytes(crops[f"p{p}/{k}.png"])
            faces.append(f"{number}.jpg {points} 0.99")
            owners.append(f"{number}.jpg {2 * p + (k == 2)} {number}")
    labels = [f"{a} {b} {int(a // 2 == b // 2)}" for a in range(2 * PEOPLE) for b in range(a)]
    head = "TEMPLATE_ID,SUBJECT_ID,FILENAME"
    rows = {
        "ijbc_name_5pts_score.txt": faces,
        "ijbc_face_tid_mid.txt": owners,
        "ijbc_template_pair_label.txt": labels,
        "ijbc_1N_gallery_G1.csv": [head, *(f"{2 * p},{p},x.jpg" for p in range(3))],
        "ijbc_1N_gallery_G2.csv": [head, *(f"{2 * p},{p},x.jpg" for p in range(3, PEOPLE))],
        "ijbc_1N_probe_mixed.csv": [head, *(f"{2 * p + 1},{p},x.jpg" for p in range(PEOPLE))],
    }
    for name, lines in rows.items():
        (tmp_path / "IJBC" / "meta" / name).write_text("\n".join(lines) + "\n")
    return tmp_path / "IJBC"


def test_ijb_compares_and_searches_templates(ijb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ["--templates", str(ijb.parent / "kept"), "--set", "C", "--json"]
    assert main(["evaluate", "ijb", str(ijb), *kept, "--at", "0.1"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["data"]["mated"], body["data"]["nonmated"], body["data"]["samples"]) == (6, 60, 18)
    assert any("norm_weighting: keep" in note for note in body["notes"])
    assert main(["evaluate", "ijb", str(ijb), *kept, "--task", "1:N", "--at", "0.4"]) == 0
    section = json.loads(capsys.readouterr().out)["results"]["identification"]
    # Each gallery by itself: three people, and the other three are strangers to it.
    assert section["galleries"] == [3, 3]
    assert [p["nonmated"] for s in section["splits"] for p in s["points"]] == [3] * 4
    (ijb / "meta" / "ijbc_template_pair_label.txt").unlink()
    assert main(["evaluate", "ijb", str(ijb), *kept]) == 2
    assert main(["evaluate", "ijb", str(ijb), *kept, "--crops", "photographs"]) == 2


def test_a_page_that_could_not_be_drawn_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    call = ["evaluate", "scores", str(tmp_path / "none.csv"), "--html", str(tmp_path / "page.html")]
    assert main(call) == 6
    assert "lineament[report]" in capsys.readouterr().err
