"""Content indirection (RFC 4483): the link that leaves, the content behind it, and what the fetch proves."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from omapush import clock
from omapush.push.values import push_ref
from omapush.store import cancelling, keys, outbox_views, pushes
from omapush.store.contents import PIECE
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until

SETTINGS: Settings = {
    'application."mms.ua"': {"methods": ["NOTIFY", "MESSAGE", "INDIRECT"]},
    'application."wrapped.ua"': {"methods": ["INDIRECT"], "form": "wrapped", "gzip": True},
    'application."answer.ua"': {"methods": ["MESSAGE", "INDIRECT"], "link_delivered": "answer"},
    'application."unlinked.ua"': {"methods": ["NOTIFY", "MESSAGE"]},
    "content": {"requests_a_minute": 40},
}
CONTENT = os.urandom(2 * PIECE + 12_345)
SIZE = len(CONTENT)
_LINK = re.compile(
    r'message/external-body; access-type="URL"; expiration="([^"]+ GMT)"; URL="([^"]+)"; '
    r"size=([0-9]+); hash=([0-9A-F]{40})"
)


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("linked"), SETTINGS) as running:
        yield running


@pytest.fixture
def core(linked: Stack) -> Iterator[SipPeer]:
    with SipPeer(linked.core_port) as peer:
        yield peer


def submit(stack: Stack, to: str | list[str], content: bytes = CONTENT, **members: object) -> str:
    """Submit a push by JSON; returns its reference."""
    push_id = base64.b16encode(os.urandom(8)).decode()
    body = {
        "push_id": push_id,
        "to": [to] if isinstance(to, str) else to,
        "application": "mms.ua",
        "content_type": "video/mp4",
        "content_base64": base64.b64encode(content).decode(),
        **members,
    }
    answer = httpx.post(
        f"{stack.http}/v1/pushes", json=body, auth=("trusted", PASSWORD), trust_env=False, timeout=20
    )
    assert answer.status_code == 201, answer.text
    return push_ref("trusted", push_id)


def url_of(request: SipText) -> str:
    found = _LINK.fullmatch(request.header("Content-Type"))
    assert found, request.raw
    return found[2]


def get(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, url, headers=named, trust_env=False, timeout=20)


def answered(stack: Stack, ref: str, index: int = 0) -> None:
    """Wait until the device's answer to the link is stored."""
    wait_until(lambda: stack.known(ref).results[index].sip_code == 200, 10, "answer")


@pytest.mark.req("PSA-MSRP-1", "MSG-SIZE", "GEN-1")
def test_large_content_leaves_as_a_link_and_is_delivered_when_it_was_fetched(
    linked: Stack, core: SipPeer
) -> None:
    headers = {"Content-Disposition": 'attachment; filename="clip.mp4"', "Content-Language": "fi"}
    ref = submit(linked, "sip:link@home1.example", content_headers=headers)

    (message,) = core.wait_for_push("sip:link@home1.example")
    assert message.method == "MESSAGE"
    assert len(message.raw) <= 1_300
    found = _LINK.fullmatch(message.header("Content-Type"))
    assert found
    until = datetime.strptime(found[1], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert 86_000 < (until - datetime.now(UTC)).total_seconds() <= 86_400
    assert (int(found[3]), found[4]) == (SIZE, hashlib.sha1(CONTENT).hexdigest().upper())
    inner = message.body.decode().split("\r\n")
    assert inner[:2] == ["Content-Type: video/mp4", 'Content-Disposition: attachment; filename="clip.mp4"']
    assert inner[2].startswith("Content-ID: <")
    assert inner[3:] == ["Content-Language: fi", "", ""]
    assert not message.all("Content-Disposition")

    answered(linked, ref)
    assert linked.known(ref).results[0].state == "pending"
    fetched = get(found[2])
    assert (fetched.status_code, fetched.content) == (200, CONTENT)
    assert fetched.headers["content-type"] == "video/mp4"
    assert fetched.headers["content-language"] == "fi"
    assert fetched.headers["cache-control"] == "no-store"
    assert fetched.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()[:32]}"'
    result = linked.result(ref)
    assert (result.state, result.code, result.method, result.sip_code) == (
        "delivered",
        "1000",
        "MESSAGE",
        200,
    )
    names = [event.name for event in linked.known(ref).events]
    assert names[-2:] == ["fetched", "final"]
    assert "link to" in next(e.text for e in linked.known(ref).events if e.name == "sent")


