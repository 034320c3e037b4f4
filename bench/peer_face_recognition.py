"""face_recognition (dlib) on photographs; runs in .venv-peers, see peers.sh. Prints one JSON object.

.venv-peers/bin/python bench/peer_face_recognition.py photo.jpg ...
"""

import json
import sys
import time
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")  # its models package imports pkg_resources, which warns


def main(paths: list[str]) -> None:
    """Find and encode faces of every photograph, the way its README does."""
    import face_recognition

    faces = []
    encode_first = face_recognition.load_image_file(paths[0])
    face_recognition.face_encodings(encode_first[::4, ::4].copy())  # loads the networks
    cpu, wall = time.process_time(), time.perf_counter()
    for path in paths:
        pixels = face_recognition.load_image_file(path)
        faces.append(len(face_recognition.face_encodings(pixels, face_recognition.face_locations(pixels))))
    print(
        json.dumps(
            {
                "wall": time.perf_counter() - wall,
                "cpu": time.process_time() - cpu,
                "faces": faces,
                "versions": {name: version(name) for name in ("face_recognition", "dlib-bin")},
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
