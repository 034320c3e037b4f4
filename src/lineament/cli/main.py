"""The command and its errors."""

import json
import os
import sys
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.lazy import LazyGroup
from lineament.cli.streams import guarded, readable
from lineament.core.errors import LineamentError, OutputFailed

COMMANDS = {
    "compare": "Are these two photographs of the same person?",
    "evaluate": "Measure a model on benchmarks, folders of people, or scores.",
    "calibrate": "Measure a threshold, or say how much data it needs.",
    "compare-models": "Is one model better than another, on the same data?",
    "report": "Turn the record of an evaluation into a page.",
    "train": "Train an embedding, on one processor or on many.",
    "export": "Turn a checkpoint into a pack, with proof that both answer alike.",
    "detect": "Find faces; draw or list them.",
    "embed": "Turn a folder of photographs into templates.",
    "gallery": "Collections of enrolled people: make, fill, look after.",
    "identify": "Who of a collection is on a photograph?",
    "watchlist": "Lists of people who are looked for, and their alerts.",
    "watch": "Who of a list is seen by a camera, in a stream, in a video?",
    "erase": "Erase a person from a collection, with a signed receipt.",
    "audit": "Who did what to whom, and why: verify, search, export.",
    "models": "List, install, verify and remove model packs.",
    "redact": "Make every face of a photograph unrecognisable.",
    "samples": "Write sample photographs to try things with.",
}


@click.command(
    cls=LazyGroup,
    package="lineament.cli",
    words=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lineament", message="lineament %(version)s")
def cli() -> None:
    """Face recognition with answers that can be defended.

    \b
    Exit codes: 0 match or done, 1 no match, 2 undecided or no usable face, 3 wrong
    command line, 4 unusable picture, 5 model pack, 6 engine not here, 7 no measured
    threshold, 8 part of a batch failed, 9 cannot write, 10 training cannot go on,
    11 gallery cannot be used, 12 consent or approval missing, 70 our fault,
    130 interrupted.
    For evaluate, calibrate, compare-models and report: 0 done, 2 bad input, 3 too
    little data, 4 a gate did not hold, 5 and above as before.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; every expected error becomes one sentence."""
    with guarded() as (out, err):
        code = _run(arguments)
        out.flush()
        if out.failure is not None and not out.reader_left:
            why = out.failure.strerror or str(out.failure)
            click.echo(
                f"lineament: cannot write to standard output ({why}): the answer is not there; send it to a "
                "place that takes it",
                err=True,
            )
            code = exits.code_of(OutputFailed(""))
        err.flush()
    return code


def _run(arguments: list[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    try:
        result: Any = cli.main(args=arguments, prog_name="lineament", standalone_mode=False)
        return result if isinstance(result, int) else exits.DONE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as wrong:
        if _wants_json(arguments):
            _report("usage", wrong.format_message(), arguments)
        else:
            wrong.show()
        return exits.usage_code(given)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except LineamentError as error:
        _report(error.reason, error.message, arguments)
        return exits.code_of(error, given)
    except SystemExit:  # how click answers a broken pipe anywhere, with 1, which here means "no match"
        _report("output_failed", "a pipe or connection broke while it was written to", arguments)
        return exits.code_of(OutputFailed(""))
    except Exception as fault:  # Python would exit with 1, which here means "no match"
        if os.environ.get("LINEAMENT_DEBUG"):
            raise
        what = f"{type(fault).__name__}: {fault}"
        message = f"a fault of lineament itself ({what}): set LINEAMENT_DEBUG=1 to see where, and report it"
        _report("fault", message, arguments)
        return exits.FAULT


def _wants_json(arguments: list[str] | None) -> bool:
    return "--json" in (sys.argv[1:] if arguments is None else arguments)


def _report(reason: str, message: str, arguments: list[str] | None) -> None:
    message = readable(message)
    if _wants_json(arguments):
        click.echo(json.dumps({"error": {"reason": reason, "message": message}}, ensure_ascii=False))
    click.echo(f"lineament: {message}", err=True)
