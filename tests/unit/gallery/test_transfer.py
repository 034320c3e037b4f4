"""Out into a file and in again: every byte of every template, and nothing from a file that was touched.

Run as a script it is the process that gets killed: `test_transfer.py FILE DATABASE`.
"""

import os
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select

from lineament.core.errors import (
    CollectionExists,
    GalleryBroken,
    GalleryVersion,
    InvalidArgument,
    KeyUnavailable,
    OutputFailed,
    SubjectNotFound,
    TemplateMismatch,
)
from lineament.core.template import ModelId, Template, Templates
from lineament.gallery import collections, schema
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.bulk import enroll_templates
from lineament.gallery.bulk_rows import Rows, write_rows
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.enrol import About
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys, KeySource
from lineament.gallery.transfer import export_collection, import_collection, read_head
from lineament.gallery.truth import Truth
from lineament.gallery.values import Settings

D = 32
MODEL = ModelId("synthetic/one", "1" * 64)
COUNT = 30


OPEN: list[Gallery] = []


@pytest.fixture(autouse=True)
def closed() -> Generator[None]:
    """Let go of every gallery that a test opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def units(count: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def opened(url: str, keys: KeySource | None = None, name: str = "people") -> Gallery:
    gallery = Gallery(Truth(url), name, keys=keys, index=GrowingIndex(D), actor=Actor("tester"))
    OPEN.append(gallery)
    return gallery


def filled(url: str, keys: KeySource | None = None, **how: Any) -> Gallery:
    """Ten people with three samples each, crops, words, consent, a rejected probe and a watchlist entry."""
    truth = Truth(url, create=True)
    audit, who = Audit(truth, keys), Actor("tester")
    settings = Settings(review="off", keep_crops=True, **how)
    collections.create(
        truth, audit, who, "people", MODEL, "none", D, kind="watchlist", settings=settings, keys=keys
    )
    gallery = opened(url, keys)
    truth.close()
    about = {
        "p0": About({"site": "Zoë", "level": 3}, {"phone": "007"}, {"given": "2026-11-25"}, "2027-03-31"),
        "p1": About(consent={"given": "2026-11-25", "withdrawn": "2026-11-26"}),
    }
    rows = Rows(
        [f"p{i // 3}" for i in range(COUNT)], units(COUNT), np.linspace(5, 20, COUNT).astype(np.float32),
        [f"{i:064x}" for i in range(COUNT)], [{"sharpness": i / 8} for i in range(COUNT)],
        [None if i % 4 == 3 else bytes([i]) * 900 for i in range(COUNT)],
    )  # fmt: skip
    write_rows(
        gallery, rows, {n: a.checked() for n, a in about.items()}, bare={"empty": "2026-01-01T00:00:00Z"}
    )
    gallery.not_this_person("p2", Template(units(1, 9)[0], 1.0, MODEL))
    with gallery.truth.write() as connection:
        number = connection.execute(select(schema.subject.c.id).where(schema.subject.c.external_id == "p3"))
        values = {
            "subject_id": number.scalar_one(), "collection_id": gallery.collection.id, "reason": "theft",
            "source": "case 7", "valid_from": "2026-11-01T00:00:00.000000Z", "state": "approved",
            "proposed_by": "ann", "decided_by": "bob",
        }  # fmt: skip
        connection.execute(insert(schema.entry).values(values))
    return gallery


def contents(gallery: Gallery) -> dict[str, Any]:
    """Everything of a collection in the clear, without what is given anew: numbers, keys, digests."""
    subject, reference = schema.subject, schema.reference
    vault, found = gallery.vault, {}
    with gallery.truth.read() as connection:
        for row in connection.execute(select(subject)).all():
            value = gallery.subject(row.external_id, sensitive=True)
            seal = vault.of(row.id, row.data_key)
            rows = connection.execute(
                select(reference).where(reference.c.subject_id == row.id).order_by(reference.c.id)
            ).all()
            vectors = vault.unseal([(r.id, r.subject_id, r.vector, row.data_key) for r in rows])
            probes = connection.execute(
                select(schema.not_this_person).where(schema.not_this_person.c.subject_id == row.id)
            ).all()
            entry = connection.execute(
                select(schema.entry).where(schema.entry.c.subject_id == row.id)
            ).first()
            found[row.external_id] = {
                "about": (
                    value.metadata, value.sensitive, value.consent, value.retain_until, value.created_at
                ),
                "samples": [(r.norm, r.quality, r.created_at) for r in rows],
                "crops": [r.crop and seal.open(r.crop, vault.place("crop", row.id, r.id)) for r in rows],
                "vectors": vault.turn_back(vectors),
                "template": row.template and vault.turn_back(
                    np.frombuffer(seal.open(row.template, vault.place("template", row.id)), "<f4")[None]
                ),
                "rejected": [
                    vault.turn_back(
                        np.frombuffer(seal.open(p.vector, vault.place("rejected", row.id, p.id)), "<f4")[None]
                    )
                    for p in probes
                ],
                "entry": entry and tuple(entry)[2:],
            }  # fmt: skip
    return found


def same(a: dict[str, Any], b: dict[str, Any], exactly: bool) -> None:
    assert a.keys() == b.keys()
    for name, one in a.items():
        other = b[name]
        for part in ("about", "samples", "crops", "entry"):
            assert one[part] == other[part], (name, part)
        pairs = [(one["vectors"], other["vectors"]), *zip(one["rejected"], other["rejected"], strict=True)]
        for ours, theirs in pairs:
            if exactly:
                assert ours.tobytes() == theirs.tobytes()
            else:
                cosines = np.einsum("nd,nd->n", ours.astype(float), theirs.astype(float))
                np.testing.assert_allclose(cosines, 1, atol=1e-6)
        if one["template"] is None:
            assert other["template"] is None
        else:
            np.testing.assert_allclose(one["template"], other["template"], atol=5e-7)


@pytest.fixture
def keys(tmp_path: Path) -> FileKeys:
    return FileKeys.create(tmp_path / "keys.json")


@pytest.fixture
def parcel(tmp_path: Path) -> FileKeys:
    return FileKeys.create(tmp_path / "parcel.json")


@pytest.mark.parametrize("sealed", [False, True])
def test_out_and_in_again(
    tmp_path: Path, truth_url: str, keys: FileKeys, parcel: FileKeys, sealed: bool
) -> None:
    source = keys if sealed else None
    gallery = filled(f"sqlite:///{tmp_path}/a.db", source)
    before, path = contents(gallery), tmp_path / "out.lineament"
    exported = export_collection(gallery, path, keys=parcel if sealed else None)
    assert (exported.subjects, exported.references, exported.crops, exported.sealed) == (11, 30, 23, sealed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".lineament")] == []
    record = next(gallery.audit.read(action="export"))
    assert exported.sha256 in record.body
    # In clear nothing of it is in a sealed file.
    raw = path.read_bytes()
    for secret in (b"007", bytes([5]) * 900, units(COUNT)[3].tobytes(), b"theft"):
        assert (secret in raw) is not sealed
    mine = FileKeys.create(tmp_path / "other.json") if sealed else None
    done = import_collection(truth_url, path, "moved", keys=mine, export_keys=parcel, actor=Actor("tester"))
    assert done.summary.counts == {"enrolled": 30}
    assert (done.summary.subjects, done.summary.complete) == (11, True)
    moved = opened(truth_url, mine, "moved")
    same(before, contents(moved), exactly=True)
    assert (moved.collection.kind, moved.collection.model) == ("watchlist", MODEL)
    assert moved.collection.settings == gallery.collection.settings
    for i in range(0, COUNT, 7):
        found = moved.identify(Template(units(COUNT)[i], 1.0, MODEL), threshold=0.999)
        assert [c.subject for c in found] == [f"p{i // 3}"]
    assert moved.size == 30
    assert moved.audit.check().ok
    head = read_head(path)
    assert head["counts"]["references"] == 30
    assert head["sealed"] is sealed


def test_rotations_are_undone_and_made_anew(tmp_path: Path, keys: FileKeys, parcel: FileKeys) -> None:
    gallery = filled(f"sqlite:///{tmp_path}/a.db", keys, transform=True)
    path, url = tmp_path / "out", f"sqlite:///{tmp_path}/b.db"
    export_collection(gallery, path, keys=parcel)
    import_collection(url, path, keys=keys, export_keys=parcel)
    moved = opened(url, keys)
    assert moved.collection.settings.transform
    before, after = contents(gallery), contents(moved)
    same(before, after, exactly=False)
    for name, one in before.items():
        truly = units(COUNT)[3 * int(name[1:]) : 3 * int(name[1:]) + 3] if name != "empty" else one["vectors"]
        np.testing.assert_allclose(after[name]["vectors"], truly, atol=1e-6)
    # Turned by another secret: as they are stored, the two have nothing in common.
    assert gallery.vault.turn(units(1)).tobytes() != moved.vault.turn(units(1)).tobytes()


def test_some_subjects_and_no_crops(tmp_path: Path) -> None:
    gallery = filled(f"sqlite:///{tmp_path}/a.db")
    exported = export_collection(gallery, tmp_path / "out", subjects=["p3", "p1", "p3"], with_crops=False)
    assert (exported.subjects, exported.references, exported.crops) == (2, 6, 0)
    import_collection(f"sqlite:///{tmp_path}/b.db", tmp_path / "out", "some")
    after, before = contents(opened(f"sqlite:///{tmp_path}/b.db", name="some")), contents(gallery)
    for name in ("p1", "p3"):
        before[name]["crops"] = [None] * 3
    same({n: before[n] for n in ("p1", "p3")}, after, exactly=True)
    with pytest.raises(SubjectNotFound, match="nobody"):
        export_collection(gallery, tmp_path / "none", subjects=["p1", "nobody"])
    assert not (tmp_path / "none").exists()


def test_what_is_sealed_stays_sealed_unless_said(tmp_path: Path, keys: FileKeys, parcel: FileKeys) -> None:
    gallery, path = filled(f"sqlite:///{tmp_path}/a.db", keys), tmp_path / "out"
    url = f"sqlite:///{tmp_path}/b.db"
    with pytest.raises(InvalidArgument, match="plain"):
        export_collection(gallery, path)
    assert not path.exists()
    export_collection(gallery, path, keys=parcel)
    with pytest.raises(KeyUnavailable):
        import_collection(url, path)
    with pytest.raises(KeyUnavailable):
        import_collection(url, path, keys=keys)
    with pytest.raises(InvalidArgument, match="plain"):
        import_collection(url, path, export_keys=parcel)
    assert not (tmp_path / "b.db").exists()
    assert import_collection(url, path, export_keys=parcel, plain=True).summary.complete
    same(contents(gallery), contents(opened(url)), exactly=True)
    export_collection(gallery, tmp_path / "plain", plain=True)
    assert b"007" in (tmp_path / "plain").read_bytes()


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    gallery, path = filled(f"sqlite:///{tmp_path}/a.db"), tmp_path / "out"
    export_collection(gallery, path)
    whole = path.read_bytes()
    places = {0, 4, len(whole) - 1, len(whole) - 65, *range(10, len(whole), len(whole) // 60)}
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises((GalleryBroken, InvalidArgument)) as raised:
            import_collection(f"sqlite:///{tmp_path}/b.db", path)
        assert place < 4 or raised.type is GalleryBroken
    for cut in (len(whole) - 1, len(whole) // 2, 100, 3, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises((GalleryBroken, InvalidArgument)):
            import_collection(f"sqlite:///{tmp_path}/b.db", path)
    assert not (tmp_path / "b.db").exists()
    for other in (tmp_path / "a.db", tmp_path / "nowhere"):
        with pytest.raises(InvalidArgument):
            import_collection(f"sqlite:///{tmp_path}/b.db", other)


def rewritten(path: Path, change: Any) -> None:
    """The same archive with members changed, and a digest that fits again: what somebody could forge."""
    import hashlib

    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"0" * 64
        for name, data in members.items():
            archive.writestr(name, data)
    body = path.read_bytes()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def test_a_forged_file(tmp_path: Path, keys: FileKeys) -> None:
    gallery, path, url = (
        filled(f"sqlite:///{tmp_path}/a.db", keys),
        tmp_path / "out",
        f"sqlite:///{tmp_path}/b.db",
    )
    export_collection(gallery, path, keys=keys)
    whole = path.read_bytes()

    def swap(members: dict[str, bytes]) -> None:
        members["head.json"] = members["head.json"].replace(b'"people"', b'"peoplf"')

    def newer(members: dict[str, bytes]) -> None:
        members["head.json"] = members["head.json"].replace(b'"version": 1', b'"version": 9')

    def fewer(members: dict[str, bytes]) -> None:
        del members["00000.references.00000"]

    for change, error in ((swap, GalleryBroken), (newer, GalleryVersion), (fewer, GalleryBroken)):
        path.write_bytes(whole)
        rewritten(path, change)
        with pytest.raises(error):
            import_collection(url, path, keys=keys)
        (tmp_path / "b.db").unlink(missing_ok=True)


def test_into_a_collection_that_is_there(tmp_path: Path) -> None:
    gallery, path = filled(f"sqlite:///{tmp_path}/a.db"), tmp_path / "out"
    export_collection(gallery, path)
    with pytest.raises(CollectionExists):
        import_collection(f"sqlite:///{tmp_path}/a.db", path)
    assert import_collection(gallery.truth, path, "again").summary.complete
    # Finished is finished: what was erased since must not come back by accident.
    with pytest.raises(CollectionExists):
        import_collection(gallery.truth, path, "again")
    for name, model in (("empty", MODEL), ("other", ModelId("synthetic/two", "2" * 64))):
        collections.create(gallery.truth, gallery.audit, Actor("tester"), name, model, "none", D)
    assert import_collection(gallery.truth, path, "empty").summary.complete
    with pytest.raises(TemplateMismatch):
        import_collection(gallery.truth, path, "other")


def test_digests_go_along_where_they_can(tmp_path: Path, keys: FileKeys) -> None:
    gallery, path = filled(f"sqlite:///{tmp_path}/a.db"), tmp_path / "out"
    given, names = Templates(units(3, 4), np.ones(3, np.float32), MODEL), ["x", "y", "z"]
    enroll_templates(gallery, names, given)
    export_collection(gallery, path)
    import_collection(gallery.truth, path, "plain")
    plain = opened(str(gallery.truth.url), name="plain")
    assert enroll_templates(plain, names, given).counts == {"already_enrolled": 3}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    gallery = filled(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(OutputFailed):
        export_collection(gallery, tmp_path / "nowhere" / "out")
    assert list(gallery.audit.read(action="export")) == []


def work(path: str, url: str) -> None:
    """What the child does."""

    def told(done: int, _: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()
        time.sleep(0.05)

    import_collection(url, path, actor=Actor("tester"), progress=told)


def test_killed_and_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineament.gallery.transfer_out.SUBJECTS", 1)
    gallery, path = filled(f"sqlite:///{tmp_path}/a.db"), tmp_path / "out"
    export_collection(gallery, path)
    url = f"sqlite:///{tmp_path}/b.db"
    command = [sys.executable, __file__, str(path), url]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        child.kill()
    with opened(url) as broken:
        assert 0 < len(contents(broken)) < 11
    done = import_collection(url, path)
    assert done.summary.counts["already_enrolled"] >= 12
    with opened(url) as whole:
        same(contents(gallery), contents(whole), exactly=True)


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
