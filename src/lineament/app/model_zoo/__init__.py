"""Single networks, as `insightface.model_zoo` offers them."""

from lineament.app.model_zoo.arcface_onnx import ArcFaceONNX as ArcFaceONNX
from lineament.app.model_zoo.attribute import Attribute as Attribute
from lineament.app.model_zoo.landmark import Landmark as Landmark
from lineament.app.model_zoo.model_zoo import get_model as get_model
from lineament.app.model_zoo.scrfd import SCRFD as SCRFD
from lineament.app.model_zoo.scrfd import RetinaFace as RetinaFace
