"""The end of every evaluation: keep the record, show it, hold it to the gates, choose the exit code."""

import datetime
import importlib.metadata
import importlib.util
import json
import platform
import shlex
import sys
import time
from dataclasses import replace
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.evaluate.options import RunOptions
from lineament.cli.evaluate.tables import show
from lineament.core.errors import RuntimeUnavailable
from lineament.evaluate.gate import Outcome, judge, parse
from lineament.evaluate.run import Run


class Clock:
    """When the work began, for the record."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.began = time.monotonic()
        # What would fail at the end is told before an hour of work, not after.
        if options.html is not None and importlib.util.find_spec("matplotlib") is None:
            raise RuntimeUnavailable(
                "the figures of --html need matplotlib, which is not installed: "
                'pip install "lineament[report]", '
                "or keep the record with -o and write the page elsewhere"
            )
        for text in options.gates:
            parse(text)

    def provenance(self) -> dict[str, Any]:
        """What it takes to run this again."""
        names = ("lineament", "numpy", "scipy", "opencv-python-headless", "onnxruntime")
        versions = {name: _version(name) for name in names}
        return {
            "command": "lineament " + shlex.join(sys.argv[1:]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "seconds": round(time.monotonic() - self.began, 2),
            "seed": self.options.seed,
            "replicates": self.options.replicates,
            "versions": {"python": platform.python_version(), **versions},
        }


def finish(run: Run, options: RunOptions, clock: Clock) -> int:
    """Keep, show and judge a run.

    Returns:
        The exit code: 0; 3 when a rate of `--at` cannot be measured; 4 when a gate does not hold.
    """
    run = replace(run, provenance=clock.provenance())
    if options.output is not None:
        run.save(options.output)
    if options.html is not None:
        from lineament.evaluate.report import write_html

        write_html(run, options.html)
    outcomes = judge(run, options.gates)
    if options.as_json:
        gates = [{"gate": o.demand.text, "value": o.value, "end": o.end, "held": o.held} for o in outcomes]
        click.echo(json.dumps({**run.to_dict(), "gates": gates}, ensure_ascii=False))
    else:
        show(run)
        for outcome in outcomes:
            click.echo(_sentence(outcome))
    return _code(run, options, outcomes)


def _code(run: Run, options: RunOptions, outcomes: list[Outcome]) -> int:
    if not all(o.held for o in outcomes):
        click.echo(
            f"lineament: {sum(not o.held for o in outcomes)} of {len(outcomes)} gates did not hold", err=True
        )
        return exits.GATE
    short = _insufficient(run, options.at)
    if short and not options.allow_insufficient:
        click.echo(
            f"lineament: too little data to measure a rate of {', '.join(f'{t:g}' for t in short)}: add "
            "people, ask for a larger rate, or accept that with --allow-insufficient",
            err=True,
        )
        return exits.INSUFFICIENT
    return exits.DONE


def _insufficient(run: Run, at: tuple[float, ...]) -> list[float]:
    points = [
        point
        for section in ("verification", "identification")
        for point in (run.results.get(section) or {}).get("points", ())
    ]
    return [p["target"] for p in points if p["status"] == "insufficient" and p["target"] in at]


def _sentence(outcome: Outcome) -> str:
    held = "holds" if outcome.held else "DOES NOT HOLD"
    return f"gate {outcome.demand.text} {held}: {outcome.value:.6g}, pessimistic end {outcome.end:.6g}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
