"""What can go wrong, as one tree.

    LineamentError
    ├── ImageError                   a picture cannot be used
    │   ├── ImageNotFound            no such file
    │   ├── ImageEmpty               zero bytes
    │   ├── ImageUnreadable          the bytes are not a picture
    │   ├── ImageTruncated           the picture stops before its end
    │   ├── ImageTooLarge            more pixels (or bytes) than the limit
    │   ├── ImageZeroSized           a picture without pixels
    │   ├── ImageFormatUnsupported   a format that needs an extra package
    │   └── ImageArrayInvalid        an array whose shape, type, range or colour order is unclear
    ├── PackError                    model files
    │   ├── PackNotFound             no pack of that name or path
    │   ├── PackBroken               a file is missing, damaged or not what its card says
    │   ├── PackUnrecognised         the files do not look like models we know
    │   ├── LicenceNotAccepted       the weights have terms that must be accepted first
    │   └── DownloadFailed           a download stopped, stalled or delivered the wrong bytes
    ├── RuntimeUnavailable           an execution provider, engine or precision is not there
    ├── ModelOutputInvalid           a network answered with something that is not a number
    ├── PointsDegenerate             five points from which no alignment follows
    ├── TemplateInvalid              a vector that cannot be a template
    ├── TemplateMismatch             templates of two different models
    ├── ThresholdMissing             no measured threshold for this model at this rate
    ├── ThresholdMismatch            a threshold measured for another model or another task
    ├── DatasetError                 data to evaluate on cannot be used
    │   ├── DatasetInvalid           a file or folder is not laid out as its format says
    │   ├── DatasetUnsafe            a file asks for code to be run
    │   └── ScoresInvalid            similarities or labels from which nothing can be computed
    ├── EvidenceInsufficient         too little data for the claim that was asked for
    ├── GateFailed                   a measured result is not as good as was demanded
    ├── TrainingError                a training run cannot begin or go on
    │   ├── RecipeInvalid            a recipe, or one of its settings, that cannot be run
    │   ├── CheckpointInvalid        a checkpoint that is missing, damaged, or of another network
    │   ├── TrainingDiverged         losses or gradients that are not finite, step after step
    │   └── ExportFailed             an exported network that does not answer as the trained one
    ├── GalleryError                 a gallery cannot do what was asked
    │   ├── CollectionNotFound       no collection of that name
    │   ├── CollectionExists         a collection of that name is there already
    │   ├── SubjectNotFound          no subject of that id, or none any more
    │   ├── SubjectExists            a subject of that id is there already
    │   ├── GalleryBroken            a damaged database, a record that was changed, an index beyond reading
    │   ├── GalleryLocked            another process holds the gallery for too long
    │   ├── GalleryVersion           a database that another version of this package wrote
    │   ├── KeyUnavailable           templates are sealed, and the key is missing or another one
    │   ├── IdempotencyConflict      a key of a request was used before, for another request
    │   ├── IndexUnavailable         an engine for searching is not installed or does not answer
    │   ├── ApprovalMissing          an act that needs a second person has none yet
    │   └── ConsentMissing           consent is asked for and there is none, or it was taken back
    ├── StreamUnavailable            a camera or a stream cannot be reached, or gives no video
    ├── InvalidArgument              a parameter outside what it may be
    └── OutputFailed                 a result could not be written

What is *expected* of the world (no face, two faces, a blurred face, a similarity below the threshold) is
never an error but a value with a named reason. Every message says what happened, then what to do.
"""


class LineamentError(Exception):
    """Base of every error this package raises on purpose.

    Attributes:
        reason: stable snake_case name for machines; part of the public surface.
        message: what happened and what to do next, for people.
    """

    reason: str = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ImageError(LineamentError):
    """A picture cannot be used."""

    reason = "image_error"


class ImageNotFound(ImageError):
    """There is no file at the path."""

    reason = "image_not_found"


class ImageEmpty(ImageError):
    """The file or the byte string holds nothing."""

    reason = "image_empty"


class ImageUnreadable(ImageError):
    """The bytes are not a picture in a format we can decode."""

    reason = "image_unreadable"


class ImageTruncated(ImageError):
    """The picture begins well and stops before its end."""

    reason = "image_truncated"


class ImageTooLarge(ImageError):
    """The picture has more pixels, or the file more bytes, than the limit."""

    reason = "image_too_large"


class ImageZeroSized(ImageError):
    """The picture has no rows or no columns."""

    reason = "image_zero_sized"


class ImageFormatUnsupported(ImageError):
    """The format is known, but reading it needs an extra package."""

    reason = "image_format_unsupported"


class ImageArrayInvalid(ImageError):
    """The array's shape, type, range or colour order is not one that we may assume."""

    reason = "image_array_invalid"


class PackError(LineamentError):
    """Something about model files."""

    reason = "pack_error"


class PackNotFound(PackError):
    """No pack of that name in the store, and no folder or file of that path."""

    reason = "pack_not_found"


