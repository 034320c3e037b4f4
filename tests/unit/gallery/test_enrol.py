"""Enrolment: what becomes of each picture, what is said twice, and what must never be half there."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from tests.gallery_twins import Brute, Twin, sample

from lineament.core.errors import (
    ConsentMissing,
    IdempotencyConflict,
    InvalidArgument,
    SubjectNotFound,
    TemplateInvalid,
    TemplateMismatch,
    ThresholdMissing,
)
from lineament.core.faces import Face
from lineament.core.ports import Captured
from lineament.core.template import Template
from lineament.gallery import schema
from lineament.gallery.enrol import from_png
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.values import Enrolment, Settings


def make(url: str, settings: Settings | None = None, **options: Any) -> Gallery:
    return Gallery.create(url, "staff", recognizer=Twin(), index=Brute(), settings=settings, **options)


@pytest.fixture
def g(truth_url: str) -> Iterator[Gallery]:
    with make(truth_url) as gallery:
        yield gallery


def statuses(done: Enrolment) -> list[str]:
    return [i.status for i in done.items]


def codes(done: Enrolment) -> list[list[str]]:
    return [[r.code for r in i.reasons] for i in done.items]


def rows(g: Gallery) -> dict[str, int]:
    """How many rows each table has, numbers and log left out."""
    tables = (schema.subject, schema.reference, schema.outbox, schema.request, schema.not_this_person)
    with g.truth.read() as connection:
        return {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}


def captured(vector: np.ndarray, norm: float = 10.0, digest: str = "d", model: Any = None) -> Captured:
    template = Template(vector, norm, model or Twin().model)
    return Captured(
        "given", digest, Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0, template=template)
    )


class TestOnePicture:
    def test_is_found_again(self, g: Gallery) -> None:
        done = g.enroll("anna", b"anna/1", metadata={"site": "north", "age": 30})
        (item,) = done.items
        assert (done.subject, done.created, done.complete) == ("anna", True, True)
        assert item.status == "enrolled" and item.reference == 1 and item.reasons == ()
        (found,) = g.identify(b"anna/2", threshold=0.7)
        assert (found.subject, found.rank, found.reference, found.lead) == ("anna", 1, 1, False)
        who = g.subject("anna")
        assert who.references == 1 and who.metadata == {"site": "north", "age": 30} and who.sensitive is None

    def test_the_same_one_again_is_no_second_row(self, g: Gallery) -> None:
        first = g.enroll("anna", b"anna/1")
        again = g.enroll("anna", [b"anna/1", b"anna/2", b"anna/2"])
        assert statuses(again) == ["already_enrolled", "enrolled", "already_enrolled"]
        assert again.items[0].reference == first.items[0].reference
        assert again.items[1].reference == again.items[2].reference
        assert not again.created and again.complete
        assert rows(g)["reference"] == rows(g)["outbox"] == 2

    def test_the_same_one_of_another_subject_is_a_row_and_a_warning(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        done = g.enroll("hannah", b"anna/1")
        assert statuses(done) == ["enrolled"] and codes(done) == [["possible_duplicate"]]
        candidate = done.items[0].candidate
        assert candidate is not None and candidate.subject == "anna" and candidate.similarity == 1.0
        assert "the same picture" in done.items[0].reasons[0].message


class TestPartialSuccess:
    def test_item_by_item(self, g: Gallery) -> None:
        pictures = [b"anna/1", b"", b"nobody here", b"anna/2+bob/1", b"anna/3"]
        done = g.enroll("anna", pictures)
        assert statuses(done) == ["enrolled", "failed", "rejected", "rejected", "enrolled"]
        assert codes(done) == [[], ["image_empty"], ["no_face"], ["multiple_faces"], []]
        assert done.enrolled == 2 and not done.complete
        assert [i.source for i in done.items] == ["anna/1", "empty", "nobody here", "anna/2+bob/1", "anna/3"]
        assert g.subject("anna").references == 2

    def test_nothing_usable_leaves_no_subject(self, g: Gallery) -> None:
        done = g.enroll("anna", [b"", b"nobody"], metadata={"a": 1})
        assert not done.created and done.enrolled == 0
        with pytest.raises(SubjectNotFound):
            g.subject("anna")
        assert rows(g)["subject"] == 0
        assert [e.action for e in g.audit.read()] == ["create", "enrol"], "the attempt is on record"

    def test_no_pictures(self, g: Gallery) -> None:
        done = g.enroll("anna", [])
        assert done.items == () and rows(g)["subject"] == 0

    def test_a_large_batch_that_is_all_doubtful(self, g: Gallery) -> None:
        """The log takes long lists of fractions for a template: a review must not run into that."""
        pictures = [f"anna/{i}".encode() for i in range(80)]
        g.enroll("anna", pictures)
        done = g.enroll("hannah", [f"anna/x{i}".encode() for i in range(80)])
        assert statuses(done) == ["enrolled"] * 80 and codes(done) == [["possible_duplicate"]] * 80
        assert g.audit.check().ok


class TestIdempotencyKey:
    def test_the_same_request_is_answered_as_the_first_time(self, g: Gallery) -> None:
        g.enroll("hannah", b"anna/0")
        pictures = [b"anna/1", b"", b"nobody"]
        first = g.enroll("anna", pictures, metadata={"a": 1}, idempotency_key="k1")
        before = rows(g)
        second = g.enroll("anna", pictures, metadata={"a": 1}, idempotency_key="k1")
        assert rows(g) == before
        assert (second.subject, second.created, second.items) != ("", False, ())
        assert second.created and statuses(second) == statuses(first) and codes(second) == codes(first)
        assert [i.reference for i in second.items] == [i.reference for i in first.items]
        assert codes(first)[0] == ["possible_duplicate"] and first.items[0].candidate is not None
        assert second.items[0].candidate is None, "whom it looked like may have been erased since"

    @pytest.mark.parametrize(
        ("subject", "pictures", "about"),
        [
            ("bob", [b"anna/1"], {}),
            ("anna", [b"anna/2"], {}),
            ("anna", [b"anna/1", b"anna/2"], {}),
            ("anna", [b"anna/1"], {"metadata": {"a": 2}}),
            ("anna", [b"anna/1"], {"retain_until": "2030-01-01"}),
        ],
    )
    def test_another_request_is_a_conflict(
        self, g: Gallery, subject: str, pictures: list[bytes], about: dict[str, Any]
    ) -> None:
        g.enroll("anna", [b"anna/1"], idempotency_key="k1")
        before = rows(g)
        with pytest.raises(IdempotencyConflict, match="k1"):
            g.enroll(subject, pictures, idempotency_key="k1", **about)
        assert rows(g) == before
        assert g.enroll("anna", [b"anna/2"], idempotency_key="k2").enrolled == 1

    def test_a_key_of_a_removed_subject_is_free(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", idempotency_key="k1")
        g.remove("anna")
        done = g.enroll("anna", b"anna/1", idempotency_key="k1")
        assert statuses(done) == ["enrolled"] and g.subject("anna").references == 1

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\0b", "a\nb"])
    def test_a_key_that_cannot_be(self, g: Gallery, key: str) -> None:
        with pytest.raises(InvalidArgument, match="idempotency key"):
            g.enroll("anna", b"anna/1", idempotency_key=key)
        assert rows(g)["subject"] == 0

    def test_other_collections_have_their_own(self, g: Gallery, truth_url: str) -> None:
        g.enroll("anna", b"anna/1", idempotency_key="k1")
        with Gallery.create(truth_url, "guests", recognizer=Twin(), index=Brute()) as guests:
            assert guests.enroll("bob", b"bob/1", idempotency_key="k1").created


class TestReview:
    @pytest.mark.parametrize(
        ("review", "status", "reasons"),
        [
            ("off", "enrolled", []),
            ("warn", "enrolled", ["possible_duplicate"]),
            ("strict", "rejected", ["possible_duplicate"]),
        ],
    )
    def test_the_same_face_under_another_subject(
        self, g: Gallery, review: Any, status: str, reasons: list[str]
    ) -> None:
        g.enroll("anna", b"anna/1")
        done = g.enroll("hannah", b"anna/2", review=review)
        assert statuses(done) == [status] and codes(done) == [reasons]
        assert (done.items[0].reference is None) == (status == "rejected")
        if reasons:
            assert done.items[0].candidate is not None and done.items[0].candidate.subject == "anna"
            assert done.items[0].reasons[0].blocking == (review == "strict")
            assert "merge" in done.items[0].reasons[0].message
        assert [s.id for s in g.subjects()] == (["anna"] if review == "strict" else ["anna", "hannah"])

    @pytest.mark.parametrize(
        ("review", "status"), [("off", "enrolled"), ("warn", "enrolled"), ("strict", "rejected")]
    )
    def test_a_sample_unlike_its_own_subject(self, g: Gallery, review: Any, status: str) -> None:
        g.enroll("anna", [b"anna/1", b"anna/2"])
        done = g.enroll("anna", [b"bob/1", b"anna/3"], review=review)
        assert statuses(done) == [status, "enrolled"]
        assert codes(done) == [[] if review == "off" else ["unlike_own_subject"], []]

    def test_the_collections_own_rule_holds_unless_another_is_asked_for(self, sqlite_url: str) -> None:
        with make(sqlite_url, Settings(review="strict")) as g:
            g.enroll("anna", b"anna/1")
            assert statuses(g.enroll("hannah", b"anna/2")) == ["rejected"]
            assert statuses(g.enroll("hannah", b"anna/2", review="off")) == ["enrolled"]

    def test_without_evidence_there_is_no_review(self, sqlite_url: str) -> None:
        with make(sqlite_url, Settings(review_fmr=1e-9)) as g:
            with pytest.raises(ThresholdMissing, match="review off"):
                g.enroll("anna", b"anna/1")
            assert rows(g)["subject"] == 0
            assert g.enroll("anna", b"anna/1", review="off").complete


class TestConsent:
    def test_asked_for(self, truth_url: str) -> None:
        with make(truth_url, Settings(ask_consent=True)) as g:
            with pytest.raises(ConsentMissing, match="anna"):
                g.enroll("anna", b"anna/1")
            with pytest.raises(ConsentMissing):
                g.enroll("anna", b"anna/1", consent={})
            with pytest.raises(ConsentMissing):
                g.enroll("anna", b"anna/1", consent={"given": "2026-01-01", "withdrawn": "2026-02-01"})
            assert rows(g) == dict.fromkeys(rows(g), 0)
            g.enroll("anna", b"anna/1", consent={"given": "2026-11-25", "for": "access"})
            assert g.enroll("anna", b"anna/2").complete, "it was given before"
            assert g.subject("anna").consent == {"given": "2026-11-25", "for": "access"}

    def test_taken_back(self, truth_url: str) -> None:
        with make(truth_url, Settings(ask_consent=True)) as g:
            g.enroll("anna", b"anna/1", consent={"given": "2026-11-25"})
            g.update("anna", consent={"given": "2026-11-25", "withdrawn": "2026-11-26"})
            with pytest.raises(ConsentMissing):
                g.enroll("anna", b"anna/2")
            assert rows(g)["reference"] == 1
            assert g.identify(b"anna/2", threshold=0.7) == [], "nor is anybody found who took it back"
            assert g.enroll("anna", b"anna/2", consent={"given": "2026-11-27"}).complete
            assert [c.subject for c in g.identify(b"anna/3", threshold=0.7)] == ["anna"]


class TestRetention:
    def test_by_the_collections_rule(self, truth_url: str) -> None:
        with make(truth_url, Settings(retain_days=30)) as g:
            g.enroll("anna", b"anna/1")
            due = datetime.datetime.fromisoformat(str(g.subject("anna").retain_until))
            left = due - datetime.datetime.now(datetime.UTC)
            assert datetime.timedelta(days=29, hours=23) < left <= datetime.timedelta(days=30)
            g.enroll("bob", b"bob/1", retain_until="2027-03-31")
            assert g.subject("bob").retain_until == "2027-03-31T00:00:00.000000Z"

    def test_none_unless_asked_for(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1")
        assert g.subject("anna").retain_until is None
        g.enroll("bob", b"bob/1", retain_until="2027-03-31T12:00:00+02:00")
        assert g.subject("bob").retain_until == "2027-03-31T10:00:00.000000Z"
        with pytest.raises(InvalidArgument, match="2027-03-31"):
            g.enroll("carl", b"carl/1", retain_until="31.3.2027")


class TestMetadata:
    @pytest.mark.parametrize(
        "metadata",
        [
            {"": 1}, {"a b": 1}, {"1a": 1}, {"a" * 65: 1}, {"a.b": 1}, {'a"b': 1}, {"a": [1]},
            {"a": {"b": 1}}, {"a": float("nan")}, {"a": float("inf")}, {"a": b"x"}, {"a": "x" * 70_000},
            {"a": "\0"},
            {"a": "\ud800"}, {"a": 2**63}, {"a": -(2**63) - 1}, {"a": np.float32(1)},
        ],
    )  # fmt: skip
    def test_that_cannot_be_stored(self, g: Gallery, metadata: dict[str, Any]) -> None:
        for kind in ("metadata", "sensitive", "consent"):
            with pytest.raises(InvalidArgument):
                g.enroll("anna", b"anna/1", **{kind: metadata})
        assert rows(g)["subject"] == 0

    def test_that_comes_back_as_it_was(self, g: Gallery) -> None:
        metadata = {
            "text": "Zoë ' \" \\ 顧客 \U0001f600", "n": 2**63 - 1, "f": 0.1, "yes": True,
            "no": False, "none": None, "long": "x" * 60_000, "a-b_c": "",
        }  # fmt: skip
        g.enroll("anna", b"anna/1", metadata=metadata, sensitive={"phone": "1"}, consent={"given": "x"})
        who = g.subject("anna", sensitive=True)
        assert who.metadata == metadata and who.sensitive == {"phone": "1"} and who.consent == {"given": "x"}

    def test_what_is_not_named_stays(self, g: Gallery) -> None:
        g.enroll("anna", b"anna/1", metadata={"a": 1, "b": 2}, sensitive={"p": 1})
        g.enroll("anna", b"anna/2", metadata={"b": 3}, sensitive={"q": 2})
        g.update("anna", metadata={"c": 4}, sensitive={"q": 3})
        who = g.subject("anna", sensitive=True)
        assert who.metadata == {"a": 1, "b": 3, "c": 4} and who.sensitive == {"p": 1, "q": 3}

    @pytest.mark.parametrize("name", ["", " anna", "anna ", "a\nb", "a\0b", "x" * 256, "\ud800"])
    def test_ids_that_cannot_be(self, g: Gallery, name: str) -> None:
        with pytest.raises(InvalidArgument):
            g.enroll(name, b"anna/1")

    @pytest.mark.parametrize(
        "name", ["Zoë", "顧客 1", "a'b\"c", "x" * 255, "%_\\", "'; DROP TABLE subject; --"]
    )
    def test_ids_that_can(self, g: Gallery, name: str) -> None:
        g.enroll(name, b"anna/1")
        assert g.identify(b"anna/2", threshold=0.7)[0].subject == name


class TestTemplatesThatCannotBe:
    @pytest.mark.parametrize(
        ("vector", "norm"),
        [
            (np.full(32, np.nan, np.float32), 1.0),
            (np.zeros(32, np.float32), 1.0),
            (np.full(32, np.inf, np.float32), 1.0),
            (2 * sample("a", 32), 1.0),
            (sample("a", 16), 1.0),
            (sample("a", 64), 1.0),
            (sample("a", 32), float("nan")),
        ],
    )
    def test_are_not_stored_and_nothing_else_is(self, g: Gallery, vector: np.ndarray, norm: float) -> None:
        good = captured(sample("anna", 32), digest="good")
        for review in ("off", "warn"):
            with pytest.raises(TemplateInvalid) as caught:
                g.enroll_captured("anna", [good, captured(vector, norm)], review=review)
            assert "[" not in str(caught.value), "no numbers of a template in a message"
        assert rows(g)["subject"] == 0
        for search in (g.identify, g.investigate):
            with pytest.raises(TemplateInvalid):
                search(Template(vector, norm, Twin().model))
        with pytest.raises(TemplateInvalid):
            g.identify_faces(
                [Template(sample("a", 32), 1.0, Twin().model), Template(vector, norm, Twin().model)]
            )
        g.enroll("bob", b"bob/1")
        with pytest.raises(TemplateInvalid):
            g.not_this_person("bob", Template(vector, norm, Twin().model))
        with pytest.raises(TemplateInvalid):
            g.verify(Template(vector, norm, Twin().model), "bob")

    def test_of_another_model(self, g: Gallery) -> None:
        other = Twin(name="other")
        with pytest.raises(TemplateMismatch):
            g.enroll_captured("anna", list(other.capture_many([b"anna/1"])), review="off")
        with pytest.raises(TemplateMismatch):
            g.identify(other.template("anna/1"))
        assert rows(g)["subject"] == 0


class TestSealing:
    """A sealed and a turned collection answer as a plain one does."""

    @pytest.mark.parametrize("turned", [False, True])
    def test_equal_answers(self, truth_url: str, tmp_path: Path, turned: bool) -> None:
        keys = FileKeys.create(tmp_path / "keys.json")
        twin = Twin()
        sealed = make(truth_url, Settings(transform=turned, keep_crops=True), keys=keys)
        other = f"sqlite:///{tmp_path / 'plain.db'}"
        with sealed, make(other, Settings(keep_crops=True)) as open_one:
            for g in (sealed, open_one):
                for i in range(25):
                    pictures = [f"p{i}/{j}".encode() for j in range(1 + i % 4)]
                    g.enroll(
                        f"p{i}", pictures, metadata={"even": i % 2 == 0}, sensitive={"i": i}, review="off"
                    )
                g.remove("p3")
                g.merge("p4", "p5")
                g.not_this_person("p6", twin.template("p6/x"))
            for name in [f"p{i}/probe" for i in range(25)] + ["stranger/1"]:
                probe = twin.template(name)
                for where in (None, {"even": True}):
                    a, b = (
                        list(x.investigate(probe, k=7, where=where).candidates) for x in (sealed, open_one)
                    )
                    assert [c.subject for c in a] == [c.subject for c in b]
                    np.testing.assert_allclose(
                        [c.similarity for c in a], [c.similarity for c in b], atol=1e-6 if turned else 0
                    )
                    assert [c.reference for c in a] == [c.reference for c in b]
            assert sealed.subject("p7", sensitive=True).sensitive == {"i": 7}
            assert [c.subject for c in sealed.search_subject("p5", threshold=-1.0, k=3).candidates] == [
                c.subject for c in open_one.search_subject("p5", threshold=-1.0, k=3).candidates
            ]
            assert sealed.audit.check().ok and open_one.audit.check().ok

    def test_crops_come_back_as_they_were(self, sqlite_url: str, tmp_path: Path) -> None:
        keys = FileKeys.create(tmp_path / "keys.json")
        with make(sqlite_url, Settings(keep_crops=True), keys=keys) as g:
            (shot,) = Twin().capture_many([b"anna/1"])
            g.enroll("anna", b"anna/1")
            with g.truth.read() as connection:
                row = connection.execute(
                    select(schema.reference, schema.subject.c.data_key).join(schema.subject)
                ).one()
            assert b"PNG" not in row.crop
            seal = g.vault.of(row.subject_id, row.data_key)
            opened = from_png(seal.open(row.crop, g.vault.place("crop", row.subject_id, row.id)))
            assert shot.crop is not None
            np.testing.assert_array_equal(opened, shot.crop)

    def test_nothing_readable_in_the_files(self, sqlite_url: str, tmp_path: Path) -> None:
        keys = FileKeys.create(tmp_path / "keys.json")
        with make(sqlite_url, Settings(keep_crops=True, transform=True), keys=keys) as g:
            g.enroll("anna", [b"anna/1", b"anna/2"], sensitive={"phone": "0123456789"}, idempotency_key="k")
            g.not_this_person("anna", Twin().template("anna/9"))
            g.identify(b"anna/3", threshold=0.5)
            data = b"".join(p.read_bytes() for p in tmp_path.glob("people.db*"))
        import hashlib

        for name in ("anna/1", "anna/2", "anna/9", "anna/3"):
            assert sample(name, 32).tobytes() not in data
            assert hashlib.sha256(name.encode()).hexdigest().encode() not in data, "not even its digest"
        assert b"0123456789" not in data and b"PNG" not in data
