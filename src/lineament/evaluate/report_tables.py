"""Tables of a report: operating points, searches, groups, attacks, worst errors."""

from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, joined, tag
from lineament.evaluate.report_words import (
    FEW,
    count,
    interval_words,
    out_of,
    percent,
    plain,
    round_percent,
    zero_bound,
)


def table(columns: list[str], rows: list[list[Child]], weak: list[bool] | None = None) -> Markup:
    """A table whose first column is of words and whose others are of numbers."""
    head = tag("tr", *(tag("th", name) for name in columns))
    marks = weak or [False] * len(rows)
    body = joined(
        tag("tr", *(tag("td", cell) for cell in row), class_="weak" if mark else None)
        for row, mark in zip(rows, marks, strict=True)
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="wide")


def words(rows: list[tuple[str, Child]]) -> Markup:
    """A table of names and texts."""
    body = joined(tag("tr", tag("td", name), tag("td", text)) for name, text in rows)
    return tag("table", tag("tbody", body), class_="words")


def accuracy(view: View) -> Markup | None:
    """Accuracy over folds."""
    block = view.results.block("accuracy")
    if block is None:
        return None
    mean, error, spread = block.number("mean"), block.number("standard_error"), block.number("spread")
    interval = block.interval("interval")
    if error is None:
        text = f"{percent(mean)}, standard deviation over folds {percent(spread)}, as insightface has it"
    else:
        text = f"{percent(mean)} ± {percent(error)} (mean and standard error over folds)"
        text += f"; {block.text('interval_method')}: {interval_words(interval)}"
    folds = ", ".join(percent(float(v)) for v in block.column("folds"))
    return joined([tag("p", text), tag("p", f"Each fold: {folds}", class_="muted")])


def verification(view: View) -> Markup | None:
    """Operating points of one-to-one comparisons."""
    block = view.results.block("verification")
    if block is None:
        return None
    points = [(round_percent(p.number("target") or 0.0), p) for p in block.blocks("points")]
    deployed = block.block("deployed")
    if deployed is not None:
        points.append(("deployed", deployed))
    columns = [
        "FMR asked for",
        "threshold",
        "false matches",
        "FMR",
        "95 %",
        "false non-matches",
        "FNMR",
        "95 %",
        "",
    ]
    rows = [_point(name, p) for name, p in points]
    weak = [not p.flag("reliable") for _, p in points]
    method = next((p.text("interval_method") for _, p in points), "")
    return joined(
        [table(columns, rows, weak), tag("p", f"Intervals: {method}.", class_="muted"), _summary(block)]
    )


def _point(name: str, point: Fields) -> list[Child]:
    short = point.text("status") == "insufficient"
    nonmated = point.count("nonmated") or 0
    fmr = zero_bound(nonmated) if not point.count("false_matches") else percent(point.number("fmr"))
    return [
        name,
        plain(point.number("threshold")),
        out_of(point.count("false_matches"), nonmated),
        fmr,
        interval_words(point.interval("fmr_interval")),
        out_of(point.count("false_nonmatches"), point.count("mated")),
        percent(point.number("fnmr"), point.interval("fnmr_interval")),
        interval_words(point.interval("fnmr_interval")),
        "too little data" if short else "" if point.flag("reliable") else f"under {FEW} false matches",
    ]


def _summary(block: Fields) -> Markup:
    said: list[str] = []
    eer, prime = block.block("eer"), block.block("d_prime")
    if eer is not None:
        said.append(f"EER {percent(eer.number('value'))} ({eer.text('method')})")
    if block.number("auc") is not None:
        said.append(f"AUC {plain(block.number('auc'), 6)}")
    if prime is not None:
        said.append(f"d′ {plain(prime.number('value'), 3)}")
    if block.number("min_cllr") is not None:
        said.append(f"minimal Cllr {plain(block.number('min_cllr'), 4)} bit")
    return tag("p", ", ".join(said))


