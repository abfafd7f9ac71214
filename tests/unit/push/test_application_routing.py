"""Which application an inbound request belongs to: the clues, their order, and the reason."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import Application, Routing
from omapush.push.application_routing import Clue, RoutedRequest, route

CLUES: tuple[Clue, ...] = get_args(Clue)
APPLICATIONS = {
    "mms.ua": Application(
        events=("ua-profile;profile-type=oma-app;appids=mms.ua",),
        request_uris=("sip:mms@*", "sip:mmsc-[0-9]@home1.example"),
        content_types=("application/vnd.wap.mms-message", "image/*"),
    ),
    "ulp.ua": Application(
        events=("ua-profile;profile-type=oma-app;appids=ulp.ua", "location"),
        request_uris=("sip:supl@home1.example",),
        content_types=("application/vnd.omaloc-supl-init", "image/png"),
    ),
}
ANY = Routing()
CLOSED = Routing(unknown="refuse", default="")


def found(request: RoutedRequest, rules: Routing = ANY) -> tuple[str, str]:
    routing = route(request, rules, APPLICATIONS)
    assert bool(routing.application) == (routing.sip_status == 0)
    return routing.application or str(routing.sip_status), routing.clue


def asking(*values: str, **more: str) -> RoutedRequest:
    return RoutedRequest("MESSAGE", accept_contact=values, **more)


TAG = '*;+g.oma.pusheventapp="{}"'


@pytest.mark.req("PROP-ARI-6")
@pytest.mark.parametrize(
    ("values", "application"),
    [
        ([TAG.format("ulp.ua")], "ulp.ua"),
        ([TAG.format("ULP.UA")], "ulp.ua"),
        ([TAG.format("other.ua,ulp.ua")], "ulp.ua"),
        ([TAG.format("other.ua"), TAG.format("mms.ua")], "mms.ua"),
        ([f"{TAG.format('other.ua')}, {TAG.format('mms.ua')}"], "mms.ua"),
        (["*;g.oma.pusheventappp=ulp.ua"], "ulp.ua"),
        (["*;audio", TAG.format("mms.ua") + ";require;explicit"], "mms.ua"),
        ([TAG.format("!mms.ua,ulp.ua")], "ulp.ua"),
    ],
)
def test_accept_contact_names_the_application(values: list[str], application: str) -> None:
    assert found(asking(*values)) == (application, "accept-contact")


@pytest.mark.req("PROP-ARI-6")
def test_an_application_without_a_table_takes_the_default_profile_or_is_refused() -> None:
    required, wished = asking(TAG.format("cpm%3aua") + ";require"), asking(TAG.format("other.ua"))

    assert found(required) == ("cpm%3Aua", "accept-contact")
    assert found(wished) == ("other.ua", "accept-contact")
    assert found(required, CLOSED) == ("480", "accept-contact")
    assert found(wished, CLOSED) == ("404", "none")


@pytest.mark.req("PROP-ARI-6")
def test_an_unknown_application_that_is_not_required_leaves_it_to_the_other_clues() -> None:
    request = asking(TAG.format("other.ua"), content_type="application/vnd.wap.mms-message")

    assert found(request, CLOSED) == ("mms.ua", "content-type")


@pytest.mark.parametrize(
    "value",
    ["*;audio", "*", "*;+g.oma.pusheventapp", TAG.format("!mms.ua"), '*;+g.oma.pusheventapp="<mms.ua>"'],
)
def test_an_accept_contact_that_names_no_application_decides_nothing(value: str) -> None:
    assert found(asking(value)) == ("wml.ua", "default")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("ua-profile;profile-type=oma-app;appids=mms.ua", ("mms.ua", "event")),
        ('ua-profile;profile-type="oma-app";appids="x.ua, MMS.ua";vendor="v"', ("mms.ua", "event")),
        ("location", ("ulp.ua", "event")),
        ("location.winfo", ("wml.ua", "default")),
        ("Location", ("wml.ua", "default")),
        ("ua-profile;profile-type=device;appids=mms.ua", ("wml.ua", "default")),
        ("ua-profile;profile-type=oma-app", ("wml.ua", "default")),
        ('ua-profile;profile-type=oma-app;appids="mms.ua,ulp.ua"', ("wml.ua", "default")),
    ],
)
def test_an_event_belongs_to_the_application_whose_parameters_are_all_there(
    event: str, expected: tuple[str, str]
) -> None:
    assert found(RoutedRequest("SUBSCRIBE", event=event)) == expected


def test_an_event_means_nothing_in_a_message() -> None:
    routing = route(RoutedRequest("MESSAGE", event="location"), ANY, APPLICATIONS)

    assert routing.application == "wml.ua"
    assert "event: means nothing in MESSAGE" in routing.reasons


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:mms@push.home1.example;transport=tcp", ("mms.ua", "request-uri")),
        ("sip:mmsc-3@HOME1.example", ("mms.ua", "request-uri")),
        ("sip:%73upl@home1.example", ("ulp.ua", "request-uri")),
        ("sip:psa@home1.example", ("wml.ua", "default")),
        ("nonsense", ("wml.ua", "default")),
    ],
)
def test_a_request_uri_is_compared_as_an_address_of_record(uri: str, expected: tuple[str, str]) -> None:
    assert found(RoutedRequest("MESSAGE", uri)) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("Application/VND.wap.mms-message; version=1", ("mms.ua", "content-type")),
        ("image/gif", ("mms.ua", "content-type")),
        ("application/vnd.omaloc-supl-init", ("ulp.ua", "content-type")),
        ("text/plain", ("wml.ua", "default")),
        ("text", ("wml.ua", "default")),
    ],
)
def test_the_type_of_the_content_tells_when_nothing_else_does(
    content_type: str, expected: tuple[str, str]
) -> None:
    assert found(RoutedRequest("MESSAGE", content_type=content_type)) == expected


def test_a_clue_that_could_mean_several_decides_nothing_and_says_so() -> None:
    routing = route(RoutedRequest("MESSAGE", content_type="image/png"), ANY, APPLICATIONS)

    assert routing.clue == "default"
    assert "content-type: image/png could be any of mms.ua, ulp.ua" in routing.reasons


@given(st.permutations(CLUES))
def test_the_configured_order_decides_between_clues_that_differ(order: list[Clue]) -> None:
    applications = {
        "event": Application(events=("location",)),
        "request-uri": Application(request_uris=("sip:one@home1.example",)),
        "content-type": Application(content_types=("text/plain",)),
    }
    tag = TAG.format("accept-contact")
    request = RoutedRequest("NOTIFY", "sip:one@home1.example", (tag,), "location", "text/plain")

    routing = route(request, Routing(order=tuple(order)), applications)

    assert (routing.application, routing.clue) == (order[0], order[0])


def test_a_clue_that_is_not_in_the_order_is_not_asked() -> None:
    request = asking(TAG.format("ulp.ua"), content_type="image/gif")

    assert found(request, Routing(order=("content-type",))) == ("mms.ua", "content-type")
    assert found(request, Routing(order=())) == ("wml.ua", "default")
    assert found(request, Routing(order=(), default="")) == ("404", "none")


def test_every_clue_that_was_asked_gives_its_reason() -> None:
    routing = route(asking("*;audio", content_type="image/gif"), ANY, APPLICATIONS)

    assert routing.reasons == (
        "accept-contact: names no application",
        "event: not there",
        "request-uri: not there",
        "content-type: image/gif belongs to mms.ua",
    )


@given(
    st.text(max_size=12),
    st.text(max_size=40),
    st.lists(st.text(max_size=40)),
    st.text(max_size=40),
    st.text(),
)
def test_any_headers_are_routed_or_refused_with_a_reason(
    method: str, uri: str, values: list[str], event: str, content_type: str
) -> None:
    request = RoutedRequest(method, uri, tuple(values), event, content_type)
    for rules in (ANY, CLOSED):
        routing = route(request, rules, APPLICATIONS)

        assert routing.reasons
        assert bool(routing.application) != bool(routing.sip_status)
