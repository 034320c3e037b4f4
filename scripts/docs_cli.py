"""Write docs/reference/cli.md from the commands' own --help, so that it cannot drift.

.venv/bin/python scripts/docs_cli.py            # write it
.venv/bin/python scripts/docs_cli.py --check    # exit 1 when it is stale
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lineament.cli.main import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
WIDTH = 100
HEAD = """\
<!-- Written by scripts/docs_cli.py from the commands' --help; do not edit. -->

# Command line

Every command, as `--help` prints it. The [exit codes](errors.md#exit-codes) are the same for all. Options may
stand before or after arguments; `--` ends them.

| Environment variable | Meaning |
|---|---|
| `LINEAMENT_HOME` | folder of the model store, instead of the user's data folder |
| `LINEAMENT_MIRROR` | address prefix for `models install NAME`, instead of the publisher's |
| `LINEAMENT_DATA` | folder of training data that the recipes of lineament name |
| `LINEAMENT_GALLERY` | database of galleries, instead of `gallery.db` in the user's data folder |
| `LINEAMENT_ACTOR` | who acts, for the audit log; by default the user of the machine |
| `LINEAMENT_PURPOSE` | why, for the audit log |
| `LINEAMENT_KEY` | master key of sealed galleries (base64 of 32 bytes), with `--key env:LINEAMENT_KEY` |
| `LINEAMENT_KEY_PREVIOUS` | older master keys, separated by commas, while the key is being changed |
| `LINEAMENT_MILVUS_TOKEN` | `user:password` or key for Milvus |
| `LINEAMENT_DEBUG` | when set, a fault of lineament itself shows its traceback |

Proxies come from the usual variables (`HTTPS_PROXY` and its kin), or from `models install --proxy`.
"""


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, groups before their members."""
    waiting: list[tuple[tuple[str, ...], click.Command]] = [(("lineament",), cli)]
    while waiting:
        words, command = waiting.pop(0)
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=words[-1])
            members = ((name, command.get_command(context, name)) for name in command.list_commands(context))
            waiting = [((*words, name), member) for name, member in members if member is not None] + waiting


def help_of(words: tuple[str, ...], command: click.Command) -> str:
    """What `--help` prints, at a fixed width whatever the terminal."""
    # -h comes with the settings of the outermost command, as it does when it really runs.
    settings: dict[str, Any] = {**cli.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    # Each context belongs to its own command: a group above names its arguments in the usage line, too.
    context = click.Context(cli, info_name=words[0], **settings)
    for word in words[1:]:
        group = context.command
        member = group.get_command(context, word) if isinstance(group, click.Group) else None
        context = click.Context(member or command, parent=context, info_name=word, **settings)
    lines = command.get_help(context).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, command in commands():
        level = "##" if len(words) < 3 else "###"
        parts.append(f"{level} {' '.join(words)}\n\n```text\n{help_of(words, command)}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        return int(not PAGE.is_file() or PAGE.read_text("utf-8") != page())
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
