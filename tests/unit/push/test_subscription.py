"""Subscriptions as values: what a SUBSCRIBE asks for, and what each event makes of the dialog."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import Application, Routing
from omapush.errors import MalformedSip
from omapush.push import subscribe, subscription
from omapush.push.asserted import NoIdentity
from omapush.push.body import Body
from omapush.push.inbound import Answer
from omapush.push.profile_document import MOST_FAILURES, wait_s
from omapush.push.subscribe import Subscribe, Terms, Wanted
from omapush.push.subscription import Notifier, Subscription
from omapush.push.values import target

NOW = 1_800_000_000_000
AOR = "sip:alice@home1.example"
APPLICATIONS = {
    "mms.ua": Application(),
    "closed.ua": Application(subscribers="refuse"),
    "pending.ua": Application(subscribers="pend"),
    "typed.ua": Application(content_types=("image/*",), events=("ua-profile;appids=typed",)),
}
TERMS = Terms(60, 86_400, Routing(default=""), APPLICATIONS, Application())
NOTIFIER = Notifier("sip:us", "home1.example")
URL = "https://maker.example/p.rdf"
REQUEST = Subscribe(
    event=f'ua-profile;profile-type=device;vendor="maker.example";model="{URL}";version="1"',
    accept="",
    expires="600",
    contact='<sip:alice@192.0.2.7>;+sip.instance="<urn:uuid:AB>"',
    record_route="",
    asserted=f"<{AOR}>",
    from_uri=AOR,
    from_tag="ft",
    to_uri="sip:psa@home1.example",
    to_tag="",
    call_id="call",
    cseq=7,
    request_uri="sip:psa@home1.example",
)
CONTENT = REQUEST._replace(
    event="ua-profile;profile-type=oma-app", accept_contact='*;+g.oma.pusheventapp="mms.ua"'
)


def admitted(request: Subscribe = REQUEST, terms: Terms = TERMS) -> Wanted:
    found = subscribe.admit(request, terms)
    assert isinstance(found, Wanted), found
    return found


def refused(request: Subscribe) -> Answer:
    found = subscribe.admit(request, TERMS)
    assert isinstance(found, Answer), found
    return found


def begun(request: Subscribe = REQUEST, **more: Any) -> Subscription:
    taken = subscription.subscribe(None, admitted(request._replace(**more)), NOW)
    assert taken.subscription is not None
    assert taken.answer.status == 200
    assert taken.is_new
    return taken.subscription


def headers(sub: Subscription, cseq: int = 1, at_ms: int = NOW, body: Body | None = None) -> str:
    return subscription.notify(sub, cseq, NOTIFIER, at_ms, body=body).headers


def refreshed(sub: Subscription, cseq: int, expires: str = "600") -> subscription.Taken:
    request = REQUEST._replace(to_tag=sub.id, cseq=cseq, expires=expires)
    return subscription.subscribe(sub, admitted(request), NOW + 1000)


# What it asks for -----------------------------------------------------------------------------------


def test_the_id_leads_to_the_users_shard_and_is_the_same_on_every_node() -> None:
    assert begun().id == begun().id
    assert begun().id.startswith(target(AOR))
    assert subscribe.is_ours(begun().id)
    assert not subscribe.is_ours("as7f")


@pytest.mark.parametrize(
    ("field", "broken"),
    [("Call-ID", {"call_id": one}) for one in ("", "a\0b", "a b", "a" * 600, "a\u00e9")]
    + [("From", {"from_tag": one}) for one in ("", "a\0", "a;b", "\u00e9")],
)
def test_what_could_not_be_written_into_a_notify_gets_400(field: str, broken: dict[str, Any]) -> None:
    """A NUL in a stored Call-ID made the sender of the shard fail each time it came to that subscriber."""
    with pytest.raises(MalformedSip) as found:
        subscribe.admit(REQUEST._replace(**broken), TERMS)

    assert found.value.field == field


@pytest.mark.req("PROP-X-1")
@pytest.mark.parametrize("profile_type", ["oma-app", '"oma-app"', "OMA-App"])
def test_a_subscriber_of_an_application_is_known_however_it_writes_the_profile_type(
    profile_type: str,
) -> None:
    wanted = admitted(CONTENT._replace(event=f"ua-profile;profile-type={profile_type}"))

    assert (wanted.profile, wanted.application, wanted.pending) == ("oma-app", "mms.ua", False)


@pytest.mark.req("PROP-X-2", "PROP-ARI-6")
def test_the_application_is_told_by_accept_contact_or_by_what_the_configuration_goes_by() -> None:
    by_event = CONTENT._replace(event=f"{CONTENT.event};appids=typed;unknown=1", accept_contact="")
    nobody = CONTENT._replace(accept_contact="")

    assert admitted(by_event).application == "typed.ua"
    assert refused(nobody).status == 404


@pytest.mark.req("PSA-SUB-2", "APP-1")
def test_an_application_grants_refuses_or_lets_wait() -> None:
    def of(application: str) -> Subscribe:
        return CONTENT._replace(accept_contact=f'*;+g.oma.pusheventapp="{application}"')

    assert admitted(of("mms.ua")).pending is False
    assert refused(of("closed.ua")).status == 403
    assert admitted(of("pending.ua")).pending is True
    assert admitted(of("another.ua")).pending is False


@pytest.mark.req("PROP-X-3")
@pytest.mark.parametrize(
    ("accept", "fits"),
    [
        ("", True),
        ("image/png", True),
        ("*/*", True),
        ("text/plain, image/*;q=0.1", True),
        ("application/vnd.oma.push", True),
        ("text/plain", False),
        ("image/png;q=0, text/plain", False),
    ],
)
def test_accept_must_have_a_type_that_the_application_sends(accept: str, fits: bool) -> None:
    request = CONTENT._replace(accept_contact='*;+g.oma.pusheventapp="typed.ua"', accept=accept)

    found = subscribe.admit(request, TERMS)

    if fits:
        assert isinstance(found, Wanted)
    else:
        assert found == Answer(406, "Not Acceptable", (("Accept", "image/*"),))


def test_types_and_codings_are_kept_without_what_is_refused_or_no_type() -> None:
    wanted = admitted(
        CONTENT._replace(
            accept="Text/Plain;q=0.3, image/png;q=0.0, nonsense, image/gif", accept_encoding="gzip, br;q=0"
        )
    )

    assert wanted.accept == ("text/plain", "image/gif")
    assert wanted.encodings == ("gzip",)


@pytest.mark.parametrize("event", ["", "presence", "UA-PROFILE;profile-type=device"])
def test_another_package_gets_489(event: str) -> None:
    answer = refused(REQUEST._replace(event=event))

    assert (answer.status, answer.headers) == (489, (("Allow-Events", "ua-profile"),))


def test_an_id_that_is_no_token_gets_400() -> None:
    assert refused(REQUEST._replace(event=REQUEST.event + ';id="a b"')).status == 400


def test_an_hour_is_never_too_brief() -> None:
    long = Terms(7_200, 86_400, TERMS.routing, TERMS.applications, TERMS.default)

    assert admitted(REQUEST._replace(expires="3600"), long).expires_s == 3600


@pytest.mark.req("PSA-REF-4")
def test_a_subscribe_on_its_way_to_the_user_itself_is_known_as_for_us() -> None:
    to_itself = CONTENT._replace(request_uri="sip:Alice@HOME1.example:5060;method=SUBSCRIBE")
    alice = CONTENT._replace(request_uri=AOR)

    assert subscribe.is_for_itself(alice)
    assert not subscribe.is_for_itself(alice._replace(asserted="sip:bob@home1.example"))
    assert not subscribe.is_for_itself(to_itself._replace(request_uri="sip:bob@home1.example"))
    assert not subscribe.is_for_itself(alice._replace(request_uri="nonsense"))
    assert subscribe.is_served(CONTENT.event)
    assert subscribe.is_served(REQUEST.event)
    for other in ("", "presence", "ua-profile;profile-type=user", 'ua-profile;x="'):
        assert not subscribe.is_served(other)


@pytest.mark.req("SEC-10", "SEC-2")
@pytest.mark.parametrize(
    "asserted", ["", "nobody", '"', "<mailto:a@b.example>", "<sip:a@b.example>, <sip:c@d.example>"]
)
def test_who_is_not_asserted_subscribes_to_nothing_whatever_from_says(asserted: str) -> None:
    """TS 24.229 5.7.1.4: From is the writer's own word."""
    for request in (REQUEST, CONTENT):
        with pytest.raises(NoIdentity) as caught:
            subscribe.admit(request._replace(asserted=asserted), TERMS)
        assert caught.value.sip_status == 403


