"""`lineament watchlist`: lists of people who are looked for, entry by entry, and the alerts they raised."""

import click

from lineament.cli.lazy import LazyGroup

SUBCOMMANDS = {
    "create": "Make an empty list.",
    "add": "Enter somebody, with a reason and a source.",
    "list": "Entries: why, by whom, until when.",
    "review": "Approve, reject or withdraw an entry.",
    "extend": "Change until when an entry is valid.",
    "expire": "Entries whose time is over; erase them.",
    "alerts": "Alerts, the newest first; the face of one.",
    "judge": "Confirm or reject an alert.",
}

# A module called as a built-in function would hide it.
_FILES = {"list": "listing"}


@click.group(
    cls=LazyGroup, package="lineament.cli.watchlist", words=SUBCOMMANDS, suffix="_command", files=_FILES
)
def watchlist() -> None:
    """Lists of people who are looked for.

    \b
    lineament watchlist create visitors --two-persons --fpir 1e-3
    lineament watchlist add visitors anna a.jpg --reason "expected today" --source "front desk"
    lineament watch entrance.mp4 --watchlist visitors --alerts alerts.jsonl

    A list is a collection: `lineament gallery` shows, exports and verifies it, `lineament erase` erases from
    it. Only entries that are approved and valid can be found. Whether you may keep such a list is a question
    of law, and this program does not answer it.

    \b
    Exit code 0: done. 2: no usable picture, or nothing to list. 3: wrong command
    line, no such list, entry or alert. 8: some pictures failed. 11: the gallery
    cannot be used. 12: consent, or a second person's approval, is missing.
    """