class PackBroken(PackError):
    """A file of the pack is missing, damaged or different from what its card says."""

    reason = "pack_broken"


class PackUnrecognised(PackError):
    """The files do not look like models we know how to run."""

    reason = "pack_unrecognised"


class LicenceNotAccepted(PackError):
    """The weights come with terms that must be accepted before they are installed."""

    reason = "licence_not_accepted"


class DownloadFailed(PackError):
    """A download stopped, stalled, was refused, or delivered other bytes than promised."""

    reason = "download_failed"


class RuntimeUnavailable(LineamentError):
    """The execution provider, engine or precision asked for is not on this machine."""

    reason = "runtime_unavailable"


class ModelOutputInvalid(LineamentError):
    """A network's output is not finite or not of the promised shape."""

    reason = "model_output_invalid"


class PointsDegenerate(LineamentError):
    """Five points from which no alignment follows: coincident, not finite, or nearly so."""

    reason = "points_degenerate"


class TemplateInvalid(LineamentError):
    """A vector that cannot be a template: not finite, zero, or of the wrong length."""

    reason = "template_invalid"


class TemplateMismatch(LineamentError):
    """Templates of two different models were to be compared or mixed."""

    reason = "template_mismatch"


class ThresholdMissing(LineamentError):
    """No threshold was measured for this model at this false match rate."""

    reason = "threshold_missing"


class ThresholdMismatch(LineamentError):
    """The threshold was measured for another model, or for search instead of verification."""

    reason = "threshold_mismatch"


class DatasetError(LineamentError):
    """Data to evaluate on cannot be used."""

    reason = "dataset_error"


class DatasetInvalid(DatasetError):
    """A file or folder is not laid out as its format says."""

    reason = "dataset_invalid"


class DatasetUnsafe(DatasetError):
    """A file asks for code to be run: a pickle that names anything but plain data."""

    reason = "dataset_unsafe"


class ScoresInvalid(DatasetError):
    """Similarities or labels from which nothing can be computed: NaN, wrong lengths, one class only."""

    reason = "scores_invalid"


class EvidenceInsufficient(LineamentError):
    """Too little data for the claim that was asked for; the message says how much is needed."""

    reason = "evidence_insufficient"


class GateFailed(LineamentError):
    """A measured result, at the pessimistic end of its interval, is not as good as was demanded."""

    reason = "gate_failed"


class TrainingError(LineamentError):
    """A training run cannot begin or go on."""

    reason = "training_error"


class RecipeInvalid(TrainingError):
    """A recipe, or one of its settings, cannot be run."""

    reason = "recipe_invalid"


class CheckpointInvalid(TrainingError):
    """A checkpoint is missing, damaged, or of another network."""

    reason = "checkpoint_invalid"


class TrainingDiverged(TrainingError):
    """Losses or gradients are not finite, step after step."""

    reason = "training_diverged"


class ExportFailed(TrainingError):
    """The exported network does not answer as the trained one, or cannot be exported at all."""

    reason = "export_failed"


class GalleryError(LineamentError):
    """A gallery cannot do what was asked."""

    reason = "gallery_error"


class CollectionNotFound(GalleryError):
    """There is no collection of that name."""

    reason = "collection_not_found"


class CollectionExists(GalleryError):
    """A collection of that name is there already."""

    reason = "collection_exists"


class SubjectNotFound(GalleryError):
    """The collection has no subject of that id, or has none any more."""

    reason = "subject_not_found"


class SubjectExists(GalleryError):
    """The collection has a subject of that id already."""

    reason = "subject_exists"


class GalleryBroken(GalleryError):
    """The database is damaged, a record was changed behind our back, or an index cannot be read."""

    reason = "gallery_broken"


class GalleryLocked(GalleryError):
    """Another process holds the gallery, and did not let go in time."""

    reason = "gallery_locked"


class GalleryVersion(GalleryError):
    """Another version of this package wrote the database."""

    reason = "gallery_version"


class KeyUnavailable(GalleryError):
    """Templates are sealed, and the key is missing or is another one."""

    reason = "key_unavailable"


class IdempotencyConflict(GalleryError):
    """The key of a request was used before, for a request of other content."""

    reason = "idempotency_conflict"


class IndexUnavailable(GalleryError):
    """The engine that searches is not installed, or does not answer."""

    reason = "index_unavailable"


class ApprovalMissing(GalleryError):
    """An act that needs a second person has none yet."""

    reason = "approval_missing"


class ConsentMissing(GalleryError):
    """The collection asks for consent, and the subject has given none or has taken it back."""

    reason = "consent_missing"


class StreamUnavailable(LineamentError):
    """A camera or a stream cannot be reached, or gives no video."""

    reason = "stream_unavailable"


class InvalidArgument(LineamentError, ValueError):
    """A parameter is outside what it may be."""

    reason = "invalid_argument"


class OutputFailed(LineamentError):
    """A result could not be written where it was asked for."""

    reason = "output_failed"
