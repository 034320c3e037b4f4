"""InsightFace packs and single ONNX files, read where they lie and written down as a card."""

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lineament.core.errors import PackBroken, PackNotFound, PackUnrecognised
from lineament.packs.archive import unpack_models
from lineament.packs.card import TASKS, ModelCard, Pack, PackCard, Task, sha256_of
from lineament.packs.recognise import Overrides, Preprocessing, Unused, recognise
from lineament.packs.store import Store
from lineament.packs.terms import terms_of

EXPECTED = (
    "expected: *.onnx files, flat or in one subfolder, among them a detector with 6, 9, 10 or 15 outputs "
    "(such as det_10g.onnx), and usually a recogniser with a square input, 112×112 or larger"
)


def read_insightface(
    path: str | Path,
    *,
    name: str | None = None,
    overrides: Overrides | None = None,
    skip_broken: bool = False,
    store: Store | None = None,
) -> Pack:
    """An InsightFace pack, from its folder or zip.

    A folder is used in place and nothing is written to it. A zip is unpacked once, into a cache of the
    store that goes by its digest; neither is installed.

    Args:
        path: folder (files flat or in one subfolder) or zip.
        name: name of the pack; by default that of the folder or zip.
        overrides: preprocessing by task where structure cannot tell it, for example
            `{"recognition": {"colour": "bgr", "std": 128.0}}`.
        skip_broken: leave files that cannot be read out of the pack, with a note, instead of refusing it.
        store: whose cache a zip goes to; by default the user's store.

    Raises:
        PackNotFound: nothing at `path`.
        PackBroken: a file (named) cannot be read, or the zip is damaged or hostile.
        PackUnrecognised: there is no detector among the files, or it is neither folder nor zip.
        OutputFailed: the store cannot be written.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return _read_folder(place, name or place_name(place), overrides, skip_broken)
    if not place.is_file():
        raise PackNotFound(f"there is no folder or file {place}; give the folder that holds the .onnx files")
    if kind_of(place) != "zip":
        raise PackUnrecognised(f"{place} is one network, not a pack of several; open it with read_onnx")
    shelf = (Store() if store is None else store).shelf()
    return _read_zip(place, shelf, name or place_name(place), overrides, skip_broken)


def _read_zip(archive: Path, shelf: Store, name: str, overrides: Overrides | None, skip_broken: bool) -> Pack:
    digest = sha256_of(archive)
    key = _shelf_key(digest, overrides, skip_broken)
    source = f"{archive.name}, sha256 {digest}"
    pack = _on_shelf(shelf, key) or import_zip(
        archive,
        shelf,
        name=key,
        source=source,
        overrides=overrides,
        skip_broken=skip_broken,
        replacing=True,
    )
    # The name decides on the terms too, and the next copy of the same zip may have another one.
    terms = terms_of(name, [Path(model.file).name for model in pack.card.models])
    return Pack(replace(pack.card, name=name, licence=terms, source=source), pack.folder)


def _shelf_key(digest: str, overrides: Overrides | None, skip_broken: bool) -> str:
    """Folder of an unpacked zip: its digest, and what else decides how its card reads."""
    if not overrides and not skip_broken:
        return digest
    told = json.dumps([overrides, skip_broken], sort_keys=True)
    return f"{digest[:40]}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _on_shelf(shelf: Store, key: str) -> Pack | None:
    """What was unpacked before, unless it is damaged: then it is unpacked again."""
    try:
        return shelf.get(key) if key in shelf else None
    except PackBroken:
        return None


def import_zip(
    archive: Path,
    store: Store,
    *,
    name: str,
    source: str,
    overrides: Overrides | None = None,
    skip_broken: bool = False,
    notes: tuple[str, ...] = (),
    replacing: bool = False,
) -> Pack:
    """Unpack a zip's models into the store as pack `name`, all or nothing.

    Raises:
        InvalidArgument: a different pack has this name, and `replacing` was not given.
        PackBroken: the zip or a model in it is damaged or hostile.
        PackUnrecognised: there is no detector among the files.
        OutputFailed: the store cannot be written.
    """
    with store.staging() as staged:
        unpack_models(archive, staged)
        pack = _read_folder(staged, name, overrides, skip_broken, shown=str(archive))
        card = replace(pack.card, source=source, notes=pack.card.notes + notes)
        return store.add(staged, adapt(card, staged), replacing=replacing)


def import_files(pack: Pack, store: Store, *, name: str | None = None, replacing: bool = False) -> Pack:
    """Copy a pack that was read in place into the store.

    Raises:
        InvalidArgument: a different pack has this name, and `replacing` was not given.
        PackBroken: a file has changed meanwhile.
        OutputFailed: the store cannot be written.
    """
    import shutil

    card = replace(pack.card, name=name or pack.card.name)
    with store.staging() as staged:
        for model in card.models:
            (staged / model.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pack.path(model), staged / model.file)
        return store.add(staged, adapt(card, staged), replacing=replacing)


def adapt(card: PackCard, folder: Path) -> PackCard:
    """Rewrite the files in `folder` so that they run faster and take more shapes, giving the same numbers.

    The batch of every network and the picture size of detectors become free where the graph allows it, and
    see `lineament.packs.faster`. The published digest stays each model's identity.
    """
    return replace(card, models=tuple(_adapt(model, folder / model.file) for model in card.models))


def _adapt(card: ModelCard, path: Path) -> ModelCard:
    import onnx

    from lineament.packs.dimensions import free_dimensions
    from lineament.packs.faster import prelu_as_max
    from lineament.packs.graph import load_model

    model = load_model(path)
    freed = free_dimensions(model, batch=card.batch > 0, spatial=card.task == "detection")
    if not prelu_as_max(model) and not freed:
        return card
    onnx.save(model, path)
    return replace(
        card,
        sha256=sha256_of(path),
        origin_sha256=card.origin_sha256 or card.sha256,
        batch=0 if "batch" in freed else card.batch,
        size=(0, 0) if "height" in freed and card.task == "detection" else card.size,
    )


def read_onnx(
    path: str | Path,
    *,
    task: Task | None = None,
    name: str | None = None,
    overrides: Overrides | None = None,
    **preprocessing: Any,
) -> Pack:
    """A single ONNX file as a pack of one model, used in place.

    Args:
        path: the file.
        task: what it must be; None takes whatever it is recognised as.
        name: name of the pack; by default the file's, without its ending.
        overrides: preprocessing by task, as in `read_insightface`.
        **preprocessing: `colour`, `mean`, `std` (see `Preprocessing`), whatever the task.

    Raises:
        PackNotFound: no such file.
        PackBroken: it cannot be read.
        PackUnrecognised: it is none of the networks known here, or not one for `task`.
        InvalidArgument: a preprocessing value is unknown or out of range.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise PackNotFound(f"there is no file {place}; give the path of an .onnx file")
    if preprocessing:
        overrides = dict.fromkeys(TASKS, Preprocessing(**preprocessing))
    found = recognise(place, place.parent, overrides)
    if isinstance(found, Unused):
        raise PackUnrecognised(f"{place} is not a network that can be used here: {found.reason}")
    if task is not None and found.task != task:
        raise PackUnrecognised(f"{place} looks like {found.task}, not {task}; name the right file")
    return Pack(
        PackCard(
            name=name or place_name(place),
            summary=f"One network: {found.task}.",
            models=(found,),
            licence=terms_of(place.stem, [place.name]),
            source=str(place.resolve()),
            notes=_preprocessing_notes([found], overrides),
        ),
        place.parent,
    )


