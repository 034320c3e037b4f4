"""`lineament evaluate`: one subcommand a file."""

import click

from lineament.cli.lazy import LazyGroup

SUBCOMMANDS = {
    "pairs": "A list of pairs: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW, or your own.",
    "folder": "All pairs of a folder with one subfolder per person.",
    "openset": "Search a gallery with people who are in it and people who are not.",
    "ijb": "IJB-B and IJB-C, 1:1 and 1:N.",
    "distractors": "Search among distractors, as MegaFace does.",
    "groups": "Error rates per group of people, at one threshold.",
    "scores": "Similarities from anywhere; no model is needed.",
    "pad": "Presentation attacks: error rates per kind of attack.",
}


@click.group(cls=LazyGroup, package="lineament.cli.evaluate", words=SUBCOMMANDS)
def evaluate() -> None:
    """Measure a model on benchmarks, folders of people, or scores.

    Every result has an interval and says how it was computed; -o keeps the record, which `lineament report`
    turns into a page and `lineament compare-models` into a comparison.

    \b
    Exit code 0: done, every gate holds. 2: wrong command line or data. 3: too little
    data for a rate asked for with --at. 4: a gate did not hold.
    """
