"""Splits of the BLUFR protocol: open-set search on LFW, ten times over.

Source: Liao, Lei, Yi, Li: A Benchmark Study of Large-scale Unconstrained Face Recognition, IJCB 2014, and the
notes beside its configuration file: `galIndex` and `probIndex` count, from 1, in `imageList`.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from lineament.core.errors import DatasetInvalid
from lineament.datasets.tables import MAX_TEXT_BYTES, plain_name, shown

_GZIP: Final = b"\x1f\x8b"
_LISTS: Final = ("train", "gallery", "probe_mated", "probe_nonmated")
_VARIABLES: Final = ("imageList", "labels", "trainIndex", "galIndex", "probIndex")


@dataclass(frozen=True, slots=True)
class Split:
    """One of the repetitions.

    Attributes:
        name: of the split.
        train: pictures of other people, to train or to choose a threshold on.
        gallery: references, one per person.
        probe_mated: probes of people who are in the gallery.
        probe_nonmated: probes of people who are not.
    """

    name: str
    train: tuple[str, ...]
    gallery: tuple[str, ...]
    probe_mated: tuple[str, ...]
    probe_nonmated: tuple[str, ...]


def read_blufr(path: Path) -> tuple[Split, ...]:
    """Every split of a file.

    Args:
        path: JSON, plain or in gzip, of `{split: {train, gallery, probe_mated, probe_nonmated: [names]}}`;
            or the toolkit's `blufr_lfw_config.mat`. Its names have no folders; `resolve_names` finds the
            pictures.

    Raises:
        DatasetInvalid: neither, a name twice in a split, or an index outside of the list.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DatasetInvalid(f"{path} has more than {MAX_TEXT_BYTES >> 30} GiB: it is no list of splits")
        with path.open("rb") as stream:
            head = stream.read(2)
        splits = _from_matlab(path) if path.suffix.lower() == ".mat" else _from_json(path, head)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}") from error
    if not splits:
        raise DatasetInvalid(f"{path} holds no split")
    for split in splits:
        _check(split, path)
    return splits


def _check(split: Split, path: Path) -> None:
    """Every picture in one role, and something in each role that a search needs."""
    everything = [*split.train, *split.gallery, *split.probe_mated, *split.probe_nonmated]
    if len(set(everything)) != len(everything):
        once: set[str] = set()
        twice = [name for name in everything if name in once or once.add(name)]
        raise DatasetInvalid(f"{path}, {split.name}: {shown(twice, 3)} listed twice, in one list or in two")
    for role in ("gallery", "probe_mated", "probe_nonmated"):
        if not getattr(split, role):
            raise DatasetInvalid(f"{path}, {split.name}: the list {role!r} is empty")


def _from_json(path: Path, head: bytes) -> tuple[Split, ...]:
    try:
        if head == _GZIP:
            with gzip.open(path) as stream:
                data = stream.read(MAX_TEXT_BYTES + 1)
        else:
            data = path.read_bytes()
        if len(data) > MAX_TEXT_BYTES:
            raise DatasetInvalid(
                f"{path} unpacks to more than {MAX_TEXT_BYTES >> 30} GiB: it is no list of splits"
            )
        body = json.loads(data)
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise DatasetInvalid(f"{path} is not JSON, plain or in gzip ({error}): get the file again") from error
    if not isinstance(body, dict):
        raise DatasetInvalid(f"{path} is not an object of splits")
    return tuple(_split(str(name), split, path) for name, split in cast(dict[Any, Any], body).items())


def _split(name: str, split: object, path: Path) -> Split:
    lists: list[tuple[str, ...]] = []
    for role in _LISTS:
        names: object = cast(dict[str, Any], split).get(role) if isinstance(split, dict) else None
        if not isinstance(names, list) or not all(isinstance(n, str) for n in cast(list[Any], names)):
            raise DatasetInvalid(
                f"{path}, {name}: {role!r} is not a list of names; a split has {shown(_LISTS)}"
            )
        lists.append(tuple(plain_name(n) for n in cast(list[str], names)))
    return Split(name, *lists)


def _from_matlab(path: Path) -> tuple[Split, ...]:
    content = _loaded(path)
    lacking = [name for name in _VARIABLES if name not in content]
    if lacking:
        raise DatasetInvalid(f"{path} has no variable {shown(lacking)}: it is not a configuration of BLUFR")
    images = [plain_name(str(cell)) for cell in _cells(content["imageList"], path, "imageList")]
    labels = np.asarray(content["labels"]).ravel()
    if len(labels) != len(images):
        raise DatasetInvalid(f"{path} has {len(labels)} labels for {len(images)} pictures")
    columns = {
        name: [_positions(cell, len(images), path, name) for cell in _cells(content[name], path, name)]
        for name in ("trainIndex", "galIndex", "probIndex")
    }
    if len({len(cells) for cells in columns.values()}) != 1:
        raise DatasetInvalid(f"{path} has different numbers of splits in its variables")
    splits: list[Split] = []
    for number, (train, gallery, probes) in enumerate(zip(*columns.values(), strict=True), 1):
        mated = np.isin(labels[probes], labels[gallery])
        parts = (train, gallery, probes[mated], probes[~mated])
        splits.append(Split(f"split{number}", *(tuple(images[i] for i in part) for part in parts)))
    return tuple(splits)


def _loaded(path: Path) -> Mapping[str, Any]:
    from scipy.io import loadmat

    try:
        return cast(Mapping[str, Any], loadmat(path, variable_names=list(_VARIABLES)))
    except NotImplementedError as error:
        raise DatasetInvalid(f"{path} is of MATLAB 7.3: save it with -v7") from error
    except Exception as error:
        # A damaged file makes scipy raise nearly anything.
        raise DatasetInvalid(
            f"{path} is not a MATLAB file that can be read ({error}): get it again"
        ) from error


def _cells(value: object, path: Path, name: str) -> Sequence[Any]:
    """The content of a cell array, or of a list of strings as scipy sees one."""
    array = np.asarray(value).ravel()
    if array.dtype.kind == "U":
        return [str(text).rstrip() for text in array]
    if array.dtype != np.object_:
        raise DatasetInvalid(f"{path}: {name!r} is not a cell array")
    cells = [np.asarray(cell) for cell in array]
    return [str(cell.ravel()[0]) if cell.dtype.kind == "U" and cell.size else cell for cell in cells]


def _positions(cell: object, images: int, path: Path, name: str) -> np.ndarray:
    """(k,) positions from 0, of indices that count from 1."""
    indices = np.asarray(cell).ravel()
    if indices.dtype.kind not in "uif" or not len(indices):
        raise DatasetInvalid(f"{path}: {name!r} has a split that is not a list of indices")
    whole = indices.astype(np.int64)
    if (whole != indices).any() or whole.min() < 1 or whole.max() > images:
        raise DatasetInvalid(f"{path}: {name!r} has an index outside of 1 to {images}")
    return whole - 1
