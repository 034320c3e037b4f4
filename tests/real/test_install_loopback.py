"""Row 17: downloads from servers that cut, lie, stall, refuse and recover; never a half-installed pack."""

import errno
import hashlib
import io
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineament.core.errors import (
    DownloadFailed,
    InvalidArgument,
    LicenceNotAccepted,
    PackBroken,
    PackUnrecognised,
)
from lineament.packs.download import Patience, download
from lineament.packs.install import install
from lineament.packs.store import Store

HURRY = Patience(connect=5.0, read=3.0, attempts=3, backoff=0.01, longest_wait=0.05)
IMPATIENT = replace(HURRY, read=0.4)
ONCE = replace(HURRY, attempts=1)


class Server(ThreadingHTTPServer):
    """Serves `content` under every path, with the faults asked for.

    Attributes:
        faults: what goes wrong with the next answers, one word each; empty means nothing.
        ranges: whether Range is honoured.
        tag: the ETag; empty sends none.
        seen: (path, Range header) of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b""
        self.faults: list[str] = []
        self.ranges = True
        self.tag = '"v1"'
        self.seen: list[tuple[str, str]] = []
        self.done = threading.Event()

    def url(self, file: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{file}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        site = self.server
        wanted = self.headers.get("Range", "")
        site.seen.append((self.path, wanted))
        fault = site.faults.pop(0) if site.faults else ""
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        if match and site.ranges and self.headers.get("If-Range") == site.tag:
            start, status = int(match[1]), 206
            if start >= len(site.content):
                status, start = 416, len(site.content)
        self.answer(status, start, fault)

    def answer(self, status: int, start: int, fault: str) -> None:
        site = self.server
        shown = start + 7 if fault == "elsewhere" else start
        body = site.content[shown:]
        self.send_response(status)
        if site.tag:
            self.send_header("ETag", site.tag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {shown}-{len(site.content) - 1}/{len(site.content)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault in ("cut", "stall", "no length"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stall":
                site.done.wait(5)
            self.close_connection = True
            return
        if fault == "trickle":
            for byte in body:
                if site.done.wait(0.1):
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LINEAMENT_MIRROR", raising=False)
    server = Server()
    server.content = a_pack()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.done.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def a_pack(scale: float = 1.0) -> bytes:
    """A zip with a detector of the right shape, and enough ballast for a transfer to be cut in."""
    nodes, tensors, outputs = [], [], []
    for index, last in enumerate((1, 1, 1, 4, 4, 4)):
        tensors.append(numpy_helper.from_array(np.full((last, 3, 1, 1), scale, np.float32), f"w{index}"))
        nodes.append(helper.make_node("Conv", ["in", f"w{index}"], [f"c{index}"]))
        nodes.append(helper.make_node("Transpose", [f"c{index}"], [f"o{index}"], perm=[0, 2, 3, 1]))
        outputs.append(helper.make_tensor_value_info(f"o{index}", TensorProto.FLOAT, [1, "h", "w", last]))
    inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, "h", "w"])]
    graph = helper.make_graph(nodes, "made", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr("pack/det.onnx", model.SerializeToString())
        out.writestr("pack/ballast.bin", np.random.default_rng(0).bytes(600_000))
    return packed.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def nothing_half_done(store: Store) -> bool:
    """No pack, no staging folder, no archive that looks complete."""
    folders = list(store.packs.iterdir()) if store.packs.is_dir() else []
    downloads = list((store.root / "downloads").glob("*.zip"))
    return store.list() == () and folders == [] and downloads == []


def test_a_good_server(site, store):
    heard: list[tuple[int, int | None]] = []
    pack = install(site.url("p.zip"), store, patience=HURRY, progress=lambda a, b: heard.append((a, b)))
    assert store.list() == ("p",)
    assert pack.card.source == f"{site.url('p.zip')}, sha256 {digest(site.content)}"
    assert any(digest(site.content) in note for note in pack.card.notes)
    assert heard[-1] == (len(site.content), len(site.content))
    assert not list((store.root / "downloads").glob("*.part*"))


def test_the_second_install_needs_no_server(site, store):
    install(site.url("p.zip"), store, patience=HURRY)
    asked = len(site.seen)
    install(site.url("p.zip"), store, patience=HURRY)
    assert len(site.seen) == asked


def test_a_cut_transfer_is_continued_by_range(site, store):
    site.faults = ["cut"]
    install(site.url("p.zip"), store, sha256=digest(site.content), patience=HURRY)
    assert store.verify("p").sound
    assert [wanted for _, wanted in site.seen] == ["", f"bytes={len(site.content) // 2}-"]


def test_a_transfer_cut_every_time_fails_by_name_and_a_second_run_continues(site, store):
    whole, site.content = site.content, site.content[:200_000]
    site.faults = ["cut"] * 50
    with pytest.raises(DownloadFailed) as caught:
        install(site.url("p.zip"), store, patience=HURRY)
    for word in (site.url("p.zip"), "ended before the end", "run the command again to continue"):
        assert word in caught.value.message
    assert nothing_half_done(store)
    site.faults, site.seen, site.content = [], [], whole
    install(site.url("p.zip"), store, sha256=digest(site.content), patience=HURRY)
    first = int(site.seen[0][1].removeprefix("bytes=").rstrip("-"))
    assert first > 100_000
    assert store.list() == ("p",)


def test_a_server_that_ignores_range_is_started_over(site, store):
    site.ranges = False
    site.faults = ["cut", "cut"]
    install(site.url("p.zip"), store, sha256=digest(site.content), patience=HURRY)
    assert store.verify("p").sound


def test_a_server_without_validators_is_never_continued(site, store):
    site.tag = ""
    site.faults = ["cut"]
    install(site.url("p.zip"), store, sha256=digest(site.content), patience=HURRY)
    assert [wanted for _, wanted in site.seen] == ["", ""]


def test_another_version_is_never_glued_to_the_old_bytes(site, tmp_path):
    target = tmp_path / "p.zip"
    site.faults = ["cut"] * 3
    old, site.content = site.content, b"x" * 100_000
    with pytest.raises(DownloadFailed):
        download(site.url("p.zip"), target, patience=ONCE)
    site.faults, site.content, site.tag = [], old, '"v2"'
    assert download(site.url("p.zip"), target, patience=HURRY) == digest(old)
    assert target.read_bytes() == old


def test_a_server_that_glues_wrongly_is_caught_by_the_digest_and_asked_again(site, tmp_path):
    target = tmp_path / "p.zip"
    old, site.content = site.content, b"x" * 100_000
    site.faults = ["cut"]
    with pytest.raises(DownloadFailed):
        download(site.url("p.zip"), target, patience=ONCE)
    # The same tag for other bytes.
    site.content = old
    assert download(site.url("p.zip"), target, sha256=digest(old), patience=HURRY) == digest(old)


def test_a_server_that_sends_another_part_is_not_believed(site, tmp_path):
    site.faults = ["cut", "elsewhere"]
    got = download(site.url("p.zip"), tmp_path / "p.zip", patience=HURRY)
    assert got == digest(site.content)


def test_bytes_that_were_complete_before_the_crash(site, tmp_path):
    target = tmp_path / "p.zip"
    site.content = site.content[:100_000]
    site.faults = ["cut"]
    with pytest.raises(DownloadFailed):
        download(site.url("p.zip"), target, patience=ONCE)
    (tmp_path / "p.zip.part").write_bytes(site.content)
    assert download(site.url("p.zip"), target, patience=HURRY) == digest(site.content)


def test_a_wrong_digest_is_named_deleted_and_nothing_is_installed(site, store):
    wrong = "0" * 64
    with pytest.raises(DownloadFailed) as caught:
        install(site.url("p.zip"), store, sha256=wrong, patience=HURRY)
    for word in (site.url("p.zip"), wrong, digest(site.content), "deleted"):
        assert word in caught.value.message
    assert nothing_half_done(store)
    assert not list((store.root / "downloads").glob("*.part"))


def test_a_stalled_server_is_left_after_the_time_limit(site, store):
    site.faults = ["stall"] * 10
    site.content = site.content[:50_000]
    began = time.monotonic()
    with pytest.raises(DownloadFailed, match="stalled"):
        install(site.url("p.zip"), store, patience=IMPATIENT)
    assert time.monotonic() - began < 10
    assert nothing_half_done(store)


def test_a_server_that_stalls_once_is_continued(site, store):
    site.faults = ["stall"]
    install(site.url("p.zip"), store, sha256=digest(site.content), patience=IMPATIENT)
    assert store.list() == ("p",)


def test_a_trickle_counts_as_stalled(site, tmp_path):
    site.faults = ["trickle"] * 10
    with pytest.raises(DownloadFailed, match="stalled"):
        download(site.url("p.zip"), tmp_path / "p.zip", patience=replace(IMPATIENT, attempts=1))


def test_404_is_named_at_once(site, store):
    site.faults = ["404"]
    with pytest.raises(DownloadFailed) as caught:
        install(site.url("nosuch.zip"), store, patience=HURRY)
    assert "no such file (404)" in caught.value.message
    assert site.url("nosuch.zip") in caught.value.message
    assert len(site.seen) == 1
    assert nothing_half_done(store)


@pytest.mark.parametrize("status", ["500", "503", "429"])
def test_a_server_that_recovers_is_waited_for(site, store, status):
    site.faults = [status, status]
    install(site.url("p.zip"), store, patience=HURRY)
    assert store.list() == ("p",)


def test_a_server_that_does_not_recover_is_given_up(site, store):
    site.faults = ["503"] * 50
    with pytest.raises(DownloadFailed, match="503"):
        install(site.url("p.zip"), store, patience=HURRY)
    assert len(site.seen) == HURRY.attempts
    assert nothing_half_done(store)


def test_a_body_without_length_that_stops_is_caught_as_a_damaged_zip(site, store):
    site.faults = ["no length"]
    with pytest.raises(PackBroken, match="zip"):
        install(site.url("p.zip"), store, patience=HURRY)
    assert nothing_half_done(store)


def test_something_else_than_a_pack_leaves_nothing(site, store):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr("readme.txt", "hello")
    site.content = packed.getvalue()
    with pytest.raises(PackUnrecognised):
        install(site.url("p.zip"), store, patience=HURRY)
    assert nothing_half_done(store)


def test_nobody_there(store):
    with pytest.raises(DownloadFailed, match="no connection"):
        install("http://127.0.0.1:1/p.zip", store, patience=HURRY)
    assert nothing_half_done(store)


def test_a_file_over_the_limit_is_refused(site, tmp_path):
    with pytest.raises(DownloadFailed, match="limit"):
        download(site.url("p.zip"), tmp_path / "p.zip", patience=HURRY, max_bytes=1000)
    site.faults = ["no length"]
    with pytest.raises(DownloadFailed, match="limit"):
        download(site.url("p.zip"), tmp_path / "q.zip", patience=HURRY, max_bytes=1000)


def test_a_full_disk_is_named(site, tmp_path, monkeypatch):
    """Stands in for a full disk: the operating system's own error, raised while bytes arrive."""

    def full(done: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DownloadFailed, match=r"disk .* is full.*continues where it stopped"):
        download(site.url("p.zip"), tmp_path / "p.zip", patience=HURRY, progress=full)


