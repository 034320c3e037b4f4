"""How a watching goes, in numbers."""

from dataclasses import dataclass

from lineament.pipeline.frame import State


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the watching goes.

    Attributes:
        state: of the source.
        frames: looked at.
        faces: found in them.
        searched: of those, good enough to be searched with.
        dropped: frames that were due and came while the one before was being worked on.
        unreadable: frames that were due and could not be decoded.
        late: frames that came out of order, which are left out.
        reconnects: how often a live source was lost and found again.
        alerts: that were kept.
        kept_before: alerts that an earlier run over the same recording had kept already.
        seconds: since the watching began.
        interrupted: whether it was ended with Ctrl-C.
        incomplete: whether a recording stopped well before its end.
    """

    state: State = "opened"
    frames: int = 0
    faces: int = 0
    searched: int = 0
    dropped: int = 0
    unreadable: int = 0
    late: int = 0
    reconnects: int = 0
    alerts: int = 0
    kept_before: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    incomplete: bool = False

    @property
    def fps(self) -> float:
        """Frames looked at a second."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0
