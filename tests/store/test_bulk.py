"""Large values are read past the client library, whose connection goes on as before."""

import os
import select
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from omapush.errors import StoreUnavailable
from omapush.store import bulk
from omapush.store.bulk import Answer, Answers, Channel
from omapush.store.client import Store, StoreRefused, ask_all

LARGE = os.urandom(700_000)
_WAIT_S = 10.0


def feed(answers: Answers, data: bytes) -> None:
    """Put octets where they belong, as a socket would."""
    while data:
        taken = 0
        for place in answers.places():
            part = data[taken : taken + len(place)]
            place[: len(part)] = part
            taken += len(part)
        answers.took(taken)
        data = data[taken:]


def written(value: bytes | None) -> bytes:
    return b"_\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def test_values_come_as_they_are_and_what_is_not_there_is_none(store: Store) -> None:
    store.db.hset("bulk", mapping={"large": LARGE, "empty": b"", "line": b"\r\n$5\r\n"})
    fields = ("large", "absent", "empty", "line", "large")
    found = bulk.read_all(store, "read", [("HGET", "bulk", field) for field in fields])

    assert found == [LARGE, None, b"", b"\r\n$5\r\n", LARGE]
    assert ask_all(store, "read", [("HLEN", "bulk")]) == [3]


def test_an_error_among_the_answers_is_raised_and_the_rest_does_not_stay_in_the_socket(store: Store) -> None:
    store.db.set("bulk", "a string")
    store.db.hset("bulk-hash", "large", LARGE)

    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        bulk.read_all(store, "read", [("HGET", "bulk", "x"), ("HGET", "bulk-hash", "large")])
    assert ask_all(store, "read", [("GET", "bulk")]) == [b"a string"]


def test_what_is_no_string_ends_the_connection_and_not_its_user(store: Store) -> None:
    store.db.rpush("bulk-list", "a", "b")

    with pytest.raises(StoreUnavailable, match="not a string"):
        bulk.read_all(store, "read", [("LRANGE", "bulk-list", 0, -1)])
    assert ask_all(store, "read", [("LLEN", "bulk-list")]) == [2]


@given(
    st.lists(st.none() | st.binary(max_size=2_000), max_size=6),
    st.lists(st.integers(min_value=1, max_value=3_000), max_size=20),
)
def test_answers_are_the_same_however_they_were_cut(values: list[bytes | None], cuts: list[int]) -> None:
    data = b"".join(map(written, values))
    answers = Answers()
    for cut in cuts:
        feed(answers, data[:cut])
        data = data[cut:]
    feed(answers, data)

    assert list(answers.ready) == values
    assert answers.between


def test_an_answer_that_ends_anywhere_before_its_end_is_not_there() -> None:
    for whole in (b"$7\r\na\r\nbcde\r\n", b"$0\r\n\r\n", b"$-1\r\n", b"_\r\n", b"-ERR no\r\n"):
        for end in range(1, len(whole)):
            answers = Answers()
            feed(answers, whole[:end])
            assert not answers.ready
            assert not answers.between
            feed(answers, whole[end:])
            assert len(answers.ready) == 1


@pytest.mark.parametrize(
    "data",
    [b"*1\r\n", b":1\r\n", b"\r\n", b"$x\r\n", b"$99999999999\r\n", b"$3\r\nabcde", b"$" + b"1" * 5_000],
)
def test_what_is_no_such_answer_is_a_lost_connection(data: bytes) -> None:
    with pytest.raises(ConnectionLost, match="not a string"):
        feed(Answers(), data)


@pytest.mark.parametrize(
    ("line", "text"), [(b"-LOADING wait\r\n", "LOADING wait"), (b"-ERR \xff\r\n", "ERR \ufffd")]
)
def test_an_error_is_an_answer(line: bytes, text: str) -> None:
    answers = Answers()
    feed(answers, line)
    [found] = answers.ready

    assert isinstance(found, ResponseError)
    assert str(found) == text


@pytest.fixture
def channel(store: Store) -> Iterator[Channel]:
    made = Channel(store)
    yield made
    made.close()


def received(channel: Channel, number: int) -> list[Answer]:
    """So many answers, as the socket brings them."""
    found: list[Answer] = []
    while len(found) < number:
        assert select.select([channel.fileno()], [], [], _WAIT_S)[0], f"{len(found)} answers came"
        found += channel.receive("read")
    return found


def test_a_channel_gives_the_answers_of_all_that_was_asked_in_its_order(
    store: Store, channel: Channel
) -> None:
    store.db.hset("bulk", mapping={"large": LARGE, "small": b"12345"})

    channel.ask("read", [("HGET", "bulk", "large"), ("HGET", "bulk", "absent")])
    channel.ask("read", [("HGET", "bulk", "small"), ("HGET", "bulk", "large")])

    assert received(channel, 4) == [LARGE, None, b"12345", LARGE]
    assert not select.select([channel.fileno()], [], [], 0)[0]
    channel.ask("read", [("HGET", "bulk", "small")])
    assert received(channel, 1) == [b"12345"]


def test_a_channel_that_redis_closes_says_so_and_its_connection_is_not_used_again(store: Store) -> None:
    channel = Channel(store)
    store.db.client_kill_filter(_type="normal", skipme=True)

    with pytest.raises(StoreUnavailable, match="ended"):
        received(channel, 1)
    channel.close()
    assert store.db.ping()
