"""Names of sources: what kind they are, and no secret in what is shown."""

from pathlib import Path

import pytest

from lineament.core.errors import InvalidArgument
from lineament.pipeline.stream_name import kind_of, redacted, why_unreachable

SECRETS = [
    "rtsp://admin:s3cret@10.0.0.7:554/stream1",
    "RTSP://admin:s3cret@camera.local/ch/1?user=x",
    "rtsp://admin:s3cret@[fe80::1]:554/stream1",
    "rtsp://s3cret@10.0.0.7/stream1",
    "rtsp://admin:s3cr/s3cret@10.0.0.7/stream1",
    "rtsp://admin:s3cret@s3cret@10.0.0.7/stream1",
    "rtsp://admin:#s3cret@10.0.0.7/stream1",
    "rtsp://admin:?s3cret@10.0.0.7/stream1",
    "http://10.0.0.7/video.cgi?user=admin&pwd=s3cret&resolution=640",
    "http://10.0.0.7/video.cgi?resolution=640&PASSWORD=s3cret",
    "https://10.0.0.7/live?token=s3cret#t=3",
    "rtsp://10.0.0.7/user=admin&password=s3cret&channel=1&stream=0.sdp",
    "rtsp://10.0.0.7/user=admin_password=s3cret_channel=1_stream=0.sdp",
    "admin:s3cret@10.0.0.7/stream1",
]


@pytest.mark.parametrize("address", SECRETS)
def test_no_secret_is_shown(address: str):
    shown = redacted(address)
    assert "s3cret" not in shown
    assert "10.0.0.7" in shown or "camera.local" in shown or "fe80" in shown
    if "://" in address:
        assert kind_of(address) == "address"


def test_what_is_no_secret_stays():
    for plain in (
        "rtsp://10.0.0.7:554/stream1",
        "http://10.0.0.7/video.cgi?channel=2&resolution=640",
        "rtsp://[fe80::1]/live",
        "rtsp://10.0.0.7/live@2",
        "http://10.0.0.7:8080/keyframe?monkey=3",
        "videos/door at noon.mp4",
        "C:\\videos\\door.mp4",
    ):
        assert redacted(plain) == plain
    assert redacted("rtsp://admin:s3cret@10.0.0.7/ch?channel=2") == "rtsp://***@10.0.0.7/ch?channel=2"
    assert redacted(0) == "0"


def test_kinds():
    assert kind_of(0) == kind_of("0") == kind_of("12") == "camera"
    assert kind_of("door.mp4") == kind_of(Path("0")) == kind_of("0.mp4") == kind_of("./0") == "file"
    assert kind_of("٣") == "file"  # a digit of another script
    for bad in (-1, True, "ftp://host/a.mp4", "file:///etc/passwd", "concat://a", "udp://1.2.3.4"):
        with pytest.raises(InvalidArgument):
            kind_of(bad)


def test_an_address_in_a_path_object_is_refused_without_showing_it():
    with pytest.raises(InvalidArgument) as caught:
        kind_of(Path("rtsp://admin:s3cret@10.0.0.7/x"))
    assert "s3cret" not in str(caught.value)


def test_why_a_server_does_not_answer():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert why_unreachable(f"rtsp://127.0.0.1:{port}/x", 2.0) == ""
    assert "refused" in why_unreachable(f"rtsp://127.0.0.1:{port}/x", 2.0)
    assert "no host" in why_unreachable("rtsp:///x", 2.0)
    assert "well-formed" in why_unreachable("rtsp://a:b/c@127.0.0.1/x", 2.0)
