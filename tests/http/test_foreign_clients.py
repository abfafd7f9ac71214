"""PAP clients that are not ours, played byte by byte as they speak (tests/corpora/exchanges)."""

from __future__ import annotations

import base64
import re
import socket
import tomllib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.initiator import NotificationSink
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

EXCHANGES = sorted((Path(__file__).parents[1] / "corpora" / "exchanges").glob("*.toml"))
_CODE = re.compile(rb'code="([0-9]{4,5})"')


def filled(text: str, words: dict[str, str], *, line_feeds: bool) -> bytes:
    """One request as it is on the wire; its head ends its lines with CR LF whatever the body does."""
    for name, value in words.items():
        text = text.replace(name, value)
    head, _, body = text.strip("\n").partition("\n\n")
    content = (body + "\n").replace("\n", "\n" if line_feeds else "\r\n").encode()
    lines = head.replace("LENGTH", str(len(content))).split("\n")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def asked(front: Stack, request: bytes) -> tuple[int, bytes]:
    """HTTP status and body of the answer; the connection is the client's for one request."""
    host, _, port = front.http.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while not _is_whole(received):
            piece = connection.recv(65_536)
            if not piece:
                break
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


@pytest.mark.parametrize("file", EXCHANGES, ids=lambda file: file.stem)
def test_a_foreign_client_gets_what_it_expects(
    front: Stack, core: SipPeer, sink: NotificationSink, file: Path, push_id: str
) -> None:
    exchange: dict[str, Any] = tomllib.loads(file.read_text())
    now = datetime.now(UTC)
    words = {
        "AUTHORIZATION": "Basic " + base64.b64encode(f"trusted:{PASSWORD}".encode()).decode(),
        "PUSH-ID": f"{file.stem}-{push_id}",
        "LATER": f"{now + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}",
        "SOON": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "URL": sink.url,
    }
    for number, step in enumerate(exchange["step"]):
        request = filled(step["send"], words, line_feeds=exchange.get("line_feeds", False))
        status, body = asked(front, request)
        if b"<statusquery-message" in request:
            status, body = _asked_until(front, request, step["code"])
        assert (number, status, _code(body)) == (number, 202, step["code"]), body
        assert step["has"].encode() in body, body


def _asked_until(front: Stack, request: bytes, code: str) -> tuple[int, bytes]:
    """The same question until the answer is as the client expects it, or for long enough."""
    with suppress(TimeoutError):
        wait_until(lambda: _code(asked(front, request)[1]) == code, 15, code)
    return asked(front, request)


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode() if found else ""


def test_there_are_several_of_them() -> None:
    assert len(EXCHANGES) >= 3
