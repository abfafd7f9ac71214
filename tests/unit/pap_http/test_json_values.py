"""What the JSON interface makes of a body, and how it shows a push."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.pap_http.json_values import NewPush, Subscribers, offer_of, state_of
from omapush.push.acceptance import NotTaken, Offer
from omapush.push.account import Account
from omapush.push.values import Event, Recipient, Result
from omapush.store.counted import Counted
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known
from tests.store.conftest import NOW_MS, Make

ANYBODY = Account("pi", ("*",), ("*",))
LEAST = {
    "to": ["sip:alice@home1.example"],
    "application": "mms.ua",
    "content_type": "text/plain",
    "content": "hi",
}


def offered(**members: Any) -> Offer:
    return offer_of(msgspec.convert({**LEAST, **members}, NewPush), ANYBODY)


def refused(**members: Any) -> tuple[str, str]:
    with pytest.raises(NotTaken) as caught:
        offered(**members)
    return caught.value.code, caught.value.field


def test_everything_that_acceptance_asks_for_is_taken_over() -> None:
    taken = offered(
        push_id="id-1",
        application="x-oma-application:ulp.ua",
        content_headers={"Content-Language": "de", "X-Wap-Content-URI": "u"},
        method="NOTIFY",
        deliver_before="2030-01-01T10:00:00.250Z",
        notify_url="http://pi.example/",
        delivery_method="confirmed",
        priority="high",
    )

    assert taken == Offer(
        push_id="id-1",
        addresses=("sip:alice@home1.example",),
        application="ulp.ua",
        content_type="text/plain",
        content=b"hi",
        content_headers=(("Content-Language", "de"), ("X-Wap-Content-URI", "u")),
        priority="high",
        delivery_method="confirmed",
        method="NOTIFY",
        notify_url="http://pi.example/",
        deliver_before_ms=1_893_492_000_250,
    )


def test_without_a_push_id_each_push_gets_its_own() -> None:
    made = {offered().push_id for _ in range(3)}

    assert len(made) == 3
    assert all(name.endswith("@pi") for name in made)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF-8"', "; charset=utf8"])
def test_text_travels_as_utf_8(charset: str) -> None:
    assert offered(content="h\u00e9", content_type=f"text/plain{charset}").content == "h\u00e9".encode()


@pytest.mark.parametrize("charset", ["us-ascii", "iso-8859-1", "klingon"])
def test_text_is_not_sent_under_a_charset_that_it_has_not(charset: str) -> None:
    kind = f"text/plain; charset={charset}"

    assert refused(content="h\u00e9", content_type=kind) == ("2000", "content")
    assert offered(content=None, content_base64="aOk=", content_type=kind).content == b"h\xe9"


def test_content_comes_once() -> None:
    assert refused(content=None) == ("2000", "content")
    assert refused(content_base64="aOk=") == ("2000", "content")
    assert offered(content="").content == b""
    assert offered(content=None, content_base64="").content == b""


def test_a_header_that_does_not_travel_is_refused_by_name() -> None:
    assert refused(content_headers={"Authorization": "secret"}) == ("2000", "content_headers")
    assert refused(content_headers={"X-Wap-A": "1", "x-wap-a": "2"}) == ("2000", "content_headers")
    assert refused(content_headers={"X-Wap-Application-Id": "mms.ua"}) == ("2000", "content_headers")


def test_what_cannot_be_an_application_or_a_type_is_refused_by_name() -> None:
    assert refused(application="a" * 300) == ("2000", "application")
    assert refused(content_type="text") == ("2000", "content_type")


def test_all_subscribers_take_the_place_of_recipients() -> None:
    offer = offer_of(
        NewPush(application="mms.ua", content_type="text/plain", content="hi", subscribers=True), ANYBODY
    )
    assert (offer.addresses, offer.subscribers) == ((), True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(NewPush.__struct_fields__), JSON | st.text(), max_size=4))
def test_any_body_is_an_offer_or_refused(members: dict[str, Any]) -> None:
    with suppress(NotTaken, msgspec.ValidationError):
        assert offered(**json.loads(json.dumps(members))).push_id is not None


def known(make: Make, *results: Result) -> Known:
    submission = make.submission(*(f"sip:{number}@home1.example" for number in range(len(results))))
    recipients = tuple(
        Recipient(f"address {number}", f"sip:{number}@home1.example") for number in range(len(results))
    )
    return Known(submission.push, recipients, results, (Event(NOW_MS, -1, "accepted", "now"),))


def result(state: Any) -> Result:
    return Result(state, "1000", "in words", "MESSAGE", 200, 2, NOW_MS + 5)


def test_a_push_is_shown_with_each_recipient_and_their_number_by_state() -> None:
    shown = state_of(known(Make(), result("delivered"), result("pending"), result("delivered")))

    assert (shown.state, shown.counts) == ("running", {"delivered": 2, "pending": 1})
    assert [(one.address, one.aor, one.state) for one in shown.recipients] == [
        ("address 0", "sip:0@home1.example", "delivered"),
        ("address 1", "sip:1@home1.example", "pending"),
        ("address 2", "sip:2@home1.example", "delivered"),
    ]
    assert shown.recipients[0].at == datetime.fromtimestamp(NOW_MS / 1000 + 0.005, UTC)
    assert state_of(known(Make(), result("delivered"))).state == "finished"


def test_a_push_to_subscribers_is_shown_by_numbers() -> None:
    counted = Counted("paused", False, 7, {"delivered": 6, "undeliverable": 1}, {0: 5})
    shown = state_of(known(Make())._replace(subscribers=counted), Reach(100, 40))

    assert (shown.state, shown.counts) == ("paused", {"delivered": 6, "undeliverable": 1})
    assert shown.subscribers == Subscribers(subscribed=100, made=40, ended=7, aborted=False)
    assert shown.recipients == []


def test_the_event_log_is_shown_when_it_is_asked_for() -> None:
    asked, not_asked = (
        json.loads(msgspec.json.encode(state_of(known(Make(), result("delivered")), events=events)))
        for events in (True, False)
    )

    assert [line["name"] for line in asked["events"]] == ["accepted"]
    assert "events" not in not_asked
    assert asked["accepted"].endswith("Z")
