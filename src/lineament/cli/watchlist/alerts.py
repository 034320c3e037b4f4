"""`lineament watchlist alerts`: what watching found."""

import json
from pathlib import Path

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.options import PHOTO
from lineament.cli.watchlist.entries import alert_record, opened_list, show_alerts
from lineament.core.errors import InvalidArgument
from lineament.core.files import write_bytes


@click.command("alerts")
@click.argument("name")
@click.option("--review", type=click.Choice(["open", "confirmed", "rejected"]), help="Only these.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--face", "alert", metavar="ALERT", help="Write the face of this alert to -o.")
@click.option("-o", "--output", type=PHOTO, help="With --face: a PNG file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def alerts_command(
    name: str,
    review: str | None,
    limit: int,
    alert: str | None,
    output: Path | None,
    as_json: bool,
    place: Place,
) -> int:
    """Alerts of the list NAME, the newest first, as `lineament watch` kept them.

    \b
    Exit code 0: done. 3: no such list or alert. 9: the picture cannot be written.
    11: the gallery cannot be used.
    """
    if (alert is None) != (output is None):
        raise click.UsageError("--face ALERT and -o FILE go together")
    with opened_list(place, name) as found:
        from lineament.gallery import alerts

        if alert is not None and output is not None:
            face = alerts.evidence(found, alerts.full_id(found, alert))
            if face is None:
                raise InvalidArgument(f"alert {alert} was kept without its face")
            write_bytes(output, alerts.as_png(face), private=True)
            click.echo(f"Wrote {output}")
            return 0
        kept = alerts.listed(found, review=review, limit=limit)
    if as_json:
        click.echo(json.dumps({"list": name, "alerts": [alert_record(k) for k in kept]}, ensure_ascii=False))
    else:
        show_alerts(kept)
    return 0
