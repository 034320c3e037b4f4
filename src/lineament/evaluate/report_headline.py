"""The answer of a run in a sentence, and the four facts that it stands on."""

from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Markup, tag
from lineament.evaluate.report_tables import number_or_list
from lineament.evaluate.report_words import (
    FEW,
    count,
    interval_words,
    one_in,
    out_of,
    percent,
    round_percent,
)


def headline(view: View) -> str:
    """What was measured, on what, and the answer with its interval."""
    makers = (_accuracy, _verification, _identification, _groups, _attack)
    said = next((text for maker in makers if (text := maker(view))), "")
    return said or f"{_who(view)}, measured on {_where(view)}."


def facts(view: View) -> Markup:
    """System, data, trials and people, at a glance."""
    data = view.data
    samples, subjects = data.count("samples"), data.count("subjects")
    block = view.results.block("identification")
    searches = block is not None and "verification" not in view.results
    attacks = view.kind == "pad"
    what = "presentations" if attacks else "searches" if searches else "comparisons"
    kinds = ("of people", "attacks") if attacks else ("mated", "non-mated")
    mated, nonmated = data.count("mated"), data.count("nonmated")
    trials = f"{count(mated)} {kinds[0]}, {count(nonmated)} {kinds[1]}" if mated or nonmated else "not stated"
    gallery = "" if block is None or "gallery" not in block else number_or_list(block, "gallery")
    rows = [
        ("System", _who(view)),
        ("Data", _where(view)),
        (what.capitalize(), trials),
        (
            "People",
            f"{count(subjects)} in {count(samples)} pictures"
            if subjects and samples
            else count(subjects)
            if subjects
            else "not stated",
        ),
    ]
    if gallery:
        rows.append(("People in the gallery", gallery))
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in rows), class_="facts")


def _who(view: View) -> str:
    return view.system.text("model") or "The system"


def _where(view: View) -> str:
    return view.data.text("name") or "data without a name"


def _interval(block: Fields, key: str) -> str:
    """In brackets; called a 95 % interval only when its method says so."""
    interval = block.interval(key)
    if interval is None:
        return ""
    confidence = "95 % " if "95 %" in block.text("interval_method") else ""
    return f" ({confidence}interval {interval_words(interval)})"


def _accuracy(view: View) -> str:
    block = view.results.block("accuracy")
    if block is None or block.number("mean") is None:
        return ""
    mean = percent(block.number("mean"), block.interval("interval"))
    return (
        f"On {_where(view)}, {_who(view)} decides {mean} of the pairs rightly{_interval(block, 'interval')}."
    )


def best_point(points: list[Fields]) -> Fields | None:
    """The strictest operating point with enough errors to be relied on; else the least strict there is."""
    good = [p for p in points if p.text("status") != "insufficient" and p.number("target") is not None]
    sure = [p for p in good if p.flag("reliable")]
    if sure:
        return min(sure, key=lambda p: p.number("target") or 0.0)
    return max(good, key=lambda p: p.number("target") or 0.0) if good else None


def _verification(view: View) -> str:
    block = view.results.block("verification")
    if block is None:
        return ""
    point = block.block("deployed")
    deployed = point is not None and point.number("fnmr") is not None
    if not deployed:
        point = best_point(block.blocks("points"))
    if point is None or point.number("fnmr") is None:
        return _too_little(block)
    fmr = percent(point.number("fmr"), point.interval("fmr_interval"))
    if point.count("false_matches") == 0:
        fmr = "none"
    rate = (
        f"{percent(point.number('fnmr'), point.interval('fnmr_interval'))}{_interval(point, 'fnmr_interval')}"
    )
    of = out_of(point.count("false_matches"), point.count("nonmated"))
    if deployed:
        return (
            f"At the deployed threshold, {_who(view)} rejects {rate} of mated comparisons and accepts {fmr} "
            f"of non-mated ones ({of})."
        )
    target = point.number("target") or 0.0
    asked = one_in(target) or round_percent(target)
    return (
        f"Where the threshold lets at most {asked} of non-mated comparisons pass, {_who(view)} rejects "
        f"{rate} of mated ones."
    )


def _too_little(block: Fields) -> str:
    points = block.blocks("points")
    trials = points[0].count("nonmated") if points else None
    if not trials:
        return ""
    return (
        f"There are too few comparisons for the rates asked for: of {trials:,} non-mated ones, none may "
        "match there, and nothing smaller than 3/N may be claimed."
    )


def _identification(view: View) -> str:
    block = view.results.block("identification")
    if block is None:
        return ""
    size = number_or_list(block, "gallery") if "gallery" in block else ""
    people = f" among {size} people" if size else ""
    point = best_point([p for p in block.blocks("points") if p.count("rank") is None])
    if point is not None and point.number("fnir") is not None:
        rate = percent(point.number("fnir"), point.interval("fnir_interval"))
        target = round_percent(point.number("target") or 0.0)
        return (
            f"Searching{people}, {_who(view)} misses {rate} of those who are enrolled"
            f"{_interval(point, 'fnir_interval')} where at most {target} of the others return anybody."
        )
    first = next(iter(block.blocks("rank_rates")), None)
    if first is None or first.number("rate") is None:
        return ""
    rate = percent(first.number("rate"), first.interval("interval"))
    rank = "first" if first.count("rank") == 1 else f"within rank {count(first.count('rank'))}"
    return (
        f"Searching{people}, {_who(view)} puts the mate {rank} in {rate} of searches"
        f"{_interval(first, 'interval')}."
    )


def _groups(view: View) -> str:
    block = view.results.block("groups")
    if block is None:
        return ""
    rows = block.blocks("counts")
    few = sum(1 for row in rows if (row.count("false_matches") or 0) < FEW)
    measures = block.block("measures")
    ratio = None if measures is None else measures.number("max_over_min_fmr")
    if ratio is None:
        said = "cannot be given as a ratio, for a group has no false match or was not measured"
    else:
        said = f"is {ratio:.1f} times the smallest"
    caution = f" {few} of {len(rows)} groups have under {FEW} false matches." if few else ""
    return f"With one threshold for everybody, the largest false match rate of a group {said}.{caution}"


def _attack(view: View) -> str:
    block = view.results.block("attack")
    if block is None:
        return ""
    ends = block.interval("apcer_worst_interval"), block.interval("bpcer_interval")
    worst, real = percent(block.number("apcer_worst"), ends[0]), percent(block.number("bpcer"), ends[1])
    species = block.text("apcer_worst_species")
    return (
        f"The worst attack passes in {worst}{f' ({species})' if species else ''}, real people are refused in "
        f"{real} of presentations."
    )
