"""A link from our sender to our receiver: answered, fetched from our content server, delivered."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from omapush.push.values import push_ref
from omapush.receiver import Links, Sessions
from tests.harness.receiver_thread import receiver_in_thread
from tests.harness.scscf import Scscf
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.wire.test_receiver_and_sender import known_to, proxy

SETTINGS: Settings = {
    "sip": {"uri": "sip:psa@push.home1.example"},
    'application."mms.ua"': {"methods": ["NOTIFY", "MESSAGE", "INDIRECT"], "accept_contact": "strict"},
}
CLIP = os.urandom(3_000_000)
HERE = Links(domains=("127.0.0.1",), schemes=("http",))
NO_SESSIONS = Sessions(enabled=False)
_numbers = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def scscf(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scscf]:
    with Scscf.of(stack, tmp_path_factory.mktemp("scscf"), "WITH_ISC_SUBSCRIBE") as running:
        yield running


@pytest.fixture
def aor() -> str:
    return f"sip:link{next(_numbers)}.{time.monotonic_ns()}@home1.example"


def submit(stack: Stack, aor: str, content: bytes) -> str:
    push_id = base64.b16encode(os.urandom(8)).decode()
    body = {
        "push_id": push_id,
        "to": [aor],
        "application": "mms.ua",
        "content_type": "video/mp4",
        "content_base64": base64.b64encode(content).decode(),
        "content_headers": {"Content-Disposition": "attachment; filename=clip.mp4"},
    }
    url = f"{stack.http}/v1/pushes"
    answer = httpx.post(url, json=body, auth=("trusted", PASSWORD), trust_env=False, timeout=20)
    assert answer.status_code == 201, answer.text
    return push_ref("trusted", push_id)


@pytest.mark.req("PSA-MSRP-1", "PRA-MSG-3", "PROP-CTRL-2", "PROP-CTRL-3")
def test_a_clip_that_fits_into_no_message_reaches_the_application(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    with receiver_in_thread(aor, proxy(scscf), links=HERE, sessions=NO_SESSIONS) as device:
        known_to(stack, aor)
        ref = submit(stack, aor, CLIP)

        (push,) = device.wait_for_pushes(1, 20)
        assert push.read() == CLIP
        assert (push.content_type, push.application, push.method) == ("video/mp4", "mms.ua", "MESSAGE")
        assert (push.name, push.disposition, push.sender) == (
            "clip.mp4",
            "attachment",
            "sip:mmsc@home1.example",
        )
        result = stack.result(ref)
        assert (result.state, result.code, result.sip_code) == ("delivered", "1000", 200)


@pytest.mark.req("PSA-SUB-1", "PRA-SUB-2", "PROP-X-3")
def test_in_a_subscription_the_link_comes_as_a_notify(stack: Stack, scscf: Scscf, aor: str) -> None:
    subscriptions = (("mms.ua", "sip:psa@push.home1.example"),)
    with receiver_in_thread(
        aor, proxy(scscf), links=HERE, sessions=NO_SESSIONS, subscribe_to=subscriptions
    ) as device:
        device.wait_for("subscribed")
        ref = submit(stack, aor, CLIP)

        (push,) = device.wait_for_pushes(1, 20)
        assert (push.read(), push.method) == (CLIP, "NOTIFY")
        result = stack.result(ref)
        assert (result.state, result.method) == ("delivered", "NOTIFY")


def test_a_device_that_follows_no_links_refuses_and_the_initiator_is_told(
    stack: Stack, scscf: Scscf, aor: str
) -> None:
    with receiver_in_thread(aor, proxy(scscf), sessions=NO_SESSIONS) as device:
        known_to(stack, aor)
        result = stack.result(submit(stack, aor, CLIP))

        assert (result.state, result.sip_code) == ("aborted", 415)
        assert device.pushes == []
