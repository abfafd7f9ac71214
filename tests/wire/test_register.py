"""Third-party REGISTER: what is answered, and what Redis remembers of it."""

from pathlib import Path
from typing import Any

import pytest

from omapush import clock
from omapush.push.registrar import ThirdPartyRegister, read_report
from omapush.push.registration import Contact, Doubt, Registration
from omapush.store import keys, registrations
from tests.fakes.sip_text import SipText, write
from tests.harness.messagepack import named, unpacked
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import register, ue_register

pytestmark = pytest.mark.req("PSA-REG-1")

CORPUS = sorted((Path(__file__).parent.parent / "corpora" / "valid" / "sip").glob("*.sip"))
MESSAGE_SIP = ("Content-Type", "message/sip")


def stored(stack: Stack, aor: str) -> dict[str, Any]:
    """The record as a stranger to our code reads it: plain MessagePack."""
    data = stack.db.get(keys.registration(stack.store.layout.user_shard(aor), aor))
    record = named(Registration, unpacked(data))
    record["contacts"] = [named(Contact, contact) for contact in record["contacts"]]
    record["doubts"] = [named(Doubt, doubt) for doubt in record["doubts"]]
    return record


def uris(record: dict[str, Any]) -> list[str]:
    return sorted(contact["uri"] for contact in record["contacts"])


def put_our_route(raw: bytes, core: SipPeer) -> bytes:
    """The recorded request with a Via by which its answer comes back to us."""
    head, _, rest = raw.partition(b"\r\n")
    via = f"Via: SIP/2.0/UDP 127.0.0.1:{core.port};branch=z9hG4bK{hash(raw)}".encode()
    return b"\r\n".join((head, via, rest))


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_each_recorded_register_is_taken_and_its_record_is_plain_messagepack(
    stack: Stack, core: SipPeer, file: Path
) -> None:
    sent = SipText.parse(file.read_bytes())
    aor = sent.header("To").partition("<")[2].partition(">")[0]
    stack.db.delete(keys.registration(stack.store.layout.user_shard(aor), aor))
    answer = core.ask(put_our_route(sent.raw, core), stack.sip)

    assert answer.status == 200, answer.raw
    assert int(answer.header("Expires")) == int(sent.header("Expires"))
    assert answer.all("Contact") == []
    record = stored(stack, aor)
    assert (record["version"], record["aor"]) == (1, aor)
    assert record["s_cscf"] in sent.header("Contact") + sent.header("From")
    contacts = [
        line for line in sent.body.decode().splitlines() if line.lower().startswith(("contact:", "m:"))
    ]
    gone = sent.header("Expires") == "0"
    assert gone or bool(record["contacts"]) == bool(contacts)


def test_the_charging_vector_comes_back_with_our_operator_as_the_terminating_one(
    stack: Stack, core: SipPeer
) -> None:
    vector = ("P-Charging-Vector", 'icid-value="7f3";orig-ioi="Type 3visited.example"')
    answer = core.ask(register("sip:charged@home1.example", core, headers=[vector]), stack.sip)

    returned = answer.header("P-Charging-Vector")
    assert 'icid-value="7f3"' in returned
    assert 'orig-ioi="Type 3visited.example"' in returned
    assert "term-ioi=" in returned
    assert "home1.example" in returned.partition("term-ioi=")[2]


def test_without_a_charging_vector_none_is_made_up(stack: Stack, core: SipPeer) -> None:
    answer = core.ask(register("sip:uncharged@home1.example", core), stack.sip)

    assert (answer.status, answer.all("P-Charging-Vector")) == (200, [])


def test_push_applications_are_read_from_the_handsets_own_register(stack: Stack, core: SipPeer) -> None:
    aor = "sip:tags@home1.example"
    body = ue_register(aor, "sip:tags@127.0.0.1:5092")
    assert core.ask(register(aor, core, headers=[MESSAGE_SIP], body=body), stack.sip).status == 200

    (contact,) = stored(stack, aor)["contacts"]
    assert contact["uri"] == "sip:tags@127.0.0.1:5092"
    assert contact["applications"] == ["mms.ua", "ulp.ua"]
    assert contact["source"] == "register"


def test_values_in_several_header_fields_are_all_kept(stack: Stack, core: SipPeer) -> None:
    """RFC 3261 7.3.1; some S-CSCFs write one value a line, and fold long ones."""
    aor = "sip:lines@home1.example"
    headers = [
        *(("Path", f"<sip:p{number}.example;lr>") for number in (1, 2)),
        *(("P-Charging-Function-Addresses", value) for value in ("ccf=192.0.2.1", "ecf=192.0.2.2")),
        *(
            ("P-Associated-URI", value)
            for value in (f"<{aor}>", "<tel:+1555>,\r\n <sip:other@home1.example>")
        ),
    ]
    for route in (), [("Route", f"<sip:127.0.0.1:{stack.sip[1]};lr>")]:  # read by Kamailio, and by Python
        assert core.ask(register(aor, core, headers=[*headers, *route]), stack.sip).status == 200

        record = stored(stack, aor)
        assert record["path"].replace(" ", "") == "<sip:p1.example;lr>,<sip:p2.example;lr>"
        assert record["charging"].replace(" ", "") == "ccf=192.0.2.1,ecf=192.0.2.2"
        assert record["associated"] == [aor, "tel:+1555", "sip:other@home1.example"]
        stack.db.delete(keys.registration(stack.store.layout.user_shard(aor), aor))


