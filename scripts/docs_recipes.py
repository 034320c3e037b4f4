"""Write docs/reference/recipes.md from the recipes themselves, so that it cannot drift.

.venv/bin/python scripts/docs_recipes.py            # write it
.venv/bin/python scripts/docs_recipes.py --check    # exit 1 when it is stale
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lineament.recipes import ALL
from lineament.recipes.published import COLLECTIONS, Collection
from lineament.train.recipe import Part, Recipe, Value

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "recipes.md"
HEAD = """\
<!-- Written by scripts/docs_recipes.py from the recipes; do not edit. -->

# Recipes

A recipe is a function that returns everything that decides what a run trains. Its name says data, backbone
and hardware: `lineament train recipes.ms1mv3_r50_8gpu`. Single values are changed with `--set`, as in
`--set data.path=faces.zip --set head.margin=0.4`.

The figures are what others published for these settings, with the place where they printed it. A figure is
measured here only where the column *run here* says so. Batches are written as pictures in a micro-batch ×
micro-batches in a step; the number of processes must divide the latter.

Sources of settings and figures:

- *CVPR paper*: Deng, Guo, Xue, Zafeiriou, ArcFace, CVPR 2019 (arXiv 1801.07698, version 3), settings in §3.1.
- *TPAMI paper*: Deng, Guo, Yang, Xue, Kotsia, Zafeiriou, ArcFace, TPAMI 2022 (arXiv 1801.07698, version 4),
  settings in §4.1.
- *arcface_torch*: `recognition/arcface_torch` of github.com/deepinsight/insightface: `configs/` and README.
  It takes TAR at the measured FMR nearest to the one asked for, which may be larger.

None of the collections comes with this project. The folder is where a recipe looks; `$LINEAMENT_DATA` is an
environment variable of yours, and `--set data.path=…` does without it.
"""
COLUMNS = ("Recipe", "Backbone", "Head", "Batch", "Optimiser", "Schedule", "Precision", "Run here", "Figures")
NOT_RUN = "not run here"
FIGURE = re.compile(r"(?P<value>.+) \((?P<source>[^()]+)\)")


def row(cells: "list[str] | tuple[str, ...]") -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """A whole table."""
    return "\n".join([row(columns), "|" + "---|" * len(columns), *map(row, rows)])


def shown(value: Value) -> str:
    """An option's value: 64 for 64.0, 0.0005 for 5e-4."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def described(part: Part) -> str:
    """`cosface` scale 64, margin 0.4."""
    options = ", ".join(f"{name} {shown(value)}" for name, value in part.options.items())
    return f"`{part.kind}` {options}".strip()


def head_of(recipe: Recipe) -> str:
    """The head, with the share of centres and the persons per batch where they matter."""
    more = [f"sample_rate {recipe.sample_rate:g}"] if recipe.sample_rate < 1 else []
    more += [f"{recipe.people} persons per batch"] if recipe.people else []
    return "; ".join([described(recipe.head), *more])


def length_of(recipe: Recipe) -> str:
    """The schedule and when it ends."""
    end = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs:g} epochs"
    return f"{described(recipe.schedule)}; {end}"


def figures(expected: Mapping[str, str]) -> str:
    """Figures with their source named once for all that it printed."""
    by_source: dict[str, list[str]] = {}
    for benchmark, text in expected.items():
        found = FIGURE.fullmatch(text)
        value, source = (found["value"], found["source"]) if found else (text, "")
        by_source.setdefault(source, []).append(f"{benchmark} {value}")
    parts = [", ".join(all_) + (f" ({source})" if source else "") for source, all_ in by_source.items()]
    return "; ".join(parts) or "none published"


def line_of(name: str, recipe: Recipe) -> list[str]:
    """A recipe's line of the table."""
    return [
        f"`{name}`",
        described(recipe.backbone),
        head_of(recipe),
        f"{recipe.batch:,} = {recipe.micro_batch} × {recipe.batch // recipe.micro_batch}",
        described(recipe.optimiser),
        length_of(recipe),
        recipe.precision,
        "no" if NOT_RUN in recipe.summary else "yes",
        figures(recipe.expected),
    ]


def sections(recipes: Mapping[str, Recipe]) -> Iterator[str]:
    """A table for each collection, then one for recipes on other data."""
    known = {collection.path: collection.name for collection in COLLECTIONS}
    titles = [*known.values(), "Other data"]
    for title in titles:
        lines = [line_of(n, r) for n, r in recipes.items() if known.get(r.data.path, "Other data") == title]
        if lines:
            yield f"## {title}\n\n{table(COLUMNS, lines)}\n"


def collection_line(collection: Collection) -> list[str]:
    """A collection's line of the table."""
    return [
        collection.name,
        f"`{collection.path}`",
        collection.people,
        collection.pictures,
        collection.source,
    ]


def page() -> str:
    """The whole page."""
    recipes = {name: function() for name, function in ALL.items()}
    columns = ("Data", "Folder", "People", "Pictures", "Source of the counts")
    data = table(columns, [collection_line(collection) for collection in COLLECTIONS])
    return "\n".join([HEAD, f"## Data\n\n{data}\n", *sections(recipes)])


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        return int(not PAGE.is_file() or PAGE.read_text("utf-8") != page())
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
