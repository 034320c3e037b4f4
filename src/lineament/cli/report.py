"""`lineament report`: the record of an evaluation as a page."""

import json
from pathlib import Path
from typing import Any

import click

from lineament.cli.options import PHOTO
from lineament.core.errors import InvalidArgument, OutputFailed
from lineament.datasets.pictures import open_pictures
from lineament.evaluate.plots import write_figures
from lineament.evaluate.report import write_csv, write_html
from lineament.evaluate.run import Run


@click.command()
@click.argument("run", type=PHOTO)
@click.option("--html", type=PHOTO, help="Page to write: one file with everything in it.")
@click.option("--csv", "csv_folder", type=PHOTO, help="Folder for the curves, one CSV each.")
@click.option("--figures", type=PHOTO, help="Folder for the figures, one file each.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "png"]),
    default="svg",
    show_default=True,
    help="Of the figures.",
)
@click.option("--title", default="", help="Of the page. [default: the name of the data]")
@click.option(
    "--thumbnails", type=PHOTO, help="Folder or zip with the pictures: shows the worst errors' faces."
)
@click.option("--worst", type=click.IntRange(min=0), default=12, show_default=True, help="Errors to list.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
def report(
    run: Path,
    html: Path | None,
    csv_folder: Path | None,
    figures: Path | None,
    form: Any,
    title: str,
    thumbnails: Path | None,
    worst: int,
    as_json: bool,
) -> int:
    """Turn RUN, a record that `lineament evaluate` kept with -o, into a page, curves and figures.

    The page holds no photographs unless --thumbnails asks for them. Figures need
    `pip install "lineament[report]"`.
    """
    if html is None and csv_folder is None and figures is None:
        raise InvalidArgument("say what to write: --html, --csv or --figures")
    record = Run.load(run)
    written: list[Path] = []
    if html is not None:
        pictures = None if thumbnails is None else open_pictures(thumbnails)
        try:
            write_html(record, html, title=title, thumbnails=pictures, worst=worst)
        finally:
            if pictures is not None:
                pictures.close()
        written.append(html)
    if csv_folder is not None:
        written += write_csv(record, _folder(csv_folder))
    if figures is not None:
        written += write_figures(record, _folder(figures), form)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    else:
        for path in written:
            click.echo(f"wrote {path}")
    return 0


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path
