"""`lineament identify`: who of a collection is on a photograph?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineament.cli import exits
from lineament.cli.compare import read_threshold_card
from lineament.cli.gallery.options import PAIR, Place, opened, place_options, require_packages
from lineament.cli.gallery.showing import count, facts, show, table
from lineament.cli.options import PHOTO, Finite, recognizer_options
from lineament.cli.streams import readable
from lineament.core.errors import ImageError

if TYPE_CHECKING:
    from lineament.core.threshold import Threshold
    from lineament.gallery.gallery import Gallery
    from lineament.gallery.values import Collection, Found

FPIR = 1e-3
AT_ONCE = 64
"""Photographs that are searched for together: one product for all."""

LEADS_CLAIM_NOTHING = "leads, not decisions: no threshold was applied, a person must compare the photographs"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search for one face came to.

    Attributes:
        source: the photograph, and the face where there are several.
        kind: `found`, `unknown`, `leads`, `no_face` or `failed`.
        found: what the gallery said.
        error: why the photograph could not be used, where it is known.
    """

    source: str
    kind: str
    found: Found
    error: ImageError | None = None


@click.command()
@click.argument("name")
@click.argument("photos", nargs=-1, required=True, type=PHOTO)
@click.option(
    "--fpir",
    type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
    help="False positive identification rate: how many people who are not enrolled may get a candidate.  "
    "[default: 0.001]",
)
@click.option(
    "--threshold",
    type=Finite(min=-1.0, max=1.0),
    help="Decide at this cosine instead; nobody measured its cost.",
)
@click.option(
    "--threshold-card",
    type=PHOTO,
    help="Decide at the search threshold of this file (`calibrate --fpir … -o FILE`).",
)
@click.option("--k", type=click.IntRange(min=1), help="Candidates at most.  [default: 5, or 50 leads]")
@click.option("--where", type=PAIR, multiple=True, help="Only subjects with this metadata; may be repeated.")
@click.option(
    "--group", is_flag=True, help="Search for each face of each photograph; nobody is in one twice."
)
@click.option("--investigate", is_flag=True, help="List who looks most alike, without a threshold: leads.")
@click.option(
    "--policy",
    type=click.Choice(["exactly_one", "largest", "most_central"]),
    default="exactly_one",
    show_default=True,
    help="Which face is used when a photograph holds several.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
@recognizer_options
def identify(
    name: str,
    photos: tuple[Path, ...],
    fpir: float | None,
    threshold: float | None,
    threshold_card: Path | None,
    k: int | None,
    where: tuple[tuple[str, Any], ...],
    group: bool,
    investigate: bool,
    policy: str,
    as_json: bool,
    place: Place,
    **shared: Any,
) -> int:
    """Who of the collection NAME is on each of PHOTOS?

    Candidates reach a threshold that was measured for --fpir, or follows from one-to-one evidence, at the
    present size of the gallery; nobody reaching it means unknown. Every search stands in the audit log.

    \b
    Exit code 0: somebody was found on every photograph (or leads listed). 1: somebody
    is unknown. 2: a photograph without a usable face. 4: the photograph cannot be
    read; 8: one of several. 7: no threshold for this rate at this size. 11: the
    gallery cannot be used.
    """
    _check_options(fpir, threshold, threshold_card, investigate, group)
    require_packages()
    given = threshold if threshold_card is None else read_threshold_card(threshold_card)
    rate = FPIR if fpir is None else fpir
    with opened(place, name, shared) as gallery:
        wanted = dict(where) or None
        if investigate:
            outcomes = list(_leads(gallery, photos, k, wanted, policy))
        else:
            how: dict[str, Any] = {"fpir": rate, "threshold": given, "where": wanted, "k": k or _candidates()}
            outcomes = list(
                _faces(gallery, photos, how) if group else _searched(gallery, photos, how, policy)
            )
        collection = gallery.collection
    if as_json:
        mode = "investigate" if investigate else "group" if group else "identify"
        click.echo(json.dumps(_record(collection, mode, outcomes, dict(where)), ensure_ascii=False))
    else:
        _show(collection, outcomes)
    return _code(outcomes, photos)


def _check_options(
    fpir: float | None, threshold: float | None, card: Path | None, investigate: bool, group: bool
) -> None:
    given = sum(value is not None for value in (fpir, threshold, card))
    if given > 1:
        raise click.UsageError(
            "--fpir, --threshold and --threshold-card exclude each other: give one of them"
        )
    if investigate and (given or group):
        raise click.UsageError(
            "--investigate applies no threshold and takes no --group: leave the others out"
        )


def _candidates() -> int:
    from lineament.gallery.searching import CANDIDATES

    return CANDIDATES


def _searched(
    gallery: Gallery, photos: tuple[Path, ...], how: dict[str, Any], policy: str
) -> Iterable[Outcome]:
    for start in range(0, len(photos), AT_ONCE):
        part = photos[start : start + AT_ONCE]
        for photo, found in zip(part, gallery.identify_faces(part, **how, policy=policy), strict=True):
            yield Outcome(readable(photo), _kind(found, lead=False), found)


def _leads(
    gallery: Gallery, photos: tuple[Path, ...], k: int | None, where: dict[str, Any] | None, policy: str
) -> Iterable[Outcome]:
    from lineament.gallery.searching import LEADS

    for photo in photos:
        found = gallery.investigate(photo, k=k or LEADS, where=where, policy=policy)
        yield Outcome(readable(photo), _kind(found, lead=True), found)


def _faces(gallery: Gallery, photos: tuple[Path, ...], how: dict[str, Any]) -> Iterable[Outcome]:
    from lineament.core.verdict import Reason
    from lineament.gallery.values import Found

    for photo in photos:
        source = readable(photo)
        try:
            faces = gallery.identify_group(photo, **how)
        except ImageError as error:
            reason = Reason(error.reason, error.message, blocking=True)
            yield Outcome(source, "failed", Found((), None, (reason,)), error)
            continue
        if not faces:
            reason = Reason("no_face", "no usable face was found", blocking=True)
            yield Outcome(source, "no_face", Found((), None, (reason,)))
        for number, found in enumerate(faces, 1):
            yield Outcome(f"{source}, face {number}", _kind(found, lead=False), found)


def _kind(found: Found, *, lead: bool) -> str:
    blocking = [reason for reason in found.reasons if reason.blocking]
    if any(reason.code in _UNREADABLE for reason in blocking):
        return "failed"
    if blocking:
        return "no_face"
    return "unknown" if not found.candidates else "leads" if lead else "found"


def _reasons_of(kind: type[ImageError]) -> Iterable[str]:
    yield kind.reason
    for narrower in kind.__subclasses__():
        yield from _reasons_of(narrower)


_UNREADABLE = frozenset(_reasons_of(ImageError))


def _code(outcomes: list[Outcome], photos: tuple[Path, ...]) -> int:
    kinds = {outcome.kind for outcome in outcomes}
    if "failed" in kinds:
        return _IMAGE if len(photos) == 1 else exits.PARTIAL
    if "no_face" in kinds:
        return exits.UNDECIDED
    # Of a group, some may be unknown: it counts as found when somebody on the photograph is.
    known = {o.source.rsplit(", face ", 1)[0] for o in outcomes if o.kind in ("found", "leads")}
    return exits.DONE if known >= {readable(photo) for photo in photos} else exits.NO_MATCH


_IMAGE = exits.code_of(ImageError(""))


def _record(
    collection: Collection, mode: str, outcomes: list[Outcome], where: dict[str, Any]
) -> dict[str, Any]:
    from lineament.cli.gallery.records import found_record

    return {
        "collection": collection.name,
        "model": {"name": collection.model.name, "digest": collection.model.digest},
        "mode": mode,
        "decides": mode != "investigate",
        "score_kind": "cosine, -1 to 1, larger is more alike",
        "where": where,
        "probes": [found_record(o.source, o.kind, o.found) for o in outcomes],
    }


def _show(collection: Collection, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        show(_sentence(outcome), style="bold")
        for reason in outcome.found.reasons:
            if not reason.blocking:
                show(f"  note: {readable(reason.message)}")
        if outcome.found.candidates:
            show(_candidates_table(outcome))
        if not outcome.found.complete:
            show("  the index could not assure that nothing was missed: rebuild it, or search in memory")
    searched = max((outcome.found.searched for outcome in outcomes), default=0)
    rows = [("searched", f"{count(searched, 'sample')} of {collection.name}, {collection.model}")]
    threshold = next((o.found.threshold for o in outcomes if o.found.threshold is not None), None)
    show(facts(_threshold_rows(threshold) + rows))


def _sentence(outcome: Outcome) -> str:
    found = outcome.found
    if outcome.kind == "found":
        best = found.candidates[0]
        return f"{outcome.source}: {best.subject}, similarity {best.similarity:.3f}"
    if outcome.kind == "unknown":
        level = (
            "" if found.threshold is None else f": nobody reaches the threshold {found.threshold.value:.3f}"
        )
        return f"{outcome.source}: unknown{level or ': nobody is enrolled'}"
    if outcome.kind == "leads":
        return f"{outcome.source}: {LEADS_CLAIM_NOTHING}"
    why = next((reason.message for reason in found.reasons if reason.blocking), "it shows no usable face")
    return f"{outcome.source}: not searched: {readable(why)}"


def _candidates_table(outcome: Outcome) -> Any:
    lead = outcome.kind == "leads"
    rows = table("lead" if lead else "rank", "subject", "similarity", right=("similarity",))
    for candidate in outcome.found.candidates:
        rows.add_row(f"{candidate.rank}", candidate.subject, f"{candidate.similarity:.4f}")
    return rows


def _threshold_rows(threshold: Threshold | None) -> list[tuple[str, str]]:
    if threshold is None:
        return []
    if threshold.fpir is None or threshold.fmr_interval is None:
        return [("threshold", f"{threshold.value:.4f}, typed in, measured on nothing")]
    low, high = threshold.fmr_interval
    size = threshold.gallery_size or 0
    return [
        ("threshold", f"{threshold.value:.4f}, FPIR {threshold.fpir:g} for a gallery of {size:,} samples"),
        ("its cost", f"of people who are not enrolled, {low:.2g} to {high:.2g} get a candidate, 95 % sure"),
        ("measured on", f"{threshold.dataset}: {threshold.subjects:,} people, {threshold.date}"),
        ("how", threshold.method.partition(";")[0]),  # JSON has all of it
    ]  # fmt: skip
