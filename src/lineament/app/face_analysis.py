"""`FaceAnalysis`: pictures in, lists of `Face` out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lineament.app.common import Face
from lineament.app.devices import Devices
from lineament.app.drawing import draw_faces
from lineament.app.model_zoo.arcface_onnx import ArcFaceONNX
from lineament.app.model_zoo.base import TASK_NAMES
from lineament.app.model_zoo.model_zoo import open_model
from lineament.app.model_zoo.scrfd import SCRFD
from lineament.app.packs import find_pack
from lineament.app.pictures import bgr_pixels, rgb_pixels
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Attributes, Faces
from lineament.packs.card import Pack
from lineament.packs.store import Store
from lineament.pipeline.batch import in_order

COLUMNS = {
    "landmarks_106": "landmark_2d_106",
    "landmarks_68": "landmark_3d_68",
    "pose": "pose",
    "gender": "gender",
    "age": "age",
}
"""Columns of `Attributes` → items of a `Face`."""
