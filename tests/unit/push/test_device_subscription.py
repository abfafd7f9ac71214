"""Device subscriptions as values: what each event makes of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip, TooLarge
from omapush.push import device_subscription as rules
from omapush.push.device_subscription import Bounds, DeviceSubscription, Subscribe, Wanted
from omapush.push.inbound import Answer
from omapush.push.profile_document import MOST_FAILURES, wait_s
from omapush.push.values import target

NOW = 1_800_000_000_000
AOR = "sip:alice@home1.example"
BOUNDS = Bounds(60, 86_400)
URL = "https://maker.example/p.rdf"
REQUEST = Subscribe(
    event=f'ua-profile;profile-type=device;vendor="maker.example";model="{URL}";version="1"',
    accept="",
    expires="600",
    contact='<sip:alice@192.0.2.7>;+sip.instance="<urn:uuid:AB>"',
    record_route="",
    asserted="",
    from_uri=AOR,
    from_tag="ft",
    to_uri="sip:psa@home1.example",
    to_tag="",
    call_id="call",
    cseq=7,
)


def wanted(request: Subscribe = REQUEST, bounds: Bounds = BOUNDS) -> Wanted:
    found = rules.admit(request, bounds)
    assert isinstance(found, Wanted), found
    return found


def begun(expires: str = "600", **more: Any) -> DeviceSubscription:
    request = REQUEST._replace(expires=expires, **more)
    subscription, answer = rules.subscribe(None, wanted(request), NOW)
    assert subscription is not None
    assert answer.status == 200
    return subscription


def sent(subscription: DeviceSubscription, at_ms: int = NOW) -> tuple[str, DeviceSubscription]:
    request, after = rules.notify(subscription, at_ms, contact="sip:us", transaction_ms=40_000)
    assert request is not None
    return request.headers, after


def refresh(subscription: DeviceSubscription, cseq: int, expires: str = "600") -> tuple[object, int]:
    request = REQUEST._replace(to_tag=subscription.id, cseq=cseq, expires=expires)
    new, answer = rules.subscribe(subscription, wanted(request), NOW + 1000)
    return new, answer.status


def test_the_id_leads_to_the_users_shard_and_is_the_same_on_every_node() -> None:
    assert begun().id == begun().id
    assert begun().id.startswith(target(AOR))
    assert rules.is_ours(begun().id)
    assert not rules.is_ours("as7f")


@pytest.mark.req("PROP-CAP-3")
def test_the_device_and_its_profile_are_kept_until_the_subscription_ends() -> None:
    facts = rules.facts(begun(), NOW, learned_s=60)

    assert (facts.device, facts.profile_url, facts.expires_ms) == ("urn:uuid:ab", URL, NOW + 600_000)


def test_a_poll_is_believed_for_a_while_and_who_leaves_takes_it_back() -> None:
    poll = begun("0")
    assert rules.facts(poll, NOW, learned_s=60).expires_ms == NOW + 60_000

    _, after = sent(begun())
    gone, status = refresh(after, 8, expires="0")
    assert status == 200
    assert isinstance(gone, DeviceSubscription)
    assert rules.facts(gone, NOW + 1000, learned_s=60).expires_ms <= NOW + 1000


@pytest.mark.parametrize("model", ["PX200", "ftp://maker.example/p", "http://maker.example/ü", ""])
def test_a_model_that_is_no_url_is_never_fetched(model: str) -> None:
    assert not rules.is_profile_url(model)


def test_one_notify_at_a_time() -> None:
    first, after = sent(begun())
    assert "Subscription-State: active;expires=600" in first

    assert rules.notify(after, NOW + 1, contact="sip:us", transaction_ms=40_000) == (None, after)

    refreshed, _ = refresh(after, 8)
    assert isinstance(refreshed, DeviceSubscription)
    assert rules.notify(refreshed, NOW + 1001, contact="sip:us", transaction_ms=40_000)[0] is None
    done = rules.notified(refreshed, 1, 200, NOW + 1001)
    assert done is not None
    assert rules.due_ms(done) <= NOW + 1001 + rules.NOTIFY_AFTER_MS


def test_a_notify_whose_process_died_is_sent_anew_with_the_next_cseq() -> None:
    _, after = sent(begun())

    assert rules.due_ms(after) == NOW + 40_000
    request, again = rules.notify(after, NOW + 40_000, contact="sip:us", transaction_ms=40_000)
    assert request is not None
    assert request.dialog is not None
    assert (request.dialog.cseq, again.dialog.local_cseq) == (2, 2)


def test_an_answer_to_an_earlier_notify_changes_nothing() -> None:
    _, first = sent(begun())
    _, second = sent(first, NOW + 40_000)

    assert rules.notified(second, 1, 481, NOW + 40_001) == second


def test_the_end_of_the_time_is_told_and_then_forgotten() -> None:
    _, after = sent(begun())
    idle = rules.notified(after, 1, 200, NOW + 5)
    assert idle is not None
    assert rules.due_ms(idle) == NOW + 600_000

    last, ended = sent(idle, NOW + 600_000)

    assert "Subscription-State: terminated;reason=timeout" in last
    assert rules.notified(ended, 2, 500, NOW + 600_001) is None


@pytest.mark.parametrize(("cseq", "status"), [(6, 500), (7, 200), (8, 200)])
def test_cseq_orders_refreshes(cseq: int, status: int) -> None:
    assert refresh(begun(), cseq)[1] == status


def test_an_old_subscriber_gets_its_id_back() -> None:
    headers, _ = sent(begun(event=REQUEST.event + ";id=7"))
    assert "Event: ua-profile;id=7\r\n" in headers


def test_an_id_that_is_no_token_gets_400() -> None:
    answer = rules.admit(REQUEST._replace(event=REQUEST.event + ';id="a b"'), BOUNDS)
    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_an_hour_is_never_too_brief() -> None:
    assert wanted(REQUEST._replace(expires="3600"), Bounds(7200, 86_400)).expires_s == 3600


def test_a_dialog_needs_a_contact() -> None:
    with pytest.raises(MalformedSip, match="Contact"):
        begun(contact="")


def test_a_route_set_too_long_to_send_is_an_error_that_says_so() -> None:
    routes = ", ".join(f"<sip:{'r' * 200}{number}.example;lr>" for number in range(16))
    with pytest.raises(TooLarge):
        sent(begun(record_route=routes))


HEADERS = st.text(max_size=60) | st.sampled_from([REQUEST.event, "presence", "ua-profile;profile-type=user"])


@given(HEADERS, st.text(max_size=30), st.text(max_size=12), st.text(max_size=40), st.text(max_size=40))
def test_any_subscribe_is_admitted_answered_or_malformed(
    event: str, accept: str, expires: str, contact: str, from_uri: str
) -> None:
    request = REQUEST._replace(
        event=event, accept=accept, expires=expires, contact=contact, from_uri=from_uri
    )
    with suppress(MalformedSip):
        found = rules.admit(request, BOUNDS)
        assert isinstance(found, Wanted) or 400 <= found.status < 500


@given(st.lists(st.sampled_from(["refresh", "end", "tick", "200", "500"]), max_size=12))
def test_whatever_happens_cseq_only_grows_and_one_notify_is_out(steps: list[str]) -> None:
    subscription: DeviceSubscription | None = begun()
    cseq, now, highest, out = 7, NOW, 0, False
    for step in steps:
        if subscription is None:
            break
        now += 1000
        if step == "tick":
            request, subscription = rules.notify(subscription, now, contact="sip:us", transaction_ms=40_000)
            if request is not None:
                assert request.dialog is not None
                assert not out
                assert request.dialog.cseq == highest + 1
                highest, out = request.dialog.cseq, True
        elif step in ("200", "500"):
            subscription, out = rules.notified(subscription, highest, int(step), now), False
        else:
            cseq += 1
            found, _ = refresh(subscription, cseq, "0" if step == "end" else "600")
            subscription = found if isinstance(found, DeviceSubscription) else subscription


def test_failures_are_put_off_longer_each_time_and_end() -> None:
    waits = [wait_s(failures) for failures in range(1, MOST_FAILURES)]
    assert all(wait is not None for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    assert wait_s(MOST_FAILURES) is None
