"""What is known of devices decides what leaves, and what they refuse is learnt."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from typing import Any

import pytest

from omapush import clock
from omapush.push.capabilities import Facts
from omapush.store import capabilities, profiles
from tests.conftest import MakeStack
from tests.fakes.vendor import Vendor
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import ROOT, Stack
from tests.harness.subscriber import DEVICE_EVENT, URL, Subscriber
from tests.harness.wait import wait_until

LONG = b"again and " * 40

_numbers = itertools.count(1)


@pytest.fixture
def aor() -> str:
    """A user that no test has used."""
    return f"sip:fits{next(_numbers)}@home1.example"


def learn(stack: Stack, aor: str, **more: Any) -> None:
    now = clock.now_ms()
    facts = Facts("urn:uuid:a", "uaprof", now, now + 600_000)._replace(**more)
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


@pytest.mark.req("PSA-MSG-4", "PROP-CAP-1", "PROP-CAP-3", "SIPPUSH-PSA-S-003")
def test_from_the_subscription_of_a_device_to_the_push_that_it_cannot_take(make_stack: MakeStack) -> None:
    """The device names its profile, the notifier process fetches it, the sender holds pushes against it."""
    stack = make_stack({"capabilities": {"allow_private": True}}, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core, Vendor() as vendor:
        url = vendor.url("good")
        device = Subscriber(stack, core)
        device.begin(event=DEVICE_EVENT.replace(URL, url))
        wait_until(lambda: profiles.read(stack.store, url) is not None, 10, "the profile fetched")

        refused = stack.result(stack.submit(device.aor, b"<html/>", content_type="text/html"))
        taken = stack.result(stack.submit(device.aor, b"hello"))

        assert (refused.code, taken.state) == ("2006", "delivered")
        assert "uaprof" in refused.desc
        shown = shown_by_cli(stack, device.aor)
        assert [one["types"] for one in shown["facts"] if one["source"] == "uaprof"] == [
            ["application/vnd.wap.mms-message", "text/plain", "image/*"]
        ]
        assert shown["profiles"][0]["state"] == "fetched"


def shown_by_cli(stack: Stack, aor: str) -> dict[str, Any]:
    """What `omapush capabilities AOR --json` prints."""
    program = [sys.executable, "-m", "omapush.cli.main", "--config", str(stack.config_file)]
    done = subprocess.run(
        [*program, "capabilities", aor, "--json"], capture_output=True, check=True, cwd=ROOT
    )
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_the_command_says_what_is_known_or_that_nothing_is(stack: Stack, aor: str) -> None:
    learn(stack, aor, types=("image/png",), largest_bytes=7)
    command = [sys.executable, "-m", "omapush.cli.main", "--config", str(stack.config_file), "capabilities"]

    known = subprocess.run([*command, aor], capture_output=True, text=True, cwd=ROOT, check=True)
    unknown = subprocess.run([*command, "sip:no@home1.example"], capture_output=True, text=True, cwd=ROOT)

    assert "image/png" in known.stdout
    assert "at most 7 bytes" in known.stdout
    assert unknown.returncode == 1
    assert "nothing is known" in unknown.stderr