def test_expires_0_of_one_contact_leaves_the_other(stack: Stack, core: SipPeer) -> None:
    aor = "sip:two@home1.example"
    for contact, expires in (
        ("sip:a@127.0.0.1:1", 600),
        ("sip:b@127.0.0.1:2", 600),
        ("sip:a@127.0.0.1:1", 0),
    ):
        body = ue_register(aor, contact, expires=expires)
        raw = register(aor, core, expires=str(expires), headers=[MESSAGE_SIP], body=body)
        assert core.ask(raw, stack.sip).status == 200

    assert uris(stored(stack, aor)) == ["sip:b@127.0.0.1:2"]


def test_a_binding_that_the_registrar_no_longer_lists_is_gone(stack: Stack, core: SipPeer) -> None:
    """RFC 3261 10.3: its own REGISTER with Expires 0 came while we were away."""
    aor = "sip:listed@home1.example"
    places = {name: f"sip:{name}@127.0.0.{number}:5092" for number, name in enumerate("abc", start=1)}
    registered_ms = clock.now_ms() - 300_000
    reports = [
        read_report(
            ThirdPartyRegister(
                aor, "", f"<sip:127.0.0.1:{core.port}>", "600", "", "", "", "", *MESSAGE_SIP[1:], body
            ),
            registered_ms,
        )
        for body in (ue_register(aor, place) for place in places.values())
    ]
    registrations.capture(stack.store, reports)
    assert uris(stored(stack, aor)) == sorted(places.values())

    ok = write(
        "SIP/2.0 200 OK",
        [("To", f"<{aor}>;tag=r"), *(("Contact", f"<{places[name]}>;expires=500") for name in "ab")],
    )
    parts = [
        b"--r\r\nContent-Type: message/sip\r\n\r\n%b\r\n" % one for one in (ue_register(aor, places["a"]), ok)
    ]
    headers = [("Content-Type", "multipart/mixed;boundary=r")]
    raw = register(aor, core, headers=headers, body=b"".join(parts) + b"--r--\r\n")
    assert core.ask(raw, stack.sip).status == 200

    record = stored(stack, aor)
    assert uris(record) == [places["a"], places["b"]]
    assert all(one["applications"] == ["mms.ua", "ulp.ua"] for one in record["contacts"])
    assert [doubt["text"] for doubt in record["doubts"]] == [
        f"the registrar's 200 to a REGISTER lists no {places['c']}"
    ]


def test_expires_0_without_a_body_proves_nothing(stack: Stack, core: SipPeer) -> None:
    aor = "sip:doubt@home1.example"
    body = ue_register(aor, "sip:doubt@127.0.0.1:1")
    core.ask(register(aor, core, headers=[MESSAGE_SIP], body=body), stack.sip)
    assert core.ask(register(aor, core, expires="0"), stack.sip).status == 200

    record = stored(stack, aor)
    assert uris(record) == ["sip:doubt@127.0.0.1:1"]
    assert record["said_gone_ms"] == record["at_ms"]


def test_each_identity_of_an_implicit_set_has_a_record_of_its_own(stack: Stack, core: SipPeer) -> None:
    """A Kamailio S-CSCF sends one REGISTER for each; the UE's own inside is the same."""
    body = ue_register("sip:one@home1.example", "sip:dev@127.0.0.1:1")
    for aor in ("sip:one@home1.example", "tel:+15550001"):
        assert core.ask(register(aor, core, headers=[MESSAGE_SIP], body=body), stack.sip).status == 200

    assert stored(stack, "sip:one@home1.example")["contacts"][0]["uri"] == "sip:dev@127.0.0.1:1"
    assert stored(stack, "tel:+15550001")["contacts"][0]["uri"] == "sip:dev@127.0.0.1:1"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("message/sip", b"REGISTER"),
        ("message/sip", b"\0\xff\xfe"),
        ("message/sip", ue_register("sip:x@home1.example", "sip:x@127.0.0.1:1")[:90]),
        ("application/3gpp-ims+xml", b"<ims-3gpp><service-info>a & b"),
        ("application/3gpp-ims+xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
        ("multipart/mixed", b"--x\r\n\r\n"),
        ("multipart/mixed;boundary=m1", b"no such boundary"),
        ("application/unheard-of", b"?"),
        (";;;", b"?"),
    ],
)
def test_a_body_that_cannot_be_read_is_no_failure(
    stack: Stack, core: SipPeer, content_type: str, body: bytes
) -> None:
    """A failure answer could make the S-CSCF de-register the user; the registration itself is kept."""
    aor = "sip:broken@home1.example"
    raw = register(aor, core, expires="77", headers=[("Content-Type", content_type)], body=body)
    answer = core.ask(raw, stack.sip)

    assert (answer.status, answer.header("Expires")) == (200, "77")
    record = stored(stack, aor)
    assert record["contacts"] == []
    assert record["expires_ms"] == record["at_ms"] + 77_000


