"""The MESSAGE before Kamailio has it: headers, forms, sizes, and the choice of method."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.charging_vector import ChargingVector
from omapush.push.page_mode import Profile, Sender, compose
from omapush.push.request import Request
from omapush.push.values import Delivery, push_ref, target, ticket, ticket_delivery
from tests.harness.values import a_delivery

SENDER = Sender("sip:psa@home1.example", "192.0.2.1:5070", "home1.example", "sip:core.example;lr")
PROFILE = Profile("mms.ua", "bare", wrapped=False, gzip=False, push_id_header=False, asserted="")
DELIVERY = a_delivery(
    ref=push_ref("pi", "1"),
    aor="sip:alice@home1.example",
    content_headers=(("X-Wap-Content-URI", "u"), ("Content-Language", "de")),
    content=b"hello",
    accepted_ms=1_000_000,
    deliver_before_ms=1_060_500,
)


def composed(
    delivery: Delivery = DELIVERY, profile: Profile = PROFILE, s_cscf: str = "", attempt: int = 1
) -> Request:
    return compose(delivery, SENDER, profile, s_cscf, attempt)


def names(request: Request) -> list[str]:
    return [line.partition(":")[0] for line in request.headers.split("\r\n") if line]


@pytest.mark.req("PSA-MSG-1", "PSA-MSG-3")
def test_the_request_names_the_public_identity_and_has_no_contact() -> None:
    request = composed()

    assert (request.method, request.request_uri, request.to_uri) == ("MESSAGE", DELIVERY.aor, DELIVERY.aor)
    assert request.from_uri == SENDER.uri
    assert "Contact" not in names(request)
    assert request.headers.endswith("\r\n")


@pytest.mark.req("PSA-MSG-6")
@pytest.mark.parametrize(
    ("s_cscf", "next_hop", "route"),
    [
        ("", "sip:core.example;lr", "<sip:core.example;lr>"),
        ("sip:s.example:6060", "sip:s.example:6060", "<sip:s.example:6060;lr>"),
        ("sip:s.example;LR", "sip:s.example;LR", "<sip:s.example;LR>"),
    ],
)
def test_the_route_is_the_users_s_cscf_or_the_configured_next_hop(
    s_cscf: str, next_hop: str, route: str
) -> None:
    request = composed(s_cscf=s_cscf)

    assert request.next_hop == next_hop
    assert f"Route: {route}\r\n" in request.headers


@pytest.mark.req("PROP-CTRL-4")
def test_a_push_has_one_name_in_all_its_attempts_where_the_profile_wants_it() -> None:
    profile = PROFILE._replace(push_id_header=True)
    attempts = [composed(profile=profile, attempt=number) for number in (1, 2)]

    assert "X-Push-Id" not in names(composed())
    assert all(f"X-Push-Id: {DELIVERY.id}\r\n" in one.headers for one in attempts)
    assert attempts[0].call_id != attempts[1].call_id


@pytest.mark.req("PSA-MSG-5")
def test_an_identity_is_asserted_only_when_there_is_one() -> None:
    assert "P-Asserted-Identity" not in names(composed())
    trusted = composed(profile=PROFILE._replace(asserted="sip:mmsc@home1.example"))
    assert "P-Asserted-Identity: <sip:mmsc@home1.example>\r\n" in trusted.headers


def test_the_charging_vector_says_which_request_where_and_for_whom() -> None:
    request = composed()

    (line,) = [line for line in request.headers.split("\r\n") if line.startswith("P-Charging-Vector: ")]
    vector = ChargingVector.parse(line.partition(": ")[2])
    assert vector.icid_value == request.call_id
    assert vector.icid_generated_at == SENDER.sent_by.rsplit(":", 1)[0]
    assert vector.orig_ioi == f"Type 3{SENDER.ioi}"


@pytest.mark.req("PSA-MSG-2")
def test_accept_contact_is_bare_strict_or_absent() -> None:
    def accept_contact(kind: str) -> list[str]:
        headers = composed(profile=PROFILE._replace(accept_contact=kind)).headers
        return [line for line in headers.split("\r\n") if line.startswith("Accept-Contact")]

    assert accept_contact("bare") == ['Accept-Contact: *;+g.oma.pusheventapp="mms.ua"']
    assert accept_contact("strict") == ['Accept-Contact: *;+g.oma.pusheventapp="mms.ua";require;explicit']
    assert accept_contact("none") == []


@pytest.mark.req("PROP-CTRL-1")
def test_the_native_form_carries_only_control_lines_that_are_sip_headers() -> None:
    assert "Content-Language: de" in composed().headers
    assert "X-Wap-Content-URI" not in names(composed())


@pytest.mark.req("PROP-CTRL-1")
def test_the_wrapped_form_carries_all_of_them_before_the_content() -> None:
    request = composed(DELIVERY._replace(content=b"\0\r\n\r\n"), PROFILE._replace(wrapped=True))
    control, _, content = request.body.partition(b"\r\n\r\n")

    assert content == b"\0\r\n\r\n"
    assert control.decode().split("\r\n") == [
        "X-Wap-Application-Id: mms.ua",
        "Content-Type: text/plain",
        "X-Wap-Content-URI: u",
        "Content-Language: de",
    ]


def test_content_is_compressed_only_when_smaller_and_never_twice() -> None:
    zipping = PROFILE._replace(gzip=True)
    long = DELIVERY._replace(content=b"x" * 2_000)
    encoded = long._replace(content_headers=(("content-encoding", "br"),))

    assert gzip.decompress(composed(long, zipping).body) == long.content
    assert "Content-Encoding" not in names(composed(profile=zipping))
    assert composed(encoded, zipping).body == long.content


def test_each_try_has_its_call_id_and_a_repeat_after_a_crash_the_same() -> None:
    assert composed(attempt=1).call_id == composed(attempt=1).call_id
    assert composed(attempt=1).call_id != composed(attempt=2).call_id
    assert composed().call_id.startswith(DELIVERY.id)


def test_a_given_deadline_becomes_date_and_expires() -> None:
    dated = composed(DELIVERY._replace(deadline_given=True))

    assert "Expires: 60\r\n" in dated.headers
    assert "Date: Thu, 01 Jan 1970 00:16:40 GMT\r\n" in dated.headers


def test_a_deadline_farther_off_than_expires_can_say_is_the_farthest_that_it_can() -> None:
    """delta-seconds ends at 2**32 - 1 (RFC 3261 20.19); providers write the year 9999 for "never"."""
    never = DELIVERY._replace(deadline_given=True, deliver_before_ms=253_402_300_799_000)

    assert "Expires: 4294967295\r\n" in composed(never).headers


@pytest.mark.req("MSG-SIZE")
@given(content=st.binary(max_size=3_000), user=st.text("abcdef", min_size=1, max_size=60))
def test_the_size_counts_every_byte_of_what_is_composed(content: bytes, user: str) -> None:
    request = composed(DELIVERY._replace(content=content, aor=f"sip:{user}@home1.example"))
    parts = (request.headers, request.request_uri, request.to_uri, request.from_uri, request.call_id)

    assert request.size > sum(map(len, parts)) + len(content) + 2 * len("MESSAGE") + len(SENDER.sent_by)
    bigger = composed(DELIVERY._replace(content=content + b"x", aor=f"sip:{user}@home1.example"))
    assert bigger.size == request.size + 1


@given(
    push_id=st.text(max_size=50),
    aor=st.text(max_size=50),
    index=st.integers(0, 99_999),
    order=st.integers(1, 10**15),
)
def test_a_ticket_tells_its_target_and_its_delivery(push_id: str, aor: str, index: int, order: int) -> None:
    delivery = DELIVERY._replace(ref=push_ref("pi", push_id), recipient=index, aor=aor, order_us=order)

    assert ticket(delivery).startswith(target(aor))
    assert ticket_delivery(ticket(delivery)) == (delivery.ref, index)
    assert ticket(delivery) < ticket(delivery._replace(order_us=order + 1))


def test_one_push_id_of_two_initiators_is_two_pushes() -> None:
    assert push_ref("a", "1") != push_ref("b", "1")
    assert push_ref("a", "1") == push_ref("a", "1")


@pytest.mark.parametrize(
    ("priority", "value"), [("high", "urgent"), ("medium", "normal"), ("low", "non-urgent"), ("", "normal")]
)
def test_the_profile_may_have_the_device_told_the_priority(priority: str, value: str) -> None:
    delivery = DELIVERY._replace(priority=priority)
    assert "Priority" not in names(composed(delivery))

    told = composed(delivery, PROFILE._replace(priority_header=True))
    lines = [line for line in told.headers.split("\r\n") if line.startswith("Priority")]
    assert lines == [f"Priority: {value}"]