@pytest.mark.req("PROP-CTRL-3")
def test_a_fetch_in_two_parts_counts_when_the_last_byte_was_given(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:parts@home1.example")
    url = url_of(core.wait_for_push("sip:parts@home1.example")[0])
    answered(linked, ref)

    head = get(url, "HEAD")
    assert (head.status_code, int(head.headers["content-length"]), head.content) == (200, SIZE, b"")
    first = get(url, Range="bytes=0-299999")
    assert (first.status_code, first.headers["content-range"]) == (206, f"bytes 0-299999/{SIZE}")
    gap = get(url, Range="bytes=-100")
    assert (gap.status_code, gap.content) == (206, CONTENT[-100:])
    assert linked.known(ref).results[0].state == "pending"
    etag = first.headers["etag"]
    rest = get(url, Range="bytes=300000-", If_Range=etag)
    assert (rest.status_code, first.content + rest.content) == (206, CONTENT)
    assert linked.result(ref).state == "delivered"


def test_conditions_and_ranges_that_cannot_be_kept(linked: Stack, core: SipPeer) -> None:
    submit(linked, "sip:ranges@home1.example")
    url = url_of(core.wait_for_push("sip:ranges@home1.example")[0])
    etag = get(url, "HEAD").headers["etag"]

    assert get(url, If_None_Match=etag).status_code == 304
    beyond = get(url, Range=f"bytes={SIZE}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{SIZE}")
    for ignored in ("bytes=5-1", "bytes=0-1,3-4", "lines=1-2"):
        assert get(url, "HEAD", Range=ignored).status_code == 200
    assert get(url, "HEAD", Range="bytes=0-0", If_Range='"another"').status_code == 200
    posted = get(url, "POST")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.req("PROP-CTRL-3")
def test_a_download_that_breaks_off_is_no_evidence(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:broken@home1.example", os.urandom(8_000_000))
    url = url_of(core.wait_for_push("sip:broken@home1.example")[0])
    answered(linked, ref)
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(f"GET {where.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")

    def noted() -> list[str]:
        return [event.text for event in linked.known(ref).events if event.name == "fetch"]

    wait_until(lambda: bool(noted()), 10, "what was given")
    assert noted()[0].startswith("bytes 0-")
    assert linked.known(ref).results[0].state == "pending"


@pytest.mark.req("PROP-CTRL-3")
def test_each_recipient_has_a_link_of_its_own_and_the_content_stays_for_the_last(
    linked: Stack, core: SipPeer
) -> None:
    aors = ["sip:one@home1.example", "sip:two@home1.example"]
    ref = submit(linked, aors)
    one, two = (url_of(core.wait_for_push(aor)[0]) for aor in aors)
    for index in (0, 1):
        answered(linked, ref, index)

    assert one != two
    assert get(one).content == CONTENT
    wait_until(lambda: linked.known(ref).results[0].state == "delivered", 10, "one")
    assert linked.known(ref).results[1].state == "pending"
    assert get(two).content == CONTENT
    linked.finished(ref)
    assert get(one).status_code == 200  # until the link runs out


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize("change", ["nothing", "short", "another recipient", "later"])
def test_nobody_makes_a_link(linked: Stack, core: SipPeer, change: str) -> None:
    aor = f"sip:guess-{change.replace(' ', '-')}@home1.example"
    submit(linked, aor)
    url = url_of(core.wait_for_push(aor)[0])
    base, _, token = url.rpartition("/")
    data = bytearray(base64.urlsafe_b64decode(token))
    if change == "another recipient":
        data[14] ^= 1
    elif change == "later":
        data[18] ^= 0x40
    changed = base64.urlsafe_b64encode(data).decode()

    answer = get(f"{base}/{changed[:-4] if change == 'short' else changed}")
    assert answer.status_code == (200 if change == "nothing" else 404)
    assert change == "nothing" or answer.text == "no such content\n"


def test_a_link_runs_out_with_deliver_before_and_the_push_expires(linked: Stack, core: SipPeer) -> None:
    before = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) + 4, UTC).isoformat()
    ref = submit(linked, "sip:late@home1.example", deliver_before=before)
    url = url_of(core.wait_for_push("sip:late@home1.example")[0])
    assert get(url, "HEAD").status_code == 200

    result = linked.result(ref, 20)
    assert (result.state, result.code, result.sip_code) == ("expired", "5028", 200)
    assert "did not fetch" in result.desc
    assert get(url).status_code in (404, 410)
    number = linked.store.layout.push_shard(ref)
    wait_until(lambda: not linked.db.exists(keys.content(number, ref)), 5, "erased")
    assert linked.db.zscore(keys.fetches(number), f"{ref}.0") is None


def test_while_a_fetch_is_waited_for_the_next_push_to_the_user_goes_out(linked: Stack, core: SipPeer) -> None:
    submit(linked, "sip:queue@home1.example")
    core.wait_for_push("sip:queue@home1.example")
    small = submit(linked, "sip:queue@home1.example", b"small")

    assert linked.result(small).state == "delivered"
    assert [one.body for one in core.wait_for_push("sip:queue@home1.example", 2)][1] == b"small"


