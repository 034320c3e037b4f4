"""`lineament gallery enroll`: a folder of people, a table of templates, or photographs of one subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineament.cli import exits
from lineament.cli.gallery.options import PAIR, Place, described, opened, place_options, require_packages
from lineament.cli.gallery.showing import MOST, count, counted, show, table
from lineament.cli.options import PHOTO, recognizer_options
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument

if TYPE_CHECKING:
    from lineament.gallery.bulk_summary import BulkItem, Summary
    from lineament.gallery.enrol import About
    from lineament.gallery.gallery import Gallery

TABLES = (".parquet", ".csv", ".tsv")


@click.command("enroll")
@click.argument("name")
@click.argument("sources", nargs=-1, required=True, type=PHOTO)
@click.option("--subject", help="Id of the one person whom all photographs show.")
@click.option(
    "--metadata",
    "people",
    type=PHOTO,
    help="Table of people (CSV): a column subject, perhaps file, retain_until and consent.WORD; the others "
    "are metadata.",
)
@click.option("--set", "values", type=PAIR, multiple=True, help="With --subject: one piece of metadata.")
@click.option(
    "--sensitive",
    multiple=True,
    metavar="NAME",
    help="Metadata (a column, a --set) to seal; may be repeated.",
)
@click.option(
    "--consent", type=PAIR, multiple=True, help="What was agreed to, as given=2026-11-25; may be repeated."
)
@click.option("--retain-until", metavar="DATE", help="With --subject: when the person is due for erasure.")
@click.option(
    "--idempotency-key", metavar="KEY", help="With --subject: the same request again is answered as before."
)
@click.option(
    "--policy",
    type=click.Choice(["exactly_one", "largest", "most_central"]),
    default="exactly_one",
    show_default=True,
    help="Which face is used when a photograph holds several.",
)
@click.option(
    "--review", type=click.Choice(["off", "warn", "strict"]), help="Instead of the collection's own setting."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
@recognizer_options
def enroll_command(
    name: str,
    sources: tuple[Path, ...],
    subject: str | None,
    review: Any,
    policy: str,
    people: Path | None,
    sensitive: tuple[str, ...],
    consent: tuple[tuple[str, Any], ...],
    as_json: bool,
    place: Place,
    values: tuple[tuple[str, Any], ...],
    retain_until: str | None,
    idempotency_key: str | None,
    **shared: Any,
) -> int:
    """Enrol SOURCES into the collection NAME.

    SOURCES is a folder with a subfolder of photographs per person; or a table of templates (.parquet as
    `lineament embed` writes it, .csv, .tsv); or, with --subject, photographs of one person. What is enrolled
    already is left alone, so that a stopped import goes on with the same command. Tables are not reviewed.

    \b
    Exit code 0: all are enrolled. 2: none could be used. 8: some are not; the table
    says which and why. 12: the collection asks for consent and there is none.
    """
    require_packages()
    agreed = dict(consent) or None
    kind = "photographs" if subject is not None else _kind(sources)
    if subject is None and (values or retain_until or idempotency_key):
        raise click.UsageError("--set, --retain-until and --idempotency-key belong to --subject")
    with opened(place, name, None if kind == "table" else shared) as gallery:
        if gallery.collection.kind == "watchlist":
            raise InvalidArgument(f"{name!r} is a watchlist: add to it with `lineament watchlist add`")
        if subject is not None:
            about = _about(subject, people, values, sensitive, agreed, retain_until)
            summary = _one(gallery, subject, list(sources), about, policy, review, idempotency_key)
        else:
            many: dict[str, Any] = {"people_csv": people, "sensitive": sensitive, "consent": agreed}
            summary = _many(gallery, sources[0], kind, policy, review, many)
    if as_json:
        click.echo(json.dumps({"collection": name, **summary.record()}, ensure_ascii=False))
    else:
        _show(name, summary)
    return exits.UNDECIDED if not summary.enrolled else exits.DONE if summary.complete else exits.PARTIAL


def _kind(sources: tuple[Path, ...]) -> str:
    if len(sources) != 1:
        raise click.UsageError("give one folder or one table; photographs of one person need --subject ID")
    if sources[0].is_dir():
        return "folder"
    if not sources[0].exists():
        raise InvalidArgument(f"there is no folder or table {readable(sources[0])}")
    if sources[0].suffix.lower() in TABLES:
        return "table"
    raise InvalidArgument(
        f"{readable(sources[0])} is neither a folder nor a table ({', '.join(TABLES)}): whose photograph it "
        "is must be said with --subject ID"
    )


def _many(
    gallery: Gallery, source: Path, kind: str, policy: str, review: Any, options: dict[str, Any]
) -> Summary:
    from lineament.gallery.bulk import enroll_folder, enroll_table

    with counted("samples") as progress:
        if kind == "table":
            return enroll_table(gallery, source, **options, policy=policy, progress=progress)
        return enroll_folder(gallery, source, **options, policy=policy, review=review, progress=progress)


def _about(
    subject: str,
    people: Path | None,
    values: tuple[tuple[str, Any], ...],
    sensitive: tuple[str, ...],
    consent: dict[str, Any] | None,
    retain_until: str | None,
) -> About:
    """What is said of one subject: by the options, and before them by the subject's row of a table."""
    from lineament.datasets.people_tables import Person, read_people, same_name
    from lineament.gallery.enrol import About

    said = Person()
    if people is not None:
        listed = read_people(people, sensitive).people
        if same_name(subject) not in listed:
            raise InvalidArgument(f"{readable(people)} has no row for the subject {subject!r}")
        said, sensitive = listed[same_name(subject)], tuple(set(sensitive) & {name for name, _ in values})
    metadata, hidden = described(values, sensitive)
    return About(
        {**said.metadata, **metadata} or None,
        {**said.sensitive, **hidden} or None,
        consent or said.consent,
        retain_until or said.retain_until,
    )


