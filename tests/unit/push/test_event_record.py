"""What an event data record says, from what is known of a push when it is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.event_record import Carried, Charging, EventRecord, Known, record_of
from omapush.push.values import Event, Recipient, Result
from tests.harness import markdown
from tests.harness.markdown import ROOT
from tests.harness.values import a_push

NOW = 1_800_000_000_000
REF = "0123456789abcdef0123"
PUSH = a_push(
    ref=REF,
    push_id="1@pi",
    size=5,
    priority="high",
    delivery_method="confirmed",
    notify_url="http://pi.example/",
    accepted_ms=NOW,
    deliver_before_ms=NOW + 1,
)
KNOWN = Known(
    PUSH,
    Recipient("tel:+1", "sip:a@home1.example"),
    Result("delivered", "1000", "OK", "MESSAGE", 200, 2, NOW + 30),
    (
        Event(NOW + 1, 1, "sent", "first try"),
        Event(NOW + 20, 1, "sent", "second try"),
        Event(NOW + 30, 1, "final", ""),
        Event(NOW + 31, 0, "notified", "of another recipient"),
        Event(NOW + 40, 1, "notified", ""),
    ),
    Carried(NOW + 21, "host/192.0.2.1:5070", ""),
    None,
)


def record(known: Known = KNOWN) -> EventRecord:
    return record_of(REF, 1, known, recorded_by="here", ioi="home1.example")


def test_a_message_has_the_times_of_its_stages_and_its_call_id_as_charging_id() -> None:
    found = record()

    assert (found.id, found.recorded_by, found.node) == (f"{REF}.1", "here", "host/192.0.2.1:5070")
    assert [found.accepted, found.sent, found.answered, found.notified] == [NOW, NOW + 21, NOW + 30, NOW + 40]
    assert found.call_id == found.icid == f"{REF}.1.2@192.0.2.1"
    assert found.orig_ioi == "Type 3home1.example"
    assert (found.aor, found.address, found.size) == ("sip:a@home1.example", "tel:+1", 5)
    assert (found.state, found.code, found.sip_code, found.attempts) == ("delivered", "1000", 200, 2)


def test_who_sent_it_is_not_guessed() -> None:
    found = record(KNOWN._replace(carried=Carried()))

    assert (found.node, found.call_id, found.icid, found.orig_ioi) == ("", "", "", "")
    assert found.sent == NOW + 20  # by the event log


def test_a_notify_has_the_charging_id_of_its_subscription() -> None:
    found = record(
        KNOWN._replace(
            result=KNOWN.result._replace(method="NOTIFY"),
            carried=Carried(NOW + 21, "n", "sub"),
            of_carrier=Charging("call@ue", "icid of the SUBSCRIBE"),
        )
    )

    assert (found.carrier, found.call_id, found.icid) == ("sub", "call@ue", "icid of the SUBSCRIBE")
    assert found.orig_ioi == "Type 3home1.example"


def test_what_was_never_sent_has_no_times_of_that() -> None:
    result = Result("undeliverable", "2003", "unknown user", "", 0, 0, NOW)
    found = record(KNOWN._replace(result=result, events=(), carried=Carried()))

    assert [found.sent, found.answered, found.notified] == [0, 0, 0]
    assert found.call_id == ""


def test_a_result_whose_push_is_forgotten_has_a_record_all_the_same() -> None:
    found = record(KNOWN._replace(push=None, recipient=None, events=(), aor="sip:b@home1.example"))

    assert (found.push_id, found.accepted, found.state, found.aor) == (
        "",
        0,
        "delivered",
        "sip:b@home1.example",
    )


@pytest.mark.parametrize("carried", [Carried(), Carried(1, "host/[2001:db8::1]:5070", "abc")])
def test_what_a_delivery_carries_is_read_as_it_was_written(carried: Carried) -> None:
    assert Carried.read(str(carried)) == carried


@given(st.text())
def test_what_is_not_ours_carries_nothing_or_is_taken_as_it_stands(text: str) -> None:
    found = Carried.read(text)

    assert found == Carried() or str(found).count("|") == text.count("|") == 2


def test_the_fields_are_on_their_page_in_their_order() -> None:
    page = (ROOT / "docs" / "records.md").read_text()
    rows = list(markdown.rows(markdown.section(page, "Fields")))

    assert [row[0].strip("`") for row in rows] == list(EventRecord._fields)
    assert all(row[1] for row in rows)
