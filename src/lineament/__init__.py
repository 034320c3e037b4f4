"""Face recognition in the ArcFace family: two photographs in, a defensible answer out.

import lineament as ln

r = ln.Recognizer()
verdict = r.compare("a.jpg", "b.jpg", fmr=1e-4)
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from lineament.core import errors as errors
from lineament.core.candidate import Candidate as Candidate
from lineament.core.citation import citation as citation
from lineament.core.crop import Crops as Crops
from lineament.core.errors import LineamentError as LineamentError
from lineament.core.faces import Face as Face
from lineament.core.faces import Faces as Faces
from lineament.core.image import Image as Image
from lineament.core.template import ModelId as ModelId
from lineament.core.template import Template as Template
from lineament.core.template import Templates as Templates
from lineament.core.threshold import Threshold as Threshold
from lineament.core.verdict import Decision as Decision
from lineament.core.verdict import Reason as Reason
from lineament.core.verdict import Verdict as Verdict
from lineament.detect.search import DetectionSettings as DetectionSettings
from lineament.packs.store import Store as Store
from lineament.pipeline.parts import PartSettings as PartSettings
from lineament.pipeline.recognizer import Recognizer as Recognizer
from lineament.runtime.options import RuntimeOptions as RuntimeOptions
from lineament.vision.decode import Limits as Limits
from lineament.vision.decode import read_image as read_image
from lineament.vision.quality import QualityLimits as QualityLimits

__version__ = "0.1.0"

if _TYPE_CHECKING:
    from lineament.gallery.gallery import Gallery as Gallery
    from lineament.gallery.watchlist import Watchlist as Watchlist

# The database engine is loaded when a gallery is asked for, and is an extra.
_LATER = {"Gallery": "lineament.gallery.gallery", "Watchlist": "lineament.gallery.watchlist"}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lineament' has no attribute {name!r}")
    try:
        module = _import_module(_LATER[name])
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("sqlalchemy", "cryptography"):
            raise
        raise errors.RuntimeUnavailable(
            'galleries need the extra: pip install "lineament[gallery]"'
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
