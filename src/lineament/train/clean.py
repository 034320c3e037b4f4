"""Wrong labels by sub-centres: Deng, Guo, Liu, Gong & Zafeiriou, "Sub-center ArcFace", ECCV 2020, §3.3.

A network with K sub-centres per person gathers pictures that do not belong at sub-centres of their own. The
sub-centre that most pictures of a person are nearest to is the dominant one; pictures nearest to another, or
more than 75° from the dominant one, are suspects.

Shapes: n pictures, C persons, K sub-centres, D dimension.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lineament.core.errors import CheckpointInvalid, OutputFailed
from lineament.core.files import write_bytes
from lineament.train import state
from lineament.train.backbones.port import Backbone
from lineament.train.cosines import unit
from lineament.train.examples import Examples
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data
from lineament.train.templates import templates_of

ANGLE = 75.0
"""Degrees from the dominant sub-centre beyond which a picture is a suspect: the best of 70 to 85 in the
paper."""
COLUMNS, LARGEST_SHEET, LINE = 10, 100, 14
Criterion = Literal["both", "angle"]


@dataclass(frozen=True, slots=True, eq=False)
class Nearness:
    """Where each picture lies among the sub-centres of its own person.

    Attributes:
        nearest: int64 (n,), number of the nearest sub-centre.
        dominant: int64 (C,), the sub-centre that most pictures of a person are nearest to; of equals the
            lower number.
        angle: (n,) degrees to the person's dominant sub-centre, 0–180.
    """

    nearest: np.ndarray
    dominant: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture whose label may be wrong.

    Attributes:
        row: of the picture.
        name: of the picture.
        person: whose it is said to be.
        reason: why it is listed, for people.
        angle: degrees to the dominant sub-centre; None when the picture cannot be read.
    """

    row: int
    name: str
    person: str
    reason: str
    angle: float | None


def nearness(
    unit_nD: Float[Tensor, "n d"], label_n: Int64[np.ndarray, " n"], centre_CKD: Float[Tensor, "c k d"]
) -> Nearness:
    """Angles of pictures to the sub-centres of their own persons.

    Args:
        unit_nD: embeddings of length 1.
        label_n: number of the person of each.
        centre_CKD: of any length.
    """
    own = unit(centre_CKD.flatten(0, 1), torch.linalg.vector_norm(centre_CKD.flatten(0, 1), dim=1))
    persons, sub_centres, _ = centre_CKD.shape
    label = torch.from_numpy(np.array(label_n))
    cos_nK = torch.empty(len(label), sub_centres)
    for first in range(0, len(label), 1024):
        part = slice(first, first + 1024)
        of_rows = own.view(persons, sub_centres, -1)[label[part]]
        cos_nK[part] = torch.einsum("nd,nkd->nk", unit_nD[part], of_rows)
    nearest = cos_nK.argmax(1)
    votes = torch.zeros(persons, sub_centres, dtype=torch.int64)
    votes.index_put_((label, nearest), torch.ones_like(label), accumulate=True)
    dominant = votes.argmax(1)
    cos_n = cos_nK.gather(1, dominant[label][:, None])[:, 0].clamp(-1.0, 1.0)
    return Nearness(nearest.numpy(), dominant.numpy(), torch.rad2deg(torch.acos(cos_n)).numpy())


