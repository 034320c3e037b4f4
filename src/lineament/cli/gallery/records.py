"""Collections, subjects and outcomes of searches as plain values; never a template."""

from dataclasses import asdict
from typing import Any

from lineament.gallery.values import Collection, Found, Subject
from lineament.pipeline.records import face_record, reason_record, threshold_record


def collection_record(collection: Collection) -> dict[str, Any]:
    """A collection and its settings."""
    record = asdict(collection)
    del record["id"]  # of the row, which means nothing outside
    return record


def subject_record(subject: Subject) -> dict[str, Any]:
    """A subject; sealed values are among them only where they were asked for."""
    record: dict[str, Any] = {
        "id": subject.id,
        "references": subject.references,
        "metadata": dict(subject.metadata),
        "consent": None if subject.consent is None else dict(subject.consent),
        "retain_until": subject.retain_until,
        "created_at": subject.created_at,
        "updated_at": subject.updated_at,
    }
    if subject.sensitive is not None:
        record["sensitive"] = dict(subject.sensitive)
    return record


def found_record(source: str, outcome: str, found: Found) -> dict[str, Any]:
    """One search.

    Args:
        source: of the probe.
        outcome: `found`, `unknown`, `leads`, `no_face` or `failed`.
        found: what the gallery said.
    """
    return {
        "source": source,
        "outcome": outcome,
        "candidates": [asdict(candidate) for candidate in found.candidates],
        "threshold": threshold_record(found.threshold),
        "searched": found.searched,
        "complete": found.complete,
        "reasons": [reason_record(reason) for reason in found.reasons],
        "face": face_record(found.face),
    }
