"""The tables of a store, in SQL that SQLite and PostgreSQL both speak.

No column holds a user id: people are pseudonyms. What is personal is `sealed` with the person's own key, whose destruction
forgets it wherever copies of the store may lie. Times are seconds since 1970, UTC. What a table and each of its columns
hold is said here, once, and told by `recommender data-map`.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()


def told(what: str, sealed: Literal["yes", "no", "partly", "hashed"], kept: str, forgotten: str) -> dict[str, str]:
    """Return what `recommender data-map` says of a table. `kept`: for how long, or the config key that says so."""
    return {"what": what, "sealed": sealed, "kept": kept, "forgotten": forgotten}


#: SQLite numbers rows by itself for plain integers only
_Number = BigInteger().with_variant(Integer, "sqlite")

facts = Table(
    "facts",
    metadata,
    Column(
        "name",
        String(64),
        primary_key=True,
        comment="pseudonym-secret, signing-key, audit-frontier or generation",
    ),
    Column("value", LargeBinary, nullable=False, comment="the fact; secrets are wrapped by the master key"),
    info=told("the store's own secrets and facts", "partly", "as long as the store", "it names nobody"),
)

people = Table(
    "people",
    metadata,
    Column("person", String(64), primary_key=True, comment="pseudonym: a keyed hash of the user id"),
    Column("wrapped_key", LargeBinary, nullable=False, comment="the person's own key, wrapped by a master key"),
    Column("master", String(64), nullable=False, comment="name of the master key that wraps it"),
    Column("created", Float, nullable=False, comment="when something was first kept"),
    info=told(
        "who is known, and their keys",
        "partly",
        "until the person is forgotten",
        "forget deletes it: what the key sealed is unreadable in every copy",
    ),
)

events = Table(
    "events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True, comment="order of arrival"),
    Column(
        "event_id", String(200), nullable=False, unique=True, comment="id that the client chose; let it name nobody"
    ),
    Column("person", String(64), nullable=False, index=True, comment="pseudonym"),
    Column("time", Float, nullable=False, index=True, comment="when it happened"),
    Column(
        "sealed", LargeBinary, nullable=False, comment="item, kind, value, answer, rank; sealed with the person's key"
    ),
    info=told("what people did", "yes", "serving.event_days", "forget deletes it; store sweep deletes what is older"),
)

#: lists that people were shown, with what estimates for other ways of ranking need
impressions = Table(
    "impressions",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True, comment="order of arrival"),
    Column("request_id", String(64), nullable=False, unique=True, comment="id of the answer, made by chance"),
    Column("person", String(64), nullable=False, index=True, comment="pseudonym"),
    Column("time", Float, nullable=False, index=True, comment="when it was shown"),
    Column(
        "sealed",
        LargeBinary,
        nullable=False,
        comment="items with probabilities, model, arms of experiments; sealed with the person's key",
    ),
    info=told(
        "which lists people were shown",
        "yes",
        "serving.impression_days",
        "forget deletes it; store sweep deletes what is older",
    ),
)

feedback = Table(
    "feedback",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True, comment="order of arrival"),
    Column("person", String(64), nullable=False, index=True, comment="pseudonym"),
    Column("time", Float, nullable=False, index=True, comment="when it was given"),
    Column(
        "sealed", LargeBinary, nullable=False, comment="item, opinion, facts, sentence; sealed with the person's key"
    ),
    info=told(
        "what people said of items and justifications",
        "yes",
        "serving.feedback_days",
        "forget deletes it; store sweep deletes what is older",
    ),
)

consents = Table(
    "consents",
    metadata,
    Column("person", String(64), primary_key=True, comment="pseudonym"),
    Column("purpose", String(20), primary_key=True, comment="recommend, explain, train or share"),
    Column("given", Boolean, nullable=False, comment="whether they agree"),
    Column("time", Float, nullable=False, comment="when they said so"),
    info=told("what people agreed to", "no", "until the person is forgotten", "forget deletes it"),
)

#: people who were forgotten: their pseudonyms alone, so that no later training takes them in again
suppressed = Table(
    "suppressed",
    metadata,
    Column("person", String(64), primary_key=True, comment="pseudonym"),
    Column("time", Float, nullable=False, comment="when they were forgotten"),
    info=told(
        "who was forgotten",
        "no",
        "until the person agrees to something again",
        "it is how the forgotten stay forgotten",
    ),
)

#: files outside the store that hold what belongs to people: traces, batches, exports
holdings = Table(
    "holdings",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True, comment="order of arrival"),
    Column("person", String(64), nullable=False, index=True, comment="pseudonym"),
    Column("kind", String(20), nullable=False, comment="trace, export, batch, table or events"),
    Column("sealed", LargeBinary, nullable=False, comment="path and lines, sealed with the person's key"),
    Column("time", Float, nullable=False, comment="when it was registered"),
    info=told(
        "files outside the store that hold something of a person",
        "yes",
        "until the person is forgotten",
        "forget removes the files, or takes the person's lines out, then deletes it",
    ),
)

keys = Table(
    "keys",
    metadata,
    Column("prefix", String(16), primary_key=True, comment="what names the key in lists"),
    Column("name", String(200), nullable=False, comment="what its maker calls it"),
    Column("salt", LargeBinary, nullable=False, comment="random bytes of its hash"),
    Column("hash", LargeBinary, nullable=False, comment="salted hash of the key"),
    Column("scopes", Text, nullable=False, comment="what it may do"),
    Column("rate", Integer, nullable=True, comment="requests a minute"),
    Column("created", Float, nullable=False, comment="when it was made"),
    Column("expires", Float, nullable=True, comment="until when it counts"),
    Column("revoked", Float, nullable=True, comment="when it was revoked"),
    info=told(
        "keys of callers, which are programs",
        "hashed",
        "as long as the store",
        "keys revoke refuses a key; its row stays",
    ),
)

stock = Table(
    "stock",
    metadata,
    Column("item_id", String(200), primary_key=True, comment="id of an item"),
    Column("time", Float, nullable=False, comment="since when it is out of stock"),
    info=told("which items are out of stock", "no", "until they are back", "it names nobody"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=False, comment="place in the chain"),
    Column("time", Float, nullable=False, comment="when it was written"),
    Column("kind", String(40), nullable=False, comment="what was done"),
    Column("body", Text, nullable=False, comment="what is told of it; a person's tag and items hang on their key"),
    Column("hash", LargeBinary, nullable=False, comment="hash over the row and the one before it"),
    info=told(
        "what was done",
        "partly",
        "as long as the store",
        "the chain stays whole; with the person's key gone its tags and items tell nothing",
    ),
)

heads = Table(
    "heads",
    metadata,
    Column("size", _Number, primary_key=True, autoincrement=False, comment="rows that it covers"),
    Column("time", Float, nullable=False, comment="when it was signed"),
    Column("root", LargeBinary, nullable=False, comment="Merkle root of the rows"),
    Column("chain", LargeBinary, nullable=False, comment="hash of the last row"),
    Column("signature", LargeBinary, nullable=False, comment="Ed25519 signature"),
    info=told("signatures over the log", "no", "as long as the store", "it names nobody"),
)
