"""What is known of devices decides what leaves, and what they refuse is learnt."""

from __future__ import annotations

import gzip
import itertools

import pytest

from omapush import clock
from omapush.push.capabilities import Facts
from omapush.store import capabilities
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack

LONG = b"again and " * 100

_numbers = itertools.count(1)


@pytest.fixture
def aor() -> str:
    """A user that no test has used."""
    return f"sip:fits{next(_numbers)}@home1.example"


def learn(stack: Stack, aor: str, **more: object) -> None:
    now = clock.now_ms()
    facts = Facts("urn:uuid:a", "uaprof", now, now + 600_000)._replace(**more)  # type: ignore[arg-type]
    capabilities.learn(stack.store, {aor: [facts]}, now)


@pytest.mark.req("PSA-MSG-4")
def test_a_type_that_the_device_does_not_take_is_never_sent(stack: Stack, core: SipPeer, aor: str) -> None:
    learn(stack, aor, types=("image/*",))

    result = stack.result(stack.submit(aor, b"hello"))

    assert (result.state, result.code, result.sip_code) == ("undeliverable", "2006", 0)
    assert "text/plain" in result.desc
    stack.result(stack.submit(aor, b"x", content_type="image/png"))
    assert [one.header("Content-Type") for one in core.pushes(aor)] == ["image/png"]


@pytest.mark.req("PSA-MSG-4")
def test_content_above_the_devices_size_is_never_sent(stack: Stack, core: SipPeer, aor: str) -> None:
    learn(stack, aor, largest_bytes=5)

    assert stack.result(stack.submit(aor, b"123456")).code == "2006"
    assert stack.result(stack.submit(aor, b"12345")).state == "delivered"
    assert len(core.pushes(aor)) == 1


@pytest.mark.req("PROP-CAP-5")
def test_the_list_of_a_415_is_learnt_and_believed(stack: Stack, core: SipPeer, aor: str) -> None:
    core.policy = lambda _: Says(415, "Unsupported Media Type", {"Accept": "image/png, text/html;q=0.5"})
    assert stack.result(stack.submit(aor, b"hello")).code == "5030"
    core.policy = lambda _: OK

    assert stack.result(stack.submit(aor, b"hello again")).code == "2006"
    assert stack.result(stack.submit(aor, b"<p>", content_type="text/html")).state == "delivered"
    assert stack.result(stack.submit(aor, b"hello", app="other.ua")).state == "delivered"
    assert len(core.pushes(aor)) == 3


@pytest.mark.req("PROP-CAP-5")
@pytest.mark.parametrize("code", [415, 488])
def test_a_refusal_without_a_list_is_learnt_for_its_type(
    stack: Stack, core: SipPeer, aor: str, code: int
) -> None:
    core.policy = lambda _: Says(code, "No")
    stack.result(stack.submit(aor, b"hello"))
    core.policy = lambda _: OK

    assert stack.result(stack.submit(aor, b"hello")).code == "2006"
    assert stack.result(stack.submit(aor, b"x", content_type="image/png")).state == "delivered"


@pytest.mark.req("PROP-CAP-5")
def test_a_413_is_learnt_as_a_size(stack: Stack, core: SipPeer, aor: str) -> None:
    core.policy = lambda _: Says(413, "Request Entity Too Large")
    stack.result(stack.submit(aor, b"x" * 100))
    core.policy = lambda _: OK

    assert stack.result(stack.submit(aor, b"x" * 100)).code == "2006"
    assert stack.result(stack.submit(aor, b"x" * 99)).state == "delivered"


def test_gzip_goes_to_devices_that_take_it_and_to_no_others(stack: Stack, core: SipPeer, aor: str) -> None:
    """A device's word wins over the profile of the application, either way."""
    learn(stack, aor, encodings=("gzip",))
    stack.result(stack.submit(aor, LONG))
    learn(stack, aor, encodings=("identity",))
    stack.result(stack.submit(aor, LONG, app="gzip.ua"))

    zipped, plain = core.wait_for_push(aor, 2)
    assert (zipped.header("Content-Encoding"), gzip.decompress(zipped.body)) == ("gzip", LONG)
    assert (plain.all("Content-Encoding"), plain.body) == ([], LONG)


def test_the_wrapped_form_is_for_devices_that_take_it(stack: Stack, core: SipPeer, aor: str) -> None:
    learn(stack, aor, types=("text/plain",))
    stack.result(stack.submit(aor, b"hello", app="wrapped.ua"))
    learn(stack, aor, types=("text/plain", "application/vnd.oma.push"))
    stack.result(stack.submit(aor, b"hello", app="wrapped.ua"))

    bare, wrapped = core.wait_for_push(aor, 2)
    assert bare.header("Content-Type") == "text/plain"
    assert wrapped.header("Content-Type") == "application/vnd.oma.push"
