"""Tables of searches in a gallery."""

from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, joined, tag
from lineament.evaluate.report_tables import (
    evidence,
    foot,
    methods,
    number_or_list,
    rate_cell,
    spread,
    table,
    target_cell,
    two_lines,
    words,
)
from lineament.evaluate.report_words import (
    count,
    interval_words,
    out_of,
    percent,
    plain,
    round_percent,
)

_COLUMNS = ["FPIR asked for", "rank", "threshold", "FPIR", "FNIR"]
_FACTS = {
    "gallery": "people in the gallery (N)",
    "references": "references in it",
    "references_failed": "references without a template",
    "subjects_failed": "people left without any reference",
    "distractors": "distractors",
    "distractors_failed": "distractors without a template",
    "probes_failed": "probes without a template",
    "excluded_probes": "probes left out",
    "excluded_distractors": "distractors left out",
}


def identification(view: View) -> Markup | None:
    """Operating points of searches, rank rates, and each split."""
    block = view.results.block("identification")
    if block is None:
        return None
    points, ranks = block.blocks("points"), block.blocks("rank_rates")
    facts: list[tuple[str, Child]] = [
        (name, number_or_list(block, key)) for key, name in _FACTS.items() if key in block
    ]
    listed = [
        table(_COLUMNS, [_point(p) for p in points]),
        foot(evidence("false positives or misses", points)),
        foot(methods(points, [block])),
    ]
    return joined(
        [
            words(facts) if facts else None,
            *(listed if points else []),
            _ranks(ranks),
            _predicted(block),
            spread(block),
            _splits(block),
            _legacy(block),
        ]
    )


def _point(point: Fields) -> list[Child]:
    short = point.text("status") == "insufficient"
    rank = point.count("rank")
    drawn = interval_words(point.interval("fnir_bootstrap"))
    return [
        target_cell("", point.number("target")),
        "any" if rank is None else count(rank),
        plain(point.number("threshold")),
        rate_cell(
            point.number("fpir"),
            point.count("false_positives"),
            point.count("nonmated"),
            point.interval("fpir_interval"),
            more="too little data" if short else "",
        ),
        rate_cell(
            point.number("fnir"),
            point.count("misses"),
            point.count("mated"),
            point.interval("fnir_interval"),
            more=f"over people {drawn}" if drawn else "",
        ),
    ]


def _ranks(rows: list[Fields]) -> Markup | None:
    if not rows:
        return None
    listed: list[list[Child]] = []
    for row in rows:
        interval = row.interval("interval")
        of = out_of(row.count("hits"), row.count("mated"))
        cell = two_lines(percent(row.number("rate"), interval), of, interval_words(interval))
        listed.append([count(row.count("rank")), cell])
    return joined([tag("h3", "Closed set"), table(["within rank", "mated searches"], listed)])


def _predicted(block: Fields) -> Markup | None:
    """What single comparisons would predict: independence is an assumption, and here is what it costs."""
    rows: list[list[Child]] = [
        [
            round_percent(row.number("target") or 0.0),
            plain(row.number("threshold")),
            two_lines(percent(row.number("fmr")), f"of {count(row.count('comparisons'))} comparisons"),
            percent(row.number("fpir_predicted")),
            percent(row.number("fpir")),
        ]
        for row in block.blocks("binomial")
    ]
    if not rows:
        return None
    columns = ["FPIR asked for", "threshold", "FMR of comparisons", "FPIR predicted", "FPIR measured"]
    return joined(
        [
            tag("h3", "What single comparisons would predict"),
            table(columns, rows),
            foot("Predicted: 1 − (1 − FMR)^N, as if comparisons were independent."),
        ]
    )


def _splits(block: Fields) -> Markup | None:
    rows = [
        [split.text("name") or "split", *_point(point)]
        for split in block.blocks("splits")
        for point in split.blocks("points")
    ]
    if not rows:
        return None
    return tag("details", tag("summary", "Each gallery or split"), table(["split", *_COLUMNS], rows))


def _legacy(block: Fields) -> Markup | None:
    legacy = block.block("legacy")
    inner = None if legacy is None else _ranks(legacy.blocks("rank_rates"))
    if inner is None:
        return None
    name = "For comparison with published figures only: mislabelled samples replaced"
    return tag("details", tag("summary", name), inner)
