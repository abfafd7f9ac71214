"""Whether a submitted push is taken, and as what."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.acceptance import (
    Accepted,
    ContentRules,
    NotTaken,
    Offer,
    accept,
    application_of,
    travels,
)
from omapush.push.account import Account
from omapush.push.values import push_ref

ALICE = "WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example"
BOB = "WAPPUSH=bob%40home1.example/TYPE=USER@ppg.home1.example"
NOW_US = 1_800_000_000_123_456
ANYBODY = Account("pi", ("*",), ("*",))
ANYTHING = ContentRules((), 1_000)


def accepted(
    *addresses: str, account: Account = ANYBODY, rules: ContentRules = ANYTHING, **offer: Any
) -> Accepted:
    named = {"content_type": "text/plain; charset=utf-8", "content": b"hello", **offer}
    return accept(
        Offer("id-1", addresses or (ALICE,), "mms.ua", **named),
        account=account,
        rules=rules,
        order_us=NOW_US,
        lifetime_s=60,
    )


def refused(*addresses: str, **arguments: Any) -> tuple[str, str]:
    """The code, and the field that is named."""
    with pytest.raises(NotTaken) as caught:
        accepted(*addresses, **arguments)
    assert caught.value.problem
    assert 400 <= caught.value.http_status < 500
    return caught.value.code, caught.value.field


def test_a_push_is_stored_with_all_that_sending_it_takes() -> None:
    push = accepted(notify_url="http://pi.example/", source_reference="sender").push

    assert push.ref == push_ref("pi", "id-1")
    assert (push.application, push.content_type, push.size) == ("mms.ua", "text/plain; charset=utf-8", 5)
    assert (push.accepted_ms, push.order_us) == (NOW_US // 1000, NOW_US)
    assert (push.deliver_before_ms, push.deadline_given) == (NOW_US // 1000 + 60_000, False)
    assert (push.notify_url, push.source_reference) == ("http://pi.example/", "sender")


def test_a_given_deadline_is_kept_and_one_in_the_past_is_refused() -> None:
    push = accepted(deliver_before_ms=NOW_US // 1000 + 1).push

    assert (push.deliver_before_ms, push.deadline_given) == (NOW_US // 1000 + 1, True)
    assert refused(deliver_before_ms=NOW_US // 1000) == ("2001", "deliver_before")


def test_a_time_that_no_calendar_can_write_is_refused_by_name() -> None:
    """What is stored has to be shown again, in answers, in the log and to the operator."""
    last_ms = 253_402_300_799_000  # 9999-12-31T23:59:59Z, which providers take for "never"

    assert accepted(deliver_before_ms=last_ms).push.deliver_before_ms == last_ms
    assert refused(deliver_before_ms=last_ms + 1_000) == ("2000", "deliver_before")
    assert accepted(deliver_after_ms=last_ms - 60_000).push.deliver_before_ms == last_ms
    assert refused(deliver_after_ms=last_ms - 59_000) == ("2000", "deliver_after")


def test_header_lines_of_the_content_are_as_few_as_a_part_of_pap_may_have() -> None:
    few = tuple((f"X-Wap-{number}", "v" * 100) for number in range(64))

    accepted(content_headers=few)
    assert refused(content_headers=(*few, ("X-Wap-64", ""))) == ("2000", "content_headers")
    long = tuple((f"X-Wap-{number}", "v" * 250) for number in range(32))
    assert refused(content_headers=long) == ("2000", "content_headers")


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
    assert refused("nonsense", "more nonsense") == ("2002", "to")


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\n", "\x7f", "\x9b", "\u2028"])
def test_an_address_that_could_steer_a_terminal_is_not_kept_for_a_refusal_of_its_own(character: str) -> None:
    assert refused(ALICE, f"{character}]0;evil") == ("2000", "to[1]")


def test_an_initiator_pushes_only_where_it_may() -> None:
    narrow = Account("pi", ("mms.*",), ("sip:alice@*",))

    assert accepted(ALICE, account=narrow).recipients[0].aor == "sip:alice@home1.example"
    assert refused(ALICE, BOB, account=narrow) == ("2001", "to")
    assert refused(account=Account("pi", ("ulp.ua",), ("*",))) == ("2001", "application")


@pytest.mark.parametrize("push_id", ["", "x" * 257, "a\r\nVia: evil", "a\u2028"])
def test_a_push_id_that_cannot_be_one_is_refused_by_name(push_id: str) -> None:
    with pytest.raises(NotTaken, match=r"2000 push_id: "):
        accept(
            Offer(push_id, (ALICE,), "mms.ua", "text/plain", b""),
            account=ANYBODY,
            rules=ANYTHING,
            order_us=NOW_US,
            lifetime_s=60,
        )


def test_the_wish_for_a_sip_method_is_kept() -> None:
    assert accepted(method="NOTIFY").push.method == "NOTIFY"
    assert accepted().push.method == ""


def test_content_is_checked_against_its_application() -> None:
    narrow = ContentRules(("text/plain", "image/*"), 5)

    accepted(rules=narrow)
    accepted(content_type="IMAGE/PNG", rules=narrow)
    assert refused(content_type="audio/basic", rules=narrow) == ("2006", "content_type")
    with pytest.raises(NotTaken, match=r"audio/basic is not taken by .*, which takes text/plain, image/\*"):
        accepted(content_type="audio/basic", rules=narrow)
    assert refused(content=b"hello!", rules=narrow) == ("2001", "content")


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
    with pytest.raises(NotTaken, match=r"2000 notify_url: ") as caught:
        accepted(notify_url=url)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60) | st.text("htps:/@[]:.019a%?# ", max_size=60).map("http://".__add__))
def test_any_url_is_taken_or_refused(url: str) -> None:
    with suppress(NotTaken):
        assert accepted(notify_url=url).push.notify_url == url


@pytest.mark.parametrize("value", ["text/plain\r\nVia: evil", "text/plain;x=\0", "text/" + "p" * 300, ""])
def test_a_content_type_that_could_break_the_sip_request_is_refused(value: str) -> None:
    """Header injection: what stands here is written into a MESSAGE."""
    assert refused(content_type=value) == ("2000", "content_type")


@pytest.mark.parametrize("name", ["Content-Language", "X-Wap-Content-URI"])
@pytest.mark.parametrize("value", ["de\r\nVia: evil", "u\0", "u" * 300])
def test_a_header_that_could_break_the_sip_request_is_refused(name: str, value: str) -> None:
    assert refused(content_headers=((name, value),)) == ("2000", "content_headers")


@pytest.mark.parametrize("name", ["X-Wap-\r\nVia", "X-Wap-a b", "X-Wap-" + "a" * 60, "X-Wap-\u00e9"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    assert refused(content_headers=((name, "x"),)) == ("2000", "content_headers")


def to_subscribers(account: Account = ANYBODY, rules: ContentRules = ANYTHING, **offer: Any) -> Accepted:
    named = {"content_type": "text/plain", "content": b"hello", "subscribers": True, **offer}
    return accept(
        Offer("id-1", (), "mms.ua", **named),
        account=account,
        rules=rules,
        order_us=NOW_US,
        lifetime_s=60,
    )


def test_a_push_to_all_subscribers_keeps_whom_its_initiator_may_reach() -> None:
    taken = to_subscribers(Account("pi", ("*",), ("sip:*@home1.example", "tel:*")))

    assert (taken.recipients, taken.results) == ((), ())
    assert taken.push.subscribers == ("sip:*@home1.example", "tel:*")
    assert accepted().push.subscribers == ()


@pytest.mark.parametrize(
    ("offer", "refusal"),
    [
        ({"method": "MESSAGE"}, ("2006", "method")),
        ({"method": "REFER"}, ("2006", "method")),
        ({"notify_url": "http://pi.example/"}, ("3001", "notify_url")),
        ({"content": b"hello!"}, ("2006", "content")),
        ({"subscribers": False}, ("2000", "to")),
        ({"account": Account("pi", ("*",), ())}, ("2001", "subscribers")),
    ],
)
def test_what_does_not_go_to_subscribers_is_refused_by_name(
    offer: dict[str, Any], refusal: tuple[str, str]
) -> None:
    to_subscribers(rules=ContentRules((), 1_000, 5), method="NOTIFY")
    with pytest.raises(NotTaken) as caught:
        to_subscribers(**{"rules": ContentRules((), 1_000, 5), **offer})
    assert (caught.value.code, caught.value.field) == refusal


def test_recipients_and_subscribers_exclude_each_other() -> None:
    assert refused(ALICE, subscribers=True) == ("2000", "to")


@pytest.mark.req("PROP-ARI-7")
def test_the_application_is_that_of_the_application_id_or_wml_ua() -> None:
    assert application_of("x-wap-application:mms.ua") == "mms.ua"
    assert application_of("") == "wml.ua"
    assert application_of('a";require\r\n') == "a%22"
    with pytest.raises(NotTaken) as caught:
        application_of("a" * 300)
    assert (caught.value.code, caught.value.field) == ("2000", "application")


@given(
    addresses=st.lists(st.text(max_size=40) | st.sampled_from([ALICE, BOB]), min_size=1, max_size=4),
    content_type=st.text(max_size=40) | st.just("text/plain"),
    headers=st.lists(st.tuples(st.sampled_from(["Content-Language", "X-Wap-Foo"]), st.text(max_size=40))),
)
def test_any_offer_is_taken_with_sane_values_or_refused_with_a_code(
    addresses: list[str], content_type: str, headers: list[tuple[str, str]]
) -> None:
    try:
        taken = accepted(*addresses, content_type=content_type, content_headers=tuple(headers))
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


@pytest.mark.req("PSA-MSRP-14")
@pytest.mark.parametrize(
    ("header", "goes"),
    [
        ("Content-Description", True),
        ("content-disposition", True),
        ("Content-Encoding", True),
        ("Content-Language", True),
        ("X-Wap-Initiator-URI", True),
        ("X-Wap-Application-Id", False),
        ("Content-Type", False),
        ("Content-Transfer-Encoding", False),
        ("Via", False),
    ],
)
def test_headers_of_the_content_travel_to_the_device_with_it(header: str, goes: bool) -> None:
    assert travels(header) is goes
