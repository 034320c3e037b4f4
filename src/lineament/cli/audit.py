"""`lineament audit`: who did what to whom, and why; and whether somebody changed the log."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineament.cli import exits
from lineament.cli.gallery.options import Place, place_options
from lineament.cli.gallery.showing import count, show, table
from lineament.cli.options import PHOTO
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument, SubjectNotFound
from lineament.core.files import replacing, write_bytes

if TYPE_CHECKING:
    from lineament.gallery.chain import Entry, Verified
    from lineament.gallery.truth import Truth

SHOWN = 100


@click.group()
def audit() -> None:
    """The audit log of a database: verify, search, export, and its head, to be kept elsewhere.

    Every enrolment, search, decision, erasure and export stands there, with who acted and why, each record
    chained to the one before. Names of people do not stand there, only their numbers; names are shown while
    the people are enrolled.

    \b
    Exit code 0: done. 3: wrong command line. 9: a file cannot be written. 11: the
    log does not hold, or the gallery or its key cannot be used.
    """


@audit.command("verify")
@click.option(
    "--anchor", type=PHOTO, help="Head of the log that was kept elsewhere, as `audit anchor` wrote it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def verify_command(anchor: Path | None, as_json: bool, place: Place) -> int:
    """Follow the whole chain: any edit, removal or change of order is found.

    Who can write to the database could cut the end of the log together with its head: only an --anchor that
    was kept elsewhere finds that.

    \b
    Exit code 0: it holds. 11: it does not, or its key is missing.
    """
    head = None if anchor is None else read_anchor(anchor)
    with place.database() as (_, log):
        found = log.check(head)
    if as_json:
        click.echo(json.dumps({"holds": found.ok, **asdict(found)}, ensure_ascii=False))
    else:
        _show_verified(found, head is not None)
    return exits.DONE if found.ok else exits.GALLERY


def _show_verified(found: Verified, anchored: bool) -> None:
    seq, digest = found.head
    if found.ok:
        beyond = "" if anchored else "; a log that was cut together with its head is found by --anchor only"
        click.echo(f"The audit log holds: {count(found.count, 'record')}, head {seq} {digest}{beyond}")
    else:
        click.echo(f"The audit log does not hold: {count(found.problem_count, 'problem')}")
        rows = table("record", "what", "what it means", right=("record",))
        for problem in found.problems:
            rows.add_row(str(problem.seq), problem.kind, problem.message)
        show(rows)
    for remark in found.remarks:
        click.echo(remark, err=True)


@audit.command("anchor")
@click.option(
    "-o", "--output", type=PHOTO, help="File to write; to be kept where the database's users cannot write."
)
@click.option("--json", "as_json", is_flag=True, help="The head on standard output.")
@place_options()
def anchor_command(output: Path | None, as_json: bool, place: Place) -> int:
    """The head of the log: number and hash of its last record.

    \b
    Exit code 0: done. 9: the file cannot be written. 11: the gallery cannot be used.
    """
    with place.database() as (_, log):
        seq, digest = log.anchor()
    text = json.dumps({"seq": seq, "hash": digest})
    if output is not None:
        write_bytes(output, (text + "\n").encode())
    if as_json:
        click.echo(text)
    else:
        click.echo(f"{seq} {digest}" + ("" if output is None else f", written to {readable(output)}"))
    return exits.DONE


def read_anchor(path: Path) -> tuple[int, str]:
    """What `audit anchor` wrote.

    Raises:
        InvalidArgument: not such a file.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        seq, digest = found["seq"], found["hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"{readable(path)} is not an anchor ({error}): give a file of `lineament audit anchor -o`"
        ) from error
    if isinstance(seq, bool) or not isinstance(seq, int) or not isinstance(digest, str):
        raise InvalidArgument(f"{readable(path)} is not an anchor: its seq is a number and its hash a text")
    return seq, digest


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which records."""
    for option in reversed(
        (
            click.option("--action", help="Only this action, for example identify, enrol or erase."),
            click.option("--by", "actor_name", metavar="NAME", help="Only what this actor did."),
            click.option("--collection", metavar="NAME", help="Only this collection."),
            click.option(
                "--subject",
                metavar="ID",
                help="Only what was done to this subject, searches that found it included.",
            ),
            click.option(
                "--row",
                type=int,
                metavar="NUMBER",
                help="The same, by the number that an erased subject had.",
            ),
            click.option("--since", metavar="TIME", help="From this date or time on (UTC)."),
            click.option("--until", metavar="TIME", help="Before this date or time (UTC)."),
        )
    ):
        command = option(command)
    return command


@audit.command("search")
@_filters
@click.option(
    "--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="The last records at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def search_command(limit: int, as_json: bool, place: Place, **filters: Any) -> int:
    """Records that agree with everything given, oldest first.

    \b
    Exit code 0: listed, perhaps none. 3: nobody is enrolled under that id. 11: the
    gallery cannot be used.
    """
    with place.database() as (truth, log):
        last: deque[Entry] = deque(maxlen=limit)
        found = 0
        for entry in _matching(truth, log, filters):
            last.append(entry)
            found += 1
        names = _names(truth, last)
    if as_json:
        records = [_record(entry) | {"subject_id": names.get(str(entry.subject))} for entry in last]
        click.echo(json.dumps({"found": found, "records": records}, ensure_ascii=False))
        return exits.DONE
    for entry in last:
        show(_line(entry, names))
    if found > limit:
        click.echo(f"the last {limit:,} of {count(found, 'record')}: --limit shows more", err=True)
    return exits.DONE


def _line(entry: Entry, names: dict[str, str]) -> str:
    """A record on one line, which a pipe can be searched through."""
    who = names.get(str(entry.subject), "" if entry.subject is None else f"row {entry.subject}")
    about = " ".join(part for part in (entry.collection or "", who) if part)
    return f"{entry.seq}  {entry.at}  {entry.actor} ({entry.purpose})  {entry.action}  {about}  {entry.body}"


@audit.command("export")
@click.option("-o", "--output", type=PHOTO, required=True, help="File to write, one JSON object a line.")
@_filters
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def export_command(output: Path, as_json: bool, place: Place, **filters: Any) -> int:
    """Write the log, or the records that agree with everything given, into one file.

    Bodies stay the text whose hash is in the chain. The export itself stands in the log, and in the file.

    \b
    Exit code 0: written. 3: nobody is enrolled under that id. 9: the file cannot be
    written. 11: the gallery cannot be used.
    """
    written = 0
    with place.database() as (truth, log), replacing(output, private=True) as stream:
        asked = {name: value for name, value in filters.items() if value is not None}
        if "subject" in asked:
            _rows_of(truth, filters)  # an id that nobody has is told before anything is logged
            asked["subject"] = "by id"
        with truth.write() as connection:
            log.append(connection, place.acting(), "audit_export", "", body={"filters": asked})
        for entry in _matching(truth, log, filters):
            stream.write((json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode())
            written += 1
    if as_json:
        click.echo(json.dumps({"output": readable(output), "records": written}, ensure_ascii=False))
    else:
        click.echo(f"{readable(output)}: {count(written, 'record')}")
    return exits.DONE


def _matching(truth: Truth, log: Any, filters: dict[str, Any]) -> Iterator[Entry]:
    from lineament.gallery.subjects import check_date

    rows = _rows_of(truth, filters)
    entries = log.read(
        action=filters["action"],
        actor=filters["actor_name"],
        collection=filters["collection"],
        since=check_date(filters["since"]),
        until=check_date(filters["until"]),
    )
    return (entry for entry in entries if rows is None or _concerns(entry, rows))


def _rows_of(truth: Truth, filters: dict[str, Any]) -> set[str] | None:
    """Row numbers, as the log has them, of the subject that is asked for; None for everybody."""
    subject, collection = filters["subject"], filters["collection"]
    rows = set() if filters["row"] is None else {str(filters["row"])}
    if subject is None:
        return rows or None
    from lineament.gallery import collections, subjects

    with truth.read() as connection:
        if collection is None:
            places = [found for found, _, _ in collections.listed(connection)]
        else:
            places = [collections.row_of(connection, collection)[0]]
        known = [subjects.row_or_none(connection, one, subject) for one in places]
    rows |= {str(row.id) for row in known if row is not None}
    if not rows:
        raise SubjectNotFound(
            f"nobody is enrolled as {subject!r}: somebody who was erased stays in the log by number only, "
            "see --row"
        )
    return rows


def _concerns(entry: Entry, rows: set[str]) -> bool:
    """Whether a record is about one of these subjects, or a search that found one."""
    if str(entry.subject) in rows:
        return True
    try:
        return _mentions(json.loads(entry.body), rows)
    except (ValueError, TypeError):
        return True  # a damaged record may be about anybody


def _mentions(value: Any, rows: set[str]) -> bool:
    if isinstance(value, dict):
        named = (str(value.get(key)) in rows for key in ("subject", "looks_like", "from"))
        return any(named) or any(_mentions(part, rows) for part in value.values())
    return isinstance(value, list) and any(_mentions(part, rows) for part in value)


def _names(truth: Truth, entries: deque[Entry]) -> dict[str, str]:
    """Ids of subjects that are still enrolled, by their number as the log has it."""
    from lineament.gallery.audit import names_of_subjects
    from lineament.gallery.truth import chunks

    numbers = sorted({int(text) for entry in entries if (text := str(entry.subject)).isdecimal()})
    found: dict[str, str] = {}
    with truth.read() as connection:
        for part in chunks(numbers):
            named = names_of_subjects(connection, set(part))
            found |= {str(number): name for number, name in named.items()}
    return found


def _record(entry: Entry) -> dict[str, Any]:
    """A record with its body as values, where it can be read."""
    record: dict[str, Any] = asdict(entry)
    try:
        record["body"] = json.loads(entry.body)
    except (ValueError, TypeError):
        record["body"] = entry.body
    return record
