"""Tables of a report: the pieces they are made of, and those of one-to-one comparisons."""

from collections.abc import Sequence

from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, joined, tag
from lineament.evaluate.report_words import (
    FEW,
    count,
    interval_words,
    one_in,
    out_of,
    percent,
    plain,
    round_percent,
    zero_bound,
)

HOLLOW = "○"
"""Stands beside a rate as the hollow point does in a figure: fewer than 30 errors."""
_NBSP = "\u00a0"


def table(columns: Sequence[str], rows: Sequence[Sequence[Child]], caption: str = "") -> Markup:
    """A table whose first column is of words and whose others are of numbers."""
    head = tag("tr", *(tag("th", name, scope="col") for name in columns))
    body = joined(
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows
    )
    inner = tag("table", tag("caption", caption) if caption else None, tag("thead", head), tag("tbody", body))
    return tag("div", inner, class_="wide")


def words(rows: Sequence[tuple[str, Child]]) -> Markup:
    """Names and texts."""
    body = joined(tag("tr", tag("th", name, scope="row"), tag("td", text)) for name, text in rows)
    return tag("table", tag("tbody", body), class_="words")


def foot(text: str) -> Markup:
    """A remark under a table."""
    return tag("p", text, class_="muted")


def two_lines(first: Child, *under: str, weak: bool = False) -> Markup:
    """A number with what it rests on under it, and a hollow mark when that is little."""
    mark = tag("span", f"{_NBSP}{HOLLOW}", class_="mark", title=f"under {FEW} errors") if weak else None
    parts = [tag("span", part) for part in under if part]
    return joined(
        [tag("span", first, mark, class_="rate"), tag("small", joined(parts, " ")) if parts else None]
    )


def rate_cell(
    rate: float | None,
    errors: int | None,
    trials: int | None,
    interval: tuple[float, float] | None,
    *,
    more: str = "",
) -> Markup:
    """A measured rate: with few errors marked, without any as the bound that the rule of three allows."""
    if errors == 0 and trials:
        bound = round_percent(float(f"{3 / trials:.2g}"))
        return two_lines(zero_bound(trials), f"no error in {trials:,}", f"3/N is {bound}", more, weak=True)
    weak = errors is not None and errors < FEW
    shown = (out_of(errors, trials), interval_words(interval), more)
    return two_lines(percent(rate, interval), *shown, weak=weak)


def target_cell(name: str, rate: float | None) -> Markup:
    """A rate that was asked for, as a share and as one in so many."""
    return two_lines(name or (round_percent(rate) if rate is not None else "–"), one_in(rate))


def methods(*places: Sequence[Fields]) -> str:
    """A sentence with every interval method used, or that there is none."""
    found = dict.fromkeys(p.text("interval_method") for place in places for p in place)
    named = [name for name in found if name and name != "none"]
    return f"Intervals: {'; '.join(named)}." if named else "The method of the intervals is not stated."


def evidence(kinds: str, points: Sequence[Fields]) -> str:
    """What the marks mean, and what too little data means."""
    said = (
        f"{HOLLOW} under {FEW} {kinds}: {FEW} errors put the true rate within ±30{_NBSP}% at 90{_NBSP}% "
        "confidence (rule of 30); with fewer it may lie further off."
    )
    short = any(p.text("status") == "insufficient" for p in points)
    more = (
        " Too little data: not even one error would be allowed at that rate, so only the bound 3/N, at "
        f"95{_NBSP}% confidence, may be claimed."
    )
    return said + (more if short else "")


def accuracy(view: View) -> Markup | None:
    """Accuracy over folds."""
    block = view.results.block("accuracy")
    if block is None:
        return None
    folds, thresholds = block.column("folds"), block.column("thresholds")
    strict = block.text("mode") != "insightface"
    interval = block.interval("interval")
    facts: list[tuple[str, Child]] = [
        ("mean over folds", percent(block.number("mean"), interval)),
        ("standard error", percent(block.number("standard_error"))),
        ("standard deviation over folds", percent(block.number("spread"))),
        ("interval", interval_words(interval) or "–"),
        ("method of the interval", block.text("interval_method") or "–"),
        (
            "threshold of each fold",
            "best on the other folds, found exactly"
            if strict
            else "as insightface's verification.py: a grid of 400, first best; deviation with ddof 0",
        ),
    ]
    known = len(thresholds) == len(folds)
    rows = [
        [str(i + 1), percent(float(v)), plain(float(thresholds[i])) if known else "–"]
        for i, v in enumerate(folds)
    ]
    each = tag("details", tag("summary", "Each fold"), table(["fold", "accuracy", "threshold"], rows))
    return joined([words(facts), each if rows else None])


