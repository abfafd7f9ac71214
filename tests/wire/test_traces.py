"""Traced pushes on the wire: what a capture server, Redis and a capture file show, and what they must not."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omapush import clock
from omapush.push.tracing import Kept
from omapush.push.values import push_ref
from omapush.store import traces
from tests.fakes.sip_text import SipText
from tests.harness import pcap_file
from tests.harness.hep_server import HepServer
from tests.harness.session_device import SESSIONS, Device, employ
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.unit.cli.test_main import run

ANN, BEN, CAT, DAN, EVE = (f"sip:{name}@home1.example" for name in ("ann", "ben", "cat", "dan", "eve"))
Command = Callable[..., str]
CONTENT = b"nobody else may read this"


@pytest.fixture(scope="module")
def hep() -> Iterator[HepServer]:
    with HepServer() as server:
        yield server


@pytest.fixture(scope="module")
def stack(hep: HepServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("traces")
    key = folder / "hep.key"
    key.write_text("let us in\n")
    settings = {**SESSIONS, "trace": {"hep": hep.address, "hep_agent": 77, "hep_key_file": str(key)}}
    with Stack(folder, settings, parts=("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port) as peer:
        yield peer


@pytest.fixture
def omapush(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command: what it prints."""

    def command(*words: str, code: int = 0) -> str:
        assert run(monkeypatch, "--config", stack.config_file, *words) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return command


def switch(stack: Stack, name: str) -> None:
    now = clock.now_ms()
    traces.switch_on(stack.store, name, until_ms=now + 600_000, now_ms=now)


def traced_push(stack: Stack, aor: str, content: bytes = CONTENT, *, number: int = 2) -> str:
    """A push of which something was kept, to a user who is traced: senders hear of that a little later."""
    switch(stack, traces.user_switch(aor))
    refs: list[str] = []

    def is_kept() -> bool:
        refs.append(stack.submit(aor, content))
        stack.result(refs[-1])
        return bool(kept_soon(stack, refs[-1], number))

    wait_until(is_kept, 15, "a push is traced")
    return refs[-1]


def kept_soon(stack: Stack, ref: str, number: int) -> list[Kept]:
    """What is kept of a push once there are so many messages, or soon."""
    try:
        wait_until(lambda: len(traces.read(stack.store, ref)) >= number, 0.5, "kept")
    except TimeoutError:
        return []
    return traces.read(stack.store, ref)