def suspects(
    backbone: Backbone,
    centre_CKD: Float[Tensor, "c k d"],
    examples: Examples,
    data: Data,
    *,
    angle: float = ANGLE,
    criterion: Criterion = "both",
    threads: int = 1,
    advance: Callable[[int, int], None] | None = None,
) -> list[Suspect]:
    """Pictures that lie away from the dominant sub-centre of their person, worst first.

    Args:
        backbone: trained with these centres.
        centre_CKD: by number of the person in `examples`.
        examples: the pictures.
        data: how they are stored.
        angle: degrees beyond which a picture is listed, 0–180.
        criterion: `both`, or `angle` alone: pictures nearest to another sub-centre may be rare views of the
            right person.
        threads: that read pictures.
        advance: told how many of how many are done.

    Returns:
        Those that cannot be read first, then by angle.
    """
    rows = np.arange(len(examples), dtype=np.int64)
    unit_nD, broken = templates_of(backbone, examples, rows, data, threads=threads, advance=advance)
    used = np.array([row for row in range(len(examples)) if row not in broken], dtype=np.int64)
    labels = examples.labels[used]
    found = nearness(unit_nD[torch.from_numpy(used)], labels, centre_CKD)
    other = found.nearest != found.dominant[labels]
    far = found.angle > angle
    listed = far if criterion == "angle" else far | other
    chosen: list[Suspect] = []
    for at in np.flatnonzero(listed).tolist():
        why = [f"more than {angle:g} degrees from the person's dominant sub-centre"] if far[at] else []
        why += ["nearest to another sub-centre"] if other[at] else []
        chosen.append(_suspect(examples, int(used[at]), ", ".join(why), float(found.angle[at])))
    unreadable = [_suspect(examples, row, f"cannot be used: {why}", None) for row, why in broken.items()]
    return unreadable + sorted(chosen, key=lambda suspect: -cast(float, suspect.angle))


def _suspect(examples: Examples, row: int, reason: str, angle: float | None) -> Suspect:
    person = examples.classes[int(examples.labels[row])]
    return Suspect(row, examples.name(row), person, reason, angle)


def load_centres(folder: Path, persons: tuple[str, ...]) -> tuple[Backbone, Float[Tensor, "c k d"]]:
    """The network of a checkpoint, and its sub-centres in the order of these persons.

    Raises:
        CheckpointInvalid: damaged, trained with one centre per person, or without some of the persons.
    """
    backbone, recipe = state.load_backbone(folder)
    if recipe.head.kind != "subcenter":
        raise CheckpointInvalid(
            f"{folder} was trained with the head {recipe.head.kind}, which has no sub-centres: leave "
            "--checkpoint out, or name one whose recipe has head.kind=subcenter"
        )
    number = {name: n for n, name in enumerate(state.read_classes(folder))}
    if missing := [person for person in persons if person not in number]:
        raise CheckpointInvalid(
            f"{folder} was not trained on {len(missing)} of {len(persons)} persons of the data, such as "
            f"{missing[0]!r}: name the data it was trained on, or leave --checkpoint out"
        )
    parts = [tensors["weight"] for _, tensors in sorted(state.shards(folder), key=lambda shard: shard[0])]
    return backbone, torch.cat(parts)[[number[person] for person in persons]]


def write_list(path: Path, found: list[Suspect]) -> None:
    """A table `name, reason, angle`, which `data.exclude` takes.

    Raises:
        OutputFailed: it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "reason", "angle"))
    for suspect in found:
        angle = "" if suspect.angle is None else f"{suspect.angle:.1f}"
        rows.writerow((suspect.name, suspect.reason, angle))
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))


def write_sheet(path: Path, found: list[Suspect], examples: Examples, data: Data) -> None:
    """The worst suspects on one picture, each with its angle; only the owner may read the file.

    Raises:
        OutputFailed: it cannot be written.
    """
    side = data.size
    shown = [suspect for suspect in found if suspect.angle is not None][:LARGEST_SHEET]
    lines = max(1, -(-len(shown) // COLUMNS))
    sheet = np.full((lines * (side + LINE), COLUMNS * side, 3), 255, np.uint8)
    for at, suspect in enumerate(shown):
        crop = read_crop(examples, suspect.row, data.colour, side)
        top, left = at // COLUMNS * (side + LINE), at % COLUMNS * side
        if isinstance(crop, np.ndarray):
            sheet[top : top + side, left : left + side] = crop
        label = f"{suspect.angle:.0f} {suspect.person}".encode("ascii", "replace").decode()[: side // 6]
        place = (left + 2, top + side + LINE - 4)
        cv2.putText(sheet, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    done, encoded = cv2.imencode(".png", sheet[..., ::-1])
    if not done:
        raise OutputFailed(f"the sheet {path} cannot be made: leave --sheet out")
    write_bytes(path, encoded.tobytes(), private=True)
