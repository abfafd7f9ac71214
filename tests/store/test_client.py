"""Trips to Redis: answers in order, errors in words of ours, a closed connection opened again."""

import pytest
from msgspec.structs import replace

from omapush.errors import StoreUnavailable
from omapush.store.client import Call, Store, StoreRefused, ask_all, call_all, connect
from tests.harness.stack import Stack


def test_answers_come_in_order_and_as_bytes(store: Store) -> None:
    commands = [
        ("SET", "a", b"\0\xff"),
        ("GET", "a"),
        ("GET", "nothing"),
        ("INCRBY", "n", 7),
        ("MGET", "n", "a"),
    ]

    assert ask_all(store, "try", commands) == [b"OK", b"\0\xff", None, 7, [b"7", b"\0\xff"]]
    assert ask_all(store, "try", []) == []


def test_an_error_among_answers_is_told_and_disturbs_no_later_trip(store: Store) -> None:
    with pytest.raises(StoreRefused, match=r"tried: .*wrong kind of value"):
        ask_all(store, "tried", [("SET", "a", "x"), ("LPUSH", "a", "y"), ("SET", "b", "z")])

    assert ask_all(store, "again", [("MGET", "a", "b")]) == [[b"x", b"z"]]


def test_a_function_that_redis_lost_is_loaded_again(store: Store) -> None:
    store.db.function_flush()

    assert call_all(store, [Call("omapush_note", ["push", "log"], [b"event"])]) == [1]


def test_a_connection_that_redis_closed_is_opened_once_more(redis_only: Stack, store: Store) -> None:
    ours = connect(redis_only.config.redis)
    [number] = ask_all(ours, "who am I", [("CLIENT", "ID")])
    store.db.client_kill_filter(_id=str(number))

    [other] = ask_all(ours, "who am I", [("CLIENT", "ID")])
    assert other != number
    ours.db.close()


def test_without_redis_it_is_said_what_was_being_done(redis_only: Stack) -> None:
    away = connect(replace(redis_only.config.redis, url="unix:///nowhere/redis.sock"))
    with pytest.raises(StoreUnavailable, match="count sheep"):
        ask_all(away, "count sheep", [("PING",)])
