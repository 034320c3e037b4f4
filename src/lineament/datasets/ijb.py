"""IARPA Janus Benchmarks B and C, in the layout in which InsightFace hands out their metadata.

In a folder, with `ijbc` or `ijbb` for the set:

    loose_crop/                             one picture per face
    meta/ijbc_name_5pts_score.txt           name, 5 points (x y), detector score
    meta/ijbc_face_tid_mid.txt              name, template, media; the same faces in the same order
    meta/ijbc_template_pair_label.txt       template, template, 1 or 0: verification
    meta/ijbc_1N_gallery_G1.csv, _G2.csv    TEMPLATE_ID,SUBJECT_ID,…: identification (S1, S2 for set B)
    meta/ijbc_1N_probe_mixed.csv            TEMPLATE_ID,SUBJECT_ID,…

Expected of the whole sets: B has 227,630 faces in 12,115 templates and 10,270 mated and 8,000,000 non-mated
pairs; C has 469,375 faces in 23,124 templates, 19,557 mated and 15,638,932 non-mated pairs, and galleries of
1,772 and 1,759 subjects. A folder that differs is read, and its `notes` say so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.arrow import Columns, read_spaced
from lineament.datasets.tables import read_table, shown, whole

IjbSet = Literal["B", "C"]
CROPS: Final = "loose_crop"
_GALLERIES: Final = {"B": ("S1", "S2"), "C": ("G1", "G2")}
_EXPECTED: Final = {
    "B": {"faces": 227_630, "templates": 12_115, "mated pairs": 10_270, "non-mated pairs": 8_000_000},
    "C": {"faces": 469_375, "templates": 23_124, "mated pairs": 19_557, "non-mated pairs": 15_638_932},
}
_POINTS: Final = tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy")


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Templates of known people: a gallery, or the probes.

    Attributes:
        name: `G1`, `G2`, `S1`, `S2` or `probes`.
        template: (t,) numbers of templates, each once.
        subject: (t,) whose they are.
    """

    name: str
    template: Int[np.ndarray, "t"]
    subject: Int[np.ndarray, "t"]


@dataclass(frozen=True, slots=True, eq=False)
class Ijb:
    """One of the sets.

    Attributes:
        set: `B` or `C`.
        images: names of the pictures relative to the folder (`loose_crop/1.jpg`), n.
        points: (n, 5, 2) eyes, nose and corners of the mouth in pixels of the picture, x and y.
        detector_score: (n,) of the detector that found the points.
        template: (n,) to which template each face belongs.
        media: (n,) which photograph or video it is from.
        pairs_a, pairs_b: (p,) templates to compare; None without the list of pairs.
        mated: (p,) their labels, or None.
        gallery: the galleries, which are searched one at a time; empty without their lists.
        probes: what is searched for, or None.
        notes: how the folder differs from the whole set.
    """

    set: IjbSet
    images: tuple[str, ...]
    points: Float[np.ndarray, "n 5 2"]
    detector_score: Float[np.ndarray, "n"]
    template: Int[np.ndarray, "n"]
    media: Int[np.ndarray, "n"]
    pairs_a: Int[np.ndarray, "p"] | None = None
    pairs_b: Int[np.ndarray, "p"] | None = None
    mated: Bool[np.ndarray, "p"] | None = None
    gallery: tuple[Gallery, ...] = ()
    probes: Gallery | None = None
    notes: tuple[str, ...] = ()


def read_ijb(folder: Path, set: IjbSet = "C") -> Ijb:  # noqa: A002  (the benchmark's own word)
    """Read the metadata of IJB-B or IJB-C; the pictures are for `open_pictures(folder)`.

    Args:
        folder: laid out as this module's description says.
        set: which of the two.

    Raises:
        DatasetInvalid: a file is missing or does not fit the others; the message names it.
        InvalidArgument: no such set.
    """
    if set not in _EXPECTED:
        raise InvalidArgument(f"there is no set {set!r}: choose B or C")
    meta, stem = folder / "meta", f"ijb{set.lower()}"
    listed = meta / f"{stem}_name_5pts_score.txt"
    faces = _spaced(listed, ("name", *_POINTS, "score"))
    names = faces.texts("name")
    template, media = _owners(meta / f"{stem}_face_tid_mid.txt", names, listed)
    points = np.stack([_finite(faces, axis, "coordinate") for axis in _POINTS], axis=1)
    pairs = _pairs(meta / f"{stem}_template_pair_label.txt", template)
    galleries, probes = _searches(meta, stem, _GALLERIES[set], template)
    if pairs is None and probes is None:
        raise DatasetInvalid(
            f"{meta} has neither {stem}_template_pair_label.txt nor {stem}_1N_probe_mixed.csv: there is "
            "nothing to "
            "evaluate"
        )
    pairs_a, pairs_b, mated = pairs or (None, None, None)
    return Ijb(
        set=set,
        images=tuple(f"{CROPS}/{name}" for name in names),
        points=points.reshape(-1, 5, 2).astype(np.float32),
        detector_score=_finite(faces, "score", "detector score").astype(np.float32),
        template=template,
        media=media,
        pairs_a=pairs_a,
        pairs_b=pairs_b,
        mated=mated,
        gallery=galleries,
        probes=probes,
        notes=_notes(set, folder, template, mated, probes),
    )


