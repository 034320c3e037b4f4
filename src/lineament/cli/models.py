"""`lineament models`: which packs there are, what they are, and how to get and check them."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lineament.core.errors import InvalidArgument, PackBroken, PackError

if TYPE_CHECKING:
    from rich.table import Table

    from lineament.core.threshold import Threshold
    from lineament.packs.card import Licence, ModelCard, PackCard
    from lineament.packs.download import Progress
    from lineament.packs.integrity import Verification
    from lineament.packs.recognise import Overrides
    from lineament.packs.store import Store

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
_TASKS = ("detection", "recognition", "landmarks_106", "landmarks_68", "gender_age")


@click.group()
def models() -> None:
    """Model packs: list, show, install, verify, remove."""


@models.command("list")
@_AS_JSON
def list_packs(as_json: bool) -> None:
    """What is installed and what can be installed."""
    from lineament.packs.catalogue import CATALOGUE
    from lineament.packs.default import DEFAULT_NAME, described_default
    from lineament.packs.store import Store

    store = Store()
    rows = [_installed_row(store, name) for name in store.list()]
    names = {row["name"] for row in rows}
    if DEFAULT_NAME not in names:
        rows.insert(0, _row(described_default(), "ready at first use"))
    rows += [
        {
            "name": e.name,
            "state": "can be installed",
            "summary": e.summary,
            "commercial": e.licence.commercial,
        }
        for e in CATALOGUE.values()
        if e.name not in names
    ]
    if as_json:
        click.echo(json.dumps({"store": str(store.packs), "packs": rows}, indent=2))
        return
    table = _table("name", "state", "commercial use", "what it is")
    for row in rows:
        table.add_row(row["name"], row["state"], _commercial(row["commercial"]), row["summary"])
    _print(table)
    click.echo(f"Store: {store.packs}")


def _installed_row(store: Store, name: str) -> dict[str, Any]:
    """A pack that could not be opened is not called installed; files that look as before are not hashed."""
    commercial = None
    try:
        commercial = store.card(name).licence.commercial
        return _row(store.get(name).card, "installed")
    except PackError as error:
        return {"name": name, "state": "damaged", "summary": error.message, "commercial": commercial}


def _row(card: PackCard, state: str) -> dict[str, Any]:
    return {
        "name": card.name,
        "state": state,
        "summary": card.summary,
        "commercial": card.licence.commercial,
    }


@models.command()
@click.argument("name", default="default")
@_AS_JSON
def show(name: str, as_json: bool) -> None:
    """Everything the card of NAME (a pack, or the path of one) says."""
    from lineament.packs.resolve import open_pack

    pack = open_pack(name)
    if as_json:
        click.echo(json.dumps({"folder": str(pack.folder), **json.loads(pack.card.to_json())}, indent=2))
        return
    card = pack.card
    click.echo(f"{card.name}: {card.summary}")
    click.echo(f"Folder: {pack.folder}\nSource: {card.source}")
    for model in card.models:
        _show_model(model)
    _show_licence(card.licence)
    if card.thresholds:
        _show_thresholds(card.thresholds)
    else:
        click.echo("Thresholds: none measured; a comparison needs --threshold.")
    for note in card.notes:
        click.echo(f"• {note}")


def _show_model(card: ModelCard) -> None:
    size = f"{card.size[0]}×{card.size[1]}" if card.size != (0, 0) else f"any multiple of {card.stride}"
    batch = "any number" if card.batch == 0 else f"{card.batch}"
    inside = card.mean == 0 and card.std == 1
    norm = "pixels as they are" if inside else f"(x − {card.mean:g}) / {card.std:g}"
    output = (
        f"{card.dimension} numbers from {card.alignment} crops"
        if card.dimension
        else f"{card.outputs} outputs"
    )
    click.echo(
        f"{card.task} ({card.family}): {card.file}\n"
        f"    input {size}, {card.colour}, {norm}, {batch} per call; {output}\n"
        f"    sha256 {card.sha256}"
    )
    if card.origin_sha256:
        click.echo(f"    made from the published file with sha256 {card.origin_sha256}")


def _show_thresholds(thresholds: tuple[Threshold, ...]) -> None:
    """One table for each model and data set: what a threshold costs, at a glance."""
    groups: dict[tuple[str, str, str, bool], list[Threshold]] = {}
    for t in thresholds:
        groups.setdefault((str(t.model), t.dataset, t.date, t.gallery_size is not None), []).append(t)
    for (model, dataset, date, searches), rows in groups.items():
        if searches:
            click.echo(f"Search thresholds of {model}\n    on {dataset}, {date}")
            _show_searches(rows)
        else:
            pairs = max(t.comparisons for t in rows)
            click.echo(f"Thresholds of {model}\n    on {dataset}, {pairs:,} non-mated pairs, {date}")
            _show_pairs(rows)


def _show_pairs(thresholds: list[Threshold]) -> None:
    """For comparing two pictures."""
    table = _table("false match rate", "threshold", "undecided between", "false non-match rate")
    for t in thresholds:
        table.add_row(
            "typed in" if t.fmr is None else f"{t.fmr:g}",
            f"{t.value:.4f}",
            f"{t.interval[0]:.4f} and {t.interval[1]:.4f}",
            "" if t.fnmr is None else f"{t.fnmr:.2%}",
        )
    _print(table)


def _show_searches(thresholds: list[Threshold]) -> None:
    """For searching a gallery of a size."""
    table = _table("FPIR", "references up to", "threshold", "strangers' searches", "FNIR")
    for t in thresholds:
        table.add_row(
            f"{t.fpir:g}",
            f"{t.gallery_size:,}",
            f"{t.value:.4f}",
            f"{t.comparisons:,}",
            "" if t.fnmr is None else f"{t.fnmr:.2%}",
        )
    _print(table)


def _show_licence(licence: Licence) -> None:
    click.echo(
        f"Licence of the code: {licence.code}\nLicence of the weights: {licence.weights}\n"
        f"Commercial use: {_commercial(licence.commercial)}\nTerms: {licence.url or 'unstated'}\n"
        f"Training data: {licence.data or 'unstated'}"
    )


@models.command()
@click.argument("what")
@click.option("--name", help="What to call it; by default what it is called already.")
@click.option("--sha256", default="", help="What the digest of the zip or .onnx file must be.")
@click.option("--mirror", help="Address prefix in place of the usual one; also LINEAMENT_MIRROR.")
@click.option("--proxy", help="Address of a proxy; by default what the environment says.")
@click.option("--accept-licence", is_flag=True, help="I have read the weights' terms and accept them.")
@click.option(
    "--task",
    type=click.Choice(_TASKS),
    default="recognition",
    show_default=True,
    help="The network that --colour, --mean and --std speak of.",
)
@click.option(
    "--colour", type=click.Choice(("rgb", "bgr")), help="Channel order the network was trained with."
)
@click.option("--mean", type=float, help="The network sees (pixel − mean) / std.")
@click.option("--std", type=float, help="See --mean.")
@click.option("--skip-broken", is_flag=True, help="Leave files that cannot be read out of the pack.")
@click.option("--replace", is_flag=True, help="Put it in the place of a different pack of the same name.")
@_AS_JSON
def install(
    what: str,
    task: str,
    colour: str | None,
    mean: float | None,
    std: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Install WHAT: a known name, the path of a folder, zip or .onnx, or the address of a zip or .onnx."""
    from lineament.packs.install import install as install_pack
    from lineament.packs.store import Store

    with _progress(quiet=as_json) as progress:
        pack = install_pack(
            what, Store(), overrides=_overrides(task, colour, mean, std), progress=progress, **options
        )
    if as_json:
        click.echo(json.dumps({"folder": str(pack.folder), **json.loads(pack.card.to_json())}, indent=2))
        return
    tasks = ", ".join(m.task for m in pack.card.models)
    click.echo(f"Installed {pack.card.name} ({tasks}) in {pack.folder}")
    licence = pack.card.licence
    if licence.commercial is not True:
        allowed = _commercial(licence.commercial)
        why = "" if licence.weights == allowed else f" ({licence.weights})"
        click.echo(f"Commercial use: {allowed}{why}")
    for note in pack.card.notes:
        click.echo(f"• {note}")


