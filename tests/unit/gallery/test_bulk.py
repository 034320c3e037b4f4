"""Bulk import: the same rows as one by one, every bad sample named, and nothing lost to a kill in the middle.

Run as a script it is the process that gets killed: `test_bulk.py templates|folder DATABASE [FOLDER]`.
"""

import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select

from lineament.cli.table import write_table
from lineament.core.errors import (
    DatasetInvalid,
    ImageUnreadable,
    InvalidArgument,
    TemplateInvalid,
    TemplateMismatch,
)
from lineament.core.faces import Face
from lineament.core.ports import Captured
from lineament.core.template import ModelId, Template, Templates
from lineament.core.threshold import Threshold
from lineament.datasets.people_tables import open_templates, read_people, subject_of
from lineament.gallery import collections, schema
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.bulk import enroll_folder, enroll_table, enroll_templates
from lineament.gallery.bulk_template_of import subject_templates
from lineament.gallery.choose import GrowingIndex
from lineament.gallery.enrol import About
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import EnvKeys, KeySource, new_key_text
from lineament.gallery.template_of import subject_template
from lineament.gallery.truth import Truth
from lineament.gallery.values import Settings

D = 32
MODEL = ModelId("synthetic/one", "1" * 64)
OTHER = ModelId("synthetic/two", "2" * 64)


OPEN: list[Gallery] = []


