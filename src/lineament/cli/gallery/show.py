"""`lineament gallery show`: one collection, or one of its subjects."""

import json
from dataclasses import asdict

import click

from lineament.cli.gallery.options import Place, opened, place_options
from lineament.cli.gallery.records import collection_record, subject_record
from lineament.cli.gallery.showing import facts, show, values_text


@click.command("show")
@click.argument("name")
@click.argument("subject", required=False)
@click.option("--sensitive", is_flag=True, help="Open the sealed metadata too; the audit log notes it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def show_command(name: str, subject: str | None, sensitive: bool, as_json: bool, place: Place) -> int:
    """The collection NAME and its settings, or what is known of SUBJECT.

    \b
    Exit code 0: shown. 3: no such collection or subject. 11: the gallery cannot be
    used.
    """
    if sensitive and subject is None:
        raise click.UsageError("--sensitive belongs to a SUBJECT")
    with opened(place, name) as gallery:
        if subject is None:
            record, where = collection_record(gallery.collection), gallery.truth.where
            rows = [(key, str(value)) for key, value in record.items() if key not in ("settings", "model")]
            rows.append(("model", str(gallery.collection.model)))
            rows += [(key, str(value)) for key, value in asdict(gallery.collection.settings).items()]
            rows.append(("database", where))
            record["database"] = where
        else:
            one = gallery.subject(subject, sensitive=sensitive)
            record = subject_record(one)
            rows = [
                (key, values_text(value) if isinstance(value, dict) else "" if value is None else str(value))
                for key, value in record.items()
            ]
    if as_json:
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        show(facts(rows))
    return 0
