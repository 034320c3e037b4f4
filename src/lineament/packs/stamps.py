"""Remembering what files looked like when they were last hashed, so that a start does not hash 400 MB again.

A stamp is (size, modification time in ns, inode). It proves nothing against somebody who forges it; it is
there so that damage, edits and replaced files are noticed at the cost of one `stat` per file. Whoever
needs certainty calls `Store.verify`, which never looks at stamps.
"""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast


class Stamps:
    """Stamps of packs, one small JSON file per pack in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, name: str, folder: Path) -> dict[str, str]:
        """Digest by file, for the files of a pack that look as they did when they were hashed."""
        try:
            body: Any = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            entries = cast(dict[str, Any], body)
            return {
                str(file): str(entry[0])
                for file, entry in entries.items()
                if entry[1:] == _stamp(folder / file)
            }
        except (OSError, ValueError, AttributeError, LookupError, TypeError):
            # No stamps, or not ours: everything is hashed again, which is always right.
            return {}

    def remember(self, name: str, folder: Path, digests: dict[str, str]) -> None:
        """Keep the stamps of files whose digests were just computed.

        A store that cannot be written (installed by an administrator, say) keeps none: the files are then
        hashed at every start.
        """
        with suppress(OSError):
            body = json.dumps({file: [digest, *_stamp(folder / file)] for file, digest in digests.items()})
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=self._folder)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(body)
            Path(temporary).replace(self._folder / f"{name}.json")

    def forget(self, name: str) -> None:
        """Drop the stamps of a pack."""
        with suppress(OSError):
            (self._folder / f"{name}.json").unlink(missing_ok=True)


def _stamp(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]
