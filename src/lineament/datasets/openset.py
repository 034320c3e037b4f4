"""Lists of names for a gallery and for probes, and who is on each picture."""

from pathlib import Path
from typing import Final

from lineament.core.errors import DatasetInvalid
from lineament.datasets.tables import plain_name, read_named

NAMES: Final = ("name", "sample", "path", "file", "image")
SUBJECTS: Final = ("subject", "person", "identity", "id")


def read_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Names of pictures in the order of a list, and their persons when it has them.

    Args:
        path: one name per line, or a table with a header: `name` and, where wanted, `subject`.

    Returns:
        (names, persons); persons are None without that column, and then the folders of the pictures say.

    Raises:
        DatasetInvalid: not such a file, a name listed twice, or a person without a name.
    """
    table, key = read_named(path, NAMES)
    subject = table.column(SUBJECTS)
    names = tuple(plain_name(fields[key]) for _, fields in table.rows)
    if subject is None:
        return names, None
    for line, fields in table.rows:
        if not fields[subject]:
            raise DatasetInvalid(f"{path}, line {line}: {fields[key]!r} has no {SUBJECTS[0]}")
    return names, tuple(fields[subject] for _, fields in table.rows)
