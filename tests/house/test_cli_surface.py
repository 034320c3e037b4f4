"""The command line is frozen in docs/reference/cli.md, and every command can be asked for help."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from lineament.cli import exits, main
from lineament.cli.main import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs_cli = load(REPOSITORY / "scripts" / "docs_cli.py")
EVERY: list[tuple[tuple[str, ...], click.Command]] = list(docs_cli.commands())
WORDS = [words[1:] for words, _ in EVERY]
LEAVES = [words[1:] for words, command in EVERY if not isinstance(command, click.Group)]


def name_of(words: tuple[str, ...]) -> str:
    """For test ids."""
    return " ".join(words) or "lineament"


def test_the_reference_is_what_the_commands_say() -> None:
    assert docs_cli.PAGE.read_text("utf-8") == docs_cli.page(), (
        "the command line changed: look at the change, then run scripts/docs_cli.py"
    )


@pytest.mark.parametrize("words", WORDS, ids=name_of)
def test_the_reference_shows_what_help_prints(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = next(command for called, command in EVERY if called[1:] == words)
    shown = docs_cli.help_of(("lineament", *words), command)
    assert main([*words, "--help"]) == exits.DONE
    printed = capsys.readouterr().out
    assert shown.splitlines()[0] == printed.splitlines()[0]
    if words in LEAVES:
        # The terminal decides where lines break; a group's list of members is cut to it, too.
        assert "".join(shown.split()) == "".join(printed.split())


def test_every_environment_variable_is_documented() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    documented = set(re.findall(r"^\| `(LINEAMENT_\w+)` \|", docs_cli.page(), re.MULTILINE))
    assert set(re.findall(r"\bLINEAMENT_[A-Z_]+\b", text)) == documented


def test_every_command_is_listed_and_has_its_own_file() -> None:
    assert {words[0] for words in WORDS if words} == set(COMMANDS)
    for name in COMMANDS:
        place = REPOSITORY / "src" / "lineament" / "cli" / name.replace("-", "_")
        assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_every_command_and_option_is_described() -> None:
    for words, command in EVERY:
        assert command.help or words == ("lineament",), words


@pytest.mark.parametrize("words", WORDS, ids=name_of)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_works(words: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, flag]) == exits.DONE
    printed = capsys.readouterr()
    assert printed.out.startswith(" ".join(("Usage: lineament", *words)))
    assert printed.err == ""


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    import lineament

    assert main(["--version"]) == exits.DONE
    assert capsys.readouterr().out == f"lineament {lineament.__version__}\n"


@pytest.mark.parametrize("words", LEAVES, ids=name_of)
def test_an_unknown_option_is_a_usage_error_without_a_traceback(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluates = words[0] in exits.EVALUATING
    assert main([*words, "--no-such-option"]) == (2 if evaluates else 3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--no-such-option" in printed.err
    assert f"Try 'lineament {name_of(words)} --help' for help." in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "a.jpg"], "Missing argument 'B'"),
        (["compare", "a.jpg", "b.jpg", "--fmr", "often"], "'often' is not a valid float"),
        (["compare", "a.jpg", "b.jpg", "--policy", "any"], "'exactly_one', 'largest', 'most_central'"),
        (["compare", "a", "b", "--threshold", "0.4", "--threshold-card", "t.json"], "give one of them"),
        (["embed", "no-such-folder", "-o", "t.npz"], "no-such-folder"),
        (["redact", "a.jpg"], "Missing option '-o' / '--output'"),
        (["models", "install"], "Missing argument 'WHAT'"),
        (["no-such-command"], "No such command 'no-such-command'"),
    ],
)
def test_usage_errors_say_what_is_wrong_and_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == exits.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert "--help' for help." in printed.err


def test_the_installed_command_is_this_one() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lineament")), "compare", "--no-such-option"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == exits.USAGE
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
