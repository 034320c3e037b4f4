"""`lineament watchlist`: lists of people who are looked for, entry by entry, and the alerts they raised."""

import importlib

import click

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


class _Tools(click.Group):
    """Loads a subcommand when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"lineament.cli.watchlist.{_FILES.get(cmd_name, cmd_name)}")
        return getattr(module, f"{cmd_name}_command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(cls=_Tools)
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
