"""What watching needs of others: something that reads faces, and lists to search."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lineament.applications.watch.votes import Alike
from lineament.core.crop import Crops
from lineament.core.faces import Faces
from lineament.core.image import Image
from lineament.core.template import Templates
from lineament.core.threshold import Threshold


@runtime_checkable
class Reading(Protocol):
    """The faces of a picture; `lineament.pipeline.recognizer.Analysis` is one."""

    @property
    def faces(self) -> Faces:
        """With templates, and quality where it was measured."""
        ...

    @property
    def crops(self) -> Crops | None:
        """Aligned crops, one for each template; or None."""
        ...


@runtime_checkable
class ReadFaces(Protocol):
    """Finds and embeds the faces of a picture; `Recognizer.inspect` does."""

    def __call__(self, source: Image, /) -> Reading:
        """Faces of an upright RGB picture."""
        ...


@runtime_checkable
class WatchedList(Protocol):
    """A list of subjects that faces are searched for in."""

    @property
    def name(self) -> str:
        """Of the list; part of every alert."""
        ...

    @property
    def threshold(self) -> Threshold:
        """From which similarity a face counts as a subject's; asked for at every frame, as lists grow."""
        ...

    def identify(self, templates: Templates, /) -> Sequence[Sequence[Alike]]:
        """For each template, subjects of the list that it is like.

        They come in any order, and a subject may be there several times. Those under the threshold may be
        left out, but where votes ask for a margin the best two subjects are needed, whatever their
        similarity. Whom a reviewer has ruled out for such a face ("not this person") is left out here.
        """
        ...
