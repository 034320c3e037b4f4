"""`lineament embed`: a folder of photographs into a table of templates, resumable."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import click

from lineament.cli import exits
from lineament.cli.options import PHOTO, make_recognizer, recognizer_options, turns
from lineament.cli.table import SUFFIXES, write_table
from lineament.core.errors import InvalidArgument, OutputFailed
from lineament.pipeline.records import faces_record
from lineament.vision.containers import sniff

PICTURE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".png",
        ".webp",
        ".avif",
        ".heic",
        ".heif",
        ".tif",
        ".tiff",
        ".gif",
        ".bmp",
        ".jp2",
        ".ppm",
        ".pgm",
    ]
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=PHOTO, required=True, help=f"Table to write: {', '.join(SUFFIXES)}.")
@click.option("--views", type=click.Choice(["one", "mirrored_sum"]), default="one", show_default=True)
@click.option("--rotate", is_flag=True, help="Look for faces in all four turns of each photograph.")
@click.option("--json", "as_json", is_flag=True, help="A JSON summary on standard output.")
@recognizer_options
def embed(folder: Path, output: Path, views: str, rotate: bool, as_json: bool, **shared: Any) -> int:
    """Find and embed every face of every photograph under FOLDER.

    One row a face; a photograph without a face, or that cannot be read, has a row that says so. Stopped with
    Ctrl-C, the same command goes on where it was. The table holds biometric templates: keep it safe.

    \b
    Exit code 0: all done. 8: some photographs could not be used; the table names them.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"cannot write {output}: name it with one of {', '.join(SUFFIXES)}")
    recognizer = make_recognizer(**shared, views=views, adjust=turns(rotate))
    files, others = _files(folder)
    model = recognizer.model
    journal = Journal(
        output.with_name(output.name + ".partial"), {"model": model.name, "digest": model.digest}
    )
    todo = [path for path in files if not journal.has(folder, path)]
    with journal, _progress(len(files), len(files) - len(todo)) as advance:
        for result in recognizer.analyze_many(todo):
            record = {"path": os.path.relpath(result.source, folder), "stamp": _stamp(Path(result.source))}
            if result.error is not None:
                record |= {"status": result.error.reason, "message": result.error.message, "faces": []}
            else:
                faces = faces_record(result.faces, template=True)
                record |= {"status": "ok" if faces else "no_face", "message": "", "faces": faces}
            journal.add(record)
            advance()
    records = journal.records(folder, files)
    write_table(output, records, model)
    journal.remove()
    return _report(records, others, output, as_json)


def _files(folder: Path) -> tuple[list[Path], int]:
    """Photographs under a folder, by suffix or by content, and the number of other files."""
    files: list[Path] = []
    others = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() in PICTURE_SUFFIXES or _looks_like_a_picture(path):
                files.append(path)
            else:
                others += 1
    return files, others


def _looks_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return sniff(stream.read(64)) is not None
    except OSError:
        return False


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


class Journal:
    """What was done so far, one JSON line a photograph, beside the table it will become.

    Args:
        path: the file.
        head: identity of the model; a journal of another model is refused.

    Raises:
        InvalidArgument: the journal belongs to another model.
    """

    def __init__(self, path: Path, head: dict[str, str]) -> None:
        self.path = path
        self.head = head
        self._done: dict[str, dict[str, Any]] = {}
        self._stream: Any = None
        for number, record in enumerate(self._lines()):
            if number == 0 and record != head:
                raise InvalidArgument(
                    f"{path} is the unfinished work of another model ({record.get('model')}): delete it to "
                    "start again, or use that model to finish it"
                )
            if number:
                self._done[record["path"]] = record

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for line in self.path.read_text("utf-8").splitlines():
            try:
                yield cast(dict[str, Any], json.loads(line))
            except ValueError:
                return  # the line that was being written when the work was stopped

    def has(self, folder: Path, path: Path) -> bool:
        """Whether this very file, unchanged, is done."""
        record = self._done.get(os.path.relpath(path, folder))
        return record is not None and record["stamp"] == _stamp(path)

    def __enter__(self) -> "Journal":
        try:
            text = "".join(json.dumps(r) + "\n" for r in (self.head, *self._done.values()))
            # Written anew, so that half a line at the end cannot spoil the next one. Private: these are
            # templates.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._stream = os.fdopen(handle, "w", encoding="utf-8")
            self._stream.write(text)
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path}: {error.strerror or error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, record: dict[str, Any]) -> None:
        """Note one photograph as done."""
        self._done[record["path"]] = record
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def records(self, folder: Path, files: Iterable[Path]) -> list[dict[str, Any]]:
        """What is known of the files, in their order."""
        names = (os.path.relpath(path, folder) for path in files)
        return [self._done[name] for name in names if name in self._done]

    def remove(self) -> None:
        """Forget it: the table has everything."""
        self.path.unlink(missing_ok=True)


def _progress(total: int, done: int) -> Any:
    from lineament.cli.progress import progress

    return progress("photographs", total, done)


def _report(records: list[dict[str, Any]], others: int, output: Path, as_json: bool) -> int:
    bad = [r for r in records if r["status"] not in ("ok", "no_face")]
    empty = [r["path"] for r in records if r["status"] == "no_face"]
    faces = sum(len(r["faces"]) for r in records)
    if as_json:
        problems = [{"path": r["path"], "reason": r["status"], "message": r["message"]} for r in bad]
        summary = {"output": str(output), "photographs": len(records), "faces": faces, "no_face": empty}
        click.echo(json.dumps(summary | {"failed": problems, "other_files": others}, ensure_ascii=False))
    else:
        for record in bad:
            click.echo(f"{record['path']}: {record['status']}: {record['message']}", err=True)
        done = f"{_count(faces, 'face')} of {_count(len(records), 'photograph')}"
        rest = f"{len(empty)} without a face, {len(bad)} unusable"
        click.echo(f"{output}: {done}; {rest}, {_count(others, 'other file')} left alone")
    return exits.PARTIAL if bad else exits.DONE


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
