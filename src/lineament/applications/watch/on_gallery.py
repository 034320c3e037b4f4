"""Watching for the people of a gallery: the collection as a list, and its database as the place of alerts."""

from collections.abc import Sequence
from dataclasses import replace

from lineament.applications.watch.alerts import Alert, AlertSink, Evidence
from lineament.core.candidate import Candidate
from lineament.core.template import Templates
from lineament.core.threshold import Threshold
from lineament.gallery import alerts
from lineament.gallery.gallery import Gallery


class GalleryList:
    """A collection as a `WatchedList`.

    Args:
        gallery: an opened collection; a watchlist finds only entries that are approved and valid.
        fpir: rate of false alerts for each face that is searched; None for the collection's own.
        threshold: overrides: a measured search threshold, or a bare cosine.
    """

    def __init__(
        self, gallery: Gallery, *, fpir: float | None = None, threshold: float | Threshold | None = None
    ) -> None:
        self.gallery = gallery
        self.fpir = gallery.collection.settings.fpir if fpir is None else fpir
        self.given = threshold

    @property
    def name(self) -> str:
        """Of the collection."""
        return self.gallery.collection.name

    @property
    def threshold(self) -> Threshold:
        """At the list's rate, for its present size.

        Raises:
            ThresholdMissing: the list has grown beyond what was measured.
        """
        return self.gallery.threshold(self.fpir, self.given)

    def identify(self, templates: Templates, /) -> Sequence[Sequence[Candidate]]:
        """The best two subjects for each template, whatever their likeness."""
        return self.gallery.look(templates)


class AlertTable:
    """Alerts in the gallery's own database, sealed like the subject they name: an `AlertSink`.

    Args:
        gallery: the collection that is watched for.
        evidence: whether template and aligned crop of the face are kept, for a reviewer.
    """

    def __init__(self, gallery: Gallery, *, evidence: bool = True) -> None:
        self.gallery = gallery
        self._evidence = evidence

    def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
        """Keep an alert in one transaction; None when its id is there already."""
        shown = evidence if self._evidence and evidence is not None else Evidence()
        new = alerts.keep(
            self.gallery,
            alert.id,
            alert.at,
            alert.kind,
            alert.subject,
            alert.to_dict(),
            vector=shown.template,
            crop=shown.crop,
        )
        return replace(alert, evidence=None) if new else None

    def latest(self, source: str, watchlist: str) -> tuple[Alert, ...]:
        """The last alert of each subject from this source and list."""
        if watchlist != self.gallery.collection.name:
            return ()
        kept = alerts.latest(self.gallery, source)
        return tuple(Alert.from_dict({**k.body, "subject": k.subject}) for k in kept)

    def close(self) -> None:
        """The gallery is its owner's to close."""


class Both:
    """Alerts in two places: a place that has an alert already does not keep it from the other.

    Args:
        first: asked what was kept before; usually the file that somebody reads.
        second: usually the database.
    """

    def __init__(self, first: AlertSink, second: AlertSink) -> None:
        self.first, self.second = first, second

    def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
        """Keep it in both; None when both had it.

        Raises:
            OutputFailed: one of them could not keep it; the same call may be tried again.
        """
        kept = self.first.store(alert, evidence)
        also = self.second.store(kept or alert, evidence)
        return kept or also

    def latest(self, source: str, watchlist: str) -> tuple[Alert, ...]:
        """As the first place knows it, else the second."""
        return self.first.latest(source, watchlist) or self.second.latest(source, watchlist)

    def close(self) -> None:
        """Close both."""
        self.first.close()
        self.second.close()
