"""Whose weights a folder holds, and on which terms, as far as names can tell."""

from collections.abc import Iterable

from lineament.packs.card import Licence

INSIGHTFACE_PACKS: tuple[str, ...] = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc")
"""Packs that the InsightFace project publishes."""

_INSIGHTFACE_FILES = frozenset(
    (
        "1k3d68",
        "2d106det",
        "genderage",
        "det_10g",
        "det_2.5g",
        "det_500m",
        "w600k_r50",
        "w600k_mbf",
        "glintr100",
    )
)

INSIGHTFACE_LICENCE = Licence(
    code="MIT",
    weights="non-commercial research only",
    commercial=False,
    url="https://github.com/deepinsight/insightface#license",
    data="WebFace600K or Glint360K, photographs collected from the web, themselves for research only",
)
UNSTATED_LICENCE = Licence(
    code="unstated",
    weights="unstated",
    commercial=None,
    data="unstated",
)


def terms_of(name: str, files: Iterable[str]) -> Licence:
    """Terms of a pack called `name` made of `files` (names without folders).

    A known pack under another name is still recognised by the names of its files; anything else is
    unstated, which is not a permission.
    """
    stems = [file.removesuffix(".onnx").lower() for file in files]
    ours = name.lower() in INSIGHTFACE_PACKS
    if ours or any(stem in _INSIGHTFACE_FILES or stem.startswith("scrfd_") for stem in stems):
        return INSIGHTFACE_LICENCE
    return UNSTATED_LICENCE
