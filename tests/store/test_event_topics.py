"""Events from a topic, against the mock broker of confluent-kafka: kept once, offsets behind what is on disk."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.errors import DataError, RecommenderError
from recommender.store.event_topics import Topic, consume_events

kafka = pytest.importorskip("confluent_kafka")
#: The mock broker answers one question after another, and a fetch of nothing takes half a second. When the last member of a
#: group has left, the next one gets its partitions only after the timeout of a session, less a second.
FAST = {"log_level": "0", "fetch.wait.max.ms": "10", "session.timeout.ms": "2000", "heartbeat.interval.ms": "100"}


def bundled_librdkafka():
    """The C library inside the wheel of confluent-kafka, whose mock cluster has more settings than the Python package."""
    folder = Path(kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))
    pointers = ("rd_kafka_new", "rd_kafka_mock_cluster_new")
    for name in pointers:
        getattr(found, name).restype = ctypes.c_void_p
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return found


class Broker:
    """A mock cluster of one broker, which lives as long as this process.

    A group waits for members for 20 ms before it is theirs, where a broker waits 3 s.
    """

    def __init__(self):
        library = bundled_librdkafka()
        owner = ctypes.c_void_p(library.rd_kafka_new(0, None, None, 0))
        cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(owner, 1))
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 20)
        self.address = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
        self.producer = kafka.Producer({"bootstrap.servers": self.address, "log_level": 0})

    def topic(self, name):
        return Topic(self.address, name, f"tests-{name}", FAST)

    def send(self, topic, *values, **more):
        for value in values:
            self.producer.produce(topic, value if isinstance(value, bytes) else json.dumps(value).encode(), **more)
        self.producer.flush(10)


@pytest.fixture(scope="module")
def broker():
    return Broker()


@pytest.fixture(autouse=True)
def waits_are_short(monkeypatch):
    monkeypatch.setattr("recommender.store.event_topics._SECONDS", 0.1)


def event(number, **more):
    return {"id": f"e{number}", "user": f"u{number % 3}", "item": str(number), "kind": "like"} | more


def kept(store):
    return sorted(event.id for _, did in store.events.all() for event in did)


def test_events_are_kept_and_offsets_remembered(broker, store):
    broker.send("first", *map(event, range(30)), event(7), timestamp=1_700_000_000_500)
    counts = consume_events(store.events, broker.topic("first"), until_end=True)
    assert counts == {"kept": 30, "known": 1, "refused": 0, "skipped": 0}
    assert {event.time for event in store.events.of("u0")} == {1_700_000_000.5}  # when it was written to the topic
    broker.send("first", event(31, time=5.0))
    assert consume_events(store.events, broker.topic("first"), until_end=True)["kept"] == 1
    assert store.events.of("u1")[0].time == 5.0
    again = Topic(broker.address, "first", "others", FAST)
    assert consume_events(store.events, again, until_end=True) == {"kept": 0, "known": 32, "refused": 0, "skipped": 0}


def test_who_dies_between_disk_and_offset_keeps_nothing_twice_and_loses_nothing(broker, store):
    broker.send("dying", *map(event, range(20)))

    class Dying:
        def add(self, given):
            store.events.add(given)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume_events(Dying(), broker.topic("dying"), until_end=True)
    counts = consume_events(store.events, broker.topic("dying"), until_end=True)
    assert counts["known"] > 0 and len(kept(store)) == 20


def test_what_is_not_on_disk_is_not_committed(broker, store):
    broker.send("full", *map(event, range(5)))

    class Full:
        def add(self, given):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        consume_events(Full(), broker.topic("full"), until_end=True)
    assert consume_events(store.events, broker.topic("full"), until_end=True)["kept"] == 5


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"{", "is no JSON"),
        pytest.param(event(9, kind="love"), "kind", marks=pytest.mark.slow),
        pytest.param(b"", "is no JSON", marks=pytest.mark.slow),
        pytest.param({"id": "x"}, "is no event", marks=pytest.mark.slow),
    ],
)
def test_a_bad_message_is_named_and_what_was_before_it_is_kept(broker, store, bad, why):
    name = f"bad-{why.replace(' ', '')}-{len(bad)}"
    broker.send(name, event(1), event(2), bad, event(3), partition=0)
    with pytest.raises(DataError, match=rf"{name}, partition \d, offset \d: .*") as raised:
        consume_events(store.events, broker.topic(name), until_end=True)
    assert why in raised.value.message and "e3" not in kept(store)
    told = []
    counts = consume_events(store.events, broker.topic(name), "skip", True, told.append)
    assert kept(store) == ["e1", "e2", "e3"] and counts["skipped"] == 1
    assert len(told) == 1 and f"{name}, partition" in told[0]
    assert consume_events(store.events, broker.topic(name), until_end=True)["skipped"] == 0  # it is behind us


def test_a_broker_that_is_not_there_is_one_line(store, monkeypatch):
    monkeypatch.setattr("recommender.store.event_topics._REACHED", 0.5)
    with pytest.raises(RecommenderError, match="no broker answers"):
        consume_events(store.events, Topic("127.0.0.1:1", "a", "b", {"log_level": "0"}))
    with pytest.raises(RecommenderError, match="these options cannot be used"):
        consume_events(store.events, Topic("127.0.0.1:1", "a", "b", {"no.such.option": "1"}))


def test_the_command(broker, where, master, store):
    broker.send("command", event(1), b"nothing", event(2))
    options = ["--kafka", broker.address, "--topic", "command", "--on-error", "skip", "--until-end", "--json"]
    kept_in = ["--store", str(where), "--master-key", str(master)]
    fast = [part for name, value in FAST.items() for part in ("--set", f"{name}={value}")]
    result = CliRunner().invoke(app, ["events", "consume", *options, *kept_in, *fast])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"kept": 2, "known": 0, "refused": 0, "skipped": 1}
    assert kept(store) == ["e1", "e2"]
