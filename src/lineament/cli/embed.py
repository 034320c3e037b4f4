"""`lineament embed`: a folder of photographs into a table of templates, resumable."""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import click

from lineament.cli import exits
from lineament.cli.journal import Journal, Stamp
from lineament.cli.options import PHOTO, make_recognizer, recognizer_options, turns
from lineament.cli.streams import readable
from lineament.cli.table import SUFFIXES, write_table
from lineament.core.errors import ImageError, ImageNotFound, InvalidArgument
from lineament.pipeline.records import faces_record
from lineament.vision.containers import PICTURE_SUFFIXES, sniff


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
    Exit code 0: all done. 2: no photograph under FOLDER, nothing is written. 8: some photographs or folders
    could not be used; the table names them.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"cannot write {output}: name it with one of {', '.join(SUFFIXES)}")
    found = _look(folder)
    if not found.files and not found.failed:
        return _nothing(folder, found.others, as_json)
    recognizer = make_recognizer(**shared, views=views, adjust=turns(rotate))
    names = [os.path.relpath(path, folder) for path in found.files]
    tally = Tally()
    with Journal(output.with_name(output.name + ".partial"), _head(recognizer, folder)) as journal:
        _work(recognizer, found.files, folder, journal)
        write_table(output, tally.counting(chain(journal.records(names), found.failed)), recognizer.model)
        journal.remove()
    return _report(tally, found.others, output, as_json)


def _head(recognizer: Any, folder: Path) -> dict[str, Any]:
    """All that shapes a record: unfinished work with another of these is not gone on with."""
    settings = recognizer.settings
    return {
        "model": recognizer.model.name,
        "digest": recognizer.model.digest,
        "detector": recognizer.parts().detector.name,
        "detection": dict(settings.adjust),
        "views": settings.views,
        "folder": str(folder.resolve()),
    }


def _work(recognizer: Any, files: list[Path], folder: Path, journal: Journal) -> None:
    stamps = {str(path): _stamp(path) for path in files}
    todo = [path for path in files if not journal.has(os.path.relpath(path, folder), stamps[str(path)])]
    with _progress(len(files), len(files) - len(todo)) as advance:
        for result in recognizer.analyze_many(todo):
            name = os.path.relpath(result.source, folder)
            if result.error is not None:
                outcome = {"status": result.error.reason, "message": result.error.message, "faces": []}
            else:
                faces = faces_record(result.faces, template=True)
                outcome = {"status": "ok" if faces else "no_face", "message": "", "faces": faces}
            journal.add(name, stamps[result.source], {"path": name, **outcome})
            advance()


@dataclass(slots=True)
class Found:
    """What lies under a folder.

    Attributes:
        files: photographs, by suffix or by content.
        failed: a record for each thing that could not be looked at.
        others: number of other files.
    """

    files: list[Path] = field(default_factory=list[Path])
    failed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    others: int = 0


def _look(folder: Path) -> Found:
    found = Found()

    def note(path: str | Path, error: OSError) -> None:
        found.failed.append(_unreachable(os.path.relpath(path, folder), Path(path).is_symlink(), error))

    for place, folders, names in os.walk(folder, onerror=lambda e: note(e.filename, e)):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            try:
                regular = stat.S_ISREG(path.stat().st_mode)
            except OSError as error:
                note(path, error)
                continue
            if regular and (path.suffix.lower() in PICTURE_SUFFIXES or _looks_like_a_picture(path)):
                found.files.append(path)
            elif regular:
                found.others += 1
    return found


def _unreachable(name: str, link: bool, error: OSError) -> dict[str, Any]:
    if link and isinstance(error, FileNotFoundError):
        reason, why = ImageNotFound.reason, "is a link to a file that is not there"
    else:
        reason, why = ImageError.reason, f"cannot be looked at: {error.strerror or error}"
    return {"path": name, "status": reason, "message": f"{name} {why}", "faces": []}


def _looks_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return sniff(stream.read(64)) is not None
    except OSError:
        return False


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


def _progress(total: int, done: int) -> Any:
    from lineament.cli.progress import progress

    return progress("photographs", total, done)


class Tally:
    """Counts records while they pass by on their way into the table."""

    def __init__(self) -> None:
        self.photographs = self.faces = 0
        self.empty: list[str] = []
        self.bad: list[dict[str, str]] = []

    def counting(self, records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same records."""
        for record in records:
            self.photographs += 1
            self.faces += len(record["faces"])
            path = readable(record["path"])
            if record["status"] == "no_face":
                self.empty.append(path)
            elif record["status"] != "ok":
                self.bad.append(
                    {"path": path, "reason": record["status"], "message": readable(record["message"])}
                )
            yield record


def _nothing(folder: Path, others: int, as_json: bool) -> int:
    if as_json:
        summary = {"output": None, "photographs": 0, "faces": 0, "no_face": [], "failed": []}
        click.echo(json.dumps(summary | {"other_files": others}))
    click.echo(
        f"lineament: nothing to do: no photograph under {readable(folder)} "
        f"({_count(others, 'other file')}); no table was written",
        err=True,
    )
    return exits.UNDECIDED


def _report(tally: Tally, others: int, output: Path, as_json: bool) -> int:
    if as_json:
        summary = {
            "output": readable(output),
            "photographs": tally.photographs,
            "faces": tally.faces,
            "no_face": tally.empty,
            "failed": tally.bad,
            "other_files": others,
        }
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        for record in tally.bad:
            click.echo(f"{record['path']}: {record['reason']}: {record['message']}", err=True)
        done = f"{_count(tally.faces, 'face')} of {_count(tally.photographs, 'photograph')}"
        rest = f"{len(tally.empty)} without a face, {len(tally.bad)} unusable"
        click.echo(f"{readable(output)}: {done}; {rest}, {_count(others, 'other file')} left alone")
    return exits.PARTIAL if tally.bad else exits.DONE


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
