"""Face recognition in the ArcFace family: two photographs in, a defensible answer out.

import lineament as ln

r = ln.Recognizer()
verdict = r.compare("a.jpg", "b.jpg", fmr=1e-4)
"""

from lineament.core import errors as errors
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
