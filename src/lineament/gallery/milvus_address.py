"""What the address of a Milvus says: where it is, and how it shall index and search."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, urlsplit

from lineament.core.errors import InvalidArgument

Setting = int | float | bool | str

TOKEN = "LINEAMENT_MILVUS_TOKEN"  # noqa: S105 - the name of a variable, not what is in it
PORT = 19530
CONSISTENCY = ("Strong", "Session", "Bounded", "Eventually")
# What a person who knows none of these would want: recall before speed. The address can say otherwise.
INDEXES: dict[str, tuple[dict[str, Setting], dict[str, Setting]]] = {
    "FLAT": ({}, {}),
    "IVF_FLAT": ({"nlist": 1024}, {"nprobe": 128}),
    "IVF_SQ8": ({"nlist": 1024}, {"nprobe": 128}),
    "IVF_RABITQ": ({"nlist": 1024, "refine": True, "refine_type": "SQ8"}, {"nprobe": 128, "refine_k": 4.0}),
    "HNSW": ({"M": 16, "efConstruction": 200}, {"ef": 256}),
    "DISKANN": ({}, {"search_list": 256}),
    "AUTOINDEX": ({}, {}),
}
BUILD = {"nlist", "M", "efConstruction", "refine", "refine_type"}
SEARCH = {"nprobe", "ef", "search_list", "refine_k", "rbq_query_bits"}
COUNTS = {"partitions": 16, "shards": 1, "replicas": 1}


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where a Milvus is and how it shall search.

    Attributes:
        uri: for the client: an address of a server, or the path of a `milvus-lite` folder.
        host: of the server; empty for `milvus-lite`.
        port: of the server.
        database: within the server; empty for its default.
        index: a key of `INDEXES`. Only FLAT is exact.
        build: parameters of the index when it is made.
        search: parameters of the index when it is searched.
        consistency: one of `CONSISTENCY`. Only Strong sees every write that came before.
        timeout_s: after which a call is given up, seconds.
        partitions, shards, replicas: of the Milvus collection when it is made, and loaded.
    """

    uri: str
    host: str
    port: int
    database: str = ""
    index: str = "FLAT"
    build: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    search: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    consistency: str = "Strong"
    timeout_s: float = 20.0
    partitions: int = 16
    shards: int = 1
    replicas: int = 1

    @property
    def lite(self) -> bool:
        """Whether this is `milvus-lite` in this process rather than a server."""
        return not self.host

    def __str__(self) -> str:
        return self.uri if self.lite else f"{self.host}:{self.port}"


def parse_address(url: str) -> MilvusAddress:
    """Read `milvus+http://host:port/database?index=HNSW&ef=512` or `milvus-lite:///folder/name.db`.

    Args:
        url: `milvus+http` or `milvus+https` for a server, `milvus-lite` for development. The parameters are
            the attributes of `MilvusAddress`, and those of the index type as Milvus names them.

    Raises:
        InvalidArgument: an address that says something else. The message never repeats a password.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            f"the address of Milvus carries a name or password, which would end in logs: set {TOKEN} instead"
        )
    settings = _settings(parts)
    if parts.scheme == "milvus-lite":
        if parts.netloc or not parts.path.endswith(".db"):
            raise InvalidArgument(f"{url!r}: milvus-lite wants milvus-lite:///folder/name.db, ending in .db")
        return replace(settings, uri=parts.path)
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError as error:
        raise InvalidArgument(f"{url!r}: the port is no number from 1 to 65535") from error
    if parts.scheme not in ("milvus+http", "milvus+https") or not host:
        raise InvalidArgument(
            f"{url!r} is no address of Milvus: give milvus+http://host:{PORT}, milvus+https://host:443 "
            "or milvus-lite:///folder/name.db"
        )
    uri, database = f"{parts.scheme[7:]}://{parts.netloc}", parts.path.strip("/")
    return replace(settings, uri=uri, host=host, port=port, database=database)


def _settings(parts: SplitResult) -> MilvusAddress:
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    index = said.pop("index", "FLAT").upper()
    consistency = said.pop("consistency", "Strong").capitalize()
    if index not in INDEXES:
        raise InvalidArgument(f"index={index} is not one of {', '.join(INDEXES)}")
    if consistency not in CONSISTENCY:
        raise InvalidArgument(f"consistency={consistency} is not one of {', '.join(CONSISTENCY)}")
    partitions, shards, replicas = (_number(n, said.pop(n, str(usual))) for n, usual in COUNTS.items())
    timeout = float(_number("timeout", said.pop("timeout", "20")))
    build, search = (dict(usual) for usual in INDEXES[index])
    for name, text in said.items():
        if name not in BUILD | SEARCH:
            known = sorted({*COUNTS, "index", "consistency", "timeout"} | BUILD | SEARCH)
            raise InvalidArgument(
                f"{name} is no parameter of an address of Milvus; there are {', '.join(known)}"
            )
        (build if name in BUILD else search)[name] = _setting(text)
    return MilvusAddress(
        "",
        "",
        0,
        index=index,
        build=build,
        search=search,
        consistency=consistency,
        timeout_s=timeout,
        partitions=partitions,
        shards=shards,
        replicas=replicas,
    )


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InvalidArgument(f"{name}={text}: give a whole number, 1 or more")
    return int(text)


def _setting(text: str) -> Setting:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    return text
