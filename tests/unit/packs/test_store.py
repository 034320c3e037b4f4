"""The store: whole or not there."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lineament.core.errors import InvalidArgument, OutputFailed, PackBroken, PackNotFound
from lineament.packs.card import CARD_NAME, Licence, ModelCard, PackCard, sha256_of
from lineament.packs.store import HOME_VARIABLE, Store


def staged(folder: Path, name: str = "one", content: bytes = b"weights") -> PackCard:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.onnx").write_bytes(content)
    model = ModelCard("detection", "scrfd", "m.onnx", sha256_of(folder / "m.onnx"))
    return PackCard(name, "a test", (model,), Licence("MIT", "MIT", True), "here")


def test_a_pack_goes_in_and_comes_out_equal(store, tmp_path):
    card = staged(tmp_path / "src")
    added = store.add(tmp_path / "src", card)
    assert store.list() == ("one",)
    assert "one" in store
    got = store.get("one")
    assert got.card == added.card == card
    assert got.path(got.card.models[0]).read_bytes() == b"weights"
    assert (tmp_path / "src" / "m.onnx").exists()


def test_the_place_is_the_environment_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "here"))
    assert Store().root == tmp_path / "here"
    monkeypatch.delenv(HOME_VARIABLE)
    assert "lineament" in str(Store().root)


def test_an_unknown_name_says_where_and_what_there_is_and_what_to_do(store, tmp_path):
    with pytest.raises(PackNotFound, match="nothing is installed"):
        store.get("nosuch")
    store.add(tmp_path / "src", staged(tmp_path / "src"))
    with pytest.raises(PackNotFound) as caught:
        store.get("buffalo_l")
    for word in (
        str(store.packs),
        "one",
        "lineament models install buffalo_l --accept-licence",
        HOME_VARIABLE,
    ):
        assert word in caught.value.message


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a\\b", "x" * 65, "-rf", ".hidden", "a b", "é", "a\n"]
)
def test_names_cannot_leave_the_store(store, tmp_path, name):
    card = staged(tmp_path / "src", name)
    for call in (store.get, store.remove, store.verify, store.card):
        with pytest.raises(InvalidArgument):
            call(name)
    with pytest.raises(InvalidArgument):
        store.add(tmp_path / "src", card)
    assert name not in store


def test_a_changed_file_is_noticed(store, tmp_path):
    pack = store.add(tmp_path / "src", staged(tmp_path / "src"))
    store.get("one")
    (pack.folder / "m.onnx").write_bytes(b"WEIGHTS")
    with pytest.raises(PackBroken, match=r"m\.onnx.*install it again"):
        store.get("one")


def test_a_missing_file_is_noticed(store, tmp_path):
    pack = store.add(tmp_path / "src", staged(tmp_path / "src"))
    (pack.folder / "m.onnx").unlink()
    with pytest.raises(PackBroken, match="missing"):
        store.get("one")


def test_files_are_hashed_once_and_again_when_touched(store, tmp_path, monkeypatch):
    store.add(tmp_path / "src", staged(tmp_path / "src"))
    hashed: list[Path] = []

    def counting(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr("lineament.packs.integrity.sha256_of", counting)
    fresh = Store(store.root)
    fresh.get("one")
    assert hashed == []
    os.utime(store.packs / "one" / "m.onnx")
    fresh.get("one")
    assert len(hashed) == 1
    fresh.get("one")
    assert len(hashed) == 1


def test_damaged_stamps_only_cost_time(store, tmp_path):
    store.add(tmp_path / "src", staged(tmp_path / "src"))
    for content in ("", "[]", '{"m.onnx": 3}', '{"m.onnx": ["x"]}', "\x00"):
        (store.root / "stamps" / "one.json").write_text(content)
        assert store.get("one").card.name == "one"


def test_a_stamp_does_not_vouch_for_another_card(store, tmp_path):
    store.add(tmp_path / "src", staged(tmp_path / "src"))
    path = store.packs / "one" / CARD_NAME
    path.write_text(path.read_text().replace(sha256_of(store.packs / "one" / "m.onnx"), "0" * 64))
    with pytest.raises(PackBroken):
        store.get("one")


def test_a_file_that_is_not_what_the_card_says_is_not_installed(store, tmp_path):
    card = staged(tmp_path / "src")
    (tmp_path / "src" / "m.onnx").write_bytes(b"other")
    with pytest.raises(PackBroken):
        store.add(tmp_path / "src", card)
    (tmp_path / "src" / "m.onnx").unlink()
    with pytest.raises(PackBroken):
        store.add(tmp_path / "src", card)
    assert store.list() == ()
    assert leftovers(store) == []


def leftovers(store: Store) -> list[str]:
    return [p.name for p in store.packs.iterdir() if p.name.startswith(".")]


def test_installing_again_replaces_and_the_same_again_changes_only_the_card(store, tmp_path):
    first = staged(tmp_path / "src")
    store.add(tmp_path / "src", first)
    inode = (store.packs / "one" / "m.onnx").stat().st_ino
    reworded = PackCard(first.name, "other words", first.models, first.licence, first.source)
    store.add(tmp_path / "src", reworded)
    assert store.get("one").card.summary == "other words"
    assert (store.packs / "one" / "m.onnx").stat().st_ino == inode
    store.add(tmp_path / "src", staged(tmp_path / "src", content=b"new weights"))
    assert (store.get("one").folder / "m.onnx").read_bytes() == b"new weights"
    assert leftovers(store) == []


def test_a_different_pack_is_kept_unless_replacing_is_asked_for(store, tmp_path):
    first = staged(tmp_path / "src")
    store.add(tmp_path / "src", first, replacing=False)
    store.add(tmp_path / "src", first, replacing=False)
    other = staged(tmp_path / "other", content=b"new weights")
    with pytest.raises(InvalidArgument, match=r"different pack called 'one'.*detection.*--replace"):
        store.add(tmp_path / "other", other, replacing=False)
    told = replace(first, models=(replace(first.models[0], colour="bgr"),))
    with pytest.raises(InvalidArgument, match="--replace"):
        store.add(tmp_path / "src", told, replacing=False)
    assert store.get("one").card == first
    assert leftovers(store) == []
    store.add(tmp_path / "other", other, replacing=True)
    assert store.get("one").card == other


def test_the_same_published_files_in_another_form_are_not_a_different_pack(store, tmp_path):
    first = staged(tmp_path / "src")
    store.add(tmp_path / "src", first)
    freed = staged(tmp_path / "freed", content=b"the same, freed")
    model = replace(freed.models[0], origin_sha256=first.models[0].sha256)
    store.add(tmp_path / "freed", replace(freed, models=(model,)), replacing=False)
    assert (store.get("one").folder / "m.onnx").read_bytes() == b"the same, freed"


def test_a_pack_whose_card_is_lost_can_be_installed_again(store, tmp_path):
    folder = store.add(tmp_path / "src", staged(tmp_path / "src")).folder
    (folder / CARD_NAME).write_text("{")
    store.add(tmp_path / "src", staged(tmp_path / "src"), replacing=False)
    assert store.verify("one").sound


def test_installing_over_a_damaged_pack_heals_it(store, tmp_path):
    card = staged(tmp_path / "src")
    pack = store.add(tmp_path / "src", card)
    (pack.folder / "m.onnx").write_bytes(b"damaged")
    store.add(tmp_path / "src", card)
    assert store.verify("one").sound
    store.get("one")


def test_verify_lists_missing_damaged_and_extra(store, tmp_path):
    folder = store.add(tmp_path / "src", staged(tmp_path / "src")).folder
    (folder / "note.txt").write_text("mine")
    report = store.verify("one")
    assert (report.sound, report.good, report.extra) == (True, ("m.onnx",), ("note.txt",))
    stamp = (folder / "m.onnx").stat()
    (folder / "m.onnx").write_bytes(b"WEIGHTS")
    # Not even a forged time hides it: verify looks at bytes only.
    os.utime(folder / "m.onnx", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    report = store.verify("one")
    assert (report.sound, report.damaged) == (False, ("m.onnx",))
    with pytest.raises(PackBroken, match=r"m\.onnx has changed"):
        report.require()
    (folder / "m.onnx").unlink()
    assert store.verify("one").missing == ("m.onnx",)


def test_remove(store, tmp_path):
    store.add(tmp_path / "src", staged(tmp_path / "src"))
    store.remove("one")
    assert store.list() == ()
    assert leftovers(store) == []
    with pytest.raises(PackNotFound):
        store.remove("one")


def test_old_staging_is_swept_and_young_staging_is_left(store):
    old, young = store.packs / ".staging-old", store.packs / ".staging-young"
    for folder in (old, young):
        (folder / "deep").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    with store.staging():
        pass
    assert [p.name for p in store.packs.iterdir()] == [".staging-young"]
    assert store.list() == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 2, "models": []}'])
def test_an_unreadable_card_is_named(store, tmp_path, text):
    folder = store.add(tmp_path / "src", staged(tmp_path / "src")).folder
    (folder / CARD_NAME).write_text(text)
    with pytest.raises(PackBroken, match=r"card\.json"):
        store.get("one")


@pytest.mark.parametrize("file", ["../../../../etc/passwd", "/etc/passwd", ""])
def test_a_card_cannot_name_files_outside_its_folder(store, tmp_path, file):
    folder = store.add(tmp_path / "src", staged(tmp_path / "src")).folder
    text = (folder / CARD_NAME).read_text()
    (folder / CARD_NAME).write_text(text.replace('"m.onnx"', f'"{file}"'))
    with pytest.raises(PackBroken, match="outside its folder"):
        store.get("one")


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(OutputFailed, match=HOME_VARIABLE):
        Store(tmp_path / "home").add(tmp_path / "src", staged(tmp_path / "src"))


WRITER = """
import sys
from pathlib import Path
from lineament.packs.card import *
from lineament.packs.store import Store
root, source, mark = map(Path, sys.argv[1:4])
model = ModelCard("detection", "scrfd", "m.onnx", sha256_of(source / "m.onnx"))
card = PackCard("one", "a test", (model,), Licence("MIT", "MIT", True), "here")
store = Store(root)
for _ in range(25):
    pack = store.add(source, card, replacing=False)
    assert pack.path(model).read_bytes() == (source / "m.onnx").read_bytes()
