"""What a laboratory looks for in a report of a test (ISO/IEC 19795-1): each item, or the words `not stated`.

What no command can know (demographics, capture conditions, deviations, …) is taken from the run's
`provenance.statements`, an object of texts that a person adds to the run file.
"""

from collections.abc import Sequence

from lineament.evaluate.report_fields import Fields, View
from lineament.evaluate.report_markup import Child, Markup, joined, tag
from lineament.evaluate.report_tables import words
from lineament.evaluate.report_words import NOT_STATED, count

KINDS = {
    "pairs": "verification on a list of pairs",
    "folder": "verification on all pairs of a collection",
    "openset": "open-set identification",
    "ijb": "comparison of templates made of several pictures (IJB)",
    "scores": "verification from similarities that were handed in",
    "pad": "presentation attack detection (ISO/IEC 30107-3)",
    "groups": "differences between groups of people (ISO/IEC 19795-10)",
    "distractors": "identification among distractors",
}
STATEMENTS = (
    "demographics",
    "capture_conditions",
    "sessions",
    "label_errors",
    "training_overlap",
    "enrolment",
    "thresholds",
    "throughput",
    "deviations",
)
_SHOWN = 100

Item = tuple[str, Child]


def conditions(view: View) -> Markup:
    """Every item, in four tables."""
    parts = (
        ("The test", _test(view)),
        ("Data", _data(view)),
        ("System", _system(view)),
        ("Results, and how to repeat them", _made(view)),
    )
    return joined(
        joined([tag("h3", title), words([(name, text or _absent()) for name, text in items])])
        for title, items in parts
    )


def _absent() -> Markup:
    return tag("span", NOT_STATED, class_="muted")


def _test(view: View) -> list[Item]:
    return [
        ("type of test", f"technology evaluation on recorded data: {KINDS.get(view.kind, view.kind)}"),
        ("enrolment and probe policy", _stated(view, "enrolment") or view.system.text("policy")),
        ("deviations from the protocol", _stated(view, "deviations")),
    ]


def _data(view: View) -> list[Item]:
    data, attacks = view.data, view.kind == "pad"
    disjoint = data.flag("folds_identity_disjoint")
    folds = "" if disjoint is None else "no" if disjoint else "yes: accuracy over folds is optimistic"
    return [
        ("data set and version", data.text("name")),
        ("digest (SHA-256)", data.text("digest")),
        ("samples", _count(data, "samples")),
        ("independent subjects", _count(data, "subjects")),
        ("sessions", _stated(view, "sessions")),
        ("demographics", _stated(view, "demographics")),
        ("capture conditions", _stated(view, "capture_conditions")),
        ("presentations of people" if attacks else "mated comparisons or searches", _count(data, "mated")),
        ("attacks" if attacks else "non-mated comparisons or searches", _count(data, "nonmated")),
        ("failures to acquire", _failures(data)),
        ("policy for failures", _policy(data)),
        ("exclusions", _exclusions(data)),
        ("label errors", _stated(view, "label_errors")),
        ("people in two folds", folds),
        ("overlap with the training data", _stated(view, "training_overlap")),
    ]


def _system(view: View) -> list[Item]:
    system = view.system
    size = system.count("template_bytes")
    return [
        ("model", system.text("model")),
        ("digest of the model", system.text("digest")),
        ("detector", system.text("detector")),
        ("views of a face", system.text("views")),
        ("which face is meant", system.text("policy")),
        ("similarity", system.text("score")),
        ("stored precision", system.text("precision")),
        ("size of a template", f"{count(size)} bytes" if size else ""),
        ("runtime", _listed(system.block("runtime"))),
    ]


def _made(view: View) -> list[Item]:
    made = view.provenance
    seconds = made.number("seconds")
    replicates = made.text("replicates")
    return [
        ("thresholds", _stated(view, "thresholds") or _thresholds(view)),
        ("methods of the intervals", "; ".join(_methods(view.results.values))),
        ("throughput", _stated(view, "throughput") or _listed(made.block("throughput"))),
        (
            "duration of the command",
            "" if seconds is None else f"{seconds:,.1f} s; templates found ready were not made again",
        ),
        ("command", tag("code", made.text("command")) if made.text("command") else ""),
        ("date", made.text("date")),
        ("seed", made.text("seed") + (f", {replicates} draws" if replicates else "")),
        ("versions", _listed(made.block("versions"))),
    ]


def _stated(view: View, key: str) -> str:
    block = view.provenance.block("statements")
    return "" if block is None else block.text(key)


def _count(block: Fields, key: str) -> str:
    number = block.count(key)
    return "" if number is None else count(number)


def _failures(data: Fields) -> Markup:
    block = data.block("failures")
    reasons = {name: block.count(name) or 0 for name in block.values} if block is not None else {}
    total, samples = sum(reasons.values()), data.count("samples")
    if not total:
        return joined(["none"])
    named = ", ".join(f"{name} {number:,}" for name, number in reasons.items())
    of = f" of {samples:,} samples" if samples else ""
    return joined([f"{total:,}{of}: {named}", _details("which", data.texts("failed_names"))])


def _policy(data: Fields) -> str:
    said = {
        "reject": "a comparison with a failed sample counts as a rejection",
        "exclude": "comparisons with a failed sample are left out",
    }.get(data.text("failure_policy"), data.text("failure_policy"))
    mated, nonmated = data.count("mated_failed") or 0, data.count("nonmated_failed") or 0
    return f"{said} ({mated:,} mated and {nonmated:,} non-mated)" if said else ""


def _exclusions(data: Fields) -> Markup:
    rows = data.blocks("exclusions")
    if not rows:
        return joined(["none"])
    reasons: dict[str, int] = {}
    named: list[str] = []
    for row in rows:
        reason = row.text("reason") or NOT_STATED
        reasons[reason] = reasons.get(reason, 0) + 1
        what = " – ".join(row.text(key) for key in row.values if key != "reason" and row.text(key))
        named.append(f"{what}: {reason}")
    summary = "; ".join(f"{reason}: {number:,}" for reason, number in reasons.items())
    return joined([f"{len(rows):,} ({summary})", _details("which", named)])


def _details(summary: str, names: Sequence[str]) -> Markup | None:
    if not names:
        return None
    shown = [tag("li", name) for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(tag("li", f"… and {len(names) - _SHOWN:,} more in the run file"))
    return tag("details", tag("summary", summary), tag("ul", *shown))


def _thresholds(view: View) -> str:
    block = view.results.block("verification")
    deployed = None if block is None else block.block("deployed")
    said: list[str] = []
    if any(view.results.block(name) is not None for name in ("verification", "identification")):
        said.append("operating points: chosen on these data")
    if deployed is not None:
        said.append(f"deployed: {deployed.text('name') or NOT_STATED}")
    return "; ".join(said)


def _methods(values: object) -> list[str]:
    """Every `…_method` of an interval, wherever it is, in the order of the file."""
    found: dict[str, None] = {}
    waiting: list[object] = [values]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            block = Fields(value, "results")
            for key in ("interval_method", "bootstrap_method"):
                if block.text(key) and block.text(key) != "none":
                    found[block.text(key)] = None
            waiting += block.values.values()
    return list(found)


def _listed(block: Fields | None) -> str:
    """An object as `name value, …`; lists within are joined."""
    if block is None:
        return ""
    return ", ".join(
        f"{key} {' '.join(block.texts(key)) if isinstance(value, list) else block.text(key)}"
        for key, value in block.values.items()
        if value is not None
    )
