"""From a name or a path to a pack."""

import zipfile
from pathlib import Path

import pytest

from lineament.core.errors import PackBroken, PackNotFound, PackUnrecognised
from lineament.packs.card import CARD_NAME
from lineament.packs.insightface import import_files, read_insightface
from lineament.packs.resolve import open_pack


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "person"))


@pytest.mark.parametrize("what", [None, "default", "opencv-zoo"])
def test_nothing_means_the_default_pack(store, what):
    assert open_pack(what, store).card.name == "opencv-zoo"


def test_a_pack_is_itself(networks, store):
    pack = read_insightface(networks.face_pack())
    assert open_pack(pack, store) is pack


def test_an_installed_name(networks, store):
    import_files(read_insightface(networks.face_pack()), store, name="mine")
    assert open_pack("mine", store).folder == store.packs / "mine"


def test_paths_of_every_kind(networks, store, tmp_path):
    folder = networks.face_pack()
    assert open_pack(folder, store).folder == folder
    assert open_pack(str(folder), store).folder == folder
    assert open_pack(folder / "rec.onnx", store).card.models[0].task == "recognition"
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as out:
        for path in folder.iterdir():
            out.write(path, path.name)
    assert open_pack(tmp_path / "p.zip", store).folder.parent == store.root / "read"
    (tmp_path / "p.zip").rename(tmp_path / "p.backup")
    assert open_pack(tmp_path / "p.backup", store).card.name == "p"
    assert store.list() == ()


def test_a_picture_is_not_a_pack(store, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(PackUnrecognised, match="is not a model pack"):
        open_pack(str(tmp_path / "photo.jpg"), store)


def test_a_folder_with_a_card_is_checked_against_it(networks, store, tmp_path):
    pack = import_files(read_insightface(networks.face_pack()), store, name="mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in pack.folder.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    assert (elsewhere / CARD_NAME).is_file()
    before = sorted(p.name for p in elsewhere.iterdir())
    assert open_pack(elsewhere, store).card == pack.card
    assert open_pack(elsewhere, store).card == pack.card
    assert sorted(p.name for p in elsewhere.iterdir()) == before
    (elsewhere / "rec.onnx").write_bytes(b"changed")
    with pytest.raises(PackBroken, match=r"rec\.onnx"):
        open_pack(elsewhere, store)


def test_a_bare_name_that_is_a_folder_here(networks_in, store, tmp_path, monkeypatch):
    networks_in(tmp_path / "local").face_pack()
    monkeypatch.chdir(tmp_path)
    assert open_pack("local", store).card.name == "local"


def test_an_installed_name_wins_over_a_folder_of_that_name(
    networks_in, networks, store, tmp_path, monkeypatch
):
    import_files(read_insightface(networks.face_pack()), store, name="local")
    networks_in(tmp_path / "local").face_pack()
    monkeypatch.chdir(tmp_path)
    assert open_pack("local", store).folder == store.packs / "local"
    assert open_pack("./local", store).folder == Path("local")


def test_insightfaces_own_folder_is_used_and_named(networks_in, store, tmp_path):
    home = tmp_path / "person" / ".insightface" / "models"
    networks_in(home / "buffalo_l").face_pack()
    pack = open_pack("buffalo_l", store)
    assert pack.folder == home / "buffalo_l"
    assert "insightface's own folder" in pack.card.source
    assert pack.card.licence.commercial is False
    networks_in(home / "other").face_pack()
    with pytest.raises(PackNotFound):
        open_pack("other", store)


def test_an_unknown_name_lists_what_there_is(networks, store):
    import_files(read_insightface(networks.face_pack()), store, name="mine")
    with pytest.raises(PackNotFound, match="mine"):
        open_pack("nosuch", store)


def test_a_known_name_gives_the_command_and_the_terms(store):
    with pytest.raises(PackNotFound) as caught:
        open_pack("buffalo_l", store)
    assert "lineament models install buffalo_l --accept-licence" in caught.value.message
    assert "non-commercial" in caught.value.message


@pytest.mark.parametrize("what", ["no/such", "nosuch.onnx", "~/nosuch.zip", Path("nosuch")])
def test_a_path_to_nothing(store, what):
    with pytest.raises(PackNotFound, match="no folder or file"):
        open_pack(what, store)


def test_a_folder_of_something_else(store, tmp_path):
    with pytest.raises(PackUnrecognised):
        open_pack(tmp_path, store)
