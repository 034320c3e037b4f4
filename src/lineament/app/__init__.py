"""A door for code written against `insightface.app`: change the first word of the imports and it runs.

    from lineament.app import FaceAnalysis

    app = FaceAnalysis("buffalo_l")
    app.prepare(ctx_id=0, det_size=(640, 640))
    faces = app.get(cv2.imread("group.jpg"))

Arrays at this door are **blue-green-red**, as OpenCV reads them; everywhere else in this package they are
red-green-blue. Boxes, points, embeddings, landmarks and poses agree with insightface 2.1 on the same model
files. What differs on purpose: nothing is downloaded, no provider is replaced
silently, a misspelt attribute is an error, and faces that cannot be aligned have no embedding.
"""

from lineament.app import face_align as face_align
from lineament.app import model_zoo as model_zoo
from lineament.app.common import Face as Face
from lineament.app.data import get_image as get_image
from lineament.app.face_analysis import FaceAnalysis as FaceAnalysis
