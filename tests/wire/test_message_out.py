"""A push as the S-CSCF sees it: the MESSAGE that Kamailio sends, header by header and byte by byte."""

import gzip

import pytest

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack

MMS = b"\x8c\x82\x98T1\x00\x8d\x92\x00\xff\xfe\r\n\r\n\x00 end\xc3\x28"
"A binary notification: NUL, CR LF, and bytes that are no UTF-8."


@pytest.mark.req("PSA-MSG-1", "PSA-MSG-3", "PSA-MSG-6", "PSA-MSG-7")
def test_a_push_leaves_as_a_message_to_the_public_identity_by_way_of_the_core(
    stack: Stack, core: SipPeer
) -> None:
    ref = stack.submit("sip:head@home1.example", b"hello")

    (message,) = core.wait_for_push("sip:head@home1.example")
    assert message.start_line == "MESSAGE sip:head@home1.example SIP/2.0"
    assert message.header("Route") == f"<sip:127.0.0.1:{core.port};lr>"
    assert message.header("To") == "<sip:head@home1.example>"
    assert message.header("From").startswith("<sip:psa@home1.example>;tag=")
    assert message.header("CSeq").endswith(" MESSAGE")
    assert message.header("Call-ID") == f"{ref}.0.1@127.0.0.1"
    assert 'icid-value="' in message.header("P-Charging-Vector")
    assert 'orig-ioi="Type 3home1.example"' in message.header("P-Charging-Vector")
    for absent in ("Contact", "Record-Route", "Expires", "Date", "Content-Encoding", "X-Push-Id"):
        assert message.all(absent) == []
    assert message.body == b"hello"
    assert stack.result(ref)[:2] == ("delivered", "1000")


@pytest.mark.req("PSA-MSG-1")
def test_binary_content_travels_byte_for_byte(stack: Stack, core: SipPeer) -> None:
    every_byte = bytes(range(256)) * 2
    for content in (MMS, every_byte, b"\0", b"", "Grüße".encode(), b"\r\n"):
        stack.submit("sip:bytes@home1.example", content, content_type="application/vnd.wap.mms-message")

    messages = core.wait_for_push("sip:bytes@home1.example", 6)
    assert [message.body for message in messages] == [MMS, every_byte, b"\0", b"", "Grüße".encode(), b"\r\n"]
    assert {message.header("Content-Type") for message in messages} == {"application/vnd.wap.mms-message"}


@pytest.mark.req("PSA-MSG-5")
def test_an_identity_is_asserted_for_a_trusted_initiator_only(stack: Stack, core: SipPeer) -> None:
    stack.submit("sip:trusted@home1.example", initiator="trusted")
    stack.submit("sip:untrusted@home1.example", initiator="untrusted")

    (trusted,) = core.wait_for_push("sip:trusted@home1.example")
    (untrusted,) = core.wait_for_push("sip:untrusted@home1.example")
    assert trusted.all("P-Asserted-Identity") == ["<sip:mmsc@home1.example>"]
    assert untrusted.all("P-Asserted-Identity") == []


@pytest.mark.req("PSA-MSG-2", "PSA-MSG-1")
@pytest.mark.parametrize(
    ("app", "accept_contact"),
    [
        ("mms.ua", ['*;+g.oma.pusheventapp="mms.ua"']),
        ("strict.ua", ['*;+g.oma.pusheventapp="strict.ua";require;explicit']),
        ("plain.ua", []),
    ],
)
def test_accept_contact_names_the_application_as_its_profile_says(
    stack: Stack, core: SipPeer, app: str, accept_contact: list[str]
) -> None:
    aor = f"sip:{app}@home1.example"
    stack.submit(aor, app=app)

    assert core.wait_for_push(aor)[0].all("Accept-Contact") == accept_contact


@pytest.mark.req("PROP-CTRL-1")
def test_the_wrapped_form_carries_control_lines_before_the_content(stack: Stack, core: SipPeer) -> None:
    headers = (("X-Wap-Content-URI", "http://mms.example/1"), ("Content-Language", "de"))
    stack.submit("sip:wrap@home1.example", MMS, app="wrapped.ua", content_type="image/png", headers=headers)

    (message,) = core.wait_for_push("sip:wrap@home1.example")
    control, _, content = message.body.partition(b"\r\n\r\n")
    assert message.header("Content-Type") == "application/vnd.oma.push"
    assert message.all("Content-Language") == []
    assert content == MMS
    assert sorted(control.decode().split("\r\n")) == [
        "Content-Language: de",
        "Content-Type: image/png",
        "X-Wap-Application-Id: wrapped.ua",
        "X-Wap-Content-URI: http://mms.example/1",
    ]


@pytest.mark.req("PROP-CTRL-1")
def test_content_is_compressed_by_profile_when_that_makes_it_smaller(stack: Stack, core: SipPeer) -> None:
    long, short = b"again and " * 200, b"short"
    stack.submit("sip:zip@home1.example", long, app="gzip.ua", headers=[("Content-Language", "en")])
    stack.submit("sip:zip@home1.example", short, app="gzip.ua")

    zipped, plain = core.wait_for_push("sip:zip@home1.example", 2)
    assert (zipped.header("Content-Encoding"), gzip.decompress(zipped.body)) == ("gzip", long)
    assert zipped.header("Content-Language") == "en"
    assert (plain.all("Content-Encoding"), plain.body) == ([], short)


@pytest.mark.req("MSG-SIZE")
@pytest.mark.parametrize("aor", ["sip:a@b.example", "sip:" + "l" * 60 + "@home1.example"])
def test_the_largest_message_is_1300_bytes_on_the_wire_and_one_more_is_not_sent(
    stack: Stack, core: SipPeer, aor: str
) -> None:
    stack.submit(aor, b"")
    room = 1300 - len(core.wait_for_push(aor)[0].raw)
    contents = range(room - 30, room + 10)

    results = [stack.result(ref) for ref in [stack.submit(aor, b"x" * size) for size in contents]]

    sent = [result for result in results if result.state == "delivered"]
    refused = results[len(sent) :]
    sizes = [len(message.raw) for message in core.pushes(aor)[1:]]
    assert len(sizes) == len(sent)
    assert 1300 - 16 <= max(sizes) <= 1300
    assert refused
    for result in refused:
        assert (result.state, result.code, result.sip_code, result.method) == ("undeliverable", "2006", 0, "")
        assert "needs another method" in result.desc


@pytest.mark.req("PSA-MSG-6")
def test_a_validity_given_by_the_initiator_goes_along(stack: Stack, core: SipPeer) -> None:
    stack.submit("sip:validity@home1.example", lifetime_ms=120_500)

    (message,) = core.wait_for_push("sip:validity@home1.example")
    assert message.header("Expires") == "120"
    assert message.header("Date").endswith(" GMT")


def test_a_push_id_goes_along_by_profile(stack: Stack, core: SipPeer) -> None:
    ref = stack.submit("sip:marked@home1.example", app="marked.ua")

    (message,) = core.wait_for_push("sip:marked@home1.example")
    assert message.header("X-Push-Id") == f"{ref}.0"
    assert message.header("Priority") == "normal"
