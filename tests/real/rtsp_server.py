"""A real RTSP server on loopback: GStreamer's, run by the Python of the system, which has its bindings.

    python3 rtsp_server.py FOLDER PORT USER PASSWORD

Serves f00.jpg, f01.jpg, … of FOLDER round and round as motion JPEG at rtsp://127.0.0.1:PORT/door, 10 frames
a second; writes its port to standard output when it listens. PORT 0 takes any. With `--check` it only looks
whether everything it needs is installed. Debian: gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-base,
gstreamer1.0-plugins-good and python3-gi.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  (after the versions)

ELEMENTS = ("multifilesrc", "jpegparse", "identity", "rtpjpegpay")
PIPELINE = (
    "( multifilesrc location={}/f%02d.jpg loop=true caps=image/jpeg,framerate=10/1 ! jpegparse "
    "! identity sync=true ! rtpjpegpay name=pay0 pt=26 )"
)


def serve(folder: str, port: str, user: str, password: str) -> None:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory, permissions = GstRtspServer.RTSPMediaFactory(), GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", right, True)
    factory.set_permissions(permissions)
    factory.set_launch(PIPELINE.format(folder))
    factory.set_shared(True)
    server.get_mount_points().add_factory("/door", factory)
    if not server.attach(None):
        raise SystemExit("the port is taken")
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


Gst.init(None)
if sys.argv[1] == "--check":
    raise SystemExit(0 if all(Gst.ElementFactory.find(name) for name in ELEMENTS) else 1)
serve(*sys.argv[1:])
