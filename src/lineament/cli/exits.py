"""What the exit code says: one table.

 0  match, or done                      5  a model pack is missing, damaged or refused
 1  no match                            6  engine, provider or precision not on this machine
 2  undecided, or no usable face        7  no measured threshold
 3  the command line is wrong           8  some items of a batch failed; the others are done
 4  a picture cannot be used            9  a result could not be written
70  a fault of lineament itself       130  interrupted
"""

from lineament.core.errors import (
    ImageError,
    InvalidArgument,
    LineamentError,
    ModelOutputInvalid,
    OutputFailed,
    PackError,
    PointsDegenerate,
    RuntimeUnavailable,
    TemplateInvalid,
    TemplateMismatch,
    ThresholdMismatch,
    ThresholdMissing,
)
from lineament.core.verdict import Decision

DONE, NO_MATCH, UNDECIDED, USAGE, PARTIAL, FAULT, INTERRUPTED = 0, 1, 2, 3, 8, 70, 130

ERRORS: tuple[tuple[type[LineamentError], int], ...] = (
    (ImageError, 4),
    (PointsDegenerate, 4),
    (PackError, 5),
    (ModelOutputInvalid, 5),
    (TemplateInvalid, 5),
    (TemplateMismatch, 5),
    (RuntimeUnavailable, 6),
    (ThresholdMissing, 7),
    (ThresholdMismatch, 7),
    (OutputFailed, 9),
    (InvalidArgument, USAGE),
    (LineamentError, FAULT),
)

DECISIONS: dict[Decision, int] = {
    Decision.MATCH: DONE,
    Decision.NO_MATCH: NO_MATCH,
    Decision.UNDECIDED: UNDECIDED,
    Decision.NO_COMPARISON: UNDECIDED,
}


def code_of(error: LineamentError) -> int:
    """Exit code of an error: the first row of the table that it belongs to."""
    return next(code for kind, code in ERRORS if isinstance(error, kind))
