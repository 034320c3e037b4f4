"""The tables: what is enrolled, what happened to it, and who asked.

One schema for SQLite and PostgreSQL. Whatever says how a face looks (templates, crops, sensitive metadata)
is a column of bytes that may be sealed; whatever a search filters by is not. Times are ISO text in UTC.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import JSON

metadata = MetaData()

# SQLite gives a rowid only to columns declared INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

version = Table("schema_version", metadata, Column("version", Integer, primary_key=True), Column("at", Text))

counter = Table(
    "counter",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers given out in the transaction that uses them. A sequence of PostgreSQL would give 8 to a
transaction that commits before the one that holds 7, and a follower that has seen 8 would never look for 7
again."""

collection = Table(
    "collection",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_digest", String(64), nullable=False),
    Column("alignment", String(64), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    # Wrapped by the master key: seals what belongs to no one subject, and makes digests of pictures.
    Column("data_key", LargeBinary),
    Column("created_at", Text, nullable=False),
)

subject = Table(
    "subject",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("collection_id", _Id, ForeignKey("collection.id"), nullable=False),
    Column("external_id", String(255), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("sensitive", LargeBinary),
    Column("consent", JSON),
    Column("retain_until", Text),
    Column("data_key", LargeBinary),
    Column("template", LargeBinary),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    UniqueConstraint("collection_id", "external_id", name="subject_of_a_collection"),
)

reference = Table(
    "reference",
    metadata,
    # The sequence number of its enrolment: never used again, and in the order of commits.
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("collection_id", _Id, ForeignKey("collection.id"), nullable=False),
    Column("subject_id", _Id, ForeignKey("subject.id"), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("norm", Float, nullable=False),
    Column("quality", JSON),
    Column("source_digest", String(64), nullable=False),
    Column("crop", LargeBinary),
    # Under another model, the reference whose crop this one was made of; see remodel.py.
    Column("origin", _Id),
    Column("created_at", Text, nullable=False),
    Index("reference_of_a_collection", "collection_id", "id"),
    Index("reference_of_a_subject", "subject_id"),
    Index("reference_of_a_picture", "collection_id", "source_digest"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=False),
    Column("collection_id", _Id, nullable=False),
    Column("act", String(8), nullable=False),
    Column("reference_id", _Id, nullable=False),
    Index("outbox_of_a_collection", "collection_id", "seq"),
)

request = Table(
    "request",
    metadata,
    Column("collection_id", _Id, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("subject_id", _Id),
    Column("at", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _Id, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("collection", Text),
    Column("subject", Text),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", _Id, nullable=False),
    Column("hash", String(64), nullable=False),
)

secret = Table(
    "secret",
    metadata,
    Column("name", String(32), primary_key=True),
    # The audit log's key, wrapped by the master key; none where the database holds no sealed collection. And,
    # under another name, what tells this database from others.
    Column("wrapped", LargeBinary),
)

erasure = Table(
    "erasure",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("collection", Text, nullable=False),
    Column("subject_digest", String(64), nullable=False),
    Column("receipt", Text, nullable=False),
    Column("at", Text, nullable=False),
)

not_this_person = Table(
    "not_this_person",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("collection_id", _Id, ForeignKey("collection.id"), nullable=False),
    Column("subject_id", _Id, ForeignKey("subject.id"), nullable=False),
    # A probe that a reviewer said is somebody else.
    Column("vector", LargeBinary, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("not_this_person_of_a_subject", "subject_id"),
)

TABLES_1 = (
    counter, collection, subject, reference, outbox, request, audit, audit_head, secret, erasure,
    not_this_person,
)  # fmt: skip
"""Of the first migration."""

entry = Table(
    "watchlist_entry",
    metadata,
    Column("subject_id", _Id, ForeignKey("subject.id"), primary_key=True, autoincrement=False),
    Column("collection_id", _Id, ForeignKey("collection.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("valid_from", Text, nullable=False),
    Column("valid_until", Text),
    Column("state", String(16), nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Text),
    Index("watchlist_entry_of_a_collection", "collection_id"),
)

alert = Table(
    "alert",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("collection_id", _Id, nullable=False),
    Column("subject_id", _Id),
    Column("at", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    # The probe and its crop, sealed like a reference of the subject: what a reviewer looks at and may reject.
    Column("vector", LargeBinary),
    Column("crop", LargeBinary),
    Column("review", String(16), nullable=False),
    Column("reviewer", Text),
    Column("reviewed_at", Text),
    Index("alert_of_a_collection", "collection_id", "at"),
)

TABLES_2 = (entry, alert)
"""Of the second migration."""