def _spaced(path: Path, names: tuple[str, ...]) -> Columns:
    if not path.is_file():
        raise DatasetInvalid(f"{path} is not there: it is part of the benchmark's metadata")
    return read_spaced(path, names)


def _finite(columns: Columns, name: str, what: str) -> np.ndarray:
    values = columns.numbers(name, what)
    if np.isnan(values).any():
        raise columns.invalid(int(np.flatnonzero(np.isnan(values))[0]), f"no {what}")
    return values


def _owners(path: Path, names: tuple[str, ...], listed: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n,) templates and (n,) media of the faces, which both files must list in one order."""
    owners = _spaced(path, ("name", "template", "media"))
    again = owners.texts("name")
    if again != names:
        row = next((n for n, (a, b) in enumerate(zip(names, again, strict=False)) if a != b), None)
        if row is None:
            raise DatasetInvalid(
                f"{path} lists {len(again)} faces and {listed.name} {len(names)}: get both again"
            )
        raise owners.invalid(
            row, f"{again[row]!r} where {listed.name} has {names[row]!r}; get both files again"
        )
    return owners.whole("template", "template number"), owners.whole("media", "media number")


def _pairs(path: Path, template: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    if not path.is_file():
        return None
    columns = _spaced(path, ("a", "b", "label"))
    sides = [columns.whole(side, "template number") for side in ("a", "b")]
    label = columns.whole("label", "label")
    odd = np.flatnonzero((label != 0) & (label != 1))
    if len(odd):
        raise columns.invalid(int(odd[0]), f"{label[odd[0]]} is no label; 1 is mated, 0 is not")
    known = np.unique(template)
    for side in sides:
        unknown = np.flatnonzero(~np.isin(side, known))
        if len(unknown):
            raise columns.invalid(int(unknown[0]), f"template {side[unknown[0]]} has no face")
    return sides[0], sides[1], label == 1


def _searches(
    meta: Path, stem: str, names: tuple[str, str], template: np.ndarray
) -> tuple[tuple[Gallery, ...], Gallery | None]:
    """Both galleries and the probes; all three, or none."""
    paths = {name: meta / f"{stem}_1N_gallery_{name}.csv" for name in names}
    paths["probes"] = meta / f"{stem}_1N_probe_mixed.csv"
    missing = [path.name for path in paths.values() if not path.is_file()]
    if len(missing) == len(paths):
        return (), None
    if missing:
        raise DatasetInvalid(f"{meta} lacks {shown(missing)}: a search needs both galleries and the probes")
    known = np.unique(template)
    read = {name: _gallery(name, path, known) for name, path in paths.items()}
    probes = read.pop("probes")
    return tuple(read.values()), probes


def _gallery(name: str, path: Path, known: np.ndarray) -> Gallery:
    table = read_table(path)
    template, subject = table.required(("template_id",)), table.required(("subject_id",))
    owner: dict[int, int] = {}
    for line, fields in table.rows:
        number = whole(fields[template], "template number", path, line)
        person = whole(fields[subject], "subject number", path, line)
        if owner.setdefault(number, person) != person:
            raise DatasetInvalid(
                f"{path}, line {line}: template {number} belongs to {person} and to {owner[number]}"
            )
    templates = np.array(list(owner), dtype=np.int64)
    unknown = templates[~np.isin(templates, known)]
    if not len(templates) or len(unknown):
        what = f"template {unknown[0]} has no face" if len(unknown) else "it lists nothing"
        raise DatasetInvalid(f"{path}: {what}; get the metadata again")
    return Gallery(name, templates, np.array(list(owner.values()), dtype=np.int64))


def _notes(
    set: IjbSet,  # noqa: A002  (the benchmark's own word)
    folder: Path,
    template: np.ndarray,
    mated: np.ndarray | None,
    probes: Gallery | None,
) -> tuple[str, ...]:
    expected = _EXPECTED[set]
    counts = {"faces": len(template), "templates": len(np.unique(template))}
    notes: list[str] = []
    if mated is None:
        notes.append("there is no list of pairs: verification cannot be evaluated")
    else:
        counts |= {"mated pairs": int(mated.sum()), "non-mated pairs": int((~mated).sum())}
    if probes is None:
        notes.append("there are no galleries and probes: identification cannot be evaluated")
    notes += [
        f"IJB-{set} has {expected[what]:,} {what}, and this folder {count:,}: figures are not comparable to "
        "published ones"
        for what, count in counts.items()
        if count != expected[what]
    ]
    if not (folder / CROPS).is_dir():
        notes.append(f"there is no folder {CROPS}: the pictures are elsewhere")
    return tuple(notes)