def kind_of(path: Path) -> Literal["folder", "zip", "onnx"]:
    """What sort of pack lies at an existing path, by its ending or its bytes.

    Raises:
        PackUnrecognised: none; says what is accepted.
    """
    if path.is_dir():
        return "folder"
    ending = path.suffix.lower()
    if ending == ".onnx":
        return "onnx"
    # A file that calls itself a zip and is none is a damaged one, which unpacking says.
    if ending == ".zip" or zipfile.is_zipfile(path):
        return "zip"
    raise PackUnrecognised(
        f"{path} is not a model pack; name an installed pack (`lineament models list`), a folder or .zip "
        "with .onnx files, or an .onnx file"
    )


def place_name(place: Path) -> str:
    """A pack name made from a path's last part."""
    stem = place.resolve().name if place.is_dir() else place.name.rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip(".-")[:64] or "pack"


def _read_folder(
    folder: Path, name: str, overrides: Overrides | None, skip_broken: bool, shown: str = ""
) -> Pack:
    where = shown or str(folder)
    inner = _model_folder(folder, where)
    models: dict[Task, ModelCard] = {}
    unused: list[Unused] = []
    for path in sorted(inner.glob("*.onnx")):
        try:
            found = recognise(path, inner, overrides)
        except PackBroken as error:
            if not skip_broken:
                raise
            found = Unused(path.name, f"it cannot be read ({error.message})")
        if isinstance(found, ModelCard) and found.task in models:
            found = Unused(
                found.file, f"a second network for {found.task}; {models[found.task].file} comes first"
            )
        if isinstance(found, Unused):
            unused.append(found)
        else:
            models[found.task] = found
    if "detection" not in models:
        raise PackUnrecognised(_no_detector(where, models, unused))
    # Files are named from the pack's own folder, which stays the outer one only for a staged folder.
    return _described(folder, inner, name, tuple(models.values()), unused, overrides)


def _described(
    folder: Path,
    inner: Path,
    name: str,
    models: tuple[ModelCard, ...],
    unused: Sequence[Unused],
    overrides: Overrides | None,
) -> Pack:
    files = [Path(m.file).name for m in models]
    card = PackCard(
        name=name,
        summary=f"InsightFace layout: {', '.join(m.task for m in models)}.",
        models=models,
        licence=terms_of(name, files),
        source=str(folder.resolve()),
        notes=(
            "Described from the structure of the files; normalisation found in a graph is not applied again.",
            *_preprocessing_notes(models, overrides),
            *(f"Not used: {u.file} ({u.reason})." for u in unused),
        ),
    )
    return Pack(card, inner)


def _preprocessing_notes(models: Sequence[ModelCard], overrides: Overrides | None) -> tuple[str, ...]:
    return tuple(
        f"Preprocessing of {m.task} as told: {m.colour}, mean {m.mean:g}, std {m.std:g}."
        for m in models
        if (overrides or {}).get(m.task)
    )


def _model_folder(folder: Path, shown: str) -> Path:
    """`folder`, or its only subfolder that holds .onnx files."""
    if any(folder.glob("*.onnx")):
        return folder
    nested = sorted({path.parent for path in folder.glob("*/*.onnx")})
    if len(nested) == 1:
        return nested[0]
    if nested:
        names = ", ".join(p.name for p in nested)
        raise PackUnrecognised(f"{shown} holds several packs ({names}); name one of these folders")
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    listing = ", ".join(files[:20]) if files else "nothing"
    raise PackUnrecognised(f"{shown} holds no .onnx file (found: {listing}); {EXPECTED}")


def _no_detector(shown: str, models: dict[Task, ModelCard], unused: Sequence[Unused]) -> str:
    found = [f"{m.file}: {task}" for task, m in models.items()]
    found += [f"{u.file}: not usable, {u.reason}" for u in unused]
    return f"{shown} holds no detection model (found: {'; '.join(found)}); {EXPECTED}"
