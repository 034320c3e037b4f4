"""Real servers for tests: a Milvus and a PostgreSQL that live as long as the tests do. See scripts/servers.

Fixtures: `milvus_server`, `postgres_server` (one each per test process, started when first asked for), and
`start_milvus`, `start_postgres` for a test that wants one of its own, to kill.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MILVUS = REPOSITORY / ".venv-milvus"
MILVUS_TOKEN = "root:Milvus"  # noqa: S105 - what a new server is made with, and is asked for
# The launcher of the package `milvus`. Its own waiting is not used: it believes any server that answers. The
# etcd within the server takes its ports from a file only; without it, a second server on a machine crashes.
# `create_server` takes a port back that a killed server left waiting; the launcher's own way waits a minute.
# A Strong read waits for the proxy's clock, which ticks each 200 ms unless told otherwise.
LAUNCH = """
import os, pathlib, socket, sys, threading
from milvus import default_server as server
type(server.config).try_bind_port = lambda self, port: socket.create_server(("127.0.0.1", port))
place, wanted, lease, *ports = sys.argv[1:]
server.set_base_dir(place)
web, peer, *rest = map(int, ports)
names = [name for name in server.config.configurable_items if name.endswith("_port")]
server.config.configs.update(zip(names, rest))
server.config.configs["proxy_port"] = int(wanted) or server.config.configs["proxy_port"]
proxy, etcd = (server.config.configs[name] for name in ("proxy_port", "etcd_port"))
for part in ("proxy", "rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode"):
    server.config.set(part + ".ip", "127.0.0.1")
server.config.set("common.security.authorizationEnabled", "true")
server.config.set("proxy.timeTickInterval", 20)
server.config.set("common.session.ttl", int(lease))
server.webservice_port, server.wait_for_started = web, False
client, peers = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
settings = {"listen-client-urls": client, "advertise-client-urls": client, "listen-peer-urls": peers,
    "initial-advertise-peer-urls": peers, "initial-cluster": "default=" + peers}
file = pathlib.Path(place, "etcd.yaml")
file.write_text("".join(f"{name}: {value}\\n" for name, value in settings.items()))
os.environ["ETCD_CONFIG_PATH"] = str(file)
server.start()
print(server.server_proc.pid, proxy, flush=True)
threading.Thread(target=lambda: os._exit(server.server_proc.wait()), daemon=True).start()
sys.stdin.read()
server.server_proc.kill()
"""


def free_ports(n: int) -> list[int]:
    """Ports of the loopback interface that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(ready: Callable[[], bool], process: subprocess.Popen[str], seconds: float, what: str) -> None:
    """Wait for a server; fail, and say so, if it ends or takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            pytest.fail(f"{what} ended with exit code {process.returncode} instead of starting")
        if time.monotonic() > end:
            pytest.fail(f"{what} did not answer within {seconds:g} s")
        time.sleep(0.05)


class Milvus:
    """A Milvus server (2.3.5) on the loopback interface, that wants a token.

    Args:
        place: a folder for its data.
        lease_s: how long its parts are taken for alive after a crash, seconds; a restart waits far longer.

    Attributes:
        url: for a `MilvusIndex`; another one after each start.
    """

    def __init__(self, place: Path, *, lease_s: int = 30) -> None:
        self.place = place
        self._lease_s = lease_s
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "bin").exists():
            (place / "bin").symlink_to(MILVUS / "run" / "bin")

    def start(self, port: int = 0) -> None:
        """Start it, with what it stored before, at fresh ports; but clients find it at `port`, if given."""
        ports = list(map(str, free_ports(14)))
        self._process = process = subprocess.Popen(
            [MILVUS / "bin" / "python", "-c", LAUNCH, self.place, str(port), str(self._lease_s), *ports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert len(said) == 2, "the launcher of Milvus failed; its message is above"
        self._pid, port = map(int, said)
        until(lambda: healthy(int(ports[0])), process, 90, "Milvus")
        self.url = f"milvus+http://127.0.0.1:{port}"

    def kill(self) -> None:
        """`kill -9`, as a crash."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=20)
        self._process = None


def healthy(port: int) -> bool:
    """Whether all parts of a Milvus say that they are up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return b"OK" in answer.read()
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def start_milvus() -> Iterator[Callable[[int], Milvus]]:
    """`start_milvus(lease_s)`: a server of a test's own; the token of all of them is in the environment."""
    if not (MILVUS / "run" / "bin" / "milvus").exists():
        pytest.skip("needs a Milvus server, which scripts/servers installs")
    place = Path(tempfile.mkdtemp(prefix="lineament-milvus-"))
    started: list[Milvus] = []

    def start(lease_s: int) -> Milvus:
        started.append(Milvus(place / str(len(started)), lease_s=lease_s))
        started[-1].start()
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAMENT_MILVUS_TOKEN", MILVUS_TOKEN)
        try:
            yield start
        finally:
            for server in started:
                server.kill()
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def milvus_server(start_milvus: Callable[[int], Milvus]) -> Milvus:
    """A running Milvus, for everything but crashes."""
    return start_milvus(30)


def postgres_programs() -> Path | None:
    """Where initdb and postgres are, the newest first; Debian keeps them off the path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    return next((place for place in places if (place / "postgres").exists()), None)


class Postgres:
    """A PostgreSQL server on the loopback interface, that trusts whoever asks.

    Args:
        place: an empty folder for its data.
        fsync: whether commits reach the disk; a crash of the machine, not of the process, would show.
    """

    def __init__(self, place: Path, *, fsync: bool) -> None:
        programs = postgres_programs()
        assert programs is not None
        self._programs, self._place, self._fsync = programs, place, fsync
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[str] | None = None
        self._names = count(1)
        # PostgreSQL refuses to run as root.
        self._as: dict[str, str] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(place, "postgres", "postgres")
        self._run("initdb", "-D", place, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    @property
    def url(self) -> str:
        """Of the database that each server has."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"test_{next(self._names)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        """Start it, at the same port each time, with what it stored before."""
        options = [
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-k",
            "",
            "-c",
            f"fsync={'on' if self._fsync else 'off'}",
        ]
        options += ["-c", "max_connections=200", "-c", "shared_buffers=64MB"]
        with (self._place.parent / f"{self._place.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._place, *options],
                stdout=log,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,
                **self._as,
            )
        until(self._answers, self._process, 30, "PostgreSQL")

    def _answers(self) -> bool:
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False, cwd="/").returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT, in order and at once; SIGKILL, all its processes, as a crash."""
        if self._process is None:
            return
        number = self._process.pid
        # Each of its processes leads a group of its own.
        others = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        self._process.send_signal(how)
        if how is signal.SIGKILL:
            for other in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(other), how)
        self._process.wait(timeout=30)
        self._process = None

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._as,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[bool], Postgres]]:
    """`start_postgres(fsync)`: a server of a test's own, ended with the others."""
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL, which scripts/servers installs")
    # Not pytest's folder: that may be entered by its owner only, and the server is another user.
    place = Path(tempfile.mkdtemp(prefix="lineament-postgres-"))
    place.chmod(0o711)
    started: list[Postgres] = []

    def start(fsync: bool) -> Postgres:
        folder = place / str(len(started))
        folder.mkdir()
        started.append(Postgres(folder, fsync=fsync))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(start_postgres: Callable[[bool], Postgres]) -> Postgres:
    """A running PostgreSQL, for everything but crashes: `postgres_server.new_database()` is an address."""
    return start_postgres(False)
