"""`lineament gallery verify`: does everything hold?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.audit import read_anchor
from lineament.cli.gallery.options import Place, names_of, opened, place_options
from lineament.cli.gallery.showing import MOST, count, show, table
from lineament.cli.options import PHOTO


@click.command("verify")
@click.argument("name", required=False)
@click.option("--skip-index", is_flag=True, help="Do not compare the search index.")
@click.option("--anchor", type=PHOTO, help="Head of the audit log as `lineament audit anchor` wrote it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
def verify_command(
    name: str | None, skip_index: bool, anchor: Path | None, as_json: bool, place: Place
) -> int:
    """Look at every row of the collection NAME, or of all, at the search index and at the audit log.

    \b
    Exit code 0: everything holds. 3: no such collection. 11: something does not;
    the table says what, and what to do.
    """
    head = None if anchor is None else read_anchor(anchor)
    reports: list[dict[str, Any]] = []
    for one in names_of(place, name):
        with opened(place, one) as gallery:
            health = gallery.check(index=not skip_index, anchor=head)
        reports.append({"collection": one, "well": health.well, **asdict(health)})
    if as_json:
        click.echo(json.dumps({"collections": reports}, ensure_ascii=False))
    else:
        for report in reports:
            _show(report)
    return exits.DONE if all(report["well"] for report in reports) else exits.GALLERY


def _show(report: dict[str, Any]) -> None:
    looked = (
        f"{count(report['subjects'], 'subject')}, {count(report['references'], 'sample')}, "
        f"{count(report['audit_records'], 'audit record')}"
    )
    problems = report["problems"]
    click.echo(
        f"{report['collection']}: {looked}: {count(len(problems), 'problem') if problems else 'all holds'}"
    )
    if problems:
        rows = table("what", "where", "what it means")
        for problem in problems[:MOST]:
            rows.add_row(problem["what"], problem["where"], problem["message"])
        show(rows)
        if len(problems) > MOST:
            click.echo(f"… and {len(problems) - MOST:,} more; --json has all")