def test_a_disk_too_small_for_the_file_is_named_before_it_is_filled(site, tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr("lineament.packs.download.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(DownloadFailed, match="has 1000"):
        download(site.url("p.zip"), tmp_path / "p.zip", patience=HURRY)


def test_known_packs_come_from_a_mirror_once_their_terms_are_accepted(site, store, monkeypatch):
    with pytest.raises(LicenceNotAccepted):
        install("buffalo_s", store, mirror=site.url("zoo/"), patience=HURRY)
    assert site.seen == []
    pack = install("buffalo_s", store, mirror=site.url("zoo/"), accept_licence=True, patience=HURRY)
    assert [path for path, _ in site.seen] == ["/zoo/buffalo_s.zip"]
    assert pack.card.licence.commercial is False
    monkeypatch.setenv("LINEAMENT_MIRROR", site.url("other"))
    install("buffalo_sc", store, accept_licence=True, patience=HURRY)
    assert site.seen[-1][0] == "/other/buffalo_sc.zip"


def test_another_download_does_not_replace_a_pack_unasked(site, store):
    first = install(site.url("p.zip"), store, patience=HURRY)
    install(site.url("elsewhere/p.zip"), store, patience=HURRY)
    site.content = a_pack(scale=2.0)
    with pytest.raises(InvalidArgument, match="--replace"):
        install(site.url("other/p.zip"), store, patience=HURRY)
    assert store.get("p").card.models == first.card.models
    other = install(site.url("other/p.zip"), store, replace=True, patience=HURRY)
    assert store.get("p").card == other.card
    assert other.card.models != first.card.models


def test_reserved_names_are_refused_before_anything_is_fetched(site, store):
    for address, name in (("p.zip", "default"), ("opencv-zoo.zip", None), ("m.onnx", "buffalo_l")):
        with pytest.raises(InvalidArgument, match="give another with --name"):
            install(site.url(address), store, name=name, accept_licence=True, patience=HURRY)
    assert site.seen == []


def test_a_known_name_in_an_address_has_its_terms_too(site, store):
    with pytest.raises(LicenceNotAccepted):
        install(site.url("buffalo_l.zip"), store, patience=HURRY)
    assert site.seen == []


def test_the_second_address_is_tried(site, store, monkeypatch):
    from lineament.packs import catalogue
    from lineament.packs import install as module
    from lineament.packs.terms import UNSTATED_LICENCE

    entry = catalogue.Entry("twice", "", (site.url("a/twice.zip"), site.url("b/twice.zip")), UNSTATED_LICENCE)
    monkeypatch.setitem(module.CATALOGUE, "twice", entry)
    site.faults = ["404"]
    assert install("twice", store, patience=HURRY).card.source.startswith(site.url("b/twice.zip"))


def test_a_proxy_is_used(site, store):
    install("http://models.invalid/p.zip", store, proxy=site.url("")[:-1], patience=HURRY)
    assert site.seen[0][0] == "http://models.invalid/p.zip"


def test_a_proxy_from_the_environment_is_used(site, store, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url("")[:-1])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    install("http://models.invalid/p.zip", store, patience=HURRY)
    assert site.seen[0][0] == "http://models.invalid/p.zip"


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("http://127.0.0.1/", {}),
        ("http://127.0.0.1/p.exe", {}),
        ("http://127.0.0.1/p.zip", {"name": "../up"}),
        ("http://127.0.0.1/p.zip", {"sha256": "abc"}),
        ("http://127.0.0.1/p.zip", {"proxy": "nonsense"}),
    ],
)
def test_impossible_requests(store, what, options):
    with pytest.raises(InvalidArgument):
        install(what, store, patience=HURRY, **options)


def test_two_at_once_download_once_and_both_get_the_pack(site, store):
    packs, errors = [], []

    def work() -> None:
        try:
            packs.append(install(site.url("p.zip"), Store(store.root), patience=HURRY))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({pack.folder for pack in packs}) == 1
    assert len(site.seen) == 1
