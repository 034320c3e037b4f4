"""`lineament report`: the record of an evaluation as a page."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO
from lineament.cli.streams import readable
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
    _check(run, html, csv_folder, figures, thumbnails)
    record = Run.load(run)
    said: list[str] = []
    written: list[Path] = []
    if html is not None:
        _page(record, html, title, thumbnails, worst)
        written.append(html)
        said.append(str(html))
    if csv_folder is not None:
        curves = write_csv(record, _folder(csv_folder))
        written += curves
        said.append(f"{_number(curves, 'curve')} in {csv_folder}")
    if figures is not None:
        drawn = write_figures(record, _folder(figures), form)
        written += drawn
        said.append(f"{_number(drawn, 'figure')} in {figures}")
    if as_json:
        click.echo(json.dumps({"written": [readable(path) for path in written]}, ensure_ascii=False))
    else:
        click.echo(f"Wrote {readable(', '.join(said))}")
    return exits.DONE


def _check(
    run: Path, html: Path | None, csv_folder: Path | None, figures: Path | None, thumbnails: Path | None
) -> None:
    if html is None and csv_folder is None and figures is None:
        raise InvalidArgument("say what to write: --html, --csv or --figures")
    if html is None and thumbnails is not None:
        raise InvalidArgument("--thumbnails are put on a page: name one with --html")
    if html is not None and html.exists() and run.exists() and html.samefile(run):
        raise InvalidArgument(f"{html} is the record itself, which would be lost: name another page")


def _page(record: Run, html: Path, title: str, thumbnails: Path | None, worst: int) -> None:
    if thumbnails is None:
        write_html(record, html, title=title, worst=worst)
        return
    with closing(open_pictures(thumbnails)) as pictures:
        write_html(record, html, title=title, thumbnails=pictures, worst=worst)


def _number(paths: list[Path], what: str) -> str:
    return f"{len(paths)} {what}{'' if len(paths) == 1 else 's'}"


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputFailed(f"cannot make the folder {path}: {why}; name another place") from error
    return path
