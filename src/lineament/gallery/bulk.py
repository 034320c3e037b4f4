"""Enrolling many people at once: samples that are embedded already, tables of them, folders of photographs.

Each import goes in transactions of a few thousand samples, is idempotent by digest, and so goes on where it
was when the same call is made again. What cannot be enrolled is named item by item and never stops the rest.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lineament.core.errors import InvalidArgument, TemplateInvalid, TemplateMismatch
from lineament.core.template import ModelId, Template, Templates, require_same_model
from lineament.core.verdict import Reason
from lineament.datasets.people_tables import TemplateRows, open_templates, read_people
from lineament.gallery.bulk_folder import enroll_folder, said_of
from lineament.gallery.bulk_known import odd_name
from lineament.gallery.bulk_rows import Opened, Rows, write_rows
from lineament.gallery.bulk_summary import BulkItem, Progress, Summary, Tally
from lineament.gallery.enrol import About
from lineament.gallery.values import Collection

__all__ = ["BulkItem", "Progress", "Summary", "enroll_folder", "enroll_table", "enroll_templates"]

CHUNK = 5000
"""Samples of one transaction."""

LARGEST_CHUNK = 100_000
UNIT = 1e-4
"""How far from 1 the length of a template may be, as `Templates` has it."""


@dataclass(slots=True, eq=False)
class Given:
    """Samples as they were handed in.

    Attributes:
        vectors: float32 (n, d); unit rows but for those in `wrong`.
        norms: (n,) of the raw outputs.
        wrong: why a row cannot be enrolled.
    """

    vectors: np.ndarray
    norms: np.ndarray
    wrong: dict[int, Reason]


def enroll_templates(
    gallery: Opened,
    subjects: Sequence[str],
    templates: Templates | Sequence[Template] | np.ndarray,
    *,
    digests: Sequence[str | None] | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    about: Mapping[str, About] | None = None,
    model: ModelId | None = None,
    progress: Progress | None = None,
    chunk: int = CHUNK,
) -> Summary:
    """Enrol samples that are embedded already, of many subjects.

    No review looks for the same person under another id: it would be a search per sample.

    Args:
        gallery: the collection.
        subjects: whose each sample is; a subject may have several.
        templates: one per entry of `subjects`. Rows of an array that are not of unit length are taken for raw
            outputs: scaled, and their length kept.
        digests: hex digest of the picture of each sample; where there is none, that of the template's bytes.
            A subject's sample whose digest is enrolled is skipped.
        metadata: plain values by subject.
        about: all that can be said of subjects, see `About`.
        model: who made the rows of a bare array.
        progress: called after each transaction.
        chunk: samples of one transaction.

    Returns:
        Counts, and each sample that is not enrolled, called `row 17`, counted from 0.

    Raises:
        TemplateMismatch: all templates are another model's. One foreign `Template` among others is an item.
        TemplateInvalid: an array of another width than the collection's.
        InvalidArgument: lengths that differ, metadata that cannot be stored.
        GalleryError, OutputFailed: the database cannot be written; chunks before stay enrolled.
    """
    if not 1 <= chunk <= LARGEST_CHUNK:
        raise InvalidArgument(f"a chunk holds 1 to {LARGEST_CHUNK} samples, not {chunk}")
    if len(subjects) != len(templates) or (digests is not None and len(digests) != len(subjects)):
        raise InvalidArgument(
            f"{len(subjects)} subjects for {len(templates)} templates"
            + ("" if digests is None else f" and {len(digests)} digests")
            + ": give one for each sample"
        )
    given = _given(templates, gallery.collection, model)
    people, tally = _checked(about, metadata), Tally()
    names = [f"row {i}" for i in range(len(subjects))]
    for part in _chunks(subjects, chunk):
        _enrol_part(gallery, part, subjects, given, digests, people, names, tally)
        if progress is not None:
            progress(tally.total(), len(subjects))
    return tally.done()


def enroll_table(
    gallery: Opened,
    path: str | Path,
    *,
    people_csv: str | Path | None = None,
    sensitive: Sequence[str] = (),
    consent: Mapping[str, Any] | None = None,
    model: ModelId | str | None = None,
    policy: str = "exactly_one",
    progress: Progress | None = None,
    chunk: int = CHUNK,
) -> Summary:
    """Enrol the templates of a table, read a part at a time.

    Args:
        gallery: the collection.
        path: Parquet as `lineament embed` writes it (the subject is the folder of a photograph, or the name
            of one that lies in no folder), or Parquet, CSV or TSV with the columns `subject` and `vector`;
            see `lineament.datasets.people_tables`.
        people_csv: what is known of each subject, a row each.
        sensitive: its columns that are sealed.
        consent: given by everyone in the table.
        model: who made the templates of a table that does not say so, or the digest of that model.
        policy: which face of a photograph with several: `exactly_one` or `largest`.
        progress: called after each transaction.
        chunk: samples of one transaction.

    Raises:
        TemplateMismatch: another model's templates.
        DatasetInvalid: a table that cannot be read.
        InvalidArgument: the table does not name its model, and neither does the caller.
        GalleryError, OutputFailed: the database cannot be written; chunks before stay enrolled.
    """
    if policy not in ("exactly_one", "largest"):
        raise InvalidArgument(f"a table knows the policies exactly_one and largest, not {policy!r}")
    if not 1 <= chunk <= LARGEST_CHUNK:
        raise InvalidArgument(f"a chunk holds 1 to {LARGEST_CHUNK} samples, not {chunk}")
    listed = {} if people_csv is None else read_people(Path(people_csv), sensitive).people
    about, tally = _checked({n: said_of(p) for n, p in listed.items()}, None), Tally()
    everyone = None if consent is None else dict(consent)
    wanted = gallery.collection.model
    with open_templates(Path(path)) as table:
        given = model.digest if isinstance(model, ModelId) else model
        told = table.model or given
        if told is None and not table.names_models:
            raise InvalidArgument(
                f"{path} does not say which model made its templates: give the model, or a column "
                "model_digest"
            )
        _same_model(told, given, wanted, path)
        for rows in table.batches(chunk, gallery.collection.dimension, policy):
            people = _with_consent(rows.subjects, about, everyone)
            _enrol_rows(gallery, rows, people, tally, path)
            if progress is not None:
                progress(tally.total(), table.total)
    if absent := sorted(set(listed) - table.seen):
        tally.notes.append(f"listed, but without a template: {', '.join(absent[:20])} ({len(absent)} in all)")
    return tally.done()


def _same_model(told: str | None, given: str | None, wanted: ModelId, path: str | Path) -> None:
    for digest in (told, given):
        if digest is not None and digest != wanted.digest:
            raise TemplateMismatch(
                f"{path} holds templates of model {digest[:12]}, and the collection is for {wanted}: "
                "embed the photographs with the collection's model"
            )


def _with_consent(
    names: Sequence[str], about: dict[str, About], everyone: dict[str, Any] | None
) -> Mapping[str, About]:
    if everyone is None:
        return about
    people = {name: about.get(name, About()) for name in dict.fromkeys(names)}
    return {n: p if p.consent is not None else replace(p, consent=everyone) for n, p in people.items()}


def _enrol_rows(
    gallery: Opened, rows: TemplateRows, people: Mapping[str, About], tally: Tally, path: str | Path
) -> None:
    """Enrol one batch of a table."""
    given = from_rows(rows.vectors, rows.norms)
    digest, before = gallery.collection.model.digest, tally.total()
    for i, (code, message) in rows.wrong.items():
        given.wrong[i] = Reason(code, message, blocking=True)
    for i, made_by in enumerate(rows.models or ()):
        if made_by != digest and i not in rows.wrong:
            message = (
                f"it is by model {made_by[:12] or 'without a name'}, the collection is for {digest[:12]}"
            )
            given.wrong[i] = Reason("template_mismatch", message, blocking=True)
            if not before and len(rows.models or ()) == sum(m != digest for m in rows.models or ()):
                raise TemplateMismatch(
                    f"{path}: {message}: embed the photographs with the collection's model"
                )
    part = np.arange(len(rows.subjects))
    quality = rows.quality
    _enrol_part(gallery, part, rows.subjects, given, rows.digests, people, rows.sources, tally, quality)


def _checked(
    about: Mapping[str, About] | None, metadata: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, About]:
    people = dict(about or {})
    for name, values in (metadata or {}).items():
        people[name] = replace(people.get(name, About()), metadata=values)
    return {name: said.checked() for name, said in people.items()}


def _given(
    templates: Templates | Sequence[Template] | np.ndarray, collection: Collection, model: ModelId | None
) -> Given:
    width = collection.dimension
    if isinstance(templates, Templates):
        require_same_model(templates.model, collection.model)
        _require_width(templates.vectors.shape[1], width)
        return Given(templates.vectors, templates.norms, {})
    if isinstance(templates, np.ndarray):
        if model is None:
            raise InvalidArgument("an array does not say which model made it: give model=, or Templates")
        require_same_model(model, collection.model)
        if templates.ndim != 2 or templates.dtype.kind != "f":
            raise TemplateInvalid(
                f"templates are an array (n, d) of floating point numbers, not {templates.dtype} of shape "
                f"{templates.shape}"
            )
        _require_width(templates.shape[1], width)
        return from_rows(templates, None)
    return _from_list(templates, collection)


def _require_width(found: int, wanted: int) -> None:
    if found != wanted:
        raise TemplateInvalid(
            f"templates of {found} numbers, and the collection's have {wanted}: they are of another model"
        )


def _from_list(templates: Sequence[Template], collection: Collection) -> Given:
    width, wanted = collection.dimension, collection.model
    wrong: dict[int, Reason] = {}
    vectors = np.zeros((len(templates), width), np.float32)
    norms = np.zeros(len(templates), np.float32)
    for i, template in enumerate(templates):
        if template.model.digest != wanted.digest:
            message = f"it is by {template.model}, the collection is for {wanted}"
            wrong[i] = Reason("template_mismatch", message, blocking=True)
        elif len(template.vector) != width:
            message = f"it has {len(template.vector)} numbers, the collection's have {width}"
            wrong[i] = Reason("template_invalid", message, blocking=True)
        else:
            vectors[i], norms[i] = template.vector, template.norm
    given = from_rows(vectors, norms)
    given.wrong |= wrong
    return given


def from_rows(vectors: np.ndarray, norms: np.ndarray | None) -> Given:
    """Rows of which each may be unit, raw, zero or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    bad = ~(np.isfinite(lengths) & (lengths > 1e-12))
    wrong = {
        int(i): Reason(
            "template_invalid", "it is zero" if lengths[i] <= 1e-12 else "it is not finite", blocking=True
        )
        for i in np.flatnonzero(bad)
    }
    raw = ~bad & (np.abs(lengths - 1.0) >= UNIT)
    rows = np.asarray(vectors, np.float32)
    if raw.any():
        rows = rows.copy()
        rows[raw] = (vectors[raw].astype(np.float64) / lengths[raw, None]).astype(np.float32)
    kept = lengths.astype(np.float32) if norms is None else np.where(np.isfinite(norms), norms, lengths)
    return Given(rows, kept.astype(np.float32), wrong)


