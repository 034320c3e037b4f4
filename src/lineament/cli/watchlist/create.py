"""`lineament watchlist create`: an empty list."""

import json
from dataclasses import asdict
from typing import Any

import click

from lineament.cli.gallery.options import Place, made, place_options, require_packages
from lineament.cli.options import Finite, make_recognizer, recognizer_options


@click.command("create")
@click.argument("name")
@click.option(
    "--fpir",
    type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
    default=1e-3,
    show_default=True,
    help="Share of searched faces of people who are not on the list that may be taken for somebody on it.",
)
@click.option("--two-persons", is_flag=True, help="An entry counts only after a second person approved it.")
@click.option("--keep-crops", is_flag=True, help="Keep aligned crops, for a later change of the model.")
@click.option(
    "--retain-days",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Days after entry at which somebody is due for erasure; 0 for no limit.",
)
@click.option("--transform", is_flag=True, help="Turn templates by a secret rotation. Needs --key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
@recognizer_options
def create_command(
    name: str,
    fpir: float,
    two_persons: bool,
    keep_crops: bool,
    retain_days: int,
    transform: bool,
    as_json: bool,
    place: Place,
    **shared: Any,
) -> int:
    """Make the list NAME for the model of one pack.

    \b
    Exit code 0: made. 3: the name is taken, or a setting cannot be. 5: no such
    pack. 7: no threshold for the review was measured. 11: the database or the key
    cannot be used.
    """
    require_packages()
    from lineament.gallery.values import Settings

    settings = Settings(
        fpir=fpir,
        two_persons=two_persons,
        keep_crops=keep_crops,
        retain_days=retain_days,
        transform=transform,
    )
    with made(place, name, make_recognizer(**shared), "watchlist", settings) as new:
        collection, where = new.collection, new.truth.where
    if as_json:
        click.echo(json.dumps({**asdict(collection), "database": where}, ensure_ascii=False))
    else:
        click.echo(f"Made the list {name} in {where}, for templates of {collection.model}")
    return 0