@pytest.fixture(autouse=True)
def closed() -> Generator[None]:
    """Let go of every gallery that a test opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def units(count: int, seed: int = 1, width: int = D) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def templates(vectors: np.ndarray, model: ModelId = MODEL) -> Templates:
    return Templates(vectors, np.linspace(5, 20, len(vectors)).astype(np.float32), model)


class Thumbnails:
    """A recognizer of plain pictures: the template is the picture itself, 4 x 8 grey values."""

    model, alignment, dimension = MODEL, "thumbnail", D
    thresholds = (Threshold.typed_in(0.99, MODEL),)

    def __init__(self) -> None:
        self.looked_at: list[str] = []

    def capture_many(
        self, sources: Iterable[Any], *, policy: str = "exactly_one", gate: bool = True
    ) -> Iterator[Captured]:
        for source in sources:
            self.looked_at.append(str(source))
            data = Path(source).read_bytes()
            try:
                with Image.open(source) as picture:
                    grey = np.asarray(picture.convert("L").resize((8, 4)), np.float64).reshape(-1)
            except OSError:
                yield Captured(str(source), error=ImageUnreadable("not a picture: give another one"))
                continue
            template = Templates.from_raw(grey[None] - 127.3, MODEL)[0]
            face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9, template=template)
            yield Captured(str(source), hashlib.sha256(data).hexdigest(), face)

    def embed_aligned(self, crops: np.ndarray) -> Templates:
        raise NotImplementedError


def made(
    place: Path | str, name: str = "a", keys: KeySource | None = None, recognizer: Any = None, **how: Any
) -> Gallery:
    truth = Truth(place if isinstance(place, str) else f"sqlite:///{place / name}.db", create=True)
    audit = Audit(truth, keys)
    how.setdefault("review", "off")
    collections.create(
        truth, audit, Actor("tester"), "people", MODEL, "none", D, settings=Settings(**how), keys=keys
    )
    return opened(truth, keys, recognizer)


def opened(truth: Truth, keys: KeySource | None = None, recognizer: Any = None) -> Gallery:
    gallery = Gallery(
        truth, "people", keys=keys, index=GrowingIndex(D), actor=Actor("tester"), recognizer=recognizer
    )
    OPEN.append(gallery)
    return gallery


def held(gallery: Gallery) -> dict[str, list[tuple[str, bytes, float]]]:
    """Everything enrolled, in the clear: (digest, bytes of the template, norm) by subject."""
    table, subject = schema.reference, schema.subject
    query = (
        select(table.c.id, table.c.subject_id, table.c.vector, subject.c.data_key, subject.c.external_id,
               table.c.norm, table.c.source_digest)
        .join(subject, subject.c.id == table.c.subject_id)
        .order_by(table.c.source_digest)
    )  # fmt: skip
    with gallery.truth.read() as connection:
        rows = connection.execute(query).all()
    vectors = gallery.vault.unseal(rows)
    found: dict[str, list[tuple[str, bytes, float]]] = {}
    for row, vector in zip(rows, vectors, strict=True):
        found.setdefault(row.external_id, []).append((row.source_digest, vector.tobytes(), float(row.norm)))
    return found


def subject_vectors(gallery: Gallery) -> dict[str, np.ndarray]:
    """Subject templates by external id."""
    with gallery.truth.read() as connection:
        rows = connection.execute(select(schema.subject)).all()
    return {
        row.external_id: np.frombuffer(
            gallery.vault.of(row.id, row.data_key).open(
                row.template, gallery.vault.place("template", row.id)
            ),
            "<f4",
        )
        for row in rows
    }


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> KeySource:
    monkeypatch.setenv("LINEAMENT_KEY", new_key_text())
    return EnvKeys()


def one_by_one(gallery: Gallery, names: list[str], given: Templates) -> None:
    """The slow obvious way: `enroll_captured`, sample by sample."""
    for name, template in zip(names, given, strict=True):
        face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9, template=template)
        digest = hashlib.sha256(np.ascontiguousarray(template.vector, "<f4").tobytes()).hexdigest()
        gallery.enroll_captured(name, [Captured("s", digest, face)])


@pytest.mark.parametrize("sealed", [False, True])
def test_the_same_as_one_by_one(tmp_path: Path, keys: KeySource, sealed: bool) -> None:
    source = keys if sealed else None
    vectors = units(60)
    # Samples of one person near each other, with a foreign one among them.
    vectors[::6] = units(10, 2) * 0.2 + vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"p{i % 6}" for i in range(60)]
    names[7] = "p0"
    given = templates(vectors)
    slow, fast = made(tmp_path, "slow"), made(tmp_path, "fast", source, transform=sealed)
    one_by_one(slow, names, given)
    # In small transactions, so that subjects are found half filled.
    seen: list[tuple[int, int]] = []
    summary = enroll_templates(fast, names, given, chunk=7, progress=lambda *p: seen.append(p))
    assert summary.counts == {"enrolled": 60}
    assert summary.subjects == 6
    assert summary.complete
    assert seen[-1] == (60, 60)
    assert len(seen) == 9
    a, b = held(slow), held(fast)
    assert {n: len(v) for n, v in a.items()} == {n: len(v) for n, v in b.items()}
    if not sealed:
        assert a == b
    ours, theirs = subject_vectors(fast), subject_vectors(slow)
    for name in theirs:
        back = fast.vault.turn_back(ours[name][None])[0]
        np.testing.assert_allclose(back, theirs[name], atol=3e-7)
    for i in range(0, 60, 7):
        found = fast.identify(given[i], threshold=0.999)
        assert found[0].subject == names[i]
    assert fast.size == 60
    assert fast.audit.check().ok
    records = [json.loads(e.body) for e in fast.audit.read(action="enrol")]
    assert [r["items"]["enrolled"] for r in records] == [7] * 8 + [4]


def test_on_both_kinds_of_database(tmp_path: Path, truth_url: str, keys: KeySource) -> None:
    vectors, names = units(40), [f"p{i % 9}" for i in range(40)]
    slow, fast = made(tmp_path, "slow"), made(truth_url, keys=keys)
    one_by_one(slow, names, templates(vectors))
    about = {"p0": About({"site": "Zoë's 100 %", "level": 3, "on": True, "none": None})}
    for _ in range(2):
        enroll_templates(fast, names, templates(vectors), about=about, chunk=11)
    assert [sorted(v for _, v, _ in held(fast)[n]) for n in sorted(held(fast))] == [
        sorted(v for _, v, _ in held(slow)[n]) for n in sorted(held(slow))
    ]
    assert fast.subject("p0").metadata == dict(about["p0"].metadata or {})
    assert fast.subject("p1").consent is None
    assert fast.identify(templates(vectors)[5], threshold=0.999, where={"level": 3}) == []
    assert fast.identify(templates(vectors)[9], threshold=0.999, where={"level": 3})[0].subject == "p0"
    assert fast.audit.check().ok


def test_again_changes_nothing(tmp_path: Path, keys: KeySource) -> None:
    gallery, given, names = made(tmp_path, keys=keys), templates(units(30)), [f"p{i // 3}" for i in range(30)]
    enroll_templates(gallery, names, given)
    before = held(gallery)
    again = enroll_templates(gallery, names, given)
    assert again.counts == {"already_enrolled": 30}
    assert again.complete
    assert held(gallery) == before
    # The same sample under another subject is another sample; twice under one it is one.
    twice = enroll_templates(gallery, ["new", "new"], templates(np.stack([units(1)[0]] * 2)))
    assert twice.counts == {"enrolled": 1, "already_enrolled": 1}
    # A digest of a picture decides, where there is one.
    digests = ["a" * 64, None]
    third = enroll_templates(gallery, ["new", "other"], templates(units(2, 5)), digests=digests)
    assert third.enrolled == 2
    assert enroll_templates(gallery, ["new"], templates(units(1, 6)), digests=["a" * 64]).counts == {
        "already_enrolled": 1
    }


def test_bad_samples_are_named_and_skipped(tmp_path: Path) -> None:
    gallery = made(tmp_path)
    rows = units(8)
    rows[1] = np.nan
    rows[2] = 0
    rows[3, 5] = np.inf
    rows[4] *= 17
    names = [f"p{i}" for i in range(8)]
    names[6], names[7] = " blank", "x" * 256
    summary = enroll_templates(gallery, names, rows, model=MODEL, chunk=3)
    assert summary.counts == {"enrolled": 3, "rejected": 5}
    told = {p.item.source: (p.subject, p.item.reasons[0].code) for p in summary.problems}
    assert told == {
        "row 1": ("p1", "template_invalid"), "row 2": ("p2", "template_invalid"),
        "row 3": ("p3", "template_invalid"), "row 6": (" blank", "invalid_argument"),
        "row 7": ("x" * 256, "invalid_argument"),
    }  # fmt: skip
    assert "zero" in summary.problems[1].item.reasons[0].message
    kept = held(gallery)
    assert set(kept) == {"p0", "p4", "p5"}
    assert kept["p0"][0][1] == rows[0].tobytes()
    # A raw output is scaled, and its length kept.
    assert kept["p4"][0][2] == pytest.approx(17, rel=1e-6)
    assert np.linalg.norm(np.frombuffer(kept["p4"][0][1], "<f4")) == pytest.approx(1, abs=1e-6)
    assert summary.record()["problems"][0]["reasons"][0]["code"] == "template_invalid"


def test_another_model(tmp_path: Path) -> None:
    gallery, vectors = made(tmp_path), units(3)
    with pytest.raises(TemplateMismatch):
        enroll_templates(gallery, ["a"] * 3, templates(vectors, OTHER))
    with pytest.raises(TemplateMismatch):
        enroll_templates(gallery, ["a"] * 3, vectors, model=OTHER)
    with pytest.raises(InvalidArgument, match="model="):
        enroll_templates(gallery, ["a"] * 3, vectors)
    with pytest.raises(TemplateInvalid, match="64 numbers"):
        enroll_templates(gallery, ["a"] * 3, templates(units(3, width=64)))
    assert held(gallery) == {}
    mixed = [
        Template(vectors[0], 1.0, MODEL), Template(vectors[1], 1.0, OTHER),
        Template(units(1, width=64)[0], 1.0, MODEL), Template(vectors[2] * np.nan, 1.0, MODEL),
    ]  # fmt: skip
    summary = enroll_templates(gallery, ["a", "b", "c", "d"], mixed)
    codes = [p.item.reasons[0].code for p in summary.problems]
    assert sorted(codes) == ["template_invalid", "template_invalid", "template_mismatch"]
    assert set(held(gallery)) == {"a"}


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"digests": ["x"]}, {"metadata": {"a": {"no good": 1}}}])
def test_wrong_arguments_write_nothing(tmp_path: Path, wrong: dict[str, Any]) -> None:
    gallery = made(tmp_path)
    with pytest.raises(InvalidArgument):
        enroll_templates(gallery, ["a", "b"], templates(units(2)), **wrong)
    with pytest.raises(InvalidArgument, match="2 subjects for 3"):
        enroll_templates(gallery, ["a", "b"], templates(units(3)))
    assert held(gallery) == {}


def test_what_is_said_of_subjects(tmp_path: Path, keys: KeySource) -> None:
    gallery = made(tmp_path, keys=keys, ask_consent=True, retain_days=10)
    given = templates(units(4))
    about = {"a": About({"site": "north"}, {"phone": "12"}, {"given": "2026-11-25"}, "2027-01-02")}
    summary = enroll_templates(gallery, ["a", "b", "a", "b"], given, about=about)
    assert summary.counts == {"enrolled": 2, "rejected": 2}
    assert {p.item.reasons[0].code for p in summary.problems} == {"consent_missing"}
    taken_back = {"c": About(consent={"given": "2026-11-25", "withdrawn": "2026-11-26"})}
    assert enroll_templates(gallery, ["c"], templates(units(1)), about=taken_back).enrolled == 0
    first = gallery.subject("a", sensitive=True)
    assert (first.metadata, first.sensitive) == ({"site": "north"}, {"phone": "12"})
    assert first.retain_until is not None
    assert first.retain_until.startswith("2027-01-02")
    # Said again with more: what is there stays, and no second sample comes.
    more = {"a": About({"floor": 3}, {"phone": "13"}), "b": About(consent={"given": "2026-11-26"})}
    summary = enroll_templates(gallery, ["a", "b", "a", "b"], given, about=more)
    assert summary.counts == {"enrolled": 2, "already_enrolled": 2}
    second = gallery.subject("a", sensitive=True)
    assert second.metadata == {"site": "north", "floor": 3}
    assert second.sensitive == {"phone": "13"}
    assert gallery.subject("b").retain_until is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_subject_templates_follow_the_rule(whose: list[int], seed: int) -> None:
    names = sorted(set(whose))
    codes = np.array([names.index(w) for w in whose], np.int64)
    rng = np.random.default_rng(seed)
    vectors = (0.4 * rng.standard_normal((len(whose), D)) + units(7, 3)[whose]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made_at_once = subject_templates(vectors, codes, len(names))
    for i in range(len(names)):
        expected = subject_template(vectors[codes == i]).vector
        np.testing.assert_allclose(made_at_once[i], expected, atol=2e-7)


def test_samples_that_cancel_out() -> None:
    vectors = np.concatenate([units(1), -units(1)])
    np.testing.assert_array_equal(subject_templates(vectors, np.zeros(2, np.int64), 1)[0], vectors[0])


# Tables


def as_embedded(path: Path, rows: list[tuple[str, list[np.ndarray]]], model: ModelId = MODEL) -> Path:
    """A table as `lineament embed` writes it."""

    def face(vector: np.ndarray, side: float) -> dict[str, Any]:
        points = {n: [1.0, 2.0] for n in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")}
        return {
            "score": 0.9, "angle": 0.0, "box": [0.0, 0.0, side, side], "points": points, "norm": 11.0,
            "template": vector.tolist(), "quality": {"sharpness": 0.5},
        }  # fmt: skip

    records = [
        {
            "path": name, "status": "ok" if vectors else "no_face", "message": "",
            "faces": [face(v, 10.0 + i) for i, v in enumerate(vectors)],
        }
        for name, vectors in rows
    ]  # fmt: skip
    write_table(path, records, model)
    return path


def test_a_table_of_embed(tmp_path: Path) -> None:
    x = units(9)
    rows = [(f"ann/{i}.jpg", [x[i]]) for i in range(4)]
    rows += [
        ("bob/empty.jpg", []),
        ("bob/group.jpg", [x[4], x[5]]),
        ("bob/one.jpg", [x[6]]),
        ("cid.jpg", [x[7]]),
    ]
    table = as_embedded(tmp_path / "t.parquet", rows)
    gallery = made(tmp_path)
    people = tmp_path / "people.csv"
    people.write_text("subject,site\nann,north\ndan,south\n", "utf-8")
    # Two rows at a time: the faces of one photograph still belong together.
    summary = enroll_table(gallery, table, people_csv=people, chunk=2)
    assert summary.counts == {"enrolled": 6, "rejected": 2}
    codes = {p.item.source: p.item.reasons[0].code for p in summary.problems}
    assert codes == {"bob/empty.jpg": "no_face", "bob/group.jpg": "multiple_faces"}
    assert "dan" in summary.notes[0]
    kept = held(gallery)
    assert {n: len(v) for n, v in kept.items()} == {"ann": 4, "bob": 1, "cid": 1}
    assert kept["bob"][0][1:] == (x[6].tobytes(), 11.0)
    assert gallery.subject("ann").metadata == {"site": "north"}
    with gallery.truth.read() as connection:
        assert connection.execute(select(schema.reference.c.quality)).first()[0]["sharpness"] == 0.5
    again = enroll_table(gallery, table, policy="largest")
    assert again.counts == {"enrolled": 1, "already_enrolled": 6, "rejected": 1}
    assert x[5].tobytes() in {v for _, v, _ in held(gallery)["bob"]}
    with pytest.raises(TemplateMismatch):
        enroll_table(gallery, as_embedded(tmp_path / "o.parquet", rows, OTHER))
    with pytest.raises(InvalidArgument, match="most_central"):
        enroll_table(gallery, table, policy="most_central")


def parquet(path: Path, columns: dict[str, Any], **how: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path, **how)
    return path


def test_parquet_with_subject_and_vector(tmp_path: Path) -> None:
    x = units(7)
    lists: list[Any] = [row.astype(float).tolist() for row in x]
    lists[2], lists[3], lists[4] = None, lists[3][:5], [None, *lists[4][1:]]
    columns = {"subject": [f"p{i}" for i in range(7)], "vector": lists}
    columns["model_digest"] = [MODEL.digest] * 6 + [OTHER.digest]
    table = parquet(tmp_path / "t.parquet", columns, row_group_size=2)
    gallery = made(tmp_path)
    summary = enroll_table(gallery, table, chunk=3)
    assert summary.counts == {"enrolled": 3, "rejected": 4}
    said = {p.subject: p.item.reasons[0] for p in summary.problems}
    assert {n: r.code for n, r in said.items()} == {
        "p2": "template_invalid", "p3": "template_invalid", "p4": "template_invalid",
        "p6": "template_mismatch",
    }  # fmt: skip
    assert "5 numbers" in said["p3"].message
    assert held(gallery)["p5"][0][1] == x[5].tobytes()
    del columns["model_digest"]
    unnamed = parquet(tmp_path / "u.parquet", columns)
    with pytest.raises(InvalidArgument, match="which model"):
        enroll_table(gallery, unnamed)
    with pytest.raises(TemplateMismatch):
        enroll_table(gallery, unnamed, model=OTHER)
    assert enroll_table(gallery, unnamed, model=MODEL.digest).counts["already_enrolled"] == 3
    columns["model_digest"] = [OTHER.digest] * 7
    with pytest.raises(TemplateMismatch):
        enroll_table(gallery, parquet(tmp_path / "v.parquet", columns))


def vectors_csv(path: Path, rows: list[list[Any]], mark: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=mark).writerows(rows)
    return path


@pytest.mark.parametrize(("mark", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_csv_with_subject_and_vector(tmp_path: Path, mark: str, encoding: str) -> None:
    x = units(5)
    text = [f"[{', '.join(map(repr, row.tolist()))}]" for row in x]
    text[3] = " ".join(map(str, x[3].tolist()))
    rows = [["Subject", "vector", "model_digest"]]
    rows += [[f"Zoë {i}", text[i], MODEL.digest] for i in range(4)]
    rows += [["bad", "1 2 3", MODEL.digest], ["bad", " ".join(["x"] * D), MODEL.digest], ["short"], []]
    rows += [["foreign", text[4], OTHER.digest], ["", text[4], MODEL.digest]]
    gallery = made(tmp_path)
    summary = enroll_table(gallery, vectors_csv(tmp_path / "t.csv", rows, mark, encoding), chunk=2)
    assert summary.counts == {"enrolled": 4, "rejected": 5}
    codes = {p.item.source: p.item.reasons[0].code for p in summary.problems}
    assert codes == {
        "line 6": "template_invalid", "line 7": "template_invalid", "line 8": "dataset_invalid",
        "line 10": "template_mismatch", "line 11": "invalid_argument",
    }  # fmt: skip
    assert [held(gallery)[f"Zoë {i}"][0][1] for i in range(4)] == [row.tobytes() for row in x[:4]]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", b"subject,face\nx,1\n", "no column 'embedding'"),
        ("a.csv", b"vector\n1\n", "no column 'subject'"),
        ("a.csv", b"subject,vector,subject\nx,1,y\n", "one name"),
        ("a.csv", b"subject,vector\n", "no rows"),
        ("a.csv", b"", "no column|one name|without a name"),
        ("a.csv", b"subject,vector\nJos\xe9,1\n", "UTF-8"),
        ("a.csv", b'subject,vector\n"x,1\n', "quotes"),
        ("a.txt", b"subject,vector\nx,1\n", "neither Parquet"),
        ("a.parquet", b"PAR1 and then nothing of it", "not a Parquet file"),
    ],
)
def test_odd_tables(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    gallery = made(tmp_path)
    with pytest.raises(DatasetInvalid, match=match):
        enroll_table(gallery, tmp_path / name, model=MODEL)
    with pytest.raises(DatasetInvalid, match="cannot read"):
        enroll_table(gallery, tmp_path / "nowhere.csv", model=MODEL)
    assert held(gallery) == {}


def test_parquet_without_the_columns(tmp_path: Path) -> None:
    for columns in (
        {"subject": ["a"], "x": [1]},
        {"vector": [[1.0]]},
        {"subject": ["a"], "vector": ["text"]},
    ):
        table = parquet(tmp_path / "t.parquet", columns)
        with pytest.raises(DatasetInvalid), open_templates(table):
            pass


def test_a_damaged_row_group(tmp_path: Path) -> None:
    x = units(4000)
    columns = {"subject": [f"p{i}" for i in range(4000)], "vector": x.tolist()}
    table = parquet(tmp_path / "t.parquet", columns, row_group_size=1000, compression="zstd")
    data = bytearray(table.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    table.write_bytes(data)
    gallery = made(tmp_path)
    with pytest.raises(DatasetInvalid, match="damaged"):
        enroll_table(gallery, table, model=MODEL, chunk=1000)
    # Whole transactions stay.
    assert len(held(gallery)) in (1000, 2000)


# Lists of people


def listed(place: Path, text: str | bytes) -> Path:
    path = place / "people.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_people(tmp_path: Path, mark: str, encoding: str) -> None:
    rows = [
        ["Subject", "Site", "phone", "retain_until", "consent.given", "file"],
        ["Zoë", "north", "007", "2027-03-31", "2026-11-25", "z/1.jpg"],
        ["Zoë", "", "", "", "", "z\\2.jpg"],
        ["bob", "", "1", "", "", ""],
    ]
    text = "".join(mark.join(row) + "\r\n" for row in rows)
    found = read_people(listed(tmp_path, text.encode(encoding)), ["Phone"])
    zoe = found.people["Zoë"]
    assert zoe.metadata == {"site": "north"}
    assert zoe.sensitive == {"phone": "007"}
    assert (zoe.consent, zoe.retain_until) == ({"given": "2026-11-25"}, "2027-03-31")
    assert found.files == {"z/1.jpg": "Zoë", "z/2.jpg": "Zoë"}
    assert found.people["bob"].consent is None
    # The same letters, composed otherwise, are the same name.
    decomposed = read_people(listed(tmp_path, "subject\nZoe\u0308\n"))
    assert list(decomposed.people) == ["Zoë"]
    assert decomposed.files is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,site\nann,north\n", "no column 'subject'"),
        ("subject,site\nann,north\nann,south\n", "line 3: another 'site'"),
        ("subject,file\nann,x.jpg\nbob,x.jpg\n", "whose is it"),
        ("subject,site\n,north\n", "line 2: a row without a subject"),
        ("subject,site\nann,north,more\n", "3 fields"),
        ("subject,site,site\nann,a,b\n", "one name"),
        ("subject,site\n", "no rows"),
        ("", "empty"),
        (b"subject,site\nann,Gen\xe8ve\n", "line 2: not text in UTF-8"),
        ("subject;site,more\nann;north,x\n", "no column 'subject'"),
        ("subject,phone\nann,1\n", "no column 'secret'"),
    ],
)
def test_odd_lists_of_people(tmp_path: Path, text: str | bytes, match: str) -> None:
    with pytest.raises(DatasetInvalid, match=match):
        read_people(listed(tmp_path, text), ["secret"] if "phone" in str(text) else ())


def test_rows_that_say_the_same_twice_are_no_fault(tmp_path: Path) -> None:
    found = read_people(listed(tmp_path, "subject,site\nann,north\nann,north\n"))
    assert found.people["ann"].metadata == {"site": "north"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("ann/a/1.jpg", "ann"), ("ann.b.jpg", "ann.b"), ("./ann\\1.jpg", "ann"), ("Zoe\u0308.png", "Zoë")],
)
def test_whose_a_photograph_is(path: str, name: str) -> None:
    assert subject_of(path) == name


# Folders


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 32), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


def folder_of(place: Path) -> Path:
    """Five people, and much that is none."""
    folder = place / "people"
    for i in range(3):
        picture(folder / "ann" / f"{i}.jpg", i)
    picture(folder / "ann" / "old" / "3.jpg", 3)
    picture(folder / "bob" / "no suffix", 10)
    picture(folder / "cid.jpg", 20)
    picture(folder / "Zoe\u0308" / "z.jpg", 30)
    picture(folder / " blank" / "b.jpg", 40)
    (folder / "bob" / "broken.jpg").write_bytes(b"no picture at all")
    (folder / "bob" / "notes.txt").write_text("hello", "utf-8")
    (folder / "bob" / "gone.jpg").symlink_to(place / "nowhere.jpg")
    (folder / "link").symlink_to(folder / "ann", target_is_directory=True)
    (folder / "nobody").mkdir()
    (folder / ".hidden").mkdir()
    picture(folder / ".hidden" / "h.jpg", 50)
    return folder


def test_a_folder(tmp_path: Path, keys: KeySource) -> None:
    folder, recognizer = folder_of(tmp_path), Thumbnails()
    gallery = made(tmp_path, keys=keys, recognizer=recognizer)
    people = listed(tmp_path, "subject;site;phone\nann;north;123\neve;south;\nZoë;west;\n")
    seen: list[tuple[int, int]] = []
    items: list[str] = []
    summary = enroll_folder(
        gallery, folder, people_csv=people, sensitive=["phone"],
        progress=lambda *p: seen.append(p), on_item=lambda i: items.append(i.item.source),
    )  # fmt: skip
    assert summary.counts == {"enrolled": 7, "failed": 3, "rejected": 1}
    assert (summary.subjects, summary.others) == (4, 1)
    codes = {p.item.source: p.item.reasons[0].code for p in summary.problems}
    assert codes == {
        "bob/broken.jpg": "image_unreadable", "bob/gone.jpg": "image_not_found", "link": "image_error",
        " blank/b.jpg": "invalid_argument",
    }  # fmt: skip
    assert seen == [(i, 11) for i in range(1, 12)]
    assert sorted(items)[:2] == [" blank/b.jpg", "Zoe\u0308/z.jpg"]
    assert {n: len(v) for n, v in held(gallery).items()} == {"ann": 4, "bob": 1, "cid": 1, "Zoë": 1}
    assert gallery.subject("ann", sensitive=True).sensitive == {"phone": "123"}
    assert gallery.subject("Zoë").metadata == {"site": "west"}
    assert any("eve" in n for n in summary.notes)
    assert any("nobody" in n for n in summary.notes)
    # Again: nothing that is enrolled is looked at, new words are taken, a new picture comes in.
    recognizer.looked_at.clear()
    picture(folder / "cid2.jpg", 21)
    people = listed(tmp_path, "subject,site\nann,east\n")
    again = enroll_folder(gallery, folder, people_csv=people)
    assert again.counts == {"enrolled": 1, "already_enrolled": 7, "failed": 3, "rejected": 1}
    assert sorted(Path(p).name for p in recognizer.looked_at) == ["broken.jpg", "cid2.jpg"]
    assert gallery.subject("ann").metadata == {"site": "east"}


def test_a_list_says_whose_each_file_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (tmp_path / "outside.jpg").write_bytes((folder / "cid.jpg").read_bytes())
    gallery = made(tmp_path, recognizer=Thumbnails(), ask_consent=True)
    rows = "mia,ann/0.jpg\nmia,cid.jpg\nned,ann/1.jpg\nned,../outside.jpg\nned,missing.jpg\nned,ann\n"
    people = listed(tmp_path, "subject,file\n" + rows)
    refused = enroll_folder(gallery, folder, people_csv=people)
    assert refused.counts == {"failed": 3, "rejected": 3}
    assert {p.item.reasons[0].code for p in refused.problems if p.item.status == "rejected"} == {
        "consent_missing"
    }
    summary = enroll_folder(gallery, folder, people_csv=people, consent={"given": "2026-11-25"})
    assert summary.counts == {"enrolled": 3, "failed": 3}
    assert {n: len(v) for n, v in held(gallery).items()} == {"mia": 2, "ned": 1}


def test_a_review_remarks_on_the_same_face_twice(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    picture(folder / "ann.png", 1)
    picture(folder / "bob.png", 1)
    gallery = made(tmp_path, recognizer=Thumbnails(), review_fmr=0.5)
    with pytest.raises(Exception, match=r"threshold|measured|evidence"):
        enroll_folder(gallery, folder, review="warn")
    assert held(gallery) == {}


def test_no_folder(tmp_path: Path) -> None:
    gallery = made(tmp_path, recognizer=Thumbnails())
    with pytest.raises(DatasetInvalid, match="not a folder"):
        enroll_folder(gallery, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert enroll_folder(gallery, tmp_path / "empty").total == 0


class Interrupted(Thumbnails):
    """As if somebody pressed Ctrl-C while the n-th picture is looked at."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def capture_many(self, sources: Iterable[Any], **how: Any) -> Iterator[Captured]:
        for i, shot in enumerate(super().capture_many(sources, **how)):
            if i == self.after:
                raise KeyboardInterrupt
            yield shot


