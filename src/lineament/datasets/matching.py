"""Which picture a name in a list means, when lists and pictures come from different hands."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from lineament.core.errors import DatasetInvalid
from lineament.vision.containers import PICTURE_SUFFIXES


def resolve_names(wanted: Iterable[str], pictures: Sequence[str]) -> dict[str, str]:
    """Pictures by the names that mean them; names without a picture are left out.

    The same name is taken first, then the same but for the suffix, then one of which the other is the end
    (`lfw/A/A_0001.jpg` for `A/A_0001`). Letters with accents may be composed or not.

    Raises:
        DatasetInvalid: a name could mean two pictures, or two names mean one; both are named.
    """
    present = frozenset(pictures)
    found: dict[str, str] = {}
    index: _Index | None = None
    for name in wanted:
        if name in present:
            found[name] = name
            continue
        # The index of a million pictures is only made for lists that need it.
        index = index or _Index(pictures)
        picture = index.find(name)
        if picture is not None:
            found[name] = picture
    _refuse_shared(found)
    return found


class _Index:
    def __init__(self, pictures: Sequence[str]) -> None:
        self.whole: defaultdict[str, list[str]] = defaultdict(list)
        self.ends: defaultdict[str, list[str]] = defaultdict(list)
        for picture in pictures:
            stem = _stem(picture)
            self.whole[stem].append(picture)
            for end in _ends(stem):
                self.ends[end].append(picture)

    def find(self, name: str) -> str | None:
        stem = _stem(name)
        # The same path; a longer one in the pictures; a longer one in the list, the longest end first.
        for table, keys in ((self.whole, [stem]), (self.ends, [stem]), (self.whole, list(_ends(stem)))):
            for key in keys:
                match table.get(key, ()):
                    case []:
                        continue
                    case [picture]:
                        return picture
                    case [one, other, *_]:
                        raise DatasetInvalid(
                            f"{name!r} could mean {one!r} or {other!r}: rename one of them, or name the "
                            "pictures "
                            "in the list as they are called"
                        )
                    case _:
                        continue
        return None


def _stem(name: str) -> str:
    """Without the suffix of a picture and in composed letters, so that spellings of one name agree."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return str(path.with_suffix("") if path.suffix.lower() in PICTURE_SUFFIXES else path)


def _ends(stem: str) -> Iterable[str]:
    """Everything after each of its slashes, the longest first."""
    at = stem.find("/")
    while at >= 0:
        yield stem[at + 1 :]
        at = stem.find("/", at + 1)


def _refuse_shared(found: dict[str, str]) -> None:
    names: dict[str, str] = {}
    for name, picture in found.items():
        other = names.setdefault(picture, name)
        if other != name:
            raise DatasetInvalid(
                f"{other!r} and {name!r} would both mean the picture {picture!r}: name the pictures in the "
                "list as "
                "they are called"
            )
