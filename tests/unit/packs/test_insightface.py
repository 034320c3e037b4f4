"""InsightFace packs and single files, recognised by structure."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, PackBroken, PackNotFound, PackUnrecognised
from lineament.packs.archive import unpack_models
from lineament.packs.insightface import import_files, read_insightface, read_onnx


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
    return archive


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "")
        for p in [folder, *folder.rglob("*")]
    }


# Row 18: the three layouts, and an empty folder with a message that helps.


def test_row_18_flat_nested_and_zipped_layouts_give_the_same_pack(networks, networks_in, store, tmp_path):
    flat = networks.face_pack()
    nested = tmp_path / "outer"
    networks_in(nested / "inner").face_pack()
    packs = [
        read_insightface(flat),
        read_insightface(nested),
        read_insightface(zipped(flat, tmp_path / "flat.zip"), store=store),
        read_insightface(zipped(flat, tmp_path / "nested.zip", "buffalo/"), store=store),
    ]
    for pack in packs:
        assert pack.card.models == packs[0].card.models
        assert [m.task for m in pack.card.models] == ["detection", "recognition"]
        assert all(pack.path(m).is_file() for m in pack.card.models)
    assert [pack.card.name for pack in packs] == ["made", "outer", "flat", "nested"]
    assert store.list() == ()


def test_row_18_an_empty_folder_names_itself_the_files_found_and_what_is_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackUnrecognised, match=r"empty holds no \.onnx file \(found: nothing\); expected"):
        read_insightface(tmp_path / "empty")
    (tmp_path / "empty" / "readme.txt").write_text("hello")
    with pytest.raises(PackUnrecognised, match=r"found: readme\.txt"):
        read_insightface(tmp_path / "empty")


def test_row_18_no_detector_names_what_each_file_is(networks):
    networks.vector("rec.onnx")
    networks.vector("odd.onnx", size=(80, 80), dimension=3)
    with pytest.raises(PackUnrecognised) as caught:
        read_insightface(networks.folder)
    for word in (str(networks.folder), "rec.onnx: recognition", "odd.onnx: not usable", "expected"):
        assert word in caught.value.message


def test_row_18_two_nested_packs_are_not_guessed_between(networks_in, tmp_path):
    for name in ("a", "b"):
        networks_in(tmp_path / "two" / name).face_pack()
    with pytest.raises(PackUnrecognised, match=r"several packs \(a, b\)"):
        read_insightface(tmp_path / "two")


def test_nothing_there(tmp_path):
    with pytest.raises(PackNotFound, match="nosuch"):
        read_insightface(tmp_path / "nosuch")


# What each structure is.


@pytest.mark.parametrize(("heads", "stride"), [(6, 32), (9, 32), (10, 128), (15, 128)])
def test_detectors(networks, heads, stride):
    networks.detector("d.onnx", heads=heads)
    (card,) = read_insightface(networks.folder).card.models
    assert (card.task, card.family, card.outputs, card.stride) == ("detection", "scrfd", heads, stride)
    assert (card.size, card.mean, card.std, card.colour) == ((0, 0), 127.5, 128.0, "rgb")


@pytest.mark.parametrize(
    ("size", "dimension", "task", "std", "alignment"),
    [
        (112, 512, "recognition", 127.5, "arcface-112"),
        (224, 512, "recognition", 127.5, "arcface-224"),
        (128, 256, "recognition", 127.5, "arcface-128"),
        (256, 256, "recognition", 127.5, "arcface-256"),
        (192, 3309, "landmarks_68", 128.0, ""),
        (192, 212, "landmarks_106", 128.0, ""),
        (96, 3, "gender_age", 128.0, ""),
    ],
)
def test_single_output_networks(networks, size, dimension, task, std, alignment):
    card = read_onnx(networks.vector("m.onnx", size=(size, size), dimension=dimension)).card.models[0]
    assert (card.task, card.mean, card.std) == (task, 127.5, std)
    assert (card.alignment, card.size, card.batch) == (alignment, (size, size), 0)
    assert card.dimension == (dimension if task == "recognition" else 0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"size": (224, 224), "dimension": 1000}, "classifier"),
        ({"size": (112, 112), "dimension": 85742, "last": "Softmax"}, "classifier"),
        ({"size": (112, 112), "dimension": 3}, "too few"),
        ({"size": (160, 160)}, "no alignment template"),
        ({"size": (120, 120)}, "is none of"),
        ({"size": (112, 96)}, "is none of"),
        ({"size": (192, 192), "dimension": 10}, "too few"),
        ({"size": ("h", "w")}, "is none of"),
    ],
)
def test_what_only_looks_like_a_face_network_is_refused_with_a_reason(networks, arguments, why):
    with pytest.raises(PackUnrecognised, match=why):
        read_onnx(networks.vector("m.onnx", **arguments))


def test_a_face_swapper_and_a_classifier_in_a_pack_are_left_out_with_a_reason(networks):
    networks.face_pack()
    networks.swapper("inswapper_128.onnx")
    networks.vector("a_resnet.onnx", size=(224, 224), dimension=1000)
    card = read_insightface(networks.folder).card
    assert [m.file for m in card.models] == ["det.onnx", "rec.onnx"]
    notes = " ".join(card.notes)
    assert "inswapper_128.onnx (two inputs" in notes
    assert "a_resnet.onnx (1000 outputs" in notes


def test_nine_outputs_that_are_no_boxes_are_not_a_detector(networks):
    networks.detector("d.onnx", heads=9, width=7)
    with pytest.raises(PackUnrecognised, match="should be 1"):
        read_insightface(networks.folder)


def test_the_first_network_of_a_task_wins_in_sorted_order(networks):
    networks.face_pack()
    networks.vector("a_rec.onnx", seed=1)
    card = read_insightface(networks.folder).card
    assert [m.file for m in card.models] == ["a_rec.onnx", "det.onnx"]
    assert any("rec.onnx" in n and "comes first" in n for n in card.notes)


# Normalisation.


@pytest.mark.parametrize("task_size", [(112, 512), (192, 212), (96, 3)])
def test_normalisation_inside_is_never_applied_twice(networks, task_size):
    size, dimension = task_size
    path = networks.vector(
        "m.onnx",
        size=(size, size),
        dimension=dimension,
        before=[("Sub", [np.array([127.5])]), ("Mul", [np.array([1 / 128])])],
        names=("node_Sub_1", "node_Mul_2"),
    )
    card = read_onnx(path).card.models[0]
    assert (card.mean, card.std) == (0.0, 1.0)


def test_a_graph_for_unit_pixels_gets_unit_pixels(networks):
    path = networks.vector("m.onnx", before=[("Sub", [np.array([0.5])]), ("Div", [np.array([0.5])])])
    card = read_onnx(path).card.models[0]
    assert (card.mean, card.std) == (0.0, 255.0)


def test_preprocessing_can_be_told_and_is_noted_and_changes_identity(networks):
    networks.face_pack()
    plain = read_insightface(networks.folder).card
    told = read_insightface(networks.folder, overrides={"recognition": {"colour": "bgr", "std": 128.0}}).card
    recogniser = told.model("recognition")
    assert recogniser is not None
    assert (recogniser.colour, recogniser.mean, recogniser.std) == ("bgr", 127.5, 128.0)
    assert told.model("detection") == plain.model("detection")
    assert any("as told" in note for note in told.notes)
    before = plain.model("recognition")
    assert before is not None
    assert recogniser.identity("x") != before.identity("x")


@pytest.mark.parametrize("wrong", [{"colour": "grb"}, {"std": 0.0}, {"colour": "rgb", "gamma": 2.0}])
def test_impossible_preprocessing_is_refused(networks, wrong):
    path = networks.vector("m.onnx")
    with pytest.raises(InvalidArgument):
        read_onnx(path, **wrong)


# Broken files.


def test_one_corrupt_file_is_named_unless_skipping_is_allowed(networks):
    networks.face_pack()
    (networks.folder / "genderage.onnx").write_bytes(b"\x00garbage")
    with pytest.raises(PackBroken, match=r"genderage\.onnx"):
        read_insightface(networks.folder)
    card = read_insightface(networks.folder, skip_broken=True).card
    assert [m.task for m in card.models] == ["detection", "recognition"]
    assert any("genderage.onnx" in note and "cannot be read" in note for note in card.notes)


def test_a_folder_is_used_in_place_and_left_alone(networks):
    networks.face_pack()
    before = snapshot(networks.folder)
    pack = read_insightface(networks.folder)
    assert pack.folder == networks.folder
    assert snapshot(networks.folder) == before


# Terms.


def test_known_names_carry_their_terms_and_unknown_ones_none(networks_in, tmp_path):
    networks_in(tmp_path / "buffalo_s").face_pack()
    known = read_insightface(tmp_path / "buffalo_s").card.licence
    assert known.commercial is False
    assert known.weights == "non-commercial research only"
    networks_in(tmp_path / "mine").face_pack()
    assert read_insightface(tmp_path / "mine").card.licence.commercial is None
    # Renaming the folder does not change whose weights they are.
    networks_in(tmp_path / "mine").vector("w600k_r50.onnx")
    assert read_insightface(tmp_path / "mine").card.licence.commercial is None
    (tmp_path / "mine" / "rec.onnx").unlink()
    assert read_insightface(tmp_path / "mine").card.licence.commercial is False


# Zips.


def test_a_zip_is_unpacked_once_by_its_digest_and_not_installed(networks, store, tmp_path):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    first = read_insightface(archive, store=store)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (first.folder, first.card.name) == (store.root / "read" / digest, "p")
    assert first.card.source == f"p.zip, sha256 {digest}"
    inodes = [first.path(m).stat().st_ino for m in first.card.models]
    copy = tmp_path / "buffalo_l.zip"
    copy.write_bytes(archive.read_bytes())
    again = read_insightface(copy, store=store)
    assert [again.path(m).stat().st_ino for m in again.card.models] == inodes
    # The name is that of the copy at hand, and so are the terms that follow from it.
    assert (again.card.name, again.card.licence.commercial) == ("buffalo_l", False)
    assert read_insightface(archive, store=store).card.licence.commercial is None
    assert store.list() == ()


def test_reading_a_zip_leaves_an_installed_pack_of_its_name_alone(networks, networks_in, store, tmp_path):
    mine = import_files(read_insightface(networks.face_pack()), store, name="flat")
    networks_in(tmp_path / "other").detector("det.onnx", heads=6)
    read = read_insightface(zipped(tmp_path / "other", tmp_path / "flat.zip"), store=store)
    assert read.card.models != mine.card.models
    assert store.get("flat").card == mine.card


def test_an_unpacked_zip_that_was_damaged_is_unpacked_again(networks, store, tmp_path):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    pack = read_insightface(archive, store=store)
    before = pack.path(pack.card.models[0]).read_bytes()
    pack.path(pack.card.models[0]).write_bytes(b"damaged")
    again = read_insightface(archive, store=store)
    assert again.path(again.card.models[0]).read_bytes() == before
    (pack.folder / "card.json").write_text("{")
    assert read_insightface(archive, store=store).card == pack.card


def test_preprocessing_told_for_a_zip_does_not_stick_to_it(networks, store, tmp_path):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    told = read_insightface(archive, store=store, overrides={"recognition": {"colour": "bgr"}})
    plain = read_insightface(archive, store=store)
    colours = [pack.card.model("recognition").colour for pack in (told, plain)]
    assert colours == ["bgr", "rgb"]


def test_a_picture_is_not_called_a_damaged_zip(networks, store, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(PackUnrecognised, match=r"photo\.jpg is not a model pack.*\.zip.*\.onnx"):
        read_insightface(tmp_path / "photo.jpg", store=store)
    with pytest.raises(PackUnrecognised, match="one network, not a pack"):
        read_insightface(networks.vector("rec.onnx"), store=store)


@pytest.mark.parametrize(
    "name", ["../evil.onnx", "/evil.onnx", "a/../../evil.onnx", "..\\evil.onnx", "C:/evil.onnx"]
)
def test_a_zip_that_points_outside_is_refused(networks, store, tmp_path, name):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr(name, b"evil")
    with pytest.raises(PackBroken, match="outside itself"):
        read_insightface(archive, store=store)
    assert store.list() == ()
    assert not list(tmp_path.rglob("evil.onnx"))


def test_a_zip_with_a_link_is_refused(networks, store, tmp_path):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    link = zipfile.ZipInfo("z.onnx")
    link.external_attr = (0o120777) << 16
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr(link, "/etc/passwd")
    with pytest.raises(PackBroken, match="outside itself"):
        read_insightface(archive, store=store)


def test_a_zip_that_unpacks_to_too_much_is_refused(networks, store, tmp_path, monkeypatch):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    monkeypatch.setattr("lineament.packs.archive.MAX_TOTAL_BYTES", 1000)
    with pytest.raises(PackBroken, match="do not use it"):
        read_insightface(archive, store=store)


def test_only_models_leave_the_zip(networks, tmp_path):
    folder = networks.face_pack()
    (folder / "run.py").write_text("evil")
    archive = zipped(folder, tmp_path / "p.zip")
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr("__MACOSX/._det.onnx", b"junk")
        out.writestr("a/b/deep.onnx", b"junk")
    (tmp_path / "out").mkdir()
    assert unpack_models(archive, tmp_path / "out") == ("det.onnx", "rec.onnx")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["det.onnx", "rec.onnx"]


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_zip_is_named_and_leaves_nothing(networks, store, tmp_path, damage):
    archive = zipped(networks.face_pack(), tmp_path / "p.zip")
    content = bytearray(archive.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[400] ^= 0xFF
    else:
        content = bytearray(b"not a zip")
    archive.write_bytes(content)
    with pytest.raises(PackBroken, match=r"p\.zip"):
        read_insightface(archive, store=store)
    assert store.list() == ()
    assert [p for p in (store.root / "read").iterdir() if p.is_dir()] == []


def test_importing_frees_sizes_and_keeps_identity(networks, store):
    networks.detector("det.onnx")
    networks.vector("rec.onnx", batch=1)
    here = read_insightface(networks.folder)
    kept = import_files(here, store, name="kept")
    before, after = here.card.model("recognition"), kept.card.model("recognition")
    assert before is not None
    assert after is not None
    assert (before.batch, after.batch) == (1, 0)
    assert after.origin_sha256 == before.sha256
    assert after.identity("x") == before.identity("x")
    assert store.verify("kept").sound


# Single files.


def test_a_single_file_is_a_pack_of_one_and_must_be_what_was_asked_for(networks):
    path = networks.vector("rec.onnx")
    pack = read_onnx(path, task="recognition", colour="bgr", mean=127.5, std=128.0)
    assert pack.path(pack.card.models[0]) == path
    assert (pack.card.models[0].colour, pack.card.models[0].std) == ("bgr", 128.0)
    with pytest.raises(PackUnrecognised, match="looks like recognition, not detection"):
        read_onnx(path, task="detection")
    with pytest.raises(PackNotFound):
        read_onnx(path.with_name("no.onnx"))


# Real ones.


def test_the_fake_packs_with_golden_outputs(shared):
    card = read_insightface(shared / "fixtures" / "parity" / "pack").card
    assert [(m.task, m.mean, m.std) for m in card.models] == [
        ("detection", 127.5, 128.0),
        ("gender_age", 127.5, 128.0),
        ("landmarks_106", 127.5, 128.0),
        ("landmarks_68", 127.5, 128.0),
        ("recognition", 127.5, 127.5),
    ]
    (five,) = read_insightface(shared / "fixtures" / "parity" / "pack5").card.models
    assert (five.outputs, five.stride) == (15, 128)


def test_a_folder_with_real_networks(shared, tmp_path):
    for name in ("scrfd_500m_kps.onnx", "fr_feature.onnx"):
        (tmp_path / name).symlink_to(shared / "models" / name)
    card = read_insightface(tmp_path).card
    detector, recogniser = card.model("detection"), card.model("recognition")
    assert detector is not None
    assert recogniser is not None
    assert (detector.size, detector.stride, detector.outputs) == ((640, 640), 32, 9)
    assert (recogniser.dimension, recogniser.colour, recogniser.std) == (512, "rgb", 127.5)
    assert card.licence.commercial is False
