"""Plain values for JSON and tables: what leaves the process, and what never does.

Templates are biometric data and are left out unless a caller asks for them by name.
"""

from typing import Any

from lineament.core.faces import Attributes, Face, Faces
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason, Verdict

POINT_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""As seen in the picture."""


def face_record(face: Face | None, *, template: bool = False) -> dict[str, Any] | None:
    """One face as plain values; pixels are of the full upright picture."""
    if face is None:
        return None
    record: dict[str, Any] = {
        "box": [round(float(v), 2) for v in face.box],
        "score": round(face.score, 5),
        "angle": face.angle,
        "points": {
            name: [round(float(x), 2), round(float(y), 2)]
            for name, (x, y) in zip(POINT_NAMES, face.points, strict=True)
        },
    }
    if face.quality is not None:
        record["quality"] = {
            name: None if value != value else round(value, 4) for name, value in face.quality.items()
        }
    if face.attributes is not None:
        record["attributes"] = _attributes(face.attributes)
    if face.template is not None:
        record["norm"] = round(face.template.norm, 4)
        if template:
            record["template"] = [float(v) for v in face.template.vector]
            record["model"] = {"name": face.template.model.name, "digest": face.template.model.digest}
    return record


def _attributes(attributes: Attributes) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name in Attributes.__slots__:
        column = getattr(attributes, name)
        if column is not None:
            record[name] = column[0].round(3).tolist() if column.ndim > 1 else int(column[0])
    return record


def faces_record(faces: Faces, *, template: bool = False) -> list[dict[str, Any]]:
    """All faces of a picture, best first."""
    return [record for face in faces if (record := face_record(face, template=template)) is not None]


def threshold_record(threshold: Threshold | None) -> dict[str, Any] | None:
    """A threshold and where it was measured."""
    return None if threshold is None else threshold.to_dict()


def reason_record(reason: Reason) -> dict[str, Any]:
    """A reason."""
    return {
        "code": reason.code,
        "message": reason.message,
        "side": reason.side or None,
        "blocking": reason.blocking,
    }


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict with everything needed to defend it."""
    return {
        "decision": verdict.decision.value,
        "match": verdict.match,
        "similarity": verdict.similarity,
        "score_kind": "cosine, -1 to 1, larger is more alike",
        "threshold": threshold_record(verdict.threshold),
        "model": {"name": verdict.model.name, "digest": verdict.model.digest},
        "detector": verdict.detector,
        "policy": verdict.policy,
        "reasons": [reason_record(r) for r in verdict.reasons],
        "a": {
            "source": verdict.sources[0],
            "faces_found": verdict.faces_found[0],
            "face": face_record(verdict.a),
        },
        "b": {
            "source": verdict.sources[1],
            "faces_found": verdict.faces_found[1],
            "face": face_record(verdict.b),
        },
    }
