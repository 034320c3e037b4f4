"""`lineament train prepare`: photographs of people into aligned crops that can be trained on, resumable."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import click
import numpy as np

from lineament.cli import exits
from lineament.cli.options import PHOTO, Finite, make_recognizer, recognizer_options
from lineament.cli.progress import progress
from lineament.cli.streams import readable
from lineament.cli.train.crop_files import (
    Person,
    check_persons,
    check_records_folder,
    check_zip,
    targets_of,
    write_records,
    write_zip,
)
from lineament.cli.train.unfinished import Unfinished
from lineament.core.errors import InvalidArgument
from lineament.datasets.labelled import Labelled, read_labelled
from lineament.datasets.pictures import Pictures, open_pictures
from lineament.evaluate.bordered import LARGEST_BORDER, Bordered
from lineament.pipeline.crops import SIZE, SUFFIXES, EncodedCrop, Encoding, SubjectCrops

Form = Literal["zip", "recordio"]
FORMS: dict[str, Form] = {".zip": "zip", ".rec": "recordio"}


@click.command("prepare")
@click.argument("photos", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", type=PHOTO, required=True, help="A .zip, or a folder for RecordIO (.rec).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "zip", "recordio"]),
    default="auto",
    show_default=True,
    help="What to write; auto goes by the name of the output.",
)
@click.option(
    "--up",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How far above a photograph the folder named after the person is.",
)
@click.option(
    "--policy",
    type=click.Choice(["exactly_one", "largest", "most_central"]),
    default="most_central",
    show_default=True,
    help="Which face of a photograph is the person's.",
)
@click.option(
    "--border",
    type=Finite(min=0.0, max=LARGEST_BORDER),
    default=0.0,
    show_default=True,
    help="Black border around photographs cut too tightly for the detector, as a share of their sides.",
)
@click.option("--lossless", is_flag=True, help="Keep crops as PNG instead of JPEG of quality 95.")
@click.option("--force", is_flag=True, help="Make a finished output anew.")
@click.option("--json", "as_json", is_flag=True, help="A JSON summary on standard output.")
@recognizer_options
def prepare_command(
    photos: Path, output: Path, form: str, up: int, force: bool, as_json: bool, **values: Any
) -> int:
    """Find, align and keep the face of the person in each photograph of PHOTOS.

    PHOTOS is a folder, or a zip of one, with a folder per person. The crops have 112×112 pixels and are the
    ones that an evaluation would embed; photographs without a usable face are named and left out. Of the
    pack, only the detector is used. Stopped with Ctrl-C, the same command goes on where it was.

    \b
    Exit code 0: all done. 2: no photograph gave a crop, nothing is written. 3: the
    output is there already. 4: PHOTOS is not laid out so. 8: some photographs gave
    no crop; they are named.
    """
    kind = _form(form, output)
    _check_place(photos, output, kind, force)
    lossless, policy, border = values.pop("lossless"), values.pop("policy"), float(values.pop("border"))
    encoding: Encoding = "png" if lossless else "jpeg"
    with closing(open_pictures(photos)) as plain:
        labelled = read_labelled(plain, up=up)
        check_persons(labelled)
        pictures = Bordered(plain, border) if border else plain
        maker = SubjectCrops(make_recognizer(**values), policy)
        head = _head(maker, photos, border, encoding)
        with Unfinished(output.with_name(output.name + ".partial"), head) as unfinished:
            _work(maker, pictures, labelled.samples, unfinished, encoding)
            tally = Tally()
            persons = _persons(labelled, targets_of(labelled, up, SUFFIXES[encoding]), unfinished, tally)
            if persons:
                _write(output, kind, persons, unfinished)
            unfinished.remove()
    return _report(tally, None if not persons else output, kind, border, as_json)


def _form(form: str, output: Path) -> Form:
    if form != "auto":
        return cast(Form, form)
    found = FORMS.get(output.suffix.lower())
    if found is None:
        raise InvalidArgument(
            f"what to write to {output} is unclear: name a .zip or a .rec, or say --format recordio"
        )
    return found


def _check_place(photos: Path, output: Path, kind: Form, force: bool) -> None:
    if output.exists() and output.samefile(photos):
        raise InvalidArgument(f"{output} are the photographs themselves: name another output")
    if kind == "zip":
        check_zip(output, force)
    else:
        check_records_folder(output, force)


def _head(maker: SubjectCrops, photos: Path, border: float, encoding: Encoding) -> dict[str, Any]:
    """All that shapes a crop: unfinished work with another of these is not gone on with."""
    card = maker.recognizer.pack.card.model("detection")
    return {
        "work": "train prepare",
        "detector": maker.recognizer.parts().detector.name,
        "digest": "" if card is None else card.sha256,
        "alignment": maker.alignment,
        "policy": maker.policy,
        "border": border,
        "encoding": encoding,
        "photos": str(photos.resolve()),
    }


def _work(
    maker: SubjectCrops,
    pictures: Pictures,
    samples: Sequence[str],
    unfinished: Unfinished,
    encoding: Encoding,
) -> None:
    stamps = {name: pictures.stamp(name) for name in samples}
    todo = [name for name in samples if not unfinished.has(name, stamps[name])]
    with progress("photographs", len(samples), len(samples) - len(todo)) as advance:
        for made in maker.crop_many(pictures, todo, encoding) if todo else ():
            unfinished.add(made, stamps[made.name])
            advance()


@dataclass(slots=True)
class Tally:
    """What came of all photographs.

    Attributes:
        pictures, crops, persons: how many.
        several: crops of photographs with more than one face, among which the policy chose.
        lost: persons without any crop.
        failed: name, reason and message of each photograph without one.
    """

    pictures: int = 0
    crops: int = 0
    persons: int = 0
    several: int = 0
    lost: list[str] = field(default_factory=list[str])
    failed: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def count(self, made: EncodedCrop) -> bool:
        """Count one photograph; whether it gave a crop."""
        self.pictures += 1
        if made.content is None:
            message = readable(made.message)
            self.failed.append({"path": readable(made.name), "reason": made.reason, "message": message})
            return False
        self.crops += 1
        self.several += made.faces > 1
        return True

    @property
    def reasons(self) -> dict[str, int]:
        """How many photographs failed for each reason, most first."""
        return dict(Counter(record["reason"] for record in self.failed).most_common())


def _persons(
    labelled: Labelled, targets: Sequence[str], unfinished: Unfinished, tally: Tally
) -> list[Person]:
    """Everybody with a crop, in the order of their numbers."""
    good = np.array([tally.count(unfinished.get(name, content=False)) for name in labelled.samples], bool)
    # One pass over the rows sorted by person: there may be millions of them.
    order = np.argsort(labelled.subject, kind="stable")
    starts = np.searchsorted(labelled.subject[order], np.arange(len(labelled.subjects) + 1))
    found: list[Person] = []
    for number, name in enumerate(labelled.subjects):
        rows = [int(row) for row in order[starts[number] : starts[number + 1]] if good[row]]
        if rows:
            samples = tuple(labelled.samples[row] for row in rows)
            found.append(Person(name, samples, tuple(targets[row] for row in rows)))
        else:
            tally.lost.append(readable(name))
    tally.persons = len(found)
    return found


def _write(output: Path, kind: Form, persons: list[Person], unfinished: Unfinished) -> None:
    def read(name: str) -> bytes:
        return cast(bytes, unfinished.get(name).content)

    if kind == "zip":
        write_zip(output, persons, read)
    else:
        write_records(output, persons, read, SIZE)


def _report(tally: Tally, output: Path | None, kind: Form, border: float, as_json: bool) -> int:
    if as_json:
        summary = {
            "output": None if output is None else readable(output),
            "format": kind,
            "pictures": tally.pictures,
            "crops": tally.crops,
            "persons": tally.persons,
            "persons_lost": tally.lost,
            "several_faces": tally.several,
            "failures": tally.reasons,
            "failed": tally.failed,
        }
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _tell(tally, output)
    if "no_face" in tally.reasons and not border:
        click.echo("photographs cut tightly around the face: --border 0.5 finds more of them", err=True)
    if output is None:
        click.echo("lineament: no photograph gave a crop; nothing was written", err=True)
        return exits.UNDECIDED
    return exits.PARTIAL if tally.failed else exits.DONE


def _tell(tally: Tally, output: Path | None) -> None:
    for record in tally.failed:
        click.echo(f"{record['path']}: {record['reason']}: {record['message']}", err=True)
    for name in tally.lost:
        click.echo(f"{name}: no crop of this person", err=True)
    if output is not None:
        why = ", ".join(f"{count} {reason}" for reason, count in tally.reasons.items())
        click.echo(
            f"{readable(output)}: {tally.crops} crops of {tally.persons} persons from {tally.pictures} "
            f"photographs; {len(tally.failed)} left out{f' ({why})' if why else ''}, {tally.several} with "
            "several faces"
        )