def test_a_traced_push_is_kept_as_it_was_sent_and_answered_without_its_content(
    stack: Stack, core: SipPeer
) -> None:
    ref = traced_push(stack, ANN)

    request, answer = (one.message for one in traces.read(stack.store, ref))
    (received,) = [one for one in core.pushes(ANN) if one.header("Call-ID").startswith(ref)]
    assert request.shown == received.raw.removesuffix(CONTENT)
    assert request.left_out == len(CONTENT)
    assert (request.transport, request.source_port, request.destination_port) == (
        "udp",
        stack.sip[1],
        core.port,
    )
    assert answer.shown.startswith(b"SIP/2.0 200")
    assert (answer.source_port, answer.destination_port) == (core.port, stack.sip[1])
    assert 0 <= answer.at_us - request.at_us < 5_000_000
    assert abs(request.at_us // 1000 - stack.known(ref).push.accepted_ms) < 60_000
    assert 0 < stack.db.ttl(f"trace:{{p{stack.store.layout.push_shard(ref)}}}:{ref}") <= 86_400


def test_a_capture_server_gets_the_same_with_the_push_as_correlation(
    stack: Stack, core: SipPeer, hep: HepServer
) -> None:
    ref = traced_push(stack, ANN)

    # Two processes of Kamailio tell them, the one that sent and the one that received: either may be first.
    request, answer = sorted(hep.wait_for(f"{ref}.0", 2), key=lambda one: one.source != stack.sip)
    assert (request.agent, request.key, request.kind, request.protocol) == (77, "let us in", 1, 17)
    assert (request.source, request.destination) == (stack.sip, core.address)
    assert (answer.source, answer.destination) == (core.address, stack.sip)
    assert SipText.parse(request.payload).body == b"." * len(CONTENT)
    assert SipText.parse(answer.payload).status == 200
    assert not any(CONTENT in packet.payload for packet in hep.packets)


def test_repetitions_are_kept_too(stack: Stack, core: SipPeer) -> None:
    traced_push(stack, BEN)
    silent = [True]

    def policy(request: SipText) -> Says | None:
        return None if silent and silent.pop() else OK

    core.policy = policy
    ref = stack.submit(BEN)
    stack.result(ref)

    wait_until(lambda: len(traces.read(stack.store, ref)) >= 3, 10, "three messages are kept")
    began = [one.message.shown.split(b" ", 1)[0] for one in traces.read(stack.store, ref)]
    assert (began[0], sorted(began)) == (b"MESSAGE", [b"MESSAGE", b"MESSAGE", b"SIP/2.0"])


def test_nothing_is_kept_or_shown_of_a_push_that_nobody_asked_for(
    stack: Stack, core: SipPeer, hep: HepServer
) -> None:
    traced_push(stack, ANN)
    other = stack.submit(CAT)
    stack.result(other)

    ref = stack.submit(ANN)  # what follows it is kept after it
    stack.result(ref)
    assert len(kept_soon(stack, ref, 2)) == 2
    assert traces.read(stack.store, other) == []
    assert hep.of(f"{other}.0") == []


def test_credentials_of_a_device_reach_neither_redis_nor_the_capture_server(
    stack: Stack, core: SipPeer, hep: HepServer
) -> None:
    secret = 'Digest username="ann", response="5ecre7"'
    core.policy = lambda _: Says(200, "OK", {"Authorization": secret, "Contact": "<sip:ann:5ecre7@h>"})
    ref = traced_push(stack, ANN)

    assert b"Authorization: left-out" in traces.read(stack.store, ref)[1].message.shown
    assert all(b"5ecre7" not in one.payload for one in hep.wait_for(f"{ref}.0", 2))
    for key in stack.db.keys("trace:*"):
        assert b"5ecre7" not in (stack.db.dump(key) or b"5ecre7")


def test_one_push_is_named_before_it_is_submitted(stack: Stack, core: SipPeer, omapush: Command) -> None:
    omapush("trace", "on", "--push", "to-come", "--initiator", "trusted", "--for", "600")
    shown = json.loads(omapush("trace", "show", "--json"))
    ref = push_ref("trusted", "to-come")
    assert f"push:{ref}" in [one["what"] for one in shown["on"]]
    traced_push(stack, DAN)  # by then that wish is known as well

    assert stack.submit(CAT, push_id="to-come") == ref
    stack.result(ref)
    assert len(kept_soon(stack, ref, 2)) == 2


def test_the_command_writes_a_capture_file_and_shows_the_messages(
    stack: Stack, core: SipPeer, omapush: Command, tmp_path: Path
) -> None:
    ref = traced_push(stack, ANN)
    file = tmp_path / "push.pcap"

    assert omapush("trace", "push", ref, "--pcap", str(file)) == f"{file}: 2 messages\n"
    request, answer = pcap_file.read(file.read_bytes())
    assert (request.source, request.destination, request.protocol) == (stack.sip, core.address, 17)
    assert SipText.parse(request.payload).header("Call-ID") == f"{ref}.0.1@127.0.0.1"
    assert SipText.parse(answer.payload).status == 200
    shown = omapush("trace", "push", ref)
    assert f"Call-ID: {ref}.0.1@127.0.0.1" in shown
    assert f"({len(CONTENT)} bytes of content left out)" in shown
    (first, _) = json.loads(omapush("trace", "push", ref, "--json"))
    assert base64.b64decode(first["message_base64"]).startswith(b"MESSAGE ")
    explained = omapush("push", "explain", ref, "--trace")
    assert re.search(r"udp 127.0.0.1:\d+ > 127.0.0.1:\d+  MESSAGE sip:ann@home1.example SIP/2.0", explained)


def test_a_push_of_which_nothing_was_kept_says_why(stack: Stack, core: SipPeer, omapush: Command) -> None:
    ref = stack.submit(CAT)
    stack.result(ref)

    assert "it was not traced (omapush trace on)" in omapush("trace", "push", ref, code=1)


def test_a_session_is_kept_from_invite_to_bye_with_its_descriptions(
    stack: Stack, core: SipPeer, hep: HepServer
) -> None:
    employ(stack)
    device = Device(stack, core, aor=EVE)
    traced_push(stack, EVE)

    ref = stack.submit(EVE, CONTENT * 200, app="large.ua", content_type="image/png")
    device.until("open", "agreed")
    device.transferred()
    assert stack.result(ref).state == "delivered"

    def began() -> list[bytes]:
        return [one.message.shown.split(b" ", 1)[0] for one in traces.read(stack.store, ref)]

    wait_until(lambda: began().count(b"SIP/2.0") >= 2 and b"BYE" in began(), 10, lambda: str(began()))
    requests = dict.fromkeys(one for one in began() if one != b"SIP/2.0")  # a busy machine repeats some
    assert list(requests) == [b"INVITE", b"ACK", b"BYE"]
    invite = traces.read(stack.store, ref)[0].message
    assert b"\r\na=file-selector:" in invite.shown
    assert (invite.left_out, device.invite.raw) == (0, invite.shown)
    assert {packet.correlation for packet in hep.packets if b"INVITE " in packet.payload} == {f"{ref}.0"}
