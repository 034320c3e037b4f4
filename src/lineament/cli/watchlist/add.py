"""`lineament watchlist add`: somebody, with a reason and a source."""

import json
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.gallery.options import PAIR, Place, place_options
from lineament.cli.gallery.showing import show
from lineament.cli.options import PHOTO, recognizer_options
from lineament.cli.streams import readable
from lineament.cli.watchlist.entries import entry_record, opened_list


@click.command("add")
@click.argument("name")
@click.argument("subject")
@click.argument("photos", nargs=-1, required=True, type=PHOTO)
@click.option("--reason", required=True, help="Why; it stands in the list and in the audit log.")
@click.option("--source", required=True, help="Who asks for it: an office, a case number.")
@click.option("--from", "valid_from", metavar="DATE", help="From when.  [default: now]")
@click.option("--until", "valid_until", metavar="DATE", help="Until when.  [default: no end]")
@click.option("--consent", type=PAIR, multiple=True, help="What the person agreed to; may be repeated.")
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
def add_command(
    name: str,
    subject: str,
    photos: tuple[Path, ...],
    reason: str,
    source: str,
    valid_from: str | None,
    valid_until: str | None,
    consent: tuple[tuple[str, Any], ...],
    policy: str,
    as_json: bool,
    place: Place,
    **shared: Any,
) -> int:
    """Enter SUBJECT with PHOTOS on the list NAME.

    \b
    Exit code 0: entered. 2: no picture could be used, nobody is entered. 3: an empty
    reason, or dates in the wrong order. 8: some pictures could not be used. 11: the
    gallery cannot be used. 12: consent is missing.
    """
    with opened_list(place, name, shared) as found:
        outcome, entry = found.add(
            subject,
            list(photos),
            reason=reason,
            source=source,
            valid_from=valid_from,
            valid_until=valid_until,
            policy=policy,
            consent=dict(consent) or None,
        )
    if as_json:
        from lineament.gallery.enrol import enrolment_record

        entered = None if entry is None else entry_record(entry)
        click.echo(json.dumps({"enrolment": enrolment_record(outcome), "entry": entered}, ensure_ascii=False))
    else:
        for item in outcome.items:
            for reason_found in item.reasons:
                show(f"{readable(item.source)}: {item.status}: {readable(reason_found.message)}")
        if entry is None:
            show(f"{subject} is not entered: no picture could be used")
        else:
            waits = "" if entry.active else ", and is not found yet"
            used = f"{outcome.enrolled} of {len(outcome.items)} pictures"
            show(f"{subject}: {used}; the entry is {entry.state}{waits}")
    if entry is None:
        return exits.UNDECIDED
    return exits.DONE if outcome.complete else exits.PARTIAL
