"""Large values are read past the client library, whose connection goes on as before."""

import io
import os

import pytest
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from omapush.errors import StoreUnavailable
from omapush.store import bulk
from omapush.store.client import Store, StoreRefused, ask_all

LARGE = os.urandom(700_000)


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


def test_an_answer_that_ends_anywhere_before_its_end_is_a_lost_connection() -> None:
    for whole in (b"$7\r\na\r\nbcde\r\n", b"$-1\r\n", b"-ERR no\r\n"):
        assert bulk._answer(io.BytesIO(whole)) != b""
        for end in range(len(whole)):
            with pytest.raises(ConnectionLost):
                bulk._answer(io.BytesIO(whole[:end]))


@pytest.mark.parametrize(
    ("line", "text"), [(b"-LOADING wait\r\n", "LOADING wait"), (b"-ERR \xff\r\n", "ERR \ufffd")]
)
def test_an_error_is_an_answer(line: bytes, text: str) -> None:
    found = bulk._answer(io.BytesIO(line))

    assert isinstance(found, ResponseError)
    assert str(found) == text