def verification(view: View) -> Markup | None:
    """Operating points of one-to-one comparisons."""
    block = view.results.block("verification")
    if block is None:
        return None
    points, deployed = block.blocks("points"), block.block("deployed")
    rows = [_point("", p) for p in points]
    if deployed is not None:
        rows.append(_point("deployed", deployed))
        points = [*points, deployed]
    columns = ["FMR asked for", "threshold", "FMR", "FNMR"]
    listed = [
        table(columns, rows),
        foot(evidence("false matches or false non-matches", points)),
        foot(methods(points)),
    ]
    return joined(
        [
            *(listed if rows else []),
            _deployed(deployed),
            _summary(block),
            spread(block),
            _splits(block),
            _legacy(block),
        ]
    )


def _point(name: str, point: Fields) -> list[Child]:
    short = point.text("status") == "insufficient"
    asked = point.number("promised_fmr") if name else point.number("target")
    first = two_lines(name, f"promised {round_percent(asked)}" if asked else "") if name else None
    return [
        first or target_cell("", asked),
        plain(point.number("threshold")),
        rate_cell(
            point.number("fmr"),
            point.count("false_matches"),
            point.count("nonmated"),
            point.interval("fmr_interval"),
            more="too little data" if short else "",
        ),
        rate_cell(
            point.number("fnmr"),
            point.count("false_nonmatches"),
            point.count("mated"),
            point.interval("fnmr_interval"),
        ),
    ]


def _deployed(point: Fields | None) -> Markup | None:
    if point is None or not point.text("name"):
        return None
    return foot(
        f"Deployed: {point.text('name')}. Whether these are the same people is for the reader to compare."
    )


def _summary(block: Fields) -> Markup | None:
    eer, prime = block.block("eer"), block.block("d_prime")
    rows: list[tuple[str, Child]] = []
    if eer is not None and eer.number("value") is not None:
        method = eer.text("method") or "method not stated"
        rows.append(("equal error rate (EER)", f"{percent(eer.number('value'))}, method: {method}"))
    if block.number("auc") is not None:
        rows.append(("area under the ROC curve (AUC)", plain(block.number("auc"), 6)))
    if prime is not None and prime.number("value") is not None:
        ddof = prime.text("ddof")
        rows.append(
            ("d′", plain(prime.number("value"), 3) + (f", variances with ddof {ddof}" if ddof else ""))
        )
    for key, name in (("cllr", "Cllr"), ("min_cllr", "minimal Cllr")):
        if block.number(key) is not None:
            rows.append((name, f"{plain(block.number(key))} bit"))
    return words(rows) if rows else None


def spread(block: Fields) -> Markup | None:
    """Means and standard deviations over splits."""
    rates = block.block("mean_sd")
    if rates is None:
        return None
    rows: list[list[Child]] = []
    for name in rates.values:
        row = rates.block(name)
        if row is not None:
            less = row.number("mean_minus_sd")
            rows.append([name.replace("_", " "), *map(percent, (row.number("mean"), row.number("sd"), less))])
    columns = ["over splits", "mean", "standard deviation", "mean − sd"]
    return table(columns, rows) if rows else None


def _splits(block: Fields) -> Markup | None:
    rows = [
        [split.text("name") or "split", *_point("", point)]
        for split in block.blocks("splits")
        for point in split.blocks("points")
    ]
    if not rows:
        return None
    columns = ["split", "FMR asked for", "threshold", "FMR", "FNMR"]
    return tag("details", tag("summary", "Each split"), table(columns, rows))


def _legacy(block: Fields) -> Markup | None:
    legacy = block.block("legacy")
    points = [] if legacy is None else legacy.blocks("points")
    if not points:
        return None
    rows = [_point("", point) for point in points]
    name = "For comparison with published figures only: mislabelled samples replaced"
    return tag("details", tag("summary", name), table(["FMR asked for", "threshold", "FMR", "FNMR"], rows))


def number_or_list(block: Fields, key: str) -> str:
    """A count, or several of them."""
    if isinstance(block.values.get(key), list):
        return ", ".join(count(int(value)) for value in block.column(key))
    return count(block.count(key))
