"""Whether a submitted push is taken, and as what."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.multipart import Part
from omapush.protocol.pap_values import PushMessage, ReplaceMethod
from omapush.push.acceptance import Accepted, Account, ContentRules, NotTaken, accept, application_of
from omapush.push.values import push_ref

ALICE = "WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example"
BOB = "WAPPUSH=bob%40home1.example/TYPE=USER@ppg.home1.example"
NOW_US = 1_800_000_000_123_456
ANYBODY = Account("pi", ("*",), ("*",))
ANYTHING = ContentRules((), 1_000)
TEXT = Part((("Content-Type", "text/plain; charset=utf-8"),), b"hello")


def accepted(
    *addresses: str,
    content: Part = TEXT,
    account: Account = ANYBODY,
    rules: ContentRules = ANYTHING,
    **message: Any,
) -> Accepted:
    return accept(
        PushMessage("id-1", addresses or (ALICE,), **message),
        content,
        application="mms.ua",
        account=account,
        rules=rules,
        order_us=NOW_US,
        lifetime_s=60,
    )


def refused(*addresses: str, **arguments: Any) -> str:
    with pytest.raises(NotTaken) as caught:
        accepted(*addresses, **arguments)
    assert caught.value.desc
    return caught.value.code


def test_a_push_is_stored_with_all_that_sending_it_takes() -> None:
    push = accepted(notify_url="http://pi.example/", source_reference="sender").push

    assert push.ref == push_ref("pi", "id-1")
    assert (push.application, push.content_type, push.size) == ("mms.ua", "text/plain; charset=utf-8", 5)
    assert (push.accepted_ms, push.order_us) == (NOW_US // 1000, NOW_US)
    assert (push.deliver_before_ms, push.deadline_given) == (NOW_US // 1000 + 60_000, False)
    assert (push.notify_url, push.source_reference) == ("http://pi.example/", "sender")


def test_a_given_deadline_is_kept_and_one_in_the_past_is_refused() -> None:
    push = accepted(deliver_before=NOW_US // 1_000_000 + 5).push

    assert (push.deliver_before_ms, push.deadline_given) == ((NOW_US // 1_000_000 + 5) * 1000, True)
    assert refused(deliver_before=NOW_US // 1_000_000) == "2001"


def test_each_address_is_one_recipient_in_the_order_given() -> None:
    taken = accepted(BOB, ALICE, BOB)

    assert [one.aor for one in taken.recipients] == ["sip:bob@home1.example", "sip:alice@home1.example"]
    assert [one.address for one in taken.recipients] == [BOB, ALICE]
    assert {result.state for result in taken.results} == {"pending"}


def test_a_user_named_in_two_ways_gets_one_push_and_the_later_address_is_told_so() -> None:
    taken = accepted("sip:alice@HOME1.example", ALICE, BOB)

    assert [result.code for result in taken.results] == ["1001", "2002", "1001"]
    assert "the same recipient as sip:alice@HOME1.example" in taken.results[1].desc
    assert (taken.recipients[1].address, taken.recipients[1].aor) == (ALICE, "")


def test_one_wrong_address_among_good_ones_is_final_for_itself_alone() -> None:
    taken = accepted(ALICE, "nonsense")

    assert [(one.state, one.code) for one in taken.results] == [
        ("pending", "1001"),
        ("undeliverable", "2002"),
    ]
    assert taken.recipients[1].aor == ""


def test_only_wrong_addresses_refuse_the_whole() -> None:
    assert refused("nonsense", "more nonsense") == "2002"


def test_an_initiator_pushes_only_where_it_may() -> None:
    narrow = Account("pi", ("mms.*",), ("sip:alice@*",))

    assert accepted(ALICE, account=narrow).recipients[0].aor == "sip:alice@home1.example"
    assert refused(ALICE, BOB, account=narrow) == "2001"
    assert refused(account=Account("pi", ("ulp.ua",), ("*",))) == "2001"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"replace_push_id": "other", "replace_method": ReplaceMethod.ALL}, "3011"),
        ({"deliver_after": 2_000_000_000}, "3001"),
        ({"network": "GSM", "network_required": True}, "3009"),
        ({"bearer": "SMS", "bearer_required": True}, "3010"),
    ],
)
def test_what_is_asked_for_and_cannot_be_done_is_refused_with_its_code(
    message: dict[str, Any], code: str
) -> None:
    assert refused(**message) == code


def test_network_and_bearer_that_are_ours_or_not_required_are_fine() -> None:
    accepted(network="IMS", network_required=True, bearer="sip", bearer_required=True)
    accepted(network="GSM", bearer="SMS")


def test_content_is_checked_against_its_application() -> None:
    narrow = ContentRules(("text/plain", "image/*"), 5)

    accepted(rules=narrow)
    accepted(content=Part((("Content-Type", "IMAGE/PNG"),), b""), rules=narrow)
    assert refused(content=Part((("Content-Type", "audio/basic"),), b""), rules=narrow) == "2006"
    assert refused(content=Part((("Content-Type", "text/plain"),), b"hello!"), rules=narrow) == "2001"


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
def test_a_transfer_encoding_that_changes_nothing_is_fine(encoding: str) -> None:
    accepted(content=Part((("Content-Transfer-Encoding", encoding),), b"x"))


@pytest.mark.parametrize("encoding", ["base64", "Quoted-Printable", "x-uuencode"])
def test_encoded_content_is_refused_for_it_would_reach_the_device_encoded(encoding: str) -> None:
    with pytest.raises(NotTaken, match=r"2000 Content-Transfer-Encoding of the content"):
        accepted(content=Part((("content-transfer-encoding", encoding),), b"eA=="))


@pytest.mark.parametrize(
    "url",
    [
        "http://pi.example",
        "HTTPS://pi.example:8443/results?id=1#x",
        "http://192.0.2.1:1/",
        "http://[2001:db8::1]:65535/",
        "http://localhost./",
        "http://pi.example/" + "a" * 2030,
    ],
)
def test_results_may_go_to_any_http_url(url: str) -> None:
    assert accepted(notify_url=url).push.notify_url == url


@pytest.mark.parametrize(
    "url",
    [
        "pi.example",
        "ftp://pi.example/",
        "http:///results",
        "http://pi.example:99999/",
        "http://pi.example:0/",
        "http://pi.example:/",
        "http://user:secret@pi.example/",
        "http://[2001:db8::1/",
        "http://[::1::2]/",
        "http://a..b/",
        "http://" + "a" * 64 + ".example/",
        "http://pi.example/\u00e9",
        "http://pi.example/ x",
        "http://pi.example/" + "a" * 2031,
    ],
)
def test_a_url_that_results_cannot_be_posted_to_is_refused_by_name(url: str) -> None:
    with pytest.raises(NotTaken, match=r"2000 push-message@ppg-notify-requested-to: ") as caught:
        accepted(notify_url=url)
    assert "secret" not in caught.value.desc


@given(st.text(max_size=60) | st.text("htps:/@[]:.019a%?# ", max_size=60).map("http://".__add__))
def test_any_url_is_taken_or_refused(url: str) -> None:
    with suppress(NotTaken):
        assert accepted(notify_url=url).push.notify_url == url


def test_content_without_a_type_is_bytes() -> None:
    assert accepted(content=Part((), b"\0")).push.content_type == "application/octet-stream"


def test_only_control_lines_travel_on() -> None:
    headers = (
        ("Content-Type", "text/plain"),
        ("X-Wap-Application-Id", "mms.ua"),
        ("X-Wap-Content-URI", "u"),
        ("content-language", "de"),
        ("Content-Length", "5"),
        ("Authorization", "secret"),
    )
    assert accepted(content=Part(headers, b"")).push.content_headers == (
        ("X-Wap-Content-URI", "u"),
        ("content-language", "de"),
    )


@pytest.mark.parametrize("name", ["Content-Type", "Content-Language", "X-Wap-Content-URI"])
@pytest.mark.parametrize("value", ["text/plain\r\nVia: evil", "text/plain;x=\0", "text/" + "p" * 300])
def test_a_header_that_could_break_the_sip_request_is_refused(name: str, value: str) -> None:
    """Header injection: what stands here is written into a MESSAGE."""
    assert (
        refused(content=Part((("Content-Type", "text/plain"), (name, value))[name == "Content-Type" :], b""))
        == "2000"
    )


@pytest.mark.req("PROP-ARI-7")
def test_the_application_is_that_of_the_content_or_wml_ua() -> None:
    assert application_of(Part((("X-Wap-Application-Id", "x-wap-application:mms.ua"),), b"")) == "mms.ua"
    assert application_of(Part((), b"")) == "wml.ua"
    assert application_of(Part((("X-Wap-Application-Id", 'a";require\r\n'),), b"")) == "a%22"
    with pytest.raises(NotTaken) as caught:
        application_of(Part((("X-Wap-Application-Id", "a" * 300),), b""))
    assert caught.value.code == "2000"


@given(
    addresses=st.lists(st.text(max_size=40) | st.sampled_from([ALICE, BOB]), min_size=1, max_size=4),
    headers=st.lists(
        st.tuples(st.sampled_from(["Content-Type", "Content-Language", "X-Wap-Foo"]), st.text(max_size=40)),
        max_size=3,
    ),
)
def test_any_submission_is_taken_with_sane_values_or_refused_with_a_code(
    addresses: list[str], headers: list[tuple[str, str]]
) -> None:
    try:
        taken = accepted(*addresses, content=Part(tuple(headers), b""))
    except NotTaken as refusal:
        code = refusal.code
    else:
        code = taken.results[0].code
        written = [taken.push.content_type, *(value for _, value in taken.push.content_headers)]
        assert all(value.isprintable() for value in written)
        assert len(taken.recipients) == len(taken.results) == len(set(addresses))
        assert any(result.state == "pending" for result in taken.results)
    assert len(code) == 4
    assert code.isdecimal()
