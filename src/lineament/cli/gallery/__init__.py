"""`lineament gallery`: collections of enrolled people, made, filled and looked after."""

import click

from lineament.cli.lazy import LazyGroup

SUBCOMMANDS = {
    "create": "Make an empty collection for a model.",
    "enroll": "Enrol photographs or templates of people.",
    "list": "Collections, or the subjects of one.",
    "show": "One collection, or one of its subjects.",
    "update": "Change what is known of a subject.",
    "rename": "Give a subject another id.",
    "merge": "Join two subjects that are one person.",
    "remove": "Take out a subject, one of its samples, or a collection.",
    "export": "Write a collection into one file.",
    "import": "Read such a file.",
    "verify": "Does everything hold? Rows, index, audit log.",
    "rebuild": "Fill the search index anew.",
    "stats": "Counts and settings, nothing about a person.",
    "sweep": "Erase subjects whose time is over.",
    "rewrite": "Overwrite what was deleted, in the database's files.",
    "rotate-key": "Bring everything under a new master key.",
    "migrate": "Change a collection to another model.",
}

# Modules called as a word of the language or as a built-in function would hide it.
_FILES = {"list": "listing", "import": "importing"}


@click.group(
    cls=LazyGroup, package="lineament.cli.gallery", words=SUBCOMMANDS, suffix="_command", files=_FILES
)
def gallery() -> None:
    """Collections of enrolled people: make one, fill it, look after it.

    \b
    lineament gallery create staff --key file:staff.key
    lineament gallery enroll staff people/ --metadata people.csv --key file:staff.key
    lineament identify staff probe.jpg --key file:staff.key

    Collections lie in a database, SQLite or PostgreSQL; `--gallery` says which. Several share its audit log.
    Everything that is done stands in that log with who did it and why: `lineament audit`.

    \b
    Exit code 0: done. 2: nothing usable. 3: wrong command line, no such collection
    or subject. 8: some items failed. 11: the gallery cannot be used: damaged,
    locked, of another version, without its key or index. 12: consent is missing.
    """
