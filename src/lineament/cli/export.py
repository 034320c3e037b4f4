"""`lineament export`: a checkpoint of a training run into a pack."""

import importlib.util
import json
import shlex
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineament.cli.options import PHOTO
from lineament.cli.streams import readable
from lineament.core.errors import InvalidArgument, RuntimeUnavailable

if TYPE_CHECKING:
    from lineament.datasets.pairs import Pairs
    from lineament.datasets.port import Pictures
    from lineament.export.pack import Exported
    from lineament.export.quantise import Int8

NEEDED = ("torch", "safetensors", "onnxscript")
TIMED = (1, 32)
MOST_PROOF_CROPS = 64


@click.command()
@click.argument("checkpoint", type=PHOTO)
@click.option("-o", "--output", type=PHOTO, required=True, help="Folder of the pack; new or empty.")
@click.option("--name", help="Of the pack; the first half of its templates' name. [default: the folder's]")
@click.option(
    "--detector",
    metavar="PACK",
    default="default",
    show_default=True,
    help="Pack whose detector is copied into this one, or none.",
)
@click.option("--crops", type=PHOTO, help="Aligned crops to prove the export on, besides noise.")
@click.option("--int8", type=PHOTO, help="Make it of 8-bit numbers, calibrated on these aligned crops.")
@click.option("--pairs", type=PHOTO, help="With --int8: pairs with folds, to measure accuracy on both ways.")
@click.option("--images", type=PHOTO, help="Aligned crops of --pairs; .bin and .lnpairs hold their own.")
@click.option("--protocol", help="Which one, in a file of pairs with several, for example FP.")
@click.option("--data-licence", metavar="TEXT", default="", help="Training data and its terms, for the card.")
@click.option(
    "--weights/--no-weights",
    default=True,
    show_default=True,
    help="Keep beside the network what `train finetune` goes on from; about as large again.",
)
@click.option("--force", is_flag=True, help="Replace a pack that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def export(
    checkpoint: Path,
    output: Path,
    name: str | None,
    detector: str,
    crops: Path | None,
    int8: Path | None,
    data_licence: str,
    weights: bool,
    force: bool,
    as_json: bool,
    **pairs: Any,
) -> int:
    """Make a pack of CHECKPOINT, a folder such as runs/NAME/step-00020000.

    The pack is written only after a proof that the exported network answers as the trained one. It has no
    threshold until you measure one.
    """
    _require_torch()
    from lineament.export.pack import Wanted, licence_of, make_pack
    from lineament.export.place import require_free
    from lineament.train.state import BACKBONE, load_backbone, read_meta

    called = output.absolute().name if name is None else name
    require_free(output.absolute(), force=force)
    backbone, recipe = load_backbone(checkpoint)
    meta = read_meta(checkpoint)
    with ExitStack() as opened:
        small = _int8(int8, backbone.size, opened, **pairs)
        wanted = Wanted(
            name=called,
            step=int(meta["step"]),
            licence=licence_of(data_licence),
            detector=detector,
            crops=_proof_crops(crops, small, backbone.size, opened),
            checkpoint=str(meta["files"][BACKBONE]),
            int8=small,
            weights=weights,
        )
        made = make_pack(backbone, recipe, output, wanted, force=force)
    figures = _figures(made, checkpoint)
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
    else:
        _show(made, figures, _named(output))
    return 0


def _require_torch() -> None:
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RuntimeUnavailable(
            f'an export needs {missing[0]}, which is not installed: run `pip install "lineament[train]"`'
        )


def _int8(
    source: Path | None,
    side: int,
    opened: ExitStack,
    pairs: Path | None,
    images: Path | None,
    protocol: str | None,
) -> "Int8 | None":
    if source is None:
        if pairs is not None or images is not None:
            raise InvalidArgument(
                "--pairs and --images say what --int8 costs: give that too, or use evaluate"
            )
        return None
    from lineament.datasets.pictures import open_pictures
    from lineament.export.quantise import Int8, read_crops

    with closing(open_pictures(source)) as pictures:
        crops = read_crops(pictures, side)
    if pairs is None:
        if images is not None:
            raise InvalidArgument("--images are the crops of --pairs: give both")
        return Int8(crops, source.name)
    listed, of_pairs = _pairs(pairs, images, protocol)
    opened.callback(of_pairs.close)
    return Int8(crops, source.name, listed, of_pairs)


