"""Where the time of one `lineament compare` goes: the steps in a new process. Prints one JSON object.

python bench/cold.py a.jpg b.jpg
"""

import json
import sys
import time


def main(a: str, b: str) -> None:
    """Do what the command does, step by step, with a clock."""
    steps: dict[str, float] = {}
    last = time.perf_counter()

    def done(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        steps[step] = steps.get(step, 0.0) + now - last
        last = now

    import numpy as np

    done("import numpy")
    import cv2

    done("import cv2")
    import onnxruntime

    done("import onnxruntime")
    import click

    import lineament as ln
    from lineament.detect.refine import refine
    from lineament.pipeline.recognizer import for_detection
    from lineament.vision.align import align
    from lineament.vision.decode import open_picture
    from lineament.vision.quality import measure

    done("import lineament")
    recognizer = ln.Recognizer()
    parts = recognizer.parts()
    done("open the pack")
    for session, name in zip(parts.sessions, ("detector", "recogniser"), strict=False):
        session.open()
        done(f"open the {name}")
    search = getattr(parts.detector, "search", parts.detector)
    for path in (a, b):
        picture = open_picture(path)
        image = for_detection(picture)
        done("decode")
        faces = search.detect(image.pixels)
        done("detect")
        for box, points in zip(faces.boxes, faces.points, strict=True):
            refine(image.pixels, box, points, search.family)
        done("refine")
        crops = align(image.pixels, faces.points, parts.embedder.alignment)
        measure(crops.pixels, crops.motions, faces.points, picture.full_size)
        done("align and measure")
        parts.embedder.embed(crops)
        done("embed")
    del np, cv2, onnxruntime, click
    print(json.dumps({step: round(seconds * 1e3, 1) for step, seconds in steps.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