def _chunks(subjects: Sequence[str], size: int) -> Iterator[np.ndarray]:
    """Row numbers of each transaction: a subject's samples side by side, so that few subjects are in two."""
    codes: dict[str, int] = {}
    whose = np.fromiter((codes.setdefault(name, len(codes)) for name in subjects), np.int64, len(subjects))
    order = np.argsort(whose, kind="stable")
    return (order[start : start + size] for start in range(0, len(order), size))


def _enrol_part(
    gallery: Opened,
    part: np.ndarray,
    subjects: Sequence[str],
    given: Given,
    digests: Sequence[str | None] | None,
    people: Mapping[str, About],
    sources: Sequence[str],
    tally: Tally,
    quality: Sequence[Mapping[str, Any] | None] | None = None,
) -> None:
    """Enrol some of the samples, in one transaction."""
    usable = _usable(part.tolist(), subjects, given, sources, tally)
    vectors = given.vectors[usable]
    seen = (None if digests is None else digests[i] for i in usable)
    plain = np.ascontiguousarray(vectors, "<f4")
    stored = [
        gallery.vault.digest(digest or hashlib.sha256(row.tobytes()).hexdigest())
        for digest, row in zip(seen, plain, strict=True)
    ]
    names = [subjects[i] for i in usable]
    facts = None if quality is None else [quality[i] for i in usable]
    about = {name: people[name] for name in dict.fromkeys(names) if name in people}
    outcome = write_rows(gallery, Rows(names, vectors, given.norms[usable], stored, facts), about)
    tally.count("enrolled", outcome.enrolled)
    tally.count("already_enrolled", outcome.known)
    tally.subjects += len(outcome.made)
    for row, reason in outcome.refused:
        tally.refuse(names[row], sources[usable[row]], "rejected", reason)


def _usable(
    part: Sequence[int], subjects: Sequence[str], given: Given, sources: Sequence[str], tally: Tally
) -> list[int]:
    """Rows that may be enrolled; the others are told."""
    odd: dict[str, Reason | None] = {}
    usable: list[int] = []
    for i in part:
        name = subjects[i]
        if name not in odd:
            odd[name] = odd_name(name)
        reason = given.wrong.get(i) or odd[name]
        if reason is None:
            usable.append(i)
        else:
            tally.refuse(name, sources[i], "rejected", reason)
    return usable
