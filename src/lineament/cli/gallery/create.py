"""`lineament gallery create`: an empty collection."""

import json
from dataclasses import asdict
from typing import Any

import click

from lineament.cli.gallery.options import Place, made, place_options, require_packages
from lineament.cli.options import Finite, make_recognizer, recognizer_options


@click.command("create")
@click.argument("name")
@click.option(
    "--keep-crops", is_flag=True, help="Keep aligned crops, which a later change of the model needs."
)
@click.option(
    "--review",
    type=click.Choice(["off", "warn", "strict"]),
    default="warn",
    show_default=True,
    help="What happens when a new face is like another subject's, or unlike its own subject's: nothing, a "
    "remark, or a refusal.",
)
@click.option(
    "--review-fmr",
    type=Finite(min=0.0, max=1.0, min_open=True, max_open=True),
    default=1e-4,
    show_default=True,
    help="False match rate at which two faces count as one person's in that review.",
)
@click.option("--ask-consent", is_flag=True, help="Enrol nobody without a recorded consent.")
@click.option(
    "--retain-days",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Days after enrolment at which a subject is due for erasure; 0 for no limit.",
)
@click.option(
    "--transform", is_flag=True, help="Turn templates by a secret rotation: useless elsewhere. Needs --key."
)
@click.option(
    "--views",
    type=click.Choice(["one", "mirrored_sum"]),
    default="one",
    show_default=True,
    help="mirrored_sum adds the mirrored face to every template, for good.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options(index=True)
@recognizer_options
def create_command(
    name: str,
    keep_crops: bool,
    review: Any,
    review_fmr: float,
    ask_consent: bool,
    retain_days: int,
    transform: bool,
    views: str,
    as_json: bool,
    place: Place,
    **shared: Any,
) -> int:
    """Make the collection NAME for the model of one pack, and the database where there is none.

    The collection remembers its model: later commands open the pack by themselves. With --key, templates,
    crops and sensitive metadata are sealed; a key file that is not there is made.

    \b
    Exit code 0: made. 3: the name is taken, or a setting cannot be. 5: no such
    pack. 7: no threshold for the review was measured. 11: the database or the key
    cannot be used.
    """
    require_packages()
    from lineament.gallery.values import Settings

    settings = Settings(
        review=review,
        review_fmr=review_fmr,
        keep_crops=keep_crops,
        ask_consent=ask_consent,
        retain_days=retain_days,
        transform=transform,
    )
    recognizer = make_recognizer(**shared, views=views)
    with made(place, name, recognizer, "gallery", settings) as new:
        collection, where = new.collection, new.truth.where
    if as_json:
        record = {**asdict(collection), "database": where}
        click.echo(json.dumps(record, ensure_ascii=False))
        return 0
    click.echo(f"Made {name} in {where}, for templates of {collection.model}")
    if not collection.sealed:
        click.echo(
            "Not sealed: whoever reads the database reads the templates. --key file:PATH seals a new "
            "collection.",
            err=True,
        )
    return 0
