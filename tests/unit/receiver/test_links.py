"""A push that comes as a link: what is refused at once, what is fetched, what a failed fetch leads to."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.receiver import Links, Push, Reason, Refused, fetch
from tests.fakes.content_host import ContentHost, Play
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import registered, request, wait_for

CONTENT = os.urandom(200_000)
HOSTS = Links(domains=("127.0.0.1",), pause_s=0.01, tries=3)
INNER = b'Content-Type: image/png\r\nContent-Disposition: attachment; filename="../a b.png"\r\n\r\n'


def link_type(
    url: str, content: bytes = CONTENT, *, ends_in_s: float = 60, size: str = "", sha1: str = ""
) -> str:
    date = formatdate(time.time() + ends_in_s, usegmt=True)
    digest = sha1 or hashlib.sha1(content).hexdigest()
    parameters = f'expiration="{date}"; URL="{url}"; size={size or len(content)}; hash={digest}'
    return f'message/external-body; access-type="URL"; {parameters}'


def ask(peer: SipPeer, device: ReceiverThread, content_type: str, inner: bytes = INNER) -> SipText:
    raw = request(peer, "MESSAGE", {"Content-Type": content_type}, inner)
    return peer.ask(raw, device.receiver.address)


def reason_of(device: ReceiverThread) -> str:
    return str(device.wait_for("fetch_failed")["reason"])


@pytest.mark.req("PRA-MSG-3", "PRA-MSG-4")
def test_the_request_is_answered_and_then_the_content_comes_as_one_push(tmp_path: Path) -> None:
    links = Links(domains=("127.0.0.1",), folder=tmp_path)
    with ContentHost(CONTENT) as host, registered(links=links) as (peer, device):
        assert ask(peer, device, link_type(host.url)).status == 200

        (push,) = device.wait_for_pushes(1)
        assert (push.read(), push.size, push.content_type) == (CONTENT, len(CONTENT), "image/png")
        assert (push.application, push.method, push.content_uri) == ("mms.ua", "MESSAGE", host.url)
        assert (push.disposition, push.name) == ("attachment", "a b.png")
        assert push.path is not None
        assert push.path.parent == tmp_path
        assert host.asked[0]["accept-encoding"] == "identity"
        device.wait_for("fetched")
        assert (device.receiver.delivery.links.fetched, device.receiver.delivery.delivered) == (1, 1)
        assert not list((tmp_path / "partial").iterdir())


def test_a_device_keeps_no_connection_to_the_host_after_its_fetch() -> None:
    with ContentHost(CONTENT, plays=[Play(stays=True)]) as host, registered(links=HOSTS) as (peer, device):
        ask(peer, device, link_type(host.url))
        device.wait_for_pushes(1)

        wait_until(lambda: host.ended == 1, 5, "the end of the connection")


def test_devices_of_one_process_share_the_certificates_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch.system_tls.cache_clear()
    made: list[str] = []
    original = httpx.create_ssl_context

    def counted(**settings: Any) -> ssl.SSLContext:
        made.append("one")
        return original(**settings)

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    for _ in range(3):
        asyncio.run(fetch.Fetcher(fetch.Pace(1, 1.0, 1.0), None).close())

    assert made == ["one"]
    fetch.system_tls.cache_clear()


def test_small_and_coded_content_is_handed_over_as_bytes() -> None:
    packed = gzip.compress(b"hello " * 5_000)
    inner = INNER.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    with ContentHost(packed) as host, registered(links=HOSTS) as (peer, device):
        assert ask(peer, device, link_type(host.url, packed), inner).status == 200

        (push,) = device.wait_for_pushes(1)
        assert (push.content, push.path) == (b"hello " * 5_000, None)


@pytest.mark.req("PRA-MSG-3")
@pytest.mark.parametrize("with_length", [True, False])
def test_an_interrupted_fetch_goes_on_where_it_was(with_length: bool) -> None:
    plays = [Play(break_at=70_000, with_length=with_length), Play(status=503), Play(break_at=1), Play()]
    with ContentHost(CONTENT, plays=plays) as host, registered(links=HOSTS) as (peer, device):
        ask(peer, device, link_type(host.url))

        assert device.wait_for_pushes(1)[0].read() == CONTENT
        assert [one.get("range") for one in host.asked] == [
            None,
            "bytes=70000-",
            "bytes=70000-",
            "bytes=70001-",
        ]
        assert host.asked[-1]["if-range"] == '"one"'


def test_a_content_that_changed_meanwhile_or_a_server_without_ranges_begins_anew() -> None:
    plays = [Play(break_at=70_000), Play(ignores_range=True)]
    with ContentHost(CONTENT, plays=plays) as host, registered(links=HOSTS) as (peer, device):
        ask(peer, device, link_type(host.url))

        assert device.wait_for_pushes(1)[0].read() == CONTENT


@pytest.mark.parametrize(
    ("plays", "told", "says"),
    [
        ([Play(status=404)], {}, "HTTP 404"),
        ([Play(status=410)], {}, "HTTP 410"),
        ([Play(status=302, location="http://127.0.0.1:1/")], {}, "HTTP 302"),
        ([Play(status=503)], {}, "HTTP 503"),
        ([Play(break_at=0)], {}, ""),
        ([Play(break_at=70_000), Play(shift=1)], {}, "another range"),
        ([Play()], {"sha1": "0" * 40}, "hash"),
        ([Play()], {"size": "199999"}, "more than 199999 bytes"),
        ([Play()], {"size": "200001"}, "200000 bytes came"),
    ],
)
def test_a_fetch_that_fails_is_counted_and_nothing_is_handed_over(
    plays: list[Play], told: dict[str, Any], says: str
) -> None:
    with ContentHost(CONTENT, plays=plays) as host, registered(links=HOSTS) as (peer, device):
        assert ask(peer, device, link_type(host.url, **told)).status == 200

        assert says in reason_of(device)
        assert device.pushes == []
        links = device.receiver.delivery.links
        assert (links.fetched, sum(links.failures.values())) == (0, 1)


def test_a_content_of_unknown_size_is_given_up_when_it_is_too_large() -> None:
    links = Links(domains=("*",), largest_bytes=1_000)
    with ContentHost(CONTENT) as host, registered(links=links) as (peer, device):
        without_size = link_type(host.url).replace(f"; size={len(CONTENT)}", "")
        assert ask(peer, device, without_size).status == 200

        assert "more than 1000 bytes" in reason_of(device)


def test_a_link_that_runs_out_while_its_server_is_away_is_given_up() -> None:
    links = Links(domains=("*",), pause_s=30.0)
    with ContentHost(CONTENT, plays=[Play(status=503)]) as host, registered(links=links) as (peer, device):
        assert ask(peer, device, link_type(host.url, ends_in_s=20)).status == 200

        assert "HTTP 503" in reason_of(device)
        assert len(host.asked) == 1


@pytest.mark.parametrize(
    ("links", "url", "told", "status", "says"),
    [
        (Links(), "http://127.0.0.1/c", {}, 415, "not followed"),
        (Links(domains=("c.example",)), "http://d.example/c", {}, 403, "d.example"),
        (Links(domains=("*.c.example",)), "http://c.example/c", {}, 403, "c.example"),
        (Links(domains=("c.example",)), "http://c.example@d.example/c", {}, 403, "not followed"),
        (Links(domains=("*",), schemes=("https",)), "http://c.example/c", {}, 403, "by http"),
        (Links(domains=("*",)), "file:///etc/passwd", {}, 403, "by file"),
        (Links(domains=("*",)), "http://c.example/c", {"size": "99999999999"}, 413, "at most"),
        (Links(domains=("*",)), "http://c.example/c", {"ends_in_s": -5}, 480, "run out"),
        (Links(domains=("*",)), "c.example", {}, 400, "URL"),
    ],
)
def test_what_can_be_told_from_the_link_is_the_answer(
    links: Links, url: str, told: dict[str, Any], status: int, says: str
) -> None:
    with registered(links=links) as (peer, device):
        answer = ask(peer, device, link_type(url, **told))

        assert answer.status == status
        assert says in answer.header("Warning")
        assert device.told("link") == []


def test_the_type_of_the_content_counts_and_not_that_of_the_link() -> None:
    with registered(links=HOSTS, accept={"mms.ua": ("text/plain",)}) as (peer, device):
        answer = ask(peer, device, link_type("http://127.0.0.1/c"))

        assert answer.status == 415
        assert answer.header("Accept") == "text/plain, message/external-body"


def test_an_application_that_refuses_what_was_fetched_is_counted_too() -> None:
    def decide(_push: Push) -> None:
        raise Refused(Reason.DECLINED, "not this one")

    with ContentHost(CONTENT) as host, registered(links=HOSTS) as (peer, device):
        device.decide = decide
        assert ask(peer, device, link_type(host.url)).status == 200
        assert reason_of(device) == "not this one"
        assert device.receiver.delivery.delivered == 0


def test_no_more_links_wait_than_may() -> None:
    links = Links(domains=("*",), waiting=1, pause_s=20.0)
    with ContentHost(CONTENT, plays=[Play(status=503)]) as host, registered(links=links) as (peer, device):
        assert ask(peer, device, link_type(host.url)).status == 200
        device.wait_for("link")
        answer = ask(peer, device, link_type(host.url))
        assert (answer.status, answer.header("Retry-After")) == (500, "60")


@pytest.mark.req("PROP-X-3")
def test_who_follows_links_says_so() -> None:
    sender = "sip:psa@home1.example"
    with registered(links=HOSTS, subscribe_to=(("mms.ua", sender),)) as (peer, device):
        assert wait_for(peer, "SUBSCRIBE").header("Accept").endswith(", message/external-body")
        answer = peer.ask(request(peer, "OPTIONS"), device.receiver.address)
        assert "message/external-body" in answer.header("Accept")
    with registered(subscribe_to=(("mms.ua", sender),)) as (peer, device):
        assert "external-body" not in wait_for(peer, "SUBSCRIBE").header("Accept")


def test_a_device_that_stops_leaves_nothing_behind(tmp_path: Path) -> None:
    links = Links(domains=("*",), folder=tmp_path, pause_s=0.01)
    plays = [Play(break_at=70_000), Play(status=503, retry_after="30")]
    with ContentHost(CONTENT, plays=plays) as host, registered(links=links) as (peer, device):
        ask(peer, device, link_type(host.url))
        wait_until(lambda: len(host.asked) == 2, 10, "the second try")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
