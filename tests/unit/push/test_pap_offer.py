"""A PAP push-message as an offer, and refusals in PAP's words."""

from __future__ import annotations

from typing import Any

import pytest

from omapush.protocol.multipart import Part
from omapush.protocol.pap_values import DeliveryMethod, Priority, PushMessage, ReplaceMethod
from omapush.push.acceptance import ContentTooLarge, NotAllowed, NotTaken, Offer
from omapush.push.pap_offer import in_words_of_pap, offer

ALICE = "WAPPUSH=alice%40home1.example/TYPE=USER@ppg.home1.example"
TEXT = Part((("Content-Type", "text/plain; charset=utf-8"),), b"hello")


def offered(content: Part = TEXT, **message: Any) -> Offer:
    return offer(PushMessage("id-1", (ALICE,), **message), content)


def refused(content: Part = TEXT, **message: Any) -> str:
    with pytest.raises(NotTaken) as caught:
        offered(content, **message)
    return f"{caught.value.code} {in_words_of_pap(caught.value)}"


def test_everything_that_acceptance_asks_for_is_taken_over() -> None:
    taken = offered(
        notify_url="http://pi.example/",
        source_reference="sender",
        deliver_before=1_800_000_000,
        priority=Priority.HIGH,
        delivery_method=DeliveryMethod.CONFIRMED,
    )

    assert taken == Offer(
        push_id="id-1",
        addresses=(ALICE,),
        application="wml.ua",
        content_type="text/plain; charset=utf-8",
        content=b"hello",
        priority="high",
        delivery_method="confirmed",
        notify_url="http://pi.example/",
        deliver_before_ms=1_800_000_000_000,
        source_reference="sender",
    )


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ({"network": "GSM", "network_required": True}, "3009 quality-of-service@network"),
        ({"bearer": "SMS", "bearer_required": True}, "3010 quality-of-service@bearer"),
    ],
)
def test_what_is_asked_for_and_cannot_be_done_is_refused_with_its_code(
    message: dict[str, Any], refusal: str
) -> None:
    assert refused(**message).startswith(f"{refusal}: ")


@pytest.mark.parametrize(
    ("method", "is_for_all"), [(ReplaceMethod.ALL, True), (ReplaceMethod.PENDING_ONLY, False)]
)
def test_schedule_and_replacement_are_part_of_the_offer(method: ReplaceMethod, is_for_all: bool) -> None:
    wished = offered(replace_push_id="other", replace_method=method, deliver_after=2_000_000_000)
    assert (wished.replaces, wished.replace_all) == ("other", is_for_all)
    assert wished.deliver_after_ms == 2_000_000_000_000


def test_network_and_bearer_that_are_ours_or_not_required_change_nothing() -> None:
    assert offered(network="IMS", network_required=True, bearer="sip", bearer_required=True) == offered()
    assert offered(network="GSM", bearer="SMS") == offered()


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
def test_a_transfer_encoding_that_changes_nothing_is_fine(encoding: str) -> None:
    assert offered(Part((("Content-Transfer-Encoding", encoding),), b"x")).content == b"x"


@pytest.mark.parametrize("encoding", ["base64", "Quoted-Printable", "x-uuencode"])
def test_encoded_content_is_refused_for_it_would_reach_the_device_encoded(encoding: str) -> None:
    refusal = refused(Part((("content-transfer-encoding", encoding),), b"eA=="))
    assert refusal.startswith("2000 Content-Transfer-Encoding of the content: ")


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("content-TYPE", "2000 Content-Type of the content: comes twice"),
        ("X-Wap-Application-Id", "2000 X-Wap-Application-Id of the content: comes twice"),
        ("Content-Disposition", "2000 headers of the content: Content-Disposition comes twice"),
    ],
)
def test_of_two_values_nobody_can_tell_which_is_meant(name: str, refusal: str) -> None:
    """A proxy may have looked at the other application."""
    twice = ((name, "one"), ("X-Wap-A", "1"), ("X-Wap-A", "2"), (name.lower(), "two"), *TEXT.headers[1:])

    assert refused(Part(twice, b"x")) == refusal


def test_content_without_a_type_is_bytes() -> None:
    assert offered(Part((), b"\0")).content_type == "application/octet-stream"


@pytest.mark.req("PROP-ARI-7")
def test_the_application_is_that_of_the_content() -> None:
    named = Part((("X-Wap-Application-Id", "x-wap-application:mms.ua"),), b"")
    assert offered(named).application == "mms.ua"
    assert refused(Part((("X-Wap-Application-Id", "a" * 300),), b"")).startswith(
        "2000 X-Wap-Application-Id of the content: "
    )


def test_only_control_lines_travel_on() -> None:
    headers = (
        ("Content-Type", "text/plain"),
        ("X-Wap-Application-Id", "mms.ua"),
        ("X-Wap-Content-URI", "u"),
        ("content-language", "de"),
        ("Content-Length", "5"),
        ("Authorization", "secret"),
    )
    assert offered(Part(headers, b"")).content_headers == (
        ("X-Wap-Content-URI", "u"),
        ("content-language", "de"),
    )


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (NotAllowed("to", "no"), "address@address-value: no"),
        (ContentTooLarge("too large"), "content: too large"),
        (NotTaken("2000", "notify_url", "no URL"), "push-message@ppg-notify-requested-to: no URL"),
        (NotTaken("2000", "capabilities part", "no RDF"), "capabilities part: no RDF"),
    ],
)
def test_a_refusal_names_the_field_as_pap_does(refusal: NotTaken, words: str) -> None:
    assert in_words_of_pap(refusal) == words