@pytest.mark.parametrize(
    "octets", [b"\xff\xfe", "f\u00fcr".encode(), b"a\0b"], ids=["no text", "UTF-8", "NUL"]
)
def test_octets_of_any_kind_come_through_with_their_register(
    stack: Stack, core: SipPeer, octets: bytes
) -> None:
    """Twice: the first of a peer passes Python, those after it Kamailio alone. A bad line spoils the body."""
    for number in range(2):
        aor = f"sip:octets-{octets.hex()}-{number}@home1.example"
        body = ue_register(aor, "sip:d@127.0.0.1:1").replace(
            b"\r\n\r\n", b"\r\nSubject: " + octets + b"\r\n\r\n"
        )
        raw = register(aor, core, expires="77", headers=[MESSAGE_SIP], body=body)

        assert core.ask(raw, stack.sip).status == 200
        assert uris(stored(stack, aor)) == ([] if b"\0" in octets else ["sip:d@127.0.0.1:1"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Expires", "soon"),
        ("Expires", "-1"),
        ("Expires", "1e3"),
        ("Expires", "9" * 33),
        ("To", "<tel:>"),
        ("To", "<http://x.example>"),
    ],
)
def test_a_malformed_expires_or_to_is_refused_and_nothing_kept(
    stack: Stack, core: SipPeer, field: str, value: str
) -> None:
    before = stack.db.dbsize()
    lines = register("sip:malformed@home1.example", core).decode().split("\r\n")
    lines = [f"{field}: {value}" if line.startswith(f"{field}:") else line for line in lines]

    assert core.ask("\r\n".join(lines).encode(), stack.sip).status == 400
    assert stack.db.dbsize() == before


@pytest.mark.parametrize("expires", ["4294967295", "99999999999999", "0600"])
def test_expires_comes_back_digit_by_digit(stack: Stack, core: SipPeer, expires: str) -> None:
    answer = core.ask(register("sip:patient@home1.example", core, expires=expires), stack.sip)

    assert (answer.status, answer.header("Expires")) == (200, expires)


def test_a_repetition_is_answered_as_before_and_stored_no_second_time(stack: Stack, core: SipPeer) -> None:
    raw = register("sip:again@home1.example", core)
    first = core.ask(raw, stack.sip)
    before = stored(stack, "sip:again@home1.example")
    for _ in range(3):
        assert core.ask(raw, stack.sip).raw == first.raw

    assert stored(stack, "sip:again@home1.example") == before


def test_a_stranger_cannot_register_anybody(stack: Stack, core: SipPeer) -> None:
    aor = "sip:victim@home1.example"
    with SipPeer(host="127.0.0.2") as stranger:
        assert stranger.ask(register(aor, stranger), stack.sip).status == 403

    assert stack.registration(aor) is None


@pytest.mark.parametrize("secret", ["c0ffeec0ffeec0ffee", "2a2a2a"])
def test_the_handsets_credentials_are_neither_kept_nor_logged(
    stack: Stack, core: SipPeer, secret: str
) -> None:
    aor = "sip:secret@home1.example"
    inside = SipText.parse(ue_register(aor, "sip:secret@127.0.0.1:1"))
    digest = f'Digest username="secret",realm="home1.example",nonce="{secret}",response="{secret}"'
    body = write(inside.start_line, [*inside.headers[:-1], ("Authorization", digest)])
    for each in (body, body[:-60], body.replace(b"Contact", b"C ntact").replace(b"contact", b"c ntact")):
        assert core.ask(register(aor, core, headers=[MESSAGE_SIP], body=each), stack.sip).status == 200

    assert secret not in stack.parts["sip"].log_text()
    assert stored(stack, aor)["contacts"]
    for key in stack.db.scan_iter():
        dumped = stack.db.dump(key)
        assert dumped is not None
        assert secret.encode() not in dumped


def test_a_register_that_is_no_sip_is_not_logged_with_the_credentials_inside(
    stack: Stack, core: SipPeer
) -> None:
    """Kamailio's core logs what it cannot parse, body included, unless told otherwise."""
    body = ue_register("sip:secret@home1.example", "sip:s@127.0.0.1:1") + b"\r\nAuthorization: Digest 5ec2e7"
    for broken in (b"CSeq: one", b"To:", b"Content-Length: -1"):
        raw = register("sip:secret@home1.example", core, headers=[MESSAGE_SIP], body=body)
        core.send(raw.replace(b"\r\n", b"\r\n" + broken + b"\r\n", 1), stack.sip)
    assert core.ask(register("sip:next@home1.example", core), stack.sip).status == 200

    assert "5ec2e7" not in stack.parts["sip"].log_text()
