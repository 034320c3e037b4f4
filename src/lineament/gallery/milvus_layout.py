"""The Milvus collection that holds an index: made once, and looked at before it is trusted."""

from dataclasses import dataclass
from typing import Any

from lineament.core.errors import GalleryBroken, IndexUnavailable, InvalidArgument
from lineament.core.template import ModelId
from lineament.gallery.milvus_address import MilvusAddress
from lineament.gallery.milvus_link import Client

SLOW = 15
"""Making an index, loading it or clearing it may take this many times as long as a search."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the Milvus collection of one model is laid out.

    Attributes:
        name: of the collection.
        address: of the server, with the type of index and its parameters.
        model: who makes the templates.
        dimension: their length.
    """

    name: str
    address: MilvusAddress
    model: ModelId
    dimension: int

    def prepare(self, client: Client) -> None:
        """Make the Milvus collection where there is none, see that it is ours, and have it loaded.

        Raises:
            IndexUnavailable: the server does not know the index type.
            InvalidArgument: the collection has an index of another type.
            GalleryBroken: the collection is laid out otherwise, or belongs to another model.
        """
        within = self.address.timeout_s
        if not client.has_collection(self.name, timeout=within):
            self._create(client)
        self._require_ours(client)
        client.load_collection(self.name, timeout=SLOW * within, replica_number=self.address.replicas)

    @property
    def _description(self) -> str:
        return f"lineament {self.model.digest}"

    def _create(self, client: Client) -> None:
        from pymilvus import DataType
        from pymilvus.exceptions import MilvusException

        address = self.address
        schema = client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=self._description
        )
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("collection", DataType.INT64, is_partition_key=True)
        schema.add_field("seq", DataType.INT64)
        index = client.prepare_index_params()
        index.add_index("vector", address.index, metric_type="COSINE", params=dict(address.build))
        within = SLOW * address.timeout_s
        sizes = {"num_partitions": address.partitions, "num_shards": address.shards}
        try:
            client.create_collection(
                self.name, schema=schema, consistency_level="Strong", timeout=within, **sizes
            )
            client.create_index(self.name, index, timeout=within)
        except MilvusException as error:
            if not client.list_indexes(self.name, timeout=address.timeout_s):
                client.drop_collection(self.name, timeout=address.timeout_s)
                raise IndexUnavailable(
                    f"Milvus at {address} ({client.get_server_version()}) could not make an index of type "
                    f"{address.index}: choose another with ?index= in the address, or a newer Milvus "
                    "(IVF_RABITQ needs 2.6)"
                ) from error

    def _require_ours(self, client: Client) -> None:
        within = self.address.timeout_s
        described: dict[str, Any] = client.describe_collection(self.name, timeout=within)
        fields = {item["name"]: item.get("params", {}).get("dim") for item in described["fields"]}
        wanted = {"id": None, "vector": self.dimension, "collection": None, "seq": None}
        # milvus-lite forgets the description.
        if fields != wanted or described.get("description") not in ("", self._description):
            raise GalleryBroken(
                f"the Milvus collection {self.name} at {self.address} is not laid out as it should be for "
                f"templates of {self.dimension} numbers by {self.model}: drop it there and rebuild the index"
            )
        made = client.describe_index(self.name, "vector", timeout=within) or {}
        if (kind := str(made.get("index_type"))) != self.address.index:
            raise InvalidArgument(
                f"the Milvus collection {self.name} has an index of type {kind}, not {self.address.index}: "
                f"say ?index={kind} in the address, or drop the collection there and rebuild"
            )
