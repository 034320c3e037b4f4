"""`Gallery.check` finds what does not hold; keys are changed while everything goes on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.gallery_twins import Brute, Twin

from lineament.core.errors import KeyUnavailable
from lineament.gallery import rekey
from lineament.gallery.audit import Actor
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys

TWIN = Twin(32)


@pytest.fixture
def gallery(truth_url: str, tmp_path: Path) -> Iterator[Gallery]:
    """Three subjects, sealed."""
    keys = FileKeys.create(tmp_path / "keys.json")
    with Gallery.create(truth_url, "staff", recognizer=TWIN, keys=keys, index=Brute(32)) as g:
        for name in ("anna", "bob", "carl"):
            g.enroll(name, [f"{name}/{i}".encode() for i in range(2)], sensitive={"phone": "1"})
        yield g


@pytest.fixture
def again(truth_url: str, tmp_path: Path) -> Iterator[Callable[[], Gallery]]:
    """The same collection, opened once more with the key file."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            Gallery.open(
                truth_url,
                "staff",
                recognizer=TWIN,
                keys=FileKeys(tmp_path / "keys.json"),
                index=Brute(32),
            )
        )


def change(gallery: Gallery, statement: str, **values: Any) -> None:
    with gallery.truth.write() as connection:
        connection.execute(text(statement), values)


def kinds(gallery: Gallery) -> set[str]:
    return {p.what for p in gallery.check().problems}


def test_all_is_well(gallery: Gallery) -> None:
    health = gallery.check()
    assert health.well
    assert (health.references, health.subjects) == (6, 3)
    assert health.audit_records == 4


def test_a_template_that_was_swapped_is_found(gallery: Gallery) -> None:
    with gallery.truth.read() as connection:
        other = connection.execute(text("SELECT vector FROM reference WHERE id = 3")).scalar_one()
    change(gallery, "UPDATE reference SET vector = :v WHERE id = 1", v=bytes(other))
    assert kinds(gallery) == {"reference_damaged", "subject_template_stale"}


def test_a_sensitive_value_that_was_changed_is_found(gallery: Gallery) -> None:
    with gallery.truth.read() as connection:
        blob = bytearray(connection.execute(text("SELECT sensitive FROM subject")).scalars().first() or b"")
    blob[-1] ^= 1
    change(gallery, "UPDATE subject SET sensitive = :v WHERE external_id = 'anna'", v=bytes(blob))
    assert kinds(gallery) == {"subject_damaged"}


def test_a_row_that_was_added_or_taken_behind_our_back_is_found(gallery: Gallery) -> None:
    change(gallery, "DELETE FROM outbox WHERE reference_id = 2")
    assert "reference_without_event" in kinds(gallery)
    change(gallery, "DELETE FROM reference WHERE id = 5")
    assert {"index_differs", "subject_template_stale"} <= kinds(gallery)
    gallery.rebuild()
    assert "index_differs" not in kinds(gallery)


def test_an_edited_audit_log_is_found(gallery: Gallery) -> None:
    change(gallery, "UPDATE audit SET actor = 'somebody else' WHERE seq = 2")
    assert kinds(gallery) == {"audit_changed"}
    anchor = gallery.audit.anchor()
    change(gallery, "UPDATE audit SET actor = :a WHERE seq = 2", a=gallery.actor.name)
    assert gallery.check(anchor=anchor).well
    change(gallery, "DELETE FROM audit WHERE seq = 4")
    assert kinds(gallery) == {"audit_cut"}


def test_the_master_key_is_changed_while_all_goes_on(gallery: Gallery, again: Callable[[], Gallery]) -> None:
    keys = gallery.keys
    assert isinstance(keys, FileKeys)
    before = keys.key_id
    now = keys.rotate()
    # Another process enrols between the batches; it has the key file as well.
    other = again()
    other.enroll("dora", [b"dora/1"])
    assert rekey.in_use(gallery.truth, keys) == {before, now}
    done = gallery.rotate_key()
    assert (done.key_id, done.keys) == (now, 5)
    assert rekey.in_use(gallery.truth, keys) == {now}
    assert gallery.rotate_key().keys == 0
    keys.retire(before)
    fresh = again()
    assert fresh.check().well
    assert [c.subject for c in fresh.identify(TWIN.template("anna/5"))] == ["anna"]
    assert fresh.subject("anna", sensitive=True).sensitive == {"phone": "1"}


def test_without_the_key_nothing_is_opened(gallery: Gallery, truth_url: str, tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="--key"):
        Gallery.open(truth_url, "staff", recognizer=TWIN, index=Brute(32))
    other = FileKeys.create(tmp_path / "others.json")
    with pytest.raises(KeyUnavailable):
        Gallery.open(truth_url, "staff", recognizer=TWIN, keys=other, index=Brute(32), actor=Actor("ann"))
