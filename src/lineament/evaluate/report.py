"""One page that says what was measured, on what, with what, how sure that is, and how to do it again.

The page is one HTML file: figures are inline SVG, nothing is fetched, nothing runs. Everything that comes
from the run is escaped. Photographs are on it only when a caller asks for them. The same run gives the same
page.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lineament.core.files import write_bytes
from lineament.datasets.port import Pictures
from lineament.evaluate.curve_files import write_csv
from lineament.evaluate.plots import Plot, inline, plots_of
from lineament.evaluate.report_conditions import KINDS, conditions
from lineament.evaluate.report_errors import errors
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_groups import attack, groups
from lineament.evaluate.report_headline import facts, headline
from lineament.evaluate.report_markup import Markup, joined, tag, visible
from lineament.evaluate.report_searches import identification
from lineament.evaluate.report_tables import accuracy, verification, words
from lineament.evaluate.report_words import percent, plain, round_percent
from lineament.evaluate.run import Run

__all__ = ["headline", "html", "write_csv", "write_html"]

# No script, no address: a name that slipped through could still do nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_VERIFICATION = ("det", "roc", "rates-by-threshold", "histogram")
_KNOWN = {"accuracy", "verification", "identification", "groups", "attack", "discard", "errors"}
_MOST_ROWS = 60
_BROAD = 5.5  # inches; a figure above that takes the whole line


def write_html(
    run: Run, path: Path, *, title: str = "", thumbnails: Pictures | None = None, worst: int = 12
) -> None:
    """Write the page; arguments and errors as for `html`.

    Raises:
        OutputFailed: the place cannot be written.
    """
    write_bytes(path, html(run, title=title, thumbnails=thumbnails, worst=worst).encode())


def html(run: Run, *, title: str = "", thumbnails: Pictures | None = None, worst: int = 12) -> str:
    """The page.

    Args:
        run: a finished run.
        title: of the page; the data's name when empty.
        thumbnails: where the pictures of the worst errors are; None shows names only.
        worst: how many of each kind of error are listed.

    Raises:
        RuntimeUnavailable: matplotlib is not installed.
        DatasetInvalid: a section of the run is of the wrong kind, or `thumbnails` are other pictures.
    """
    view = View.of(run)
    heading = visible(title) or view.data.text("name") or "Evaluation"
    drawn = {plot.name: plot for plot in plots_of(view)}
    sections = (
        _section("Accuracy over folds", accuracy(view)),
        _section("Verification: what a threshold costs", verification(view), _figures(drawn, _VERIFICATION)),
        _section(
            "Identification: what a search costs", identification(view), _figures(drawn, ("cmc", "fnir-fpir"))
        ),
        _section("Groups of people", groups(view), _figures(drawn, ("groups-rates", "groups-cross-fmr"))),
        _section("Presentation attacks", attack(view)),
        _section("Quality of the captures", _quality(view), _figures(drawn, ("edc",))),
        _section("Other results", _other(view)),
        _section("Worst errors", errors(view, thumbnails, worst)),
        _section("Items of ISO/IEC 19795-1", conditions(view)),
        _section("How to read this page", _reading(view, bool(drawn))),
    )
    main = joined([_top(view, heading), *sections], Markup("\n"))
    body = f"<body><main>\n{main}\n</main></body>"
    return f'<!doctype html>\n<html lang="en">\n{_head(heading)}\n{body}\n</html>\n'


def _head(heading: str) -> Markup:
    style = Markup(files("lineament.evaluate").joinpath("data/report.css").read_text("utf-8"))
    fixed = Markup(
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
    )
    return tag("head", fixed, tag("title", heading), tag("style", Markup("\n"), style))


def _top(view: View, heading: str) -> Markup:
    notes = tag("ul", *(tag("li", _prose(note)) for note in view.notes))
    return tag(
        "header",
        tag("p", f"Evaluation report: {KINDS.get(view.kind, view.kind)}", class_="kind"),
        tag("h1", heading),
        tag("p", headline(view), class_="lead"),
        facts(view),
        tag("aside", tag("h2", "Notes"), notes, class_="notes") if view.notes else None,
    )


def _prose(text: str) -> Markup:
    """A sentence in which words between backticks are code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return joined([text])
    return joined(tag("code", piece) if i % 2 else piece for i, piece in enumerate(pieces))


def _section(name: str, *content: Markup | None) -> Markup | None:
    return tag("section", tag("h2", name), *content) if any(content) else None


def _figures(drawn: dict[str, Plot], names: Sequence[str]) -> Markup | None:
    shown = [
        tag(
            "figure",
            tag("h3", plot.title),
            inline(plot),
            tag("figcaption", plot.caption),
            class_="broad" if plot.size[0] > _BROAD else None,
        )
        for name in names
        if (plot := drawn.get(name)) is not None
    ]
    return tag("div", *shown, class_="figures") if shown else None


def _quality(view: View) -> Markup | None:
    block = view.results.block("discard")
    if block is None:
        return None
    limit = block.number("limit")
    upto = "" if limit is None else f" up to {round_percent(limit)} discarded"
    return words(
        [
            ("quality", block.text("quality") or "–"),
            ("threshold", plain(block.number("threshold"))),
            ("FNMR with nothing discarded", percent(block.number("fnmr_at_start"))),
            (f"area under the curve{upto}", plain(block.number("partial_area"), 6)),
        ]
    )


def _other(view: View) -> Markup | None:
    """Sections that have no table of their own here, so that nothing of a run is left unsaid."""
    rows: list[tuple[str, str]] = []
    for name, value in view.results.values.items():
        if name not in _KNOWN and value is not None:
            rows += _flat(Fields({name: value}, "results"))
    if len(rows) > _MOST_ROWS:
        rows = [*rows[:_MOST_ROWS], ("…", f"{len(rows) - _MOST_ROWS} more in the run file")]
    return words(rows) if rows else None


def _flat(block: Fields, before: str = "") -> list[tuple[str, str]]:
    """Names and values of an object and of the objects in it."""
    rows: list[tuple[str, str]] = []
    for key, value in block.values.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(Fields(value, f"{block.place}.{key}"), f"{name}, ")
        elif isinstance(value, list):
            rows.append((name, ", ".join(block.texts(key))))
        else:
            rows.append((name, block.text(key) or "–"))
    return rows


def _reading(view: View, figures: bool) -> Markup:
    said = [
        "FMR and FNMR are shares of single comparisons: of those between different people that match, and of "
        "those of one person that do not. They are not rates of a system with several attempts.",
        "A rate stands on the count of errors beside it. With fewer than 30 errors (○) the true rate may be "
        "very different; with none, all that may be claimed is less than 3/N at 95 % confidence.",
    ]
    if "identification" in view.results:
        said.append(
            "FPIR is the share of searches for people who are not enrolled that return anybody; FNIR of "
            "those for enrolled people that do not return their mate. Both depend on the size of the gallery."
        )
    if figures:
        said.append(
            "In figures, dashed lines and hollow points are such rates, and nothing is drawn below one error "
            "in the data."
        )
    return tag("ul", *(tag("li", text) for text in said))
