"""One page that says what was measured, on what, with what, how sure that is, and how to do it again.

The page is one HTML file: figures are inline SVG, nothing is fetched, nothing runs. Everything that comes
from the run is escaped. Photographs are on it only when a caller asks for them.
"""

import base64
import csv
import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from lineament.core.errors import ImageError
from lineament.core.files import write_bytes
from lineament.datasets.port import Pictures
from lineament.evaluate import report_tables
from lineament.evaluate.plots import inline, plots_of
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, escaped, joined, tag
from lineament.evaluate.report_words import NOT_STATED, count, interval_words, percent, round_percent
from lineament.evaluate.run import Run
from lineament.vision.decode import read_image

THUMBNAIL = 112
KINDS = {
    "pairs": "a list of pairs",
    "folder": "all pairs of a collection",
    "openset": "open-set identification",
    "ijb": "IJB templates",
    "scores": "a table of similarities",
    "pad": "presentation attack detection",
    "groups": "groups of people",
    "distractors": "identification among distractors",
}


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
        DatasetInvalid: a section of the run is of the wrong kind.
    """
    view = View.of(run)
    heading = title or view.data.text("name")
    sections = [
        _section("Accuracy", report_tables.accuracy(view)),
        _section("What a threshold costs", report_tables.verification(view)),
        _section("What a search costs", report_tables.identification(view)),
        _section("Groups", report_tables.groups(view)),
        _section("Presentation attacks", report_tables.attack(view)),
        _section("Figures", _figures(view)),
        _section("Worst errors", _errors(view, thumbnails, worst)),
        _section("Notes", joined(tag("p", note) for note in view.notes) if view.notes else None),
        _section("Items of ISO/IEC 19795-1", report_tables.words(_items(view))),
    ]
    style = Markup(files("lineament.evaluate").joinpath("data/report.css").read_text("utf-8"))
    body = joined([tag("h1", heading), tag("p", headline(view), class_="lead"), *sections], Markup("\n"))
    head = joined(
        [
            Markup(
                '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            ),
            tag("title", heading),
            tag("style", style),
        ]
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def headline(view: View) -> str:
    """The answer in a sentence."""
    who = view.system.text("model") or "The system"
    accuracy = view.results.block("accuracy")
    if accuracy is not None:
        interval = accuracy.interval("interval")
        sure = "" if interval is None else f" (95 %: {interval_words(interval)})"
        return f"{who} decides {percent(accuracy.number('mean'))} of the pairs rightly{sure}."
    for section, rate, name in (
        ("verification", "fnmr", "of mated comparisons are rejected where {} of non-mated ones are accepted"),
        ("identification", "fnir", "of mated searches miss where {} of the others return somebody"),
    ):
        block = view.results.block(section)
        good = [] if block is None else [p for p in block.blocks("points") if p.text("status") == "ok"]
        sure_of = [p for p in good if p.flag("reliable")] or good
        if sure_of:
            point = sure_of[-1]
            interval = point.interval(f"{rate}_interval")
            said = name.format(round_percent(point.number("target") or 0.0))
            span = "" if interval is None else f" (95 %: {interval_words(interval)})"
            return f"{who}: {percent(point.number(rate), interval)}{span} {said}."
    groups = view.results.block("groups")
    if groups is not None:
        measures = groups.block("measures")
        ratio = None if measures is None else measures.number("max_over_min_fmr")
        said = "undefined, for a group has no false match" if ratio is None else f"{ratio:.1f}"
        return f"{who}: the largest false match rate of a group over the smallest is {said}."
    attack = view.results.block("attack")
    if attack is not None:
        worst, real = attack.number("apcer_worst"), attack.number("bpcer")
        return f"The worst attack passes in {percent(worst)}, real people are refused in {percent(real)}."
    return f"{who}, measured on {view.data.text('name')}."


def write_csv(run: Run, folder: Path) -> list[Path]:
    """Write every curve as `<name>.csv` into an existing folder, a column per quantity.

    Returns:
        What was written.

    Raises:
        OutputFailed: the folder cannot be written to.
    """
    written: list[Path] = []
    for name, curve in run.to_dict()["curves"].items():
        columns: dict[str, list[Any]] = {k: v for k, v in curve.items() if isinstance(v, list)}
        if name == "histogram":
            columns = _bins(curve) | columns
        if not columns:
            continue
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        path = folder / f"{name}.csv"
        write_bytes(path, stream.getvalue().encode())
        written.append(path)
    return written


def _bins(curve: dict[str, Any]) -> dict[str, list[Any]]:
    n = len(curve["nonmated"])
    step = (curve["high"] - curve["low"]) / n
    return {
        "from": [curve["low"] + i * step for i in range(n)],
        "to": [curve["low"] + (i + 1) * step for i in range(n)],
    }


def _section(name: str, content: Markup | None) -> Markup | None:
    return None if not content else tag("section", tag("h2", name), content)


def _figures(view: View) -> Markup | None:
    drawn = [
        tag("figure", tag("h3", plot.title), inline(plot), tag("figcaption", plot.caption))
        for plot in plots_of(view)
    ]
    return tag("div", *drawn, class_="figures") if drawn else None


def _errors(view: View, pictures: Pictures | None, worst: int) -> Markup | None:
    block = view.results.block("errors")
    if block is None:
        return None
    parts: list[Child] = []
    if pictures is not None:
        parts.append(
            tag(
                "p",
                "This page holds photographs of people: keep and pass it on accordingly.",
                class_="warning",
            )
        )
    for key, what in (
        ("false_matches", "Most similar pairs of different people"),
        ("false_nonmatches", "Least similar pairs of one person"),
    ):
        rows = block.blocks(key)[:worst]
        if rows:
            parts += [tag("h3", what), _faces(rows, pictures) if pictures is not None else _names(rows)]
    return joined(parts)


def _names(rows: Sequence[Fields]) -> Markup:
    listed: list[list[Child]] = [[_pair(r), f"{r.number('similarity') or 0.0:.4f}"] for r in rows]
    return report_tables.table(["pair", "similarity"], listed)


def _faces(rows: Sequence[Fields], pictures: Pictures) -> Markup:
    return tag(
        "div",
        *(
            tag(
                "div",
                _thumbnail(r.text("a"), pictures),
                _thumbnail(r.text("b"), pictures),
                tag("div", f"{_pair(r)}: {r.number('similarity') or 0.0:.4f}"),
            )
            for r in rows
        ),
        class_="faces",
    )


def _pair(row: Fields) -> str:
    return f"{row.text('a')} – {row.text('b')}"


def _thumbnail(name: str, pictures: Pictures) -> Markup:
    import cv2

    try:
        pixels = read_image(pictures.read(name)).pixels
    except ImageError as error:
        return tag("span", f"{name}: {error.message}", class_="muted")
    scale = THUMBNAIL / min(pixels.shape[:2])
    size = tuple(max(1, round(scale * v)) for v in (pixels.shape[1], pixels.shape[0]))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    data = base64.b64encode(packed.tobytes()).decode("ascii")
    return Markup(f'<img alt="{escaped(name)}" src="data:image/jpeg;base64,{data}">')


def _items(view: View) -> list[tuple[str, Child]]:
    """What a laboratory expects to find, each with its value or the plain word that nobody stated it."""
    system, data, made = view.system, view.data, view.provenance
    failures = data.block("failures")
    failed = (
        "none"
        if failures is None or not failures.values
        else ", ".join(f"{name} {failures.count(name)}" for name in failures.values)
    )
    lost = (data.count("mated_failed") or 0) + (data.count("nonmated_failed") or 0)
    left_out = [f"{e.text('sample')}: {e.text('reason') or NOT_STATED}" for e in data.blocks("exclusions")]
    verification = view.results.block("verification")
    deployed = None if verification is None else verification.block("deployed")
    runtime = system.block("runtime")
    disjoint = data.flag("folds_identity_disjoint")
    items: list[tuple[str, str]] = [
        ("type of test", f"technology evaluation on recorded data: {KINDS.get(view.kind, view.kind)}"),
        ("data set", data.text("name")),
        ("digest of the data", data.text("digest")),
        ("samples", count(data.count("samples")) if data.count("samples") is not None else ""),
        ("independent subjects", count(data.count("subjects")) if data.count("subjects") is not None else ""),
        ("demographics and capture conditions", ""),
        ("mated comparisons or searches", count(data.count("mated"))),
        ("non-mated comparisons or searches", count(data.count("nonmated"))),
        ("failures to acquire", failed),
        ("policy for failures", f"{data.text('failure_policy')}; {lost:,} comparisons concerned"),
        ("exclusions and label errors", "; ".join(left_out) or "none were left out"),
        (
            "people in two folds",
            "" if disjoint is None else "no" if disjoint else "yes: accuracy is optimistic",
        ),
        ("overlap with the training data", ""),
        ("model", f"{system.text('model')} {system.text('digest')}".strip()),
        ("detector", system.text("detector")),
        ("views, face policy", ", ".join(t for t in (system.text("views"), system.text("policy")) if t)),
        ("similarity and stored precision", f"{system.text('score')}, {system.text('precision')}"),
        (
            "bytes of a template",
            count(system.count("template_bytes")) if system.count("template_bytes") else "",
        ),
        ("runtime", "" if runtime is None else ", ".join(f"{k} {v}" for k, v in runtime.values.items())),
        ("thresholds", _provenance(deployed)),
        ("throughput", _throughput(view)),
        ("command", made.text("command")),
        ("date", made.text("date")),
        ("seed and draws", f"{made.text('seed')}, {made.text('replicates')}" if made.text("seed") else ""),
        ("versions", _versions(made)),
    ]
    return [(name, text or NOT_STATED) for name, text in items]


def _provenance(deployed: Fields | None) -> str:
    chosen = "operating points: chosen on these data"
    return chosen if deployed is None else f"{chosen}; deployed threshold: {deployed.text('name')}"


def _throughput(view: View) -> str:
    seconds = view.provenance.number("seconds")
    return (
        "" if seconds is None else f"{seconds:.1f} s for the whole command, templates found ready not counted"
    )


def _versions(made: Fields) -> str:
    block = made.block("versions")
    return (
        "" if block is None else ", ".join(f"{k} {v}" for k, v in cast(dict[str, Any], block.values).items())
    )
