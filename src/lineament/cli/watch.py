"""`lineament watch`: who of a list is seen by a camera, in a stream, in a recording?"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineament.cli import exits
from lineament.cli.gallery.options import Place, opened, place_options, require_packages
from lineament.cli.gallery.showing import count, show
from lineament.cli.options import PHOTO, Finite, recognizer_options
from lineament.cli.streams import readable

if TYPE_CHECKING:
    from lineament.applications.watch.alerts import Alert, AlertSink
    from lineament.applications.watch.on_gallery import GalleryList
    from lineament.applications.watch.watch import Watch
    from lineament.gallery.gallery import Gallery


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--watchlist", "name", required=True, help="The list, or a gallery, whose people to look for.")
@click.option("--alerts", type=PHOTO, help="A file for alerts, one JSON object a line; it is continued.")
@click.option("--no-faces", is_flag=True, help="Keep alerts without the face that raised them.")
@click.option(
    "--rate",
    type=Finite(min=0.0, min_open=True),
    default=5.0,
    show_default=True,
    help="Frames a second that are looked at.",
)
@click.option("--confirm", type=click.IntRange(min=1), default=3, show_default=True, help="Votes needed …")
@click.option(
    "--window", type=click.IntRange(min=1), default=5, show_default=True, help="… of the last so many."
)
@click.option(
    "--margin",
    type=Finite(min=0.0, max=2.0),
    default=0.0,
    show_default=True,
    help="How much more alike the best subject must be than the second best, cosine.",
)
@click.option(
    "--cooldown",
    type=Finite(min=0.0),
    default=60.0,
    show_default=True,
    help="Seconds in which the same subject raises no second alert.",
)
@click.option(
    "--absence",
    type=Finite(min=0.0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds unseen after which somebody has left.",
)
@click.option("--unknown", is_flag=True, help="Confirmed strangers raise alerts as well.")
@click.option(
    "--fpir", type=Finite(min=0.0, max=1.0, min_open=True, max_open=True), help="Instead of the list's."
)
@click.option(
    "--threshold",
    type=Finite(min=-1.0, max=1.0),
    help="Decide at this cosine instead; nobody measured its cost.",
)
@click.option("--json", "as_json", is_flag=True, help="Each alert as a line of JSON on standard output.")
@place_options(index=True)
@recognizer_options
def watch(
    source: str,
    name: str,
    alerts: Path | None,
    no_faces: bool,
    rate: float,
    fpir: float | None,
    threshold: float | None,
    unknown: bool,
    as_json: bool,
    place: Place,
    confirm: int,
    window: int,
    margin: float,
    cooldown: float,
    absence: float,
    **shared: Any,
) -> int:
    """Watch SOURCE for the people of a list: a video file, the number of a camera, or an rtsp:// address.

    A face is followed over frames; some of the last frames must agree before an alert is raised, and each
    event raises one. Alerts go into the list's database, and with --alerts into a file, before they are
    shown: after a crash none is lost, and none is written twice. Ctrl-C ends a live source; who is in view
    then gets an alert `stopped`.

    \b
    Exit code 0: somebody of the list was seen. 1: nobody was. 3: wrong command line.
    4: a source that cannot be reached or read. 7: no threshold for this rate at this
    size. 9: an alert could not be kept. 11: the gallery cannot be used. 130: stopped
    with Ctrl-C.
    """
    if fpir is not None and threshold is not None:
        raise click.UsageError("--fpir and --threshold exclude each other: give one of them")
    require_packages()
    from lineament.applications.watch.book import WatchSettings
    from lineament.applications.watch.events import EventSettings
    from lineament.applications.watch.on_gallery import GalleryList
    from lineament.applications.watch.votes import VoteSettings
    from lineament.vision.track import TrackSettings

    votes = VoteSettings(confirm, window, margin)
    events = EventSettings(votes=votes, cooldown=cooldown, absence=absence, unknown=unknown)
    gap = min(TrackSettings().gap, absence)
    settings = WatchSettings(tracks=TrackSettings(gap=gap), events=events, evidence=not no_faces)
    with opened(place, name, shared) as gallery:
        people = GalleryList(gallery, fpir=fpir, threshold=threshold)
        tell = _as_json if as_json else _in_words
        with _watching(source, gallery, people, alerts, settings, rate) as watching:
            _say_before(people, watching, as_json)
            seen = False
            for alert in watching.run():
                tell(alert)
                seen = seen or (alert.kind == "enter")
        return _ended(watching, seen)


@contextmanager
def _watching(
    source: str, gallery: Gallery, people: GalleryList, alerts: Path | None, settings: Any, rate: float
) -> Generator[Watch]:
    """The watch, with its beginning and its end in the audit log."""
    from lineament.applications.watch.watch import Watch
    from lineament.pipeline.frames import open_frames
    from lineament.pipeline.recognizer import Recognizer

    recognizer = gallery.recognizer
    if not isinstance(recognizer, Recognizer):  # `opened` makes one
        raise TypeError("watching needs a recognizer")
    where = int(source) if source.isdecimal() else source
    with ExitStack() as stack:
        sink = _sink(stack, gallery, alerts, settings.evidence)
        frames = stack.enter_context(open_frames(where, rate=rate))
        threshold = people.threshold
        body = {
            "source": frames.name,
            "live": frames.live,
            "threshold": round(threshold.value, 6),
            "fpir": threshold.fpir,
            "searched": gallery.size,
        }
        gallery.note("watch_begin", body)
        watching = stack.enter_context(
            Watch(
                frames,
                recognizer.inspect,
                (people,),
                sink,
                detector=recognizer.parts().detector.name,
                alignment=recognizer.alignment,
                settings=settings,
            )
        )
        try:
            yield watching
        finally:
            watching.close()
            counts = watching.statistics
            done = {"frames": counts.frames, "faces": counts.faces, "alerts": counts.alerts}
            gallery.note("watch_end", {"source": frames.name, **done})


def _sink(stack: ExitStack, gallery: Gallery, alerts: Path | None, faces: bool) -> AlertSink:
    from lineament.applications.watch.alert_file import AlertFile
    from lineament.applications.watch.on_gallery import AlertTable, Both

    kept = AlertTable(gallery, evidence=faces)
    if alerts is None:
        return kept
    return Both(stack.enter_context(AlertFile(alerts, evidence=faces)), kept)


def _say_before(people: GalleryList, watching: Watch, as_json: bool) -> None:
    if as_json:
        return
    boundary = people.threshold
    rate = "typed in, measured on nothing" if boundary.fpir is None else f"FPIR {boundary.fpir:g}"
    size = count(people.gallery.size, "sample")
    show(f"Looking for {size} of {people.name} at similarity {boundary.value:.3f} ({rate}); Ctrl-C ends")


def _in_words(alert: Alert) -> None:
    score = "" if alert.similarity is None else f", similarity {alert.similarity:.3f}"
    votes = "" if alert.votes is None else f", {alert.votes.agreeing} of {alert.votes.of} frames"
    show(f"{alert.at[:19]}  {alert.kind}  {readable(alert.subject or 'a stranger')}{score}{votes}")


def _as_json(alert: Alert) -> None:
    click.echo(json.dumps(alert.to_dict(), ensure_ascii=False))


def _ended(watching: Watch, seen: bool) -> int:
    counts = watching.statistics
    lost = f", {counts.dropped:,} left out because they came too fast" if counts.dropped else ""
    bad = f", {counts.unreadable:,} unreadable" if counts.unreadable else ""
    click.echo(
        f"{counts.frames:,} frames in {counts.seconds:.1f} s ({counts.fps:.1f} a second{lost}{bad}), "
        f"{count(counts.faces, 'face')}, {count(counts.alerts, 'alert')}"
        + (f", {counts.kept_before:,} kept before" if counts.kept_before else ""),
        err=True,
    )
    if counts.incomplete:
        click.echo("the recording stopped well before the end that its header promises", err=True)
    if counts.interrupted:
        return exits.INTERRUPTED
    return exits.DONE if seen or counts.kept_before else exits.NO_MATCH