@pytest.mark.req("SEC-10")
def test_the_asserted_identity_wins_over_from_and_from_counts_where_configuration_says_so() -> None:
    both = REQUEST._replace(asserted="<sip:bob@home1.example>, <tel:+15550100>")
    assert admitted(both).aor == "sip:bob@home1.example"
    beside = REQUEST._replace(
        asserted="<urn:service:x>, Bob <SIP:bob@home1.example>, <pres:carol@home1.example>"
    )
    assert admitted(beside).aor == "sip:bob@home1.example"  # RFC 5876
    lab = dataclasses.replace(TERMS, require_identity=False)
    assert admitted(REQUEST._replace(asserted=""), lab).aor == AOR


# What it makes of the dialog ------------------------------------------------------------------------


@pytest.mark.req("PROP-CAP-3")
def test_the_device_and_its_profile_are_kept_until_the_subscription_ends() -> None:
    facts = subscription.facts(begun(), NOW, polled=False, learned_s=60)

    assert (facts.device, facts.profile_url, facts.expires_ms) == ("urn:uuid:ab", URL, NOW + 600_000)


def test_a_poll_is_believed_for_a_while_and_who_leaves_takes_it_back() -> None:
    poll = begun(expires="0")
    assert subscription.facts(poll, NOW, polled=True, learned_s=60).expires_ms == NOW + 60_000

    gone = refreshed(begun(), 8, expires="0").subscription
    assert gone is not None
    assert subscription.facts(gone, NOW + 1000, polled=False, learned_s=60).expires_ms <= NOW + 1000