def _one(
    gallery: Gallery,
    subject: str,
    photographs: list[Path],
    about: About,
    policy: str,
    review: Any,
    key: str | None,
) -> Summary:
    from lineament.gallery.bulk_summary import Tally

    outcome = gallery.enroll(
        subject, photographs, metadata=about.metadata, sensitive=about.sensitive, consent=about.consent,
        retain_until=about.retain_until, review=review, policy=policy, idempotency_key=key,
    )  # fmt: skip
    tally = Tally(subjects=int(outcome.created))
    for item in outcome.items:
        tally.add(subject, item)
    return tally.done()


def _show(name: str, summary: Summary) -> None:
    new = summary.counts.get("enrolled", 0)
    known = summary.counts.get("already_enrolled", 0)
    rest = summary.total - summary.enrolled
    click.echo(
        f"{name}: {count(new, 'sample')} enrolled, {known:,} already there, {rest:,} not enrolled; "
        f"{count(summary.subjects, 'new subject')}"
    )
    for title, items in (("not enrolled", summary.problems), ("worth a look", summary.remarks)):
        if items:
            click.echo(f"\n{title}:")
            show(_rows(items[:MOST]))
            if len(items) > MOST:
                click.echo(f"… and {len(items) - MOST:,} more; --json has all")
    for note in summary.notes:
        click.echo(note, err=True)
    if summary.others:
        click.echo(f"{count(summary.others, 'file')} left alone: no photographs", err=True)


def _rows(items: tuple[BulkItem, ...]) -> Any:
    rows = table("subject", "sample", "status", "why", "looks like")
    for one in items:
        item, other = one.item, one.item.candidate
        rows.add_row(
            one.subject,
            readable(item.source),
            item.status.replace("_", " "),
            "; ".join(f"{r.code}: {readable(r.message)}" for r in item.reasons),
            "" if other is None else f"{other.subject} ({other.similarity:.3f})",
        )
    return rows
