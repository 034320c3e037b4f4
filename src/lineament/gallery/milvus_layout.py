"""The Milvus collection that holds an index: made once, and looked at before it is trusted."""

import re
import time
from typing import Any

from lineament.core.errors import GalleryBroken, IndexUnavailable, InvalidArgument
from lineament.core.template import ModelId
from lineament.gallery.milvus_address import MilvusAddress
from lineament.gallery.milvus_link import Client

SLOW = 15
"""Making an index, loading it or clearing it may take this many times as long as a search."""


class Layout:
    """How the Milvus collection of one model is laid out.

    Args:
        name: of the collection.
        address: of the server, with the type of index and its parameters.
        model: who makes the templates.
        dimension: their length.
    """

    def __init__(self, name: str, address: MilvusAddress, model: ModelId, dimension: int) -> None:
        self.name, self.address, self.model, self.dimension = name, address, model, dimension
        self._partitions = 1

    def partition(self, collection: int) -> str:
        """Where the rows of a lineament collection are; known once `prepare` has run."""
        return f"part_{collection % self._partitions}"

    def prepare(self, client: Client) -> None:
        """Make the Milvus collection where there is none, see that it is ours, and have it loaded.

        Its index is made last: where there is one, the rest is complete.

        Raises:
            IndexUnavailable: the server does not know the index type.
            InvalidArgument: the collection has an index of another type.
            GalleryBroken: the collection is laid out otherwise, or belongs to another model.
        """
        within = self.address.timeout_s
        ours = not client.has_collection(self.name, timeout=within)
        if ours:
            self._create(client)
        self._require_layout(client)
        if not self._has_index(client, wait=not ours):
            self._complete(client)
        self._require_index(client)
        names: list[str] = client.list_partitions(self.name, timeout=within)
        self._partitions = sum(re.fullmatch(r"part_\d+", name) is not None for name in names)
        client.load_collection(self.name, timeout=SLOW * within, replica_number=self.address.replicas)

    @property
    def _description(self) -> str:
        return f"lineament {self.model.digest}"

    def _create(self, client: Client) -> None:
        from pymilvus import DataType
        from pymilvus.exceptions import MilvusException

        schema = client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=self._description
        )
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("collection", DataType.INT64)
        schema.add_field("seq", DataType.INT64)
        within = self.address.timeout_s
        how = {"consistency_level": "Strong", "num_shards": self.address.shards, "timeout": within}
        try:
            client.create_collection(self.name, schema=schema, **how)
        except MilvusException:
            # Another process may have been faster.
            if not client.has_collection(self.name, timeout=within):
                raise

    def _has_index(self, client: Client, *, wait: bool) -> bool:
        """Whether there is an index; give another process, which may be making it, some time."""
        end = time.monotonic() + (self.address.timeout_s if wait else 0.0)
        while not client.list_indexes(self.name, timeout=self.address.timeout_s):
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True

    def _complete(self, client: Client) -> None:
        from pymilvus.exceptions import MilvusException

        address = self.address
        there = set(client.list_partitions(self.name, timeout=address.timeout_s))
        for name in (f"part_{i}" for i in range(address.partitions)):
            if name not in there:
                client.create_partition(self.name, name, timeout=address.timeout_s)
        index = client.prepare_index_params()
        index.add_index("vector", address.index, metric_type="COSINE", params=dict(address.build))
        try:
            client.create_index(self.name, index, timeout=SLOW * address.timeout_s)
        except MilvusException as error:
            client.drop_collection(self.name, timeout=address.timeout_s)
            raise IndexUnavailable(
                f"Milvus at {address} ({client.get_server_version()}) could not make an index of type "
                f"{address.index}: choose another with ?index= in the address, or a newer Milvus "
                "(IVF_RABITQ needs 2.6)"
            ) from error

    def _require_layout(self, client: Client) -> None:
        described: dict[str, Any] = client.describe_collection(self.name, timeout=self.address.timeout_s)
        fields = {item["name"]: item.get("params", {}).get("dim") for item in described["fields"]}
        wanted = {"id": None, "vector": self.dimension, "collection": None, "seq": None}
        # milvus-lite forgets the description.
        if fields != wanted or described.get("description") not in ("", self._description):
            raise GalleryBroken(
                f"the Milvus collection {self.name} at {self.address} is not laid out as it should be for "
                f"templates of {self.dimension} numbers by {self.model}: drop it there and rebuild the index"
            )

    def _require_index(self, client: Client) -> None:
        made: dict[str, Any] = client.describe_index(self.name, "vector", timeout=self.address.timeout_s)
        if (kind := str(made.get("index_type"))) != self.address.index:
            raise InvalidArgument(
                f"the Milvus collection {self.name} has an index of type {kind}, not {self.address.index}: "
                f"say ?index={kind} in the address, or drop the collection there and rebuild"
            )