@pytest.mark.parametrize("model", ["PX200", "ftp://maker.example/p", "http://maker.example/ü", ""])
def test_a_model_that_is_no_url_is_never_fetched(model: str) -> None:
    assert not subscription.is_profile_url(model)


@pytest.mark.parametrize(("cseq", "status"), [(6, 500), (7, 200), (8, 200)])
def test_cseq_orders_refreshes(cseq: int, status: int) -> None:
    assert refreshed(begun(), cseq).answer.status == status


def test_a_repeated_subscribe_is_answered_again_and_changes_nothing() -> None:
    again = subscription.subscribe(begun(), admitted(), NOW + 10_000)

    assert again.subscription is None
    assert again.answer == Answer(200, "OK", (("Expires", "590"),))


def test_a_stranger_in_the_dialog_and_a_dialog_that_ended_get_481() -> None:
    sub = begun()
    stranger = REQUEST._replace(to_tag=sub.id, from_tag="other", cseq=9)
    ended = subscription.terminated(sub, "rejected", NOW)

    assert subscription.subscribe(sub, admitted(stranger), NOW).answer.status == 481
    assert subscription.subscribe(None, admitted(REQUEST._replace(to_tag=sub.id)), NOW).answer.status == 481
    assert ended is not None
    assert refreshed(ended, 9).answer.status == 481


@pytest.mark.req("PSA-NOT-2", "PROP-X-5")
def test_a_notify_says_how_long_the_subscription_goes_on_or_why_it_ends() -> None:
    sub = begun()
    ended = subscription.terminated(sub, "deactivated", NOW)

    assert "Event: ua-profile\r\nSubscription-State: active;expires=600\r\n" in headers(sub)
    assert "Subscription-State: active;expires=1\r\n" in headers(sub, at_ms=NOW + 599_001)
    assert ended is not None
    assert "Subscription-State: terminated;reason=deactivated\r\n" in headers(ended)
    for name in ("profile-type", "vendor", "model", "version"):
        assert name not in headers(sub)


def test_the_newest_of_several_subscriptions_gets_a_push_first() -> None:
    """An older one may be of the same device before it lost its power."""
    old = begun(CONTENT, call_id="1")
    new = begun(CONTENT, call_id="2")._replace(at_ms=NOW + 5)
    over = begun(CONTENT, call_id="3")._replace(expires_ms=NOW)
    ended = subscription.terminated(old, "timeout", NOW)
    assert ended is not None

    for found in ([old, new, over, ended], [ended, over, new, old]):
        assert subscription.live(found, NOW) == (new, old)
    assert subscription.live([new], NOW) == (new,)
    assert subscription.live([], NOW) == ()


