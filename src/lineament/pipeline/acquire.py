"""From photographs to templates for an evaluation: detect, choose the subject's face, align, embed."""

from collections.abc import Iterable, Iterator

from lineament.core.errors import LineamentError
from lineament.core.ports import Acquired
from lineament.core.template import ModelId
from lineament.pipeline.policy import FacePolicy, choose
from lineament.pipeline.recognizer import Analysis, Recognizer
from lineament.vision.quality import QualityLimits


class FromPhotographs:
    """Templates of photographs with a `Recognizer`, as the product makes them.

    Args:
        recognizer: detector, embedder and settings.
        policy: which face of a photograph is the subject's.
        quality: limits under which a face is refused, which makes it a failure to acquire; None for no gate.
        workers: photographs at a time; None for one per thread.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        policy: FacePolicy = "most_central",
        quality: QualityLimits | None = None,
        workers: int | None = None,
    ) -> None:
        self.recognizer = recognizer
        self.policy: FacePolicy = policy
        self.quality = quality
        self.workers = workers

    @property
    def model(self) -> ModelId:
        """Identity of everything that shapes a template."""
        return self.recognizer.model

    @property
    def detector(self) -> str:
        """Which detector finds the face."""
        return self.recognizer.parts().detector.name

    def acquire_many(self, sources: Iterable[bytes]) -> Iterator[Acquired]:
        """One result per photograph, in order; without a usable face it has a reason."""
        for result in self.recognizer.analyze_many(sources, workers=self.workers):
            yield self._one(result.value, result.error)

    def _one(self, analysis: Analysis | None, error: LineamentError | None) -> Acquired:
        if analysis is None:
            reason, message = ("error", "") if error is None else (error.reason, error.message)
            return Acquired(None, reason, message)
        choice = choose(analysis.faces, self.policy, analysis.picture.full_size, self.quality)
        face = choice.face
        if face is None or face.template is None:
            # Of several faces, that there are several is no reason: what stood in the way is.
            why = next((r for r in choice.reasons if r.blocking), choice.reasons[0])
            return Acquired(None, why.code, why.message)
        return Acquired(face.template, score=face.score, quality=face.template.norm)
