"""`lineament watchlist judge`: a reviewer's word on an alert."""

import json
from typing import Literal

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.watchlist.entries import alert_record, opened_list


@click.command("judge")
@click.argument("name")
@click.argument("alert")
@click.argument("word", metavar="WORD", type=click.Choice(["confirm", "reject"]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def judge_command(
    name: str, alert: str, word: Literal["confirm", "reject"], as_json: bool, place: Place
) -> int:
    """Confirm ALERT of the list NAME, or reject it: this is not that person.

    A rejection is learnt: the face of the alert, and faces more like it than like the subject's pictures, do
    not raise it again. ALERT is an id, or its beginning; WORD is confirm or reject.

    \b
    Exit code 0: done. 3: no such alert, or it was judged before. 11: the gallery
    cannot be used.
    """
    with opened_list(place, name) as found:
        from lineament.gallery import alerts

        judgement = "confirmed" if word == "confirm" else "rejected"
        kept = alerts.judge(found, alerts.full_id(found, alert), judgement)
    if as_json:
        click.echo(json.dumps(alert_record(kept), ensure_ascii=False))
    else:
        click.echo(f"{kept.id}: {kept.review} by {kept.reviewer}")
    return 0
