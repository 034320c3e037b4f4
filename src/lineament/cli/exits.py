"""What the exit code says: one table.

 0  match, or done                      5  a model pack is missing, damaged or refused
 1  no match                            6  engine, provider or precision not on this machine
 2  undecided, or no usable face        7  no measured threshold
 3  the command line is wrong           8  some items of a batch failed; the others are done
 4  a picture cannot be used            9  a result could not be written
10  training cannot begin or go on     11  a gallery cannot be used
12  consent or approval is missing     70  a fault of lineament itself
130 interrupted
"""

from collections.abc import Sequence

from lineament.core.errors import (
    ApprovalMissing,
    CollectionExists,
    CollectionNotFound,
    ConsentMissing,
    DatasetError,
    EvidenceInsufficient,
    GalleryError,
    GateFailed,
    IdempotencyConflict,
    ImageError,
    InvalidArgument,
    LineamentError,
    ModelOutputInvalid,
    OutputFailed,
    PackError,
    PointsDegenerate,
    RecipeInvalid,
    RuntimeUnavailable,
    StreamUnavailable,
    SubjectExists,
    SubjectNotFound,
    TemplateInvalid,
    TemplateMismatch,
    ThresholdMismatch,
    ThresholdMissing,
    TrainingError,
)
from lineament.core.verdict import Decision

DONE, NO_MATCH, UNDECIDED, USAGE, PARTIAL, FAULT, INTERRUPTED = 0, 1, 2, 3, 8, 70, 130
GALLERY, UNALLOWED = 11, 12

ERRORS: tuple[tuple[type[LineamentError], int], ...] = (
    (ImageError, 4),
    (PointsDegenerate, 4),
    (StreamUnavailable, 4),
    (DatasetError, 4),
    (PackError, 5),
    (ModelOutputInvalid, 5),
    (TemplateInvalid, 5),
    (TemplateMismatch, 5),
    (RuntimeUnavailable, 6),
    (ThresholdMissing, 7),
    (ThresholdMismatch, 7),
    (EvidenceInsufficient, 7),
    (GateFailed, 7),
    (OutputFailed, 9),
    (RecipeInvalid, USAGE),
    (TrainingError, 10),
    # Something that is not there, or there already, is what the command line says wrong.
    (CollectionNotFound, USAGE),
    (CollectionExists, USAGE),
    (SubjectNotFound, USAGE),
    (SubjectExists, USAGE),
    (IdempotencyConflict, USAGE),
    (ConsentMissing, UNALLOWED),
    (ApprovalMissing, UNALLOWED),
    (GalleryError, GALLERY),
    (InvalidArgument, USAGE),
    (LineamentError, FAULT),
)

# The commands that evaluate answer another question than "is it the same person", and have codes of their own
# under 5: the command line or the data are wrong, too little data for what was asked, a gate did not hold.
BAD_INPUT, INSUFFICIENT, GATE = 2, 3, 4
EVALUATING = frozenset({"evaluate", "calibrate", "compare-models", "report"})

EVALUATION_ERRORS: tuple[tuple[type[LineamentError], int], ...] = (
    (DatasetError, BAD_INPUT),
    (ImageError, BAD_INPUT),
    (InvalidArgument, BAD_INPUT),
    (TemplateMismatch, BAD_INPUT),
    (EvidenceInsufficient, INSUFFICIENT),
    (GateFailed, GATE),
    *ERRORS,
)

DECISIONS: dict[Decision, int] = {
    Decision.MATCH: DONE,
    Decision.NO_MATCH: NO_MATCH,
    Decision.UNDECIDED: UNDECIDED,
    Decision.NO_COMPARISON: UNDECIDED,
}


def evaluates(arguments: Sequence[str]) -> bool:
    """Whether a command line is one of those with codes of their own."""
    return next((a for a in arguments if not a.startswith("-")), "") in EVALUATING


def code_of(error: LineamentError, arguments: Sequence[str] = ()) -> int:
    """Exit code of an error: the first row that it belongs to of the table for that command line."""
    table = EVALUATION_ERRORS if evaluates(arguments) else ERRORS
    return next(code for kind, code in table if isinstance(error, kind))


def usage_code(arguments: Sequence[str]) -> int:
    """Exit code of a command line that cannot be understood."""
    return BAD_INPUT if evaluates(arguments) else USAGE
