"""Tables of groups of people and of presentation attacks."""

from lineament.core.errors import DatasetInvalid
from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, joined, tag
from lineament.evaluate.report_tables import evidence, foot, methods, rate_cell, table, target_cell, words
from lineament.evaluate.report_words import interval_words, percent, plain, round_percent

_BONA_FIDE = "bona_fide"
_MEASURES = {
    "gini_fmr": "Gini coefficient of FMR",
    "gini_fnmr": "Gini coefficient of FNMR",
    "garbe": "GARBE, half of each Gini coefficient",
    "max_over_geomean_fmr": "largest FMR over geometric mean",
    "max_over_geomean_fnmr": "largest FNMR over geometric mean",
    "max_over_min_fmr": "largest FMR over smallest",
    "max_over_min_fnmr": "largest FNMR over smallest",
    "max_over_mean_fmr": "largest FMR over mean",
    "max_over_mean_fnmr": "largest FNMR over mean",
    "fairness_discrepancy_rate": "fairness discrepancy rate (hardly reacts to small rates)",
    "inequity_rate": "inequity rate",
}


def groups(view: View) -> Markup | None:
    """Error rates of each group, and measures of difference."""
    block = view.results.block("groups")
    if block is None:
        return None
    names, counts = block.texts("names"), block.blocks("counts")
    fmr, fnmr = block.column("fmr"), block.column("fnmr")
    if not len(names) == len(counts) == len(fmr) == len(fnmr):
        raise DatasetInvalid(
            f"{block.place} has {len(names)} names, {len(counts)} counts, {len(fmr)} FMR and {len(fnmr)} "
            "FNMR: the run file was changed; evaluate again"
        )
    rows = [
        [
            name,
            _group_rate(row, float(fmr[i]), "false_matches", "nonmated", "fmr_interval"),
            _group_rate(row, float(fnmr[i]), "false_nonmatches", "mated", "fnmr_interval"),
        ]
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    return joined(
        [
            tag("p", _threshold(block)),
            table(["group", "FMR within the group", "FNMR"], rows),
            foot(evidence("false matches or false non-matches", [])),
            foot(methods([block])),
            _measures(block.block("measures")),
        ]
    )


def _group_rate(row: Fields, rate: float, errors: str, trials: str, interval: str) -> Markup:
    known = None if rate != rate else rate
    return rate_cell(known, row.count(errors), row.count(trials), row.interval(interval))


def _threshold(block: Fields) -> str:
    said = f"One threshold for everybody: {plain(block.number('threshold'))}"
    target, reference = block.number("target"), block.text("reference")
    if target is None:
        return f"{said}."
    where = f"comparisons within {reference}" if reference else "all comparisons"
    return f"{said}, chosen on these data at FMR {round_percent(target)} over {where}."


def _measures(block: Fields | None) -> Markup | None:
    rows: list[tuple[str, Child]] = []
    for key in [] if block is None else block.values:
        value = None if block is None else block.number(key)
        name = _MEASURES.get(key, key.replace("_", " "))
        rows.append((name, "undefined or infinite" if value is None else plain(value)))
    return joined([tag("h3", "Measures of difference"), words(rows)]) if rows else None


def attack(view: View) -> Markup | None:
    """Presentation attacks, as ISO/IEC 30107-3 asks for them: species by species."""
    block = view.results.block("attack")
    if block is None:
        return None
    worst = block.text("apcer_worst_species")
    head = (
        f"At the threshold {plain(block.number('threshold'))}: APCER of the worst species "
        f"{percent(block.number('apcer_worst'))}{f' ({worst})' if worst else ''}, BPCER "
        f"{percent(block.number('bpcer'))}."
    )
    rows = _species(block)
    listed = [
        table(["presentation", "error", "rate"], rows),
        foot("Errors are attacks taken for people (APCER) and people taken for attacks (BPCER)."),
        foot(evidence("errors", block.blocks("points"))),
        foot(methods([block])),
    ]
    return joined([tag("p", head), *(listed if rows else []), _bpcer(block), _acer(block)])


def _species(block: Fields) -> list[list[Child]]:
    rates, counts = block.block("apcer"), block.block("counts")
    rows: list[list[Child]] = []
    if rates is not None:
        rows += [_row(name, "APCER", rates.number(name), counts, name) for name in rates.values]
    if "bpcer" in block:
        rows.append(_row("bona fide", "BPCER", block.number("bpcer"), counts, _BONA_FIDE))
    return rows


def _row(name: str, kind: str, rate: float | None, counts: Fields | None, key: str) -> list[Child]:
    row = None if counts is None else counts.block(key)
    if row is None:
        return [name, kind, percent(rate)]
    cell = rate_cell(rate, row.count("errors"), row.count("trials"), row.interval("interval"))
    return [name, kind, cell]


def _bpcer(block: Fields) -> Markup | None:
    points, short = block.blocks("points"), block.block("bpcer_at_apcer")
    if points:
        rows: list[list[Child]] = [
            [
                target_cell("", p.number("target")),
                p.text("name") or "–",
                plain(p.number("threshold")),
                percent(p.number("bpcer"), p.interval("bpcer_interval")),
                interval_words(p.interval("bpcer_interval")) or "–",
                "too little data" if p.text("status") == "insufficient" else p.text("apcer_worst_species"),
            ]
            for p in points
        ]
        return table(["APCER at most", "name", "threshold", "BPCER", "interval", "worst species"], rows)
    if short is None:
        return None
    plain_rows: list[list[Child]] = [[f"APCER {key}", percent(short.number(key))] for key in short.values]
    return table(["at most", "BPCER"], plain_rows)


def _acer(block: Fields) -> Markup | None:
    value = block.number("acer")
    return None if value is None else foot(f"ACER, no longer in the standard: {percent(value)}.")