@pytest.mark.req("PROP-CTRL-3")
def test_where_the_answer_counts_it_delivers_and_the_link_works_on(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:answer@home1.example", application="answer.ua")
    url = url_of(core.wait_for_push("sip:answer@home1.example")[0])

    assert linked.result(ref).state == "delivered"
    assert get(url).content == CONTENT
    wait_until(
        lambda: any(event.name == "fetched" for event in linked.known(ref).events), 5, "the fetch in the log"
    )


def test_a_link_runs_out_though_its_push_was_delivered(linked: Stack, core: SipPeer) -> None:
    end_s = int(datetime.now(UTC).timestamp()) + 4
    before = datetime.fromtimestamp(end_s, UTC).isoformat()
    ref = submit(linked, "sip:too-late@home1.example", application="answer.ua", deliver_before=before)
    url = url_of(core.wait_for_push("sip:too-late@home1.example")[0])
    assert linked.result(ref).state == "delivered"

    wait_until(lambda: clock.now_ms() > end_s * 1000, 20, "deliver-before")
    assert get(url).text == "the link has run out\n"


def test_a_push_that_is_taken_back_takes_its_link_back(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:taken-back@home1.example")
    url = url_of(core.wait_for_push("sip:taken-back@home1.example")[0])
    answered(linked, ref)
    whole = linked.known(ref)
    delivery = pushes.delivery_of(whole.push, 0, whole.recipients[0], b"")
    wait_until(lambda: outbox_views.whereabouts(linked.store, delivery) == "nowhere", 10, "only its fetch")

    taken_back = cancelling.cancel(
        linked.store, linked.known(ref), [0], now_ms=clock.now_ms(), retention_s=60
    )
    assert taken_back == {0: True}
    assert get(url).status_code == 410
    assert linked.known(ref).results[0].state == "cancelled"


def test_small_content_can_be_linked_and_is_neither_wrapped_nor_packed(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:small@home1.example", b"a" * 3_000, application="wrapped.ua")
    (message,) = core.wait_for_push("sip:small@home1.example")

    assert not message.all("Content-Encoding")
    assert get(url_of(message)).content == b"a" * 3_000
    assert linked.result(ref).state == "delivered"
    assert get(url_of(message)).content == b"a" * 3_000


@pytest.mark.req("PROP-X-3")
def test_in_a_subscription_that_follows_links_the_link_is_a_notify(linked: Stack, core: SipPeer) -> None:
    device = Subscriber(linked, core)
    device.begin(**wants("mms.ua"), accept="text/plain, message/external-body")
    device.notifies(1)
    device.settle()
    ref = submit(linked, device.aor)

    notify = device.notifies(2)[1]
    answered(linked, ref)
    assert get(url_of(notify)).content == CONTENT
    result = linked.result(ref)
    assert (result.state, result.method) == ("delivered", "NOTIFY")


@pytest.mark.req("MSG-SIZE")
def test_an_application_without_links_says_so(linked: Stack, core: SipPeer) -> None:
    ref = submit(linked, "sip:none@home1.example", application="unlinked.ua")

    assert linked.result(ref).code == "2006"
    wish = submit(linked, "sip:none@home1.example", application="unlinked.ua", method="INDIRECT")
    assert url_of(core.wait_for_push("sip:none@home1.example")[0])
    assert linked.known(wish).results[0].state == "pending"


def test_a_link_that_is_refused_is_a_result_as_ever(linked: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(603, "Decline") if _.method == "MESSAGE" else OK
    ref = submit(linked, "sip:refuses@home1.example", b"a" * 3_000, method="INDIRECT")

    (message,) = core.wait_for_push("sip:refuses@home1.example")
    wait_until(lambda: linked.known(ref).results[0].sip_code == 603, 10, "refused")
    assert get(url_of(message), "HEAD").status_code == 200  # it is tried once more


def test_too_many_requests_for_a_link_are_put_off(linked: Stack, core: SipPeer) -> None:
    submit(linked, "sip:often@home1.example")
    url = url_of(core.wait_for_push("sip:often@home1.example")[0])

    codes = [get(url, "HEAD").status_code for _ in range(41)]
    assert codes == [200] * 40 + [429]


def test_wrong_links_of_one_device_do_not_keep_others_at_its_address_out(
    linked: Stack, core: SipPeer
) -> None:
    submit(linked, "sip:neighbour@home1.example")
    url = url_of(core.wait_for_push("sip:neighbour@home1.example")[0])
    wrong = f"{url[:-12]}{'A' * 12}"

    assert {get(wrong, "HEAD").status_code for _ in range(40)} <= {404, 429}
    assert get(wrong, "HEAD").status_code == 429
    assert get(url).content == CONTENT