def test_control_c_keeps_what_was_embedded(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    for i in range(8):
        picture(folder / "ann" / f"{i}.png", i)
    gallery = made(tmp_path, recognizer=Interrupted(5))
    with pytest.raises(KeyboardInterrupt):
        enroll_folder(gallery, folder)
    assert len(held(gallery)["ann"]) == 5
    gallery.recognizer = recognizer = Thumbnails()
    assert enroll_folder(gallery, folder).counts == {"enrolled": 3, "already_enrolled": 5}
    assert len(recognizer.looked_at) == 3


# A kill in the middle

COUNT = 3000


def work(kind: str, database: str, folder: str | None) -> None:
    """What the child does."""
    gallery = opened(Truth(database), recognizer=Thumbnails())

    def told(done: int, _: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()
        time.sleep(0.002)

    if kind == "templates":
        names = [f"p{i % 700}" for i in range(COUNT)]
        enroll_templates(gallery, names, templates(units(COUNT)), chunk=100, progress=told)
    else:
        enroll_folder(gallery, str(folder), progress=told)


@pytest.mark.parametrize("kind", ["templates", "folder"])
def test_killed_and_begun_again(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "people"
    if kind == "folder":
        for i in range(60):
            picture(folder / f"p{i // 3}" / f"{i}.png", i)
    whole, broken = made(tmp_path, "whole"), made(tmp_path, "broken")
    work(kind, f"sqlite:///{tmp_path}/whole.db", str(folder))
    command = [sys.executable, __file__, kind, f"sqlite:///{tmp_path}/broken.db", str(folder)]
    sizes = []
    for lines in (3, 8):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
        ) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            time.sleep(random.uniform(0, 0.03))  # noqa: S311  (any moment will do)
            child.kill()
        rows = held(broken)
        sizes.append(sum(map(len, rows.values())))
        # Whole transactions: a subject is never there without its samples, nor an event without its row.
        assert set(subject_vectors(broken)) == set(rows)
        with broken.truth.read() as connection:
            events = set(connection.execute(select(schema.outbox.c.reference_id)).scalars())
            assert events == set(connection.execute(select(schema.reference.c.id)).scalars())
    assert 0 < sizes[0] <= sizes[1] < (COUNT if kind == "templates" else 60)
    work(kind, f"sqlite:///{tmp_path}/broken.db", str(folder))
    assert held(broken) == held(whole)
    ours, theirs = subject_vectors(broken), subject_vectors(whole)
    assert all(np.allclose(ours[n], theirs[n], atol=3e-7) for n in theirs)
    assert broken.size == whole.size
    assert broken.audit.check().ok


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