mark.write_text("done")
"""


@pytest.mark.slow
def test_processes_that_install_the_same_pack_at_once_all_succeed(store, tmp_path):
    staged(tmp_path / "src", content=b"w" * 200_000)
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, store.root, tmp_path / "src", tmp_path / f"done{i}"])
        for i in range(3)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert store.list() == ("one",)
    assert store.verify("one").sound
    assert leftovers(store) == []


KILLED = """
import os, sys
from pathlib import Path
from lineament.packs import store as module
from lineament.packs.card import *
root, source = map(Path, sys.argv[1:3])
model = ModelCard("detection", "scrfd", "m.onnx", sha256_of(source / "m.onnx"))
card = PackCard("one", "a test", (model,), Licence("MIT", "MIT", True), "here")
module.Store._publish = lambda *a: os._exit(9)
module.Store(root).add(source, card)
"""


def test_a_process_that_dies_just_before_the_rename_leaves_nothing_that_shows(store, tmp_path):
    card = staged(tmp_path / "src")
    done = subprocess.run([sys.executable, "-c", KILLED, store.root, tmp_path / "src"], check=False)
    assert done.returncode == 9
    assert len(leftovers(store)) == 1
    assert store.list() == ()
    with pytest.raises(PackNotFound):
        store.get("one")
    store.add(tmp_path / "src", card)
    assert store.list() == ("one",)