def _overrides(task: str, colour: str | None, mean: float | None, std: float | None) -> Overrides | None:
    given = {key: v for key, v in (("colour", colour), ("mean", mean), ("std", std)) if v is not None}
    overrides: Any = {task: given}
    return overrides if given else None


@models.command()
@click.argument("name", required=False)
@_AS_JSON
def verify(name: str | None, as_json: bool) -> None:
    """Hash every file again, of NAME or of all installed packs."""
    from lineament.packs.store import Store

    store = Store()
    checks = [_verified(store, one) for one in ([name] if name is not None else store.list())]
    reports = [report for report, _ in checks]
    if as_json:
        click.echo(json.dumps([_report(report) for report in reports], indent=2))
    else:
        table = _table("pack", "file", "state")
        for report in reports:
            for state in ("good", "missing", "damaged", "extra"):
                for file in getattr(report, state):
                    table.add_row(report.name, file, state)
        _print(table)
    if wrong := [message for _, message in checks if message]:
        raise PackBroken("; and ".join(wrong))


def _verified(store: Store, name: str) -> tuple[Verification, str]:
    """What was found, and what is wrong with it and what to do; a damaged card does not stop the others."""
    from lineament.packs.card import CARD_NAME
    from lineament.packs.integrity import Verification, damage

    try:
        report = store.verify(name)
    except PackBroken as error:
        unread = Verification(name, good=(), missing=(), damaged=(CARD_NAME,), extra=())
        return unread, damage(name, error.message.removesuffix("; install the pack again"))
    try:
        report.require()
    except PackBroken as error:
        return report, error.message
    return report, ""


def _report(report: Verification) -> dict[str, Any]:
    return {
        "name": report.name,
        "sound": report.sound,
        "good": list(report.good),
        "missing": list(report.missing),
        "damaged": list(report.damaged),
        "extra": list(report.extra),
    }


@models.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Delete the installed pack NAME."""
    from lineament.packs.store import Store

    store = Store()
    if name not in store:
        store.card(name)
    if not yes and not click.confirm(f"Delete {name} from {store.packs}?"):
        raise InvalidArgument(f"{name} was kept: nobody said yes")
    store.remove(name)
    click.echo(f"Removed {name}")


def _commercial(allowed: bool | None) -> str:
    return {True: "yes", False: "no", None: "unstated"}[allowed]


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        # Digests and names must survive being copied: broken over lines, never cut.
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False, markup=False).print(table)


@contextmanager
def _progress(quiet: bool) -> Generator[Progress | None]:
    """A bar on the terminal's error stream; none when nobody is looking."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    with Bar(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console) as bar:
        line = bar.add_task("download", total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)