def test_who_waits_for_approval_is_told_so_and_gets_nothing() -> None:
    pending = begun(CONTENT._replace(accept_contact='*;+g.oma.pusheventapp="pending.ua"'))

    assert "Subscription-State: pending;expires=600\r\n" in headers(pending)
    assert not subscription.is_live(pending, NOW)
    approved = subscription.approved(pending)
    assert approved is not None
    assert subscription.is_live(approved, NOW)
    assert not subscription.is_live(approved, NOW + 600_000)
    assert subscription.approved(approved) is None
    kept = refreshed(pending, 8).subscription
    assert kept is not None
    assert kept.state == "pending"


@pytest.mark.req("PSA-NOT-3", "PSA-NOT-5", "PROP-X-5")
def test_content_goes_in_the_dialog_with_its_number_and_charging_vector() -> None:
    sub = begun(CONTENT._replace(charging_vector='icid-value="ic 1";orig-ioi="Type 3other.example"'))

    request = subscription.notify(
        sub, 4, NOTIFIER, NOW, body=Body(("Content-Type: text/plain",), b"hi"), headers=["X-Push-Id: 1"]
    )

    assert request.dialog is not None
    assert (request.dialog.cseq, request.dialog.local_tag, request.dialog.remote_tag) == (4, sub.id, "ft")
    assert (request.request_uri, request.body) == ("sip:alice@192.0.2.7", b"hi")
    lines = request.headers.split("\r\n")
    assert "Event: ua-profile;effective-by=0" in lines
    assert 'P-Charging-Vector: icid-value="ic 1";orig-ioi="Type 3home1.example"' in lines
    assert lines[-3:] == ["X-Push-Id: 1", "Content-Type: text/plain", ""]


def test_an_old_subscriber_gets_its_id_back() -> None:
    assert "Event: ua-profile;id=7\r\n" in headers(begun(event=REQUEST.event + ";id=7"))


def test_a_dialog_needs_a_contact() -> None:
    with pytest.raises(MalformedSip, match="Contact"):
        begun(contact="")


def test_a_route_set_too_long_to_send_is_an_error_that_says_so() -> None:
    routes = [f"sip:{'r' * 300}{number}.example;lr" for number in range(30)]
    with pytest.raises(MalformedSip, match="Record-Route"):
        begun(record_route=", ".join(f"<{uri}>" for uri in routes))


@pytest.mark.req("PSA-NOT-4")
def test_the_answers_that_end_a_subscription_are_those_of_the_standard() -> None:
    ending = {404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604}

    assert {code for code in range(200, 700) if subscription.ends_it(code)} == ending


HEADERS = st.text(max_size=60) | st.sampled_from(
    [REQUEST.event, CONTENT.event, "presence", "ua-profile;profile-type=user"]
)


@given(HEADERS, st.text(max_size=30), st.text(max_size=12), st.text(max_size=40), st.text(max_size=40))
def test_any_subscribe_is_admitted_answered_or_malformed(
    event: str, accept: str, expires: str, contact: str, from_uri: str
) -> None:
    request = CONTENT._replace(
        event=event,
        accept=accept,
        expires=expires,
        contact=contact,
        from_uri=from_uri,
        accept_encoding=accept,
    )
    with suppress(MalformedSip):
        found = subscribe.admit(request, TERMS)
        assert isinstance(found, Wanted) or 400 <= found.status < 500
    assert subscribe.is_served(event) in (True, False)
    assert subscribe.is_for_itself(request._replace(request_uri=contact)) in (True, False)


@given(st.lists(st.sampled_from(["refresh", "shorten", "end", "repeat", "back"]), max_size=12))
def test_whatever_comes_the_dialog_keeps_its_tags_and_cseq_never_goes_back(steps: list[str]) -> None:
    sub, cseq = begun(), 7
    for step in steps:
        number = {"repeat": cseq, "back": cseq - 1}.get(step, cseq + 1)
        taken = refreshed(sub, number, {"end": "0", "shorten": "60"}.get(step, "600"))
        if taken.subscription is None:
            assert step in ("repeat", "back") or sub.state == "terminated"
            continue
        assert (taken.subscription.id, taken.subscription.dialog.remote_tag) == (sub.id, "ft")
        assert taken.subscription.dialog.remote_cseq == number == cseq + 1
        sub, cseq = taken.subscription, number


def test_failures_are_put_off_longer_each_time_and_end() -> None:
    waits = [wait_s(failures) for failures in range(1, MOST_FAILURES)]
    assert all(wait is not None for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    assert wait_s(MOST_FAILURES) is None
