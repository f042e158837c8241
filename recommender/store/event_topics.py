"""Events from a topic of Kafka: an offset is committed only after its event is on disk, and ids keep each event once.

A consumer that is killed in between reads some messages again; their ids are known by then, and nothing changes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from recommender.errors import DataError, RecommenderError, import_extra, wrong_fields
from recommender.store.events import Event, Events
from recommender.strict.json_documents import JsonError, parse_json

logger = logging.getLogger(__name__)
OnError = Literal["stop", "skip"]
#: messages that are kept together, and seconds that are waited for them
_AT_ONCE, _SECONDS = 1000, 1.0
_REACHED = 10.0
_FORM = 'one event a message: {"id": "e1", "user": "ann", "item": "50", "kind": "like"}'


@dataclass(frozen=True)
class Topic:
    """Where events come from. `servers`: HOST:PORT, with commas; `group`: whose offsets are remembered; `options`: of
    librdkafka, such as security.protocol."""

    servers: str
    name: str
    group: str
    options: Mapping[str, str] = field(default_factory=dict)


def consume_events(
    events: Events,
    topic: Topic,
    on_error: OnError = "stop",
    until_end: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Keep the events of a topic as they come, for ever or until its end, and return how many were kept, known before,
    refused and skipped.

    `on_error`: what is done about a message that is no event; `tell`: is told of each that is skipped. Raises DataError
    that names topic, partition and offset of a bad message, once all before it are kept, RecommenderError for a broker
    that does not answer.
    """
    kafka: Any = import_extra("confluent_kafka", "recommender events consume", "kafka")
    consumer = _subscribed(kafka, topic)
    counts = Counter[str]()
    try:
        while True:
            messages = _checked(consumer.consume(_AT_ONCE, _SECONDS))
            if not messages and until_end and _at_end(consumer):
                break
            given, wrong = _read(messages, on_error, tell)
            counts["skipped"] += len(messages) - len(given) if on_error == "skip" else 0
            if given:
                outcome = events.add([event for _, event in given])
                counts.update(outcome.values())
                counts["known"] += len(given) - len(outcome)  # the same id twice at once
            good = messages if wrong is None else [message for message, _ in given]
            if good:
                consumer.commit(offsets=_behind(kafka, topic.name, good), asynchronous=False)
            if wrong is not None:
                raise wrong
    except kafka.KafkaException as error:
        raise RecommenderError(f"{topic.name}: {error.args[0].str()}", "start it again: it goes on") from None
    finally:
        consumer.close()
    return {outcome: counts[outcome] for outcome in ("kept", "known", "refused", "skipped")}


def _subscribed(kafka: Any, topic: Topic) -> Any:
    given = {"bootstrap.servers": topic.servers, "group.id": topic.group, "auto.offset.reset": "earliest"}
    ours = {"enable.auto.commit": False, "enable.auto.offset.store": False}
    try:
        consumer = kafka.Consumer(given | dict(topic.options) | ours, logger=logger)
    except (kafka.KafkaException, ValueError, TypeError) as error:
        raise RecommenderError(f"these options cannot be used: {error}", "see those of librdkafka") from None
    try:
        found = consumer.list_topics(topic.name, _REACHED).topics[topic.name]
        if found.error is not None:
            raise DataError(f"{topic.name}: {found.error.str()}", "make the topic, or name another")
    except kafka.KafkaException:
        consumer.close()
        raise RecommenderError(f"{topic.servers}: no broker answers", "is it HOST:PORT, and does it run?") from None
    except DataError:
        consumer.close()
        raise
    consumer.subscribe([topic.name])
    return consumer


def _at_end(consumer: Any) -> bool:
    """Return whether every partition of this consumer has been read as far as it goes at the moment."""
    assigned = consumer.assignment()
    for place, kept in zip(consumer.position(assigned), consumer.committed(assigned, _REACHED), strict=True):
        low, high = consumer.get_watermark_offsets(place, _REACHED)
        if max(place.offset, kept.offset, low) < high:  # what is not known is below zero
            return False
    return bool(assigned)


def _checked(messages: Sequence[Any]) -> Sequence[Any]:
    """Return messages. Raises RecommenderError if one of them says that something went wrong."""
    for message in messages:
        if (error := message.error()) is not None:
            raise RecommenderError(f"{message.topic()}: {error.str()}", "start it again: it goes on")
    return messages


def _read(
    messages: Sequence[Any], on_error: OnError, tell: Callable[[str], None]
) -> tuple[list[tuple[Any, Event]], DataError | None]:
    """Return the events of messages, and what is wrong with the first that holds none, unless those are skipped."""
    given: list[tuple[Any, Event]] = []
    for message in messages:
        try:
            given.append((message, _event(message)))
        except DataError as error:
            if on_error == "stop":
                return given, error
            tell(f"skipped: {error.message}")
    return given, None


def _event(message: Any) -> Event:
    """Return the event of a message; one without a time happened when the message was written."""
    place = f"{message.topic()}, partition {message.partition()}, offset {message.offset()}"
    try:
        event = Event.model_validate(parse_json(message.value() or b""))
    except JsonError as error:
        raise DataError(f"{place}: is no JSON ({error})", _FORM) from None
    except ValidationError as error:
        raise DataError(f"{place}: is no event: {wrong_fields(error)}", _FORM) from None
    kind, milliseconds = message.timestamp()
    return event.model_copy(update={"time": milliseconds / 1000}) if event.time is None and kind else event


def _behind(kafka: Any, topic: str, messages: Sequence[Any]) -> list[Any]:
    """Return for each partition the offset behind the last of these messages."""
    last: dict[int, int] = {}
    for message in messages:
        last[message.partition()] = max(message.offset(), last.get(message.partition(), 0))
    return [kafka.TopicPartition(topic, partition, offset + 1) for partition, offset in last.items()]
