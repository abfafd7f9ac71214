"""Presence on the wire: what a user's services can do becomes capabilities, as long as it is told."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omapush.push.capabilities import Facts
from omapush.push.watch import PRESENCE
from omapush.store import capabilities, watches
from tests.conftest import MakeStack
from tests.harness.reg_event import Scscf
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import ROOT, Settings, Stack
from tests.harness.wait import wait_until
from tests.wire import registered
from tests.wire.registered import registers

pytestmark = pytest.mark.req("PROP-CAP-5", "SIPPUSH-PSA-S-002")

PIDF = "application/pidf+xml"
PHONE = "sip:a@127.0.0.1:9"
watch_of = partial(registered.watch_of, package=PRESENCE)
state_becomes = partial(registered.state_becomes, package=PRESENCE)
answer_is_stored = partial(registered.answer_is_stored, package=PRESENCE)
DEVICE = "urn:uuid:d27459b7-8213-4395-aa77-ed859a3e5b3a"
RECORDED = (Path(__file__).parent.parent / "corpora" / "valid" / "pidf" / "servcaps.xml").read_bytes()
ON: Settings = {
    "registration": {"watch": False, "first_retry_s": 0.2, "longest_retry_s": 1.0},
    "capabilities": {"presence": True},
}


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that watches presence and nothing else; each test has users of its own."""
    with Stack(tmp_path_factory.mktemp("presence"), ON, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(watching: Stack) -> Iterator[SipPeer]:
    with SipPeer(watching.core_port) as peer:
        yield peer


@pytest.fixture
def server(watching: Stack, core: SipPeer) -> Scscf:
    return Scscf(core, watching.sip, package="presence", document=PIDF)


@pytest.fixture
def aor() -> str:
    return f"sip:u{secrets.token_hex(4)}@ims.lab"


def facts_of(stack: Stack, aor: str) -> dict[str, Facts]:
    """What presence says, by device."""
    record = capabilities.read(stack.store, aor)
    return {one.device: one for one in (record.facts if record else ()) if one.source == "presence"}


def takes(*types: str, device: str = DEVICE) -> bytes:
    """A document in which one device takes these types."""
    supported = "".join(f"<c:supported>{one}</c:supported>" for one in types)
    return (
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:c="urn:ietf:params:xml:ns:pidf:caps" '
        'xmlns:d="urn:ietf:params:xml:ns:pidf:data-model" entity="sip:x@ims.lab"><tuple id="t">'
        f"<status><basic>open</basic></status><c:servcaps><c:type>{supported}</c:type></c:servcaps>"
        f"<d:deviceID>{device}</d:deviceID></tuple></presence>"
    ).encode()


EMPTY = b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:x@ims.lab"/>'


def shown(stack: Stack, command: str, aor: str) -> dict[str, Any]:
    """What `omapush COMMAND AOR --json` prints."""
    program = [sys.executable, "-m", "omapush.cli.main", "--config", str(stack.config_file)]
    done = subprocess.run([*program, command, aor, "--json"], capture_output=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


def test_who_registers_is_subscribed_to_as_the_as_and_the_document_becomes_facts(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    """Through the S-CSCF; believed until the subscription ends; what the user refuses is not sent."""
    registers(watching, core, aor, PHONE)
    sent = server.subscribe(aor)
    assert sent.start_line == f"SUBSCRIBE {aor} SIP/2.0"
    assert sent.header("Route") == f"<sip:127.0.0.1:{core.port};lr>"
    assert (sent.header("Accept"), sent.header("Expires")) == (PIDF, "3600")
    assert sent.header("P-Asserted-Identity") == "<sip:psa@home1.example>"
    assert server.notify(sent, RECORDED, state="active;expires=500").status == 200

    watch, facts = watch_of(watching, aor), facts_of(watching, aor)
    assert watch.state == "active"
    assert set(facts) == {DEVICE, ""}
    said = facts[DEVICE]
    assert said.types == ("text/plain", "application/vnd.wap.mms-message")
    assert (said.refused, said.methods) == (("image/tiff",), ("MESSAGE", "INVITE"))
    assert said.expires_ms == watch.expires_ms
    registers(watching, core, aor, PHONE)
    assert len(server.subscribes(aor)) == 1


@pytest.mark.req("PSA-MSG-4")
def test_a_push_that_presence_speaks_against_is_not_sent(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    registers(watching, core, aor, PHONE)
    assert server.notify(server.subscribe(aor), takes("image/png", device="")).status == 200

    refused = watching.result(watching.submit(aor, b"hello"))
    assert (refused.code, refused.sip_code) == ("2006", 0)
    assert "as told by" in refused.desc
    assert "presence" in refused.desc
    assert watching.result(watching.submit(aor, b"x", content_type="image/png")).state == "delivered"


def test_each_document_is_all_that_presence_says(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    """A device that is in it no more, and an empty document, take facts away."""
    registers(watching, core, aor, PHONE)
    sent = server.subscribe(aor)
    assert server.notify(sent, takes("text/plain")).status == 200
    assert server.notify(sent, takes("image/png", device="urn:uuid:other")).status == 200
    assert {name: one.types for name, one in facts_of(watching, aor).items()} == {
        "urn:uuid:other": ("image/png",)
    }
    assert server.notify(sent, EMPTY).status == 200
    assert facts_of(watching, aor) == {}
    assert watch_of(watching, aor).state == "active"
    assert server.notify(sent).status == 200, "no body at all says nothing"


@pytest.mark.parametrize(
    ("broken", "headers"),
    [
        (b"<presence", {}),
        (RECORDED[:-30], {}),
        (b"\0\xff\xfe", {}),
        (b'<!DOCTYPE x [<!ENTITY e "e">]>' + EMPTY, {}),
        (b'<presence xmlns="urn:ietf:params:xml:ns:pidf"><tuple/></presence>', {}),
        (takes("plain"), {}),
        (takes("text/plain"), {"Content-Type": "application/pidf-diff+xml"}),
    ],
)
def test_a_broken_document_loses_nothing_and_the_gap_is_shown(
    watching: Stack, core: SipPeer, server: Scscf, aor: str, broken: bytes, headers: dict[str, str]
) -> None:
    """The notifier is asked once; when that is broken, too, it is left alone, and shown all the same."""
    registers(watching, core, aor, PHONE)
    first = server.subscribe(aor)
    assert server.notify(first, takes("text/plain")).status == 200
    assert server.notify(first, broken, headers=headers).status == 200
    again = server.subscribe(aor, 2)
    assert again.header("Call-ID") == first.header("Call-ID")
    assert server.notify(first, broken, headers=headers).status == 200

    assert facts_of(watching, aor)[DEVICE].types == ("text/plain",)
    presence = shown(watching, "capabilities", aor)["presence"]
    assert (presence["state"], presence["why"].partition(":")[0]) == (
        "active",
        "the last document cannot be read",
    )
    assert shown(watching, "registrations", aor)["presence_watch"] == presence
    assert "presence_unread" in watching.parts["sip"].log_text()
    assert server.notify(first, takes("image/png")).status == 200
    assert (facts_of(watching, aor)[DEVICE].types, watch_of(watching, aor).why) == (
        ("image/png",),
        "",
    )
    assert len(server.subscribes(aor)) == 2


@pytest.mark.parametrize("code", [403, 404, 489])
def test_a_core_that_lets_nobody_watch_is_not_asked_again_before_the_next_register(
    watching: Stack, core: SipPeer, server: Scscf, aor: str, code: int
) -> None:
    """Never as the user itself: who may see presence is for the user's rules to say."""
    server.answers = lambda _: Says(code)
    registers(watching, core, aor, PHONE)
    server.subscribe(aor)
    state_becomes(watching, aor, "waiting")
    assert str(code) in shown(watching, "capabilities", aor)["presence"]["why"]
    assert len(server.subscribes(aor)) == 1

    server.answers = lambda _: OK
    registers(watching, core, aor, PHONE)
    second = server.subscribe(aor, 2)
    assert second.header("P-Asserted-Identity") == "<sip:psa@home1.example>"
    assert server.notify(second, takes("text/plain")).status == 200
    assert DEVICE in facts_of(watching, aor)


@pytest.mark.parametrize("reason", ["rejected", "noresource"])
def test_what_is_told_no_more_is_believed_no_more(
    watching: Stack, core: SipPeer, server: Scscf, aor: str, reason: str
) -> None:
    """Even when the last NOTIFY has a document."""
    registers(watching, core, aor, PHONE)
    sent = server.subscribe(aor)
    assert server.notify(sent, takes("text/plain")).status == 200
    assert server.notify(sent, takes("text/plain"), state=f"terminated;reason={reason}").status == 200

    assert (facts_of(watching, aor), watch_of(watching, aor).state) == ({}, "waiting")


def test_a_subscription_that_is_moved_keeps_what_is_known(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    registers(watching, core, aor, PHONE)
    first = server.subscribe(aor)
    assert server.notify(first, takes("text/plain")).status == 200
    assert server.notify(first, state="terminated;reason=deactivated").status == 200
    second = server.subscribe(aor, 2)
    assert second.header("Call-ID") != first.header("Call-ID")
    assert DEVICE in facts_of(watching, aor)
    assert server.notify(first, EMPTY).status == 481
    assert server.notify(second, takes("image/png")).status == 200
    assert facts_of(watching, aor)[DEVICE].types == ("image/png",)


def test_a_refresh_keeps_what_is_known_though_no_notify_follows(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    server.granted = "2"
    registers(watching, core, aor, PHONE)
    sent = server.subscribe(aor)
    assert server.notify(sent, takes("text/plain"), state="active;expires=2").status == 200
    until = facts_of(watching, aor)[DEVICE].expires_ms
    assert server.subscribe(aor, 2).header("Call-ID") == sent.header("Call-ID")

    wait_until(lambda: facts_of(watching, aor)[DEVICE].expires_ms > until, 5, "believed for longer")
    assert facts_of(watching, aor)[DEVICE].expires_ms == watch_of(watching, aor).expires_ms


def test_a_refusal_of_a_refresh_ends_what_is_known(
    watching: Stack, core: SipPeer, server: Scscf, aor: str
) -> None:
    server.granted = "2"
    server.answers = lambda request: Says(404) if ";tag=" in request.header("To") else Says(200)
    registers(watching, core, aor, PHONE)
    assert server.notify(server.subscribe(aor), takes("text/plain"), state="active;expires=2").status == 200
    state_becomes(watching, aor, "waiting")

    assert facts_of(watching, aor) == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Event": "reg"}, 489),
        ({"Event": ""}, 489),
        ({"Subscription-State": ""}, 400),
        ({"Call-ID": "0123456789abcdef-presence-0123456789abcdef@127.0.0.1"}, 481),
        ({"To": "<sip:psa@home1.example>;tag=other"}, 481),
        ({"CSeq": "1 NOTIFY"}, 500),
    ],
)
def test_a_notify_that_breaks_a_rule_gets_its_code_and_changes_nothing(
    watching: Stack, core: SipPeer, server: Scscf, aor: str, headers: dict[str, str], status: int
) -> None:
    registers(watching, core, aor, PHONE)
    sent = server.subscribe(aor)
    assert server.notify(sent, takes("text/plain")).status == 200
    answer_is_stored(watching, aor)
    before = watch_of(watching, aor)

    answer = server.notify(sent, EMPTY, headers=headers)
    assert answer.status == status
    assert (watch_of(watching, aor), set(facts_of(watching, aor))) == (before, {DEVICE})
    if status == 489:
        assert answer.header("Allow-Events") == "presence"


@pytest.mark.timeout(90)
@pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")
def test_reg_event_and_presence_of_one_user_are_two_dialogs_that_outlive_a_restart(
    make_stack: MakeStack,
) -> None:
    """Neither is subscribed twice, and neither takes the other's NOTIFY; switched off, presence ends."""
    stack = make_stack(
        {"registration": {"watch": True}, "capabilities": {"presence": True}}, ("redis", "sip")
    )
    aor = "sip:both@ims.lab"
    with SipPeer(stack.core_port) as core:
        reg = Scscf(core, stack.sip)
        server = Scscf(core, stack.sip, package="presence", document=PIDF)
        registers(stack, core, aor, PHONE)
        first, second = reg.subscribe(aor), server.subscribe(aor)
        assert first.header("Call-ID") != second.header("Call-ID")
        assert reg.notify(first, tag="reg").status == 200
        assert server.notify(second, takes("text/plain"), tag="presence").status == 200
        assert server.notify(first, EMPTY, tag="reg").status == 489
        stack.restart("sip")
        registers(stack, core, aor, PHONE)
        assert server.notify(second, takes("image/png"), tag="presence").status == 200
        assert reg.notify(first, tag="reg").status == 200
        assert facts_of(stack, aor)[DEVICE].types == ("image/png",)
        assert (len(reg.subscribes(aor)), len(server.subscribes(aor))) == (1, 1)

        text = stack.config_file.read_text()
        stack.config_file.write_text(text.replace("presence = true", "presence = false"))
        stack.restart("sip")
        assert server.notify(second, EMPTY, tag="presence").status == 481
        assert reg.notify(first, tag="reg").status == 200


def test_by_default_no_presence_is_watched(stack: Stack, core: SipPeer) -> None:
    registers(stack, core, "sip:nobody-asks@ims.lab", PHONE)

    assert watches.read(stack.store, "sip:nobody-asks@ims.lab", PRESENCE) is None
    assert stack.config.capabilities.presence is False
    assert not [one for one in core.requests if one.method == "SUBSCRIBE"]
