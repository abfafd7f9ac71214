"""Large content on its way in: stored in pieces, with what is in memory at one time bounded."""

import base64
import hashlib
import json
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.store import contents, keys
from omapush.store.contents import PIECE
from tests.fakes.initiator import PushInitiator
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until

SETTINGS: Settings = {
    "api": {"max_body_bytes": 4_000_000, "large_bodies_bytes": 4_000_000},
    'application."large.ua"': {"max_bytes": 2_000_000},
}
CONTENT = os.urandom(2 * PIECE + 10_000)
TO = "sip:large@home1.example"
AUTH = ("trusted", PASSWORD)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("large"), SETTINGS, ("redis", "sip", "api")) as running:
        running.kill("sip")  # so that nothing comes to its end, and what is stored stays
        yield running


def by_json(stack: Stack, push_id: str, content: bytes, app: str = "mms.ua") -> httpx.Response:
    body = {
        "push_id": push_id,
        "to": [TO],
        "application": app,
        "content_type": "image/png",
        "content_base64": base64.b64encode(content).decode(),
    }
    return httpx.post(f"{stack.http}/v1/pushes", json=body, auth=AUTH, trust_env=False, timeout=30)


@pytest.mark.parametrize("way", ["JSON", "PAP"])
def test_large_content_is_stored_in_pieces_with_its_hashes(large: Stack, way: str) -> None:
    push_id = f"{way}@pi.example"
    if way == "JSON":
        assert by_json(large, push_id, CONTENT).status_code == 201
    else:
        with PushInitiator(large.http, "trusted", PASSWORD) as initiator:
            answer = initiator.push(push_id, TO, CONTENT, app="mms.ua", content_type="image/png")
        assert answer.code == "1001"

    ref = push_ref("trusted", push_id)
    push = large.known(ref).push
    assert (push.size, push.sha1, push.sha256) == (
        len(CONTENT),
        hashlib.sha1(CONTENT).digest(),
        hashlib.sha256(CONTENT).digest(),
    )
    number = large.store.layout.push_shard(ref)
    assert large.db.hget(keys.push(number, ref), "body") is None
    assert large.db.hlen(keys.content(number, ref)) == 3
    assert contents.read(large.store, ref, 0, len(CONTENT)) == CONTENT


def test_a_push_id_that_was_used_leaves_nothing_of_the_second_content(large: Stack) -> None:
    assert by_json(large, "twice", CONTENT).status_code == 201
    again = by_json(large, "twice", CONTENT[::-1])

    assert (again.status_code, again.json()["field"]) == (409, "push_id")
    assert contents.read(large.store, push_ref("trusted", "twice"), 0, len(CONTENT)) == CONTENT
    assert not large.db.keys("upload:*")


@pytest.mark.parametrize(
    ("size", "app", "field"), [(4_000_000, "mms.ua", "body"), (2_000_001, "large.ua", "content")]
)
def test_what_is_too_large_gets_413_that_names_what(large: Stack, size: int, app: str, field: str) -> None:
    answer = by_json(large, "too large", b"x" * size, app)

    assert (answer.status_code, answer.json()["field"]) == (413, field)
    assert not large.db.keys("upload:*")


def test_more_large_bodies_than_there_is_room_for_get_503_and_small_ones_go_on(large: Stack) -> None:
    host, _, port = large.http.removeprefix("http://").partition(":")
    head = (
        b"POST /v1/pushes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Basic " + base64.b64encode(":".join(AUTH).encode()) + b"\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}")
        assert by_json(large, "small beside", b"x").status_code == 201
        answer = by_json(large, "no room", b"x" * 1_500_000)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["field"] == "body"

    wait_until(lambda: by_json(large, "room again", b"x" * 1_500_000).status_code == 201, 20, "room again")


def test_nobody_takes_room_before_the_password_is_right(large: Stack) -> None:
    url = f"{large.http}/v1/pushes"
    wrong = httpx.post(url, content=b"x" * 1_500_000, auth=("trusted", "wrong"), trust_env=False)

    assert wrong.status_code == 401
    assert json.loads(wrong.text)["field"] == "Authorization"
