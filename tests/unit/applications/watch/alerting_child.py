"""A process that starts others which write alerts until they are killed; run by `test_killed.py`.

Importing takes a third of a second, so it is done once: each line on standard input forks a fresh process,
whose number comes back on standard output. That process writes alerts as fast as it can, and tells the name
of each alert that `store` returned for, by one write to the pipe that it inherited.
"""

import os
import sys
from pathlib import Path

import cv2  # noqa: F401  (loaded before forking)
import numpy as np

from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.alerts import Alert, Evidence, Votes, event_id
from lineament.applications.watch.events import Event


def alert_of(number: int) -> Alert:
    """The alert of event `number`; the same in every process."""
    event = Event("enter", f"person-{number % 7}", float(number), number, 1, float(number), 0, float(number))
    return Alert(
        id=event_id("door", "", "staff", event),
        at="2026-11-25T12:00:00.000Z",
        moment=event.moment,
        source="door",
        frame=number,
        kind="enter",
        watchlist="staff",
        subject=event.subject,
        similarity=0.5,
        threshold={"value": 0.4},
        model={"name": "m", "digest": "0" * 64},
        votes=Votes(3, 5, 0.75, 3, 0.0, None),
        track=1,
        began=event.began,
        visit=0,
        last_seen=event.last_seen,
        evidence=None,
        evidence_sha256=None,
        evidence_frame=number,
        provenance={},
    )


def alerting(path: Path, told: int) -> None:
    """Write alerts until killed: as a second run over a recording does, from a little before the end on."""
    with AlertFile(path) as file:
        number = max(0, len(file) - 3)
        while True:
            pixels = np.full((112, 112, 3), number % 256, np.uint8)
            kept = file.store(alert_of(number), Evidence(pixels))
            if kept is not None:
                os.write(told, f"{kept.id}\n".encode())
            number += 1


def main() -> None:
    """Fork one process for each line."""
    path, told = Path(sys.argv[1]), int(sys.argv[2])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                alerting(path, told)
            finally:
                os._exit(1)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
