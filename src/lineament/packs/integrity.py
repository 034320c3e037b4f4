"""Whether the files of a pack are what its card says."""

from dataclasses import dataclass
from pathlib import Path

from lineament.core.errors import PackBroken
from lineament.packs.card import CARD_NAME, Pack, PackCard, sha256_of
from lineament.packs.catalogue import reinstall_hint
from lineament.packs.stamps import Stamps


@dataclass(frozen=True, slots=True)
class Verification:
    """What re-hashing every file of a pack found; file names relative to its folder.

    Attributes:
        name: the pack.
        good: files that are as the card says.
        missing: named by the card and not there.
        damaged: there, with another digest.
        extra: there, and not named by the card.
    """

    name: str
    good: tuple[str, ...]
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True when nothing is missing or damaged."""
        return not self.missing and not self.damaged

    def require(self) -> None:
        """Refuse a pack that is not sound.

        Raises:
            PackBroken: naming the files that are wrong.
        """
        if not self.sound:
            wrong = [f"{f} is missing" for f in self.missing] + [f"{f} has changed" for f in self.damaged]
            raise PackBroken(damage(self.name, ", ".join(wrong)))


def damage(name: str, what: str) -> str:
    """The sentence for a damaged pack."""
    return f"pack {name!r} is damaged: {what}; {reinstall_hint(name)}"


def same_networks(one: PackCard, other: PackCard) -> bool:
    """Whether two packs make the same templates: the same published files, preprocessed alike.

    How the files were adapted for speed does not count, nor do names and words.
    """
    first, second = (
        {(m.task, m.origin_sha256 or m.sha256, m.colour, m.mean, m.std) for m in card.models}
        for card in (one, other)
    )
    return first == second


def read_card(folder: Path) -> PackCard:
    """The card in a folder.

    Raises:
        PackBroken: there is none, or it cannot be read, or it names files outside the folder.
    """
    path = folder / CARD_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackBroken(f"{path} cannot be read: {error}; install the pack again") from error
    card = PackCard.from_json(text, str(path))
    for model in card.models:
        inside = (folder / model.file).resolve().is_relative_to(folder.resolve())
        if not model.file or not inside:
            raise PackBroken(f"{path} names a file outside its folder: {model.file!r}; do not use this pack")
    return card


def check_files(pack: Pack, stamps: Stamps, key: str) -> None:
    """Check that every file of a pack is what its card says, hashing only what may have changed.

    Args:
        pack: what to check.
        stamps: what files looked like when they were last hashed.
        key: the pack's name in `stamps`.

    Raises:
        PackBroken: a file is missing or differs.
    """
    known = stamps.known(key, pack.folder)
    hashed = False
    for model in pack.card.models:
        path = pack.path(model)
        if not path.is_file():
            raise PackBroken(damage(pack.card.name, f"{path} is missing"))
        if known.get(model.file) == model.sha256:
            continue
        digest = sha256_of(path)
        if digest != model.sha256:
            what = f"{path} has sha256 {digest[:16]}…, its card says {model.sha256[:16]}…"
            raise PackBroken(damage(pack.card.name, what))
        hashed = True
    if hashed:
        stamps.remember(key, pack.folder, {m.file: m.sha256 for m in pack.card.models})


def verify_folder(card: PackCard, folder: Path, name: str = "") -> Verification:
    """Hash every file of a folder and compare with a card; `name` is what to call it in the answer."""
    wanted = {model.file: model.sha256 for model in card.models}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {CARD_NAME}
    digests = {file: sha256_of(folder / file) for file in sorted(set(wanted) & there)}
    return Verification(
        name or card.name,
        good=tuple(file for file, digest in digests.items() if digest == wanted[file]),
        missing=tuple(sorted(set(wanted) - there)),
        damaged=tuple(file for file, digest in digests.items() if digest != wanted[file]),
        extra=tuple(sorted(there - set(wanted))),
    )