def _pairs(file: Path, images: Path | None, protocol: str | None) -> "tuple[Pairs, Pictures]":
    from lineament.datasets.bin_pairs import read_bin, read_pairs_archive
    from lineament.datasets.pairs import read_pairs
    from lineament.datasets.pictures import open_pictures

    if file.suffix.lower() in (".bin", ".lnpairs"):
        if images is not None:
            raise InvalidArgument(f"{file} holds its own pictures: leave --images out")
        return read_bin(file) if file.suffix.lower() == ".bin" else read_pairs_archive(file)
    if images is None:
        raise InvalidArgument(f"{file} names pictures: say with --images in which folder or zip they lie")
    return read_pairs(file, protocol), open_pictures(images)


def _proof_crops(source: Path | None, small: "Int8 | None", side: int, opened: ExitStack) -> Any:
    """Crops for the proof: those named, else some of the calibration's, else none."""
    if source is None:
        return None if small is None else small.crops[:MOST_PROOF_CROPS]
    from lineament.datasets.pictures import open_pictures
    from lineament.export.quantise import read_crops

    pictures = opened.enter_context(closing(open_pictures(source)))
    return read_crops(pictures, side, MOST_PROOF_CROPS)


def _figures(made: "Exported", checkpoint: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from lineament.export.parity import milliseconds_per_face

    embedder = made.embedder()
    return {
        "folder": readable(str(made.folder)),
        "checkpoint": readable(str(checkpoint)),
        "name": made.card.name,
        "network": made.network.file,
        "dimension": made.network.dimension,
        "model": {"name": embedder.model.name, "digest": embedder.model.digest},
        "bytes": (made.folder / made.network.file).stat().st_size,
        "parity": asdict(made.parity),
        "int8": None if made.change is None else asdict(made.change),
        "milliseconds_per_face": {str(n): round(milliseconds_per_face(embedder, n), 2) for n in TIMED},
        "threads": embedder.session.options.thread_count,
        "notes": list(made.card.notes),
    }


def _named(output: Path) -> str:
    """The pack as an argument: a bare name would be looked up in the store first."""
    text = str(output)
    return shlex.quote(readable(text if "/" in text or "\\" in text else f"./{text}"))


def _show(made: "Exported", figures: dict[str, Any], pack: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=False)
    console.print(f"{figures['checkpoint']} → {figures['folder']}")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for row in _rows(made, figures):
        table.add_row(*row)
    console.print(table)
    click.echo(
        "\nIt has no threshold yet. Next:\n"
        f"  lineament evaluate pairs cfp_fp.bin --model {pack}\n"
        f"  lineament calibrate --fmr 1e-4 --images people/ --model {pack} -o card.json\n"
        f"  lineament compare a.jpg b.jpg --model {pack} --threshold-card card.json"
    )


def _rows(made: "Exported", figures: dict[str, Any]) -> list[tuple[str, str]]:
    proof, change, per_face = made.parity, made.change, figures["milliseconds_per_face"]
    rows = [
        ("templates are of", f"{figures['model']['name']}@{figures['model']['digest'][:12]}"),
        ("network", f"{figures['network']}, {figures['bytes'] / 1e6:.1f} MB, {figures['dimension']} numbers"),
        (
            "same as trained",
            f"{proof.inputs} inputs, batches of {', '.join(map(str, proof.batches))}: templates within "
            f"{proof.template:.1e}, raw outputs within {proof.raw:.1e}, cosine at least {proof.cosine:.9f}",
        ),
    ]
    if change is not None:
        rows.append(
            (
                "8 bits",
                f"cosine to float32 on {change.held_out} crops: median {change.median:.4f}, worst "
                f"{change.worst:.4f}",
            )
        )
    if change is not None and change.before is not None and change.after is not None:
        (b, b_error), (a, a_error) = change.before, change.after
        rows.append((change.pairs, f"{b:.2%} ± {b_error:.2%} in float32, {a:.2%} ± {a_error:.2%} in 8 bits"))
    rows.append(
        (
            "time",
            ", ".join(f"{ms:.1f} ms a face in batches of {n}" for n, ms in per_face.items())
            + f" ({figures['threads']} threads)",
        )
    )
    return rows
