"""Watchlists: who can be found, from when until when, and by whose word."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.gallery_twins import Brute, Twin

from lineament.core.errors import ApprovalMissing, GalleryError, InvalidArgument, SubjectNotFound
from lineament.gallery import alerts
from lineament.gallery.audit import Actor
from lineament.gallery.gallery import Gallery
from lineament.gallery.keys import FileKeys
from lineament.gallery.values import Settings
from lineament.gallery.watchlist import Watchlist

TWIN = Twin(32)
Make = Callable[..., Watchlist]


@pytest.fixture
def make(truth_url: str, tmp_path: Path) -> Make:
    """A watchlist, sealed, by one of two people."""
    keys = FileKeys.create(tmp_path / "keys.json")

    def _make(actor: str = "ann", *, settings: Settings | None = None, new: bool = False) -> Watchlist:
        options = {"recognizer": TWIN, "keys": keys, "index": Brute(32), "actor": Actor(actor, "test")}
        if new:
            return Watchlist.create(truth_url, "visitors", kind="watchlist", settings=settings, **options)
        return Watchlist.open(truth_url, "visitors", **options)

    return _make


def day(offset: int) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=offset)
    return moment.isoformat()


def test_an_entry_needs_a_reason_a_source_and_a_face(make: Make) -> None:
    with make(new=True) as w:
        for reason, source in (("", "desk"), ("lost badge", " ")):
            with pytest.raises(InvalidArgument, match="a reason and a source"):
                w.add("anna", [b"anna/1"], reason=reason, source=source)
        with pytest.raises(InvalidArgument, match="would end"):
            w.add("anna", [b"anna/1"], reason="r", source="s", valid_until=day(-1))
        outcome, entry = w.add("anna", [b"nobody"], reason="r", source="s")
        assert entry is None
        assert outcome.items[0].status == "rejected"
        with pytest.raises(SubjectNotFound):
            w.entry("anna")
        outcome, entry = w.add("anna", [b"anna/1"], reason="lost badge", source="front desk")
        assert entry is not None
        assert (entry.state, entry.active, entry.proposed_by) == ("approved", True, "ann")
        assert [c.subject for c in w.identify(TWIN.template("anna/2"), fpir=1e-3)] == ["anna"]


def test_only_valid_entries_are_found(make: Make) -> None:
    with make(new=True) as w:
        w.add("early", [b"early/1"], reason="r", source="s", valid_from=day(1))
        w.add("late", [b"late/1"], reason="r", source="s", valid_from=day(-3), valid_until=day(-1))
        w.add("now", [b"now/1"], reason="r", source="s", valid_from=day(-3), valid_until=day(1))
        found = {
            n: [c.subject for c in w.identify(TWIN.template(f"{n}/2"))] for n in ("early", "late", "now")
        }
        assert found == {"early": [], "late": [], "now": ["now"]}
        assert [e.subject for e in w.expired()] == ["late"]
        assert [e.subject for e in w.entries(active=True)] == ["now"]
        w.extend("late", day(5))
        assert [c.subject for c in w.identify(TWIN.template("late/2"))] == ["late"]
        w.withdraw("now")
        assert w.identify(TWIN.template("now/2")) == []
        with pytest.raises(InvalidArgument, match="withdrawn"):
            w.approve("now")


def test_two_persons(make: Make) -> None:
    with make(settings=Settings(two_persons=True), new=True) as w, make("bob") as other:
        _, entry = w.add("anna", [b"anna/1"], reason="r", source="s")
        assert entry is not None
        assert (entry.state, entry.active) == ("proposed", False)
        assert w.identify(TWIN.template("anna/2")) == []
        with pytest.raises(ApprovalMissing, match="second person"):
            w.approve("anna")
        approved = other.approve("anna")
        assert (approved.state, approved.decided_by) == ("approved", "bob")
        assert [c.subject for c in w.identify(TWIN.template("anna/2"))] == ["anna"]
        # A longer time is another decision.
        w.extend("anna", day(30))
        assert w.identify(TWIN.template("anna/2")) == []
        with pytest.raises(ApprovalMissing):
            w.approve("anna")
        assert other.approve("anna").active
        assert [e.action for e in w.audit.read() if e.action.startswith("entry")] == [
            "entry_proposed", "entry_approved", "entry_extended", "entry_approved",
        ]  # fmt: skip


def test_a_gallery_is_no_watchlist(truth_url: str) -> None:
    options = {"recognizer": TWIN, "index": Brute(32)}
    Gallery.create(truth_url, "staff", **options).close()
    with pytest.raises(InvalidArgument, match="not a watchlist"):
        Watchlist.open(truth_url, "staff", **options)


def test_looking_returns_the_best_two_whatever_their_likeness(make: Make) -> None:
    with make(new=True) as w:
        for name in ("anna", "bob", "carl"):
            w.add(name, [f"{name}/1".encode()], reason="r", source="s")
        before = sum(1 for _ in w.audit.read())
        templates = TWIN.template("dora/1"), TWIN.template("anna/2")
        rows = np.stack([t.vector for t in templates])
        from lineament.core.template import Templates

        found = w.look(Templates(rows, np.ones(2, np.float32), TWIN.model))
        assert [len(f) for f in found] == [2, 2]
        assert found[1][0].subject == "anna"
        assert sum(1 for _ in w.audit.read()) == before


def test_an_alert_is_kept_once_and_a_rejection_is_learnt(make: Make) -> None:
    crop = np.full((8, 8, 3), 7, np.uint8)
    with make(new=True) as w, make("bob") as reviewer:
        w.add("anna", [b"anna/1"], reason="r", source="s")
        probe = TWIN.template("anna/9")
        kept = {"vector": probe.vector, "crop": crop}
        body = {"source": "door", "subject": "anna"}
        assert alerts.keep(w, "a1", "2026-11-25T10:00:00.000Z", "enter", "anna", body, **kept)
        assert not alerts.keep(w, "a1", "2026-11-25T10:00:00.000Z", "enter", "anna", body, **kept)
        assert alerts.keep(w, "a2", "2026-11-25T10:00:01.000Z", "unknown", None, {"source": "door"}, **kept)
        assert [(k.id, k.subject, k.review) for k in alerts.listed(w)] == [
            ("a2", None, "open"), ("a1", "anna", "open"),
        ]  # fmt: skip
        assert "anna" not in str(alerts.listed(w)[1].body)
        shown = alerts.evidence(reviewer, "a1")
        assert shown is not None
        assert np.array_equal(shown, crop)
        assert [c.subject for c in w.identify(probe)] == ["anna"]
        judged = alerts.judge(reviewer, "a1", "rejected")
        assert (judged.review, judged.reviewer) == ("rejected", "bob")
        assert w.identify(probe) == []
        assert [c.subject for c in w.identify(TWIN.template("anna/1"))] == ["anna"]
        with pytest.raises(GalleryError, match="already"):
            alerts.judge(reviewer, "a1", "confirmed")
        with pytest.raises(SubjectNotFound):
            alerts.judge(reviewer, "a9", "confirmed")
        assert alerts.judge(reviewer, "a2", "confirmed").review == "confirmed"
        # What is kept of somebody goes with them.
        w.remove("anna")
        assert [k.id for k in alerts.listed(w)] == ["a2"]
