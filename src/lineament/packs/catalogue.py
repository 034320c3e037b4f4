"""Packs that `models install NAME` knows how to get."""

from dataclasses import dataclass

from lineament.packs.card import Licence
from lineament.packs.terms import INSIGHTFACE_LICENCE

DEFAULT_NAMES = ("default", "opencv-zoo")
"""What the default pack is called; no other pack may have these names."""

_RELEASES = "https://github.com/deepinsight/insightface/releases/download"


@dataclass(frozen=True, slots=True)
class Entry:
    """A pack that can be downloaded.

    Attributes:
        name: what a person types.
        summary: one sentence.
        urls: where it may lie, tried in order.
        licence: terms of the weights.
        sha256: hex digest of the archive; empty where its publisher gives none and we have not seen it.
    """

    name: str
    summary: str
    urls: tuple[str, ...]
    licence: Licence
    sha256: str = ""

    @property
    def file(self) -> str:
        """Name of the archive, for mirrors."""
        return self.urls[0].rsplit("/", 1)[1]


def _insightface(name: str, summary: str) -> Entry:
    urls = (f"{_RELEASES}/v0.7/{name}.zip", f"{_RELEASES}/model-zoo/{name}.zip")
    return Entry(name, summary, urls, INSIGHTFACE_LICENCE)


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _insightface(
            "antelopev2", "InsightFace: SCRFD-10G, ResNet-100 on Glint360K, landmarks, gender and age."
        ),
        _insightface(
            "buffalo_l", "InsightFace: SCRFD-10G, ResNet-50 on WebFace600K, landmarks, gender and age."
        ),
        _insightface(
            "buffalo_m", "InsightFace: SCRFD-2.5G, ResNet-50 on WebFace600K, landmarks, gender and age."
        ),
        _insightface(
            "buffalo_s", "InsightFace: SCRFD-500M, MobileFaceNet on WebFace600K, landmarks, gender, age."
        ),
        _insightface("buffalo_sc", "InsightFace: SCRFD-500M and MobileFaceNet on WebFace600K."),
    )
}


def reinstall_hint(name: str) -> str:
    """The commands that make an installed pack whole again."""
    if name in DEFAULT_NAMES:
        return f"install it again with `lineament models install {name}`"
    again = f"install it again with {install_hint(name)}" if name in CATALOGUE else "install it again"
    return f"remove it with `lineament models remove {name}`, then {again}"


def install_hint(name: str) -> str:
    """The command that installs a pack of the catalogue, with what it asks for."""
    entry = CATALOGUE[name]
    flag = "" if entry.licence.commercial else " --accept-licence"
    note = "" if entry.licence.commercial else f" (weights: {entry.licence.weights}, {entry.licence.url})"
    return f"`lineament models install {name}{flag}`{note}"
