"""Another model for a collection, from the crops that were kept."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.gallery_twins import Brute, Twin

from lineament.core.errors import InvalidArgument, ThresholdMissing
from lineament.gallery import remodel
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.values import Settings

OLD, NEW = Twin(32, "old"), Twin(48, "new")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """A sealed collection that keeps crops."""
    return {"keys": FileKeys.create(tmp_path / "keys.json")}


Opened = Callable[[Gallery], Gallery]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Closes what it is given when the test is over."""
    with ExitStack() as stack:
        yield stack.enter_context


def make(url: str, options: dict[str, Any], *, keep: bool = True) -> Gallery:
    settings = Settings(keep_crops=keep, transform=True, review="off")
    return Gallery.create(url, "staff", recognizer=OLD, settings=settings, index=Brute(32), **options)


def test_everybody_comes_over(truth_url: str, options: dict[str, Any], opened: Opened) -> None:
    old = opened(make(truth_url, options))
    for name in ("anna", "bob", "carl"):
        pictures = [f"{name}/{i}".encode() for i in range(3)]
        old.enroll(name, pictures, metadata={"n": name}, sensitive={"s": 1}, consent={"given": "2026-01-01"})
    new = remodel.begin(old, NEW)
    assert remodel.go_on(old, new).references == 9
    # The old one goes on: what changes meanwhile comes over too.
    old.enroll("dora", [b"dora/1"])
    old.remove("bob")
    old.remove("carl", 8)
    assert [c.subject for c in old.identify(OLD.template("dora/2"))] == ["dora"]
    again = remodel.begin(old, NEW)
    assert again.collection.id == new.collection.id
    found, moved = remodel.finish(old, again)
    assert (found.name, found.model) == ("staff", NEW.model)
    assert (moved.references, moved.without_crop, moved.lost) == (6, [], [])
    after = opened(Gallery.open(truth_url, "staff", recognizer=NEW, index=Brute(48), **options))
    assert [s.id for s in after.subjects()] == ["anna", "carl", "dora"]
    anna = after.subject("anna", sensitive=True)
    assert (anna.metadata, anna.sensitive, anna.consent) == ({"n": "anna"}, {"s": 1}, {"given": "2026-01-01"})
    assert after.check().problems == ()
    # The same picture is known, although its digest is keyed.
    assert after.enroll("anna", [b"anna/1"]).items[0].status == "already_enrolled"
    assert (
        opened(Gallery.open(truth_url, "staff+before", recognizer=OLD, index=Brute(32), **options)).size == 6
    )


def test_who_has_no_crop_is_named(truth_url: str, options: dict[str, Any], opened: Opened) -> None:
    old = opened(make(truth_url, options, keep=False))
    old.enroll("anna", [b"anna/1"])
    new = remodel.begin(old, NEW)
    with pytest.raises(InvalidArgument, match=r"must be enrolled again \(anna\)"):
        remodel.finish(old, new)
    new.enroll("anna", [b"anna/2"])
    # Enrolled under the new model only: the old one does not know this picture, and does not take it away.
    found, moved = remodel.finish(old, new)
    assert (found.model, moved.lost, moved.without_crop) == (NEW.model, [], ["anna"])


def test_it_is_refused_before_anything_is_made(
    truth_url: str, options: dict[str, Any], opened: Opened
) -> None:
    old = opened(make(truth_url, options))
    with pytest.raises(InvalidArgument, match="already"):
        remodel.begin(old, OLD)
    unmeasured = Twin(48, "unmeasured")
    unmeasured.thresholds = ()
    with pytest.raises(ThresholdMissing, match="measure thresholds first"):
        remodel.begin(old, unmeasured)
    other = Twin(48, "other")
    other.alignment = "arcface-128"
    with pytest.raises(InvalidArgument, match="must be enrolled again"):
        remodel.begin(old, other)
    remodel.begin(old, NEW)
    with pytest.raises(InvalidArgument, match="was begun"):
        remodel.begin(old, Twin(64, "third"))
