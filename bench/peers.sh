#!/usr/bin/env bash
# Make .venv-peers with face_recognition (dlib), the rival that bench/side_by_side.py runs in a process of its
# own. No compiler is needed: dlib comes as a binary. Its models package still imports pkg_resources, which
# setuptools 81 removed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv-peers/bin/python ] || "${PYTHON:-python3}" -m venv .venv-peers
pip=(.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" "setuptools<81" dlib-bin==20.0.1.post1 face_recognition_models==0.3.0 numpy pillow click
# Its own requirement is the source package dlib, which would have to be compiled.
"${pip[@]}" --no-deps face_recognition==1.3.0
.venv-peers/bin/python -W ignore -c 'import face_recognition; print("face_recognition", face_recognition.__version__)'
