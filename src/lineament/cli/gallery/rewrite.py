"""`lineament gallery rewrite`: no trace of what was deleted in the database's files."""

import json

import click

from lineament.cli.gallery.options import Place, place_options


@click.command("rewrite")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def rewrite_command(as_json: bool, place: Place) -> int:
    """Rewrite the database's files, so that nothing that was deleted can be found in them.

    `lineament erase` does it by itself; this is for after `gallery remove`, or when another process was in
    the way then. PostgreSQL's own write-ahead log and replicas are beyond it.

    \b
    Exit code 0: rewritten. 11: another process is in the way, or the gallery cannot
    be used.
    """
    with place.database() as (truth, _):
        from lineament.gallery.erase import rewrite_files

        rewrite_files(truth)
        where = truth.where
    click.echo(json.dumps({"database": where}) if as_json else f"Rewrote {where}")
    return 0
