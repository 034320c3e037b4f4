"""A command with subcommands, one module each, loaded when it is called: so that `--help` is quick."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Subcommands in modules of one package.

    Args:
        package: where the modules are, for example `lineament.cli.gallery`.
        words: subcommands in the order in which people read them, each with one line of what it is for.
        suffix: what a module adds to the word to name its command: `_command` where the word alone would hide
            something else.
        files: modules that are not called as their word is, because that would hide a word of the language or
            a built-in function.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        words: Mapping[str, str],
        suffix: str = "",
        files: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self._package = package
        self._words = words
        self._suffix = suffix
        self._files = files or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The words, in order."""
        return list(self._words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a word, or None."""
        if cmd_name not in self._words:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"{self._package}.{self._files.get(cmd_name, name)}")
        return getattr(module, name + self._suffix)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the words without loading a module."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._words.items()))
