"""A device obeys the document that its operator gave it, from a file or a URL, and what replaces it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from omapush.protocol.push_mo import TrustedApplication, TrustedSender, write
from omapush.receiver import DevicePolicy, PolicyUnavailable
from tests.fakes.http_server import HttpServer
from tests.unit.receiver.core import PSA, registered, request

ONLY_IMAGES = write([TrustedSender(PSA, (TrustedApplication("mms.ua", ("image/*",)),))])
NOBODY = write([])


@pytest.mark.req("SEC-13", "PRA-MSG-1")
def test_what_the_document_names_is_taken_and_the_rest_gets_403(tmp_path: Path) -> None:
    (tmp_path / "wl.xml").write_bytes(ONLY_IMAGES)
    with registered(whitelist=DevicePolicy(str(tmp_path / "wl.xml"))) as (peer, device):
        where = device.receiver.address
        image = request(peer, "MESSAGE", {"Content-Type": "image/png"}, b"x")
        text = request(peer, "MESSAGE", {"Content-Type": "text/plain"}, b"x")
        stranger = request(peer, "MESSAGE", {"P-Asserted-Identity": "<sip:x@y.example>"}, b"x")

        assert [peer.ask(one, where).status for one in (image, text, stranger)] == [200, 403, 403]
        assert [push.content_type for push in device.pushes] == ["image/png"]


@pytest.mark.req("SEC-13")
def test_a_document_that_changes_is_obeyed_and_one_that_breaks_is_not(tmp_path: Path) -> None:
    file = tmp_path / "wl.xml"
    file.write_bytes(ONLY_IMAGES)
    with registered(whitelist=DevicePolicy(str(file), every_s=0.05)) as (peer, device):
        file.write_bytes(b"<broken")
        assert "wl.xml" in str(device.wait_for("policy_not_read")["reason"])
        image = {"Content-Type": "image/png"}
        assert peer.ask(request(peer, "MESSAGE", image, b"x"), device.receiver.address).status == 200
        file.write_bytes(NOBODY)
        assert device.wait_for("policy_changed")["senders"] == 0
        assert peer.ask(request(peer, "MESSAGE", image, b"x"), device.receiver.address).status == 403


@pytest.mark.parametrize("source", ["/nowhere/wl.xml", "http://127.0.0.1:9/wl.xml", "http://[bad/wl.xml"])
def test_without_its_document_a_device_does_not_start(source: str) -> None:
    with pytest.raises(PolicyUnavailable), registered(whitelist=DevicePolicy(source)):
        pytest.fail("it started")


@contextmanager
def served(body: bytes, status: int = 200) -> Iterator[str]:
    """A server that has one document, whose ETag is "1"."""

    def give(asked: BaseHTTPRequestHandler) -> None:
        known = asked.headers.get("If-None-Match") == '"1"'
        asked.send_response(304 if known else status)
        for name, value in (("ETag", '"1"'), ("Location", "http://127.0.0.1:9/")):
            asked.send_header(name, value)
        asked.send_header("Content-Length", "0" if known else str(len(body)))
        asked.end_headers()
        asked.wfile.write(b"" if known else body)

    with HttpServer(give, "wl.xml") as server:
        yield server.url


def test_a_url_is_asked_with_what_is_known_and_no_redirection_is_followed() -> None:
    async def loaded(policy: DevicePolicy) -> tuple[bool, bool]:
        return await policy.load(), await policy.load()

    with served(ONLY_IMAGES) as url:
        policy = DevicePolicy(url)
        assert asyncio.run(loaded(policy)) == (True, False)
        assert policy.why_not((PSA,), "mms.ua", "image/png") == ""
    for body, status in ((b"x" * 300_000, 200), (ONLY_IMAGES, 302), (ONLY_IMAGES, 404), (b"<x/>", 200)):
        with served(body, status) as url, pytest.raises(PolicyUnavailable):
            asyncio.run(loaded(DevicePolicy(url)))
