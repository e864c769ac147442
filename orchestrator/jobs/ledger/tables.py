"""Tables of the ledger, for queries. The migrations create them."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.types import BigInteger

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    _text("caller"),
    _text("method"),
    _text("recipe"),
    _text("kind"),
    Column("priority", Integer, nullable=False),
    _text("labels"),  # JSON; the table of labels is the index
    _text("request"),
    _text("sent"),
    Column("request_id", Text),
    Column("time_limit", Double),
    Column("memory", BigInteger, nullable=False),
    Column("requests", Integer, nullable=False),
    _text("state"),
    # Caller, kind and method: the jobs of one lane are claimed in the order of their rank.
    _text("lane"),
    # The time of submission, earlier by ten minutes for each level of priority: it stays as it is while the
    # job waits, so that an index keeps the order.
    Column("rank", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    # The attempts that ended without a word since the job remembered something last.
    Column("interruptions", Integer, nullable=False),
    _text("owner"),
    Column("lease", Double),  # when it runs out; null if it never does
    # Of a watcher: how long it is, and when it runs out. Null without one, and after the end.
    Column("watched_within", Double),
    Column("watched_until", Double),
    _text("wanted"),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("spent", Double, nullable=False),
    Column("progress", Text),
    Column("failure", Text),
    Column("result", Text),
    UniqueConstraint("caller", "request_id", name="jobs_request_id"),
    Index("jobs_claim", "state", "lane", "rank"),
    Index("jobs_caller", "caller", "name"),
    Index("jobs_state", "caller", "state", "name"),
    Index("jobs_method", "caller", "method", "state", "name"),
    Index("jobs_ended", "ended"),
    Index("jobs_watched", "watched_until"),  # of those that have one
)

labels = Table(
    "labels",
    metadata,
    Column("job", Text, ForeignKey("jobs.name", ondelete="CASCADE"), primary_key=True),
    Column("label", Text, primary_key=True),
    Index("labels_label", "label", "job"),
)

# What a job remembers, by key.
stages = Table(
    "stages",
    metadata,
    Column("job", Text, ForeignKey("jobs.name", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    _text("value"),
)

# The artifacts that a job refers to; `key` says which stage does, or one of the keys in `ledger`.
references = Table(
    "job_references",
    metadata,
    Column("job", Text, ForeignKey("jobs.name", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("artifact", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Index("job_references_artifact", "artifact"),
    Index("job_references_kind", "kind", "job"),
)

# The number of jobs that wait, as a sum over a few rows: counting them would take longer the more there are,
# and one row would make all who submit wait for each other.
waiting = Table(
    "waiting",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("jobs", BigInteger, nullable=False),
)
SHARDS = 8

meta = Table("meta", metadata, Column("key", Text, primary_key=True), _text("value"))
