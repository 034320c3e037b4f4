"""How entries and alerts of a watchlist are shown, and opening one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lineament.cli.gallery.options import Place, opened, require_packages
from lineament.cli.gallery.showing import show, table
from lineament.core.errors import InvalidArgument

if TYPE_CHECKING:
    from lineament.gallery.alerts import Kept
    from lineament.gallery.watchlist import Entry, Watchlist


@contextmanager
def opened_list(place: Place, name: str, shared: dict[str, Any] | None = None) -> Generator[Watchlist]:
    """A watchlist.

    Raises:
        InvalidArgument: the collection is a gallery.
    """
    require_packages()
    from lineament.gallery.watchlist import Watchlist

    with opened(place, name, shared) as found:
        if not isinstance(found, Watchlist):
            raise InvalidArgument(
                f"{name!r} is a gallery, not a watchlist: make one with `lineament watchlist create`"
            )
        yield found


def entry_record(entry: Entry) -> dict[str, Any]:
    """An entry as plain values."""
    return asdict(entry)


def show_entries(entries: Iterable[Entry]) -> None:
    """A table of entries."""
    rows = table("subject", "state", "found now", "until", "reason", "source", "proposed by", "decided by")
    for e in entries:
        until = "no end" if e.valid_until is None else e.valid_until[:10]
        found = "yes" if e.active else "no"
        rows.add_row(e.subject, e.state, found, until, e.reason, e.source, e.proposed_by, e.decided_by or "")
    show(rows)


def alert_record(kept: Kept) -> dict[str, Any]:
    """An alert as plain values; what was written down stands under `alert`."""
    return {
        "id": kept.id,
        "at": kept.at,
        "kind": kept.kind,
        "subject": kept.subject,
        "review": kept.review,
        "reviewer": kept.reviewer,
        "reviewed_at": kept.reviewed_at,
        "alert": dict(kept.body),
    }


def show_alerts(alerts: Iterable[Kept]) -> None:
    """A table of alerts."""
    rows = table("alert", "at", "kind", "subject", "similarity", "source", "review", right=("similarity",))
    for a in alerts:
        similarity = a.body.get("similarity")
        score = "" if similarity is None else f"{similarity:.3f}"
        reviewed = a.review if a.reviewer is None else f"{a.review} by {a.reviewer}"
        rows.add_row(
            a.id[:8],
            a.at[:19].replace("T", " "),
            a.kind,
            a.subject or "",
            score,
            str(a.body.get("source", "")),
            reviewed,
        )
    show(rows)