def identification(view: View) -> Markup | None:
    """Operating points of searches, and rank rates."""
    block = view.results.block("identification")
    if block is None:
        return None
    points = block.blocks("points")
    columns = ["FPIR asked for", "rank", "threshold", "false positives", "FPIR", "misses", "FNIR", "95 %", ""]
    rows = [_search(p) for p in points]
    weak = [not p.flag("reliable") for p in points]
    ranks = block.blocks("rank_rates")
    closed = table(
        ["rank", "mated searches within it", "95 %"],
        [
            [count(r.count("rank")), percent(r.number("rate")), interval_words(r.interval("interval"))]
            for r in ranks
        ],
    )
    spread = block.block("mean_sd")
    reported = None if spread is None else _spread(spread)
    return joined([table(columns, rows, weak) if rows else None, closed if ranks else None, reported])


def _search(point: Fields) -> list[Child]:
    short = point.text("status") == "insufficient"
    rank = point.count("rank")
    return [
        round_percent(point.number("target") or 0.0),
        "any" if rank is None else count(rank),
        plain(point.number("threshold")),
        out_of(point.count("false_positives"), point.count("nonmated")),
        percent(point.number("fpir")),
        out_of(point.count("misses"), point.count("mated")),
        percent(point.number("fnir"), point.interval("fnir_interval")),
        interval_words(point.interval("fnir_interval")),
        "too little data" if short else "" if point.flag("reliable") else f"under {FEW} errors",
    ]


def _spread(block: Fields) -> Markup:
    rows: list[list[Child]] = []
    for name in block.values:
        row = block.block(name)
        if row is not None:
            rows.append([name, percent(row.number("mean")), percent(row.number("sd"))])
    return table(["over splits", "mean", "standard deviation"], rows)


def groups(view: View) -> Markup | None:
    """Error rates per group, and measures of difference."""
    block = view.results.block("groups")
    if block is None:
        return None
    rows: list[list[Child]] = []
    weak: list[bool] = []
    fmr, fnmr = block.column("fmr"), block.column("fnmr")
    for i, (name, counts) in enumerate(zip(block.texts("names"), block.blocks("counts"), strict=True)):
        rows.append(
            [
                name,
                out_of(counts.count("false_matches"), counts.count("nonmated")),
                percent(_finite(fmr[i])),
                interval_words(counts.interval("fmr_interval")),
                out_of(counts.count("false_nonmatches"), counts.count("mated")),
                percent(_finite(fnmr[i])),
                interval_words(counts.interval("fnmr_interval")),
                "" if counts.flag("sufficient") else f"under {FEW} errors",
            ]
        )
        weak.append(not counts.flag("sufficient"))
    columns = ["group", "false matches", "FMR", "95 %", "false non-matches", "FNMR", "95 %", ""]
    measures = block.block("measures")
    named: list[tuple[str, Child]] = []
    if measures is not None:
        for name in measures.values:
            value = measures.number(name)
            named.append((name.replace("_", " "), "undefined" if value is None else plain(value)))
    head = tag("p", f"One threshold for everybody: {plain(block.number('threshold'))}.")
    return joined([head, table(columns, rows, weak), words(named) if named else None])


def attack(view: View) -> Markup | None:
    """Presentation attacks."""
    block = view.results.block("attack")
    if block is None:
        return None
    counts = block.block("counts")
    rates = block.block("apcer")
    rows: list[list[Child]] = []
    for name in rates.values if rates is not None else ():
        row = None if counts is None else counts.block(name)
        rows.append(
            [
                name,
                "" if row is None else out_of(row.count("errors"), row.count("trials")),
                percent(rates.number(name)) if rates is not None else "",
                "" if row is None else interval_words(row.interval("interval")),
            ]
        )
    head = (
        f"Worst APCER {percent(block.number('apcer_worst'))} ({block.text('apcer_worst_species')}), BPCER "
        f"{percent(block.number('bpcer'))} at the threshold {plain(block.number('threshold'))}."
    )
    return joined([tag("p", head), table(["kind of attack", "passed", "APCER", "95 %"], rows)])


def _finite(value: float) -> float | None:
    return None if value != value else float(value)
