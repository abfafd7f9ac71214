"""One trace from the initiator's request by way of HTTP, outbox and SIP to the notification of its result."""

from collections.abc import Iterator

import httpx
import pytest

from omapush import clock
from omapush.cli.push_view import as_dict
from omapush.push import spans
from omapush.push.values import push_ref
from omapush.store import traces
from tests.fakes.backend import Backend
from tests.fakes.collector import CLIENT, INTERNAL, SERVER, Collector
from tests.fakes.initiator import PushInitiator, user_address
from tests.fakes.webhook import WebhookSink
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until
from tests.wire import hosted

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "a secret of at least thirty-two characters"
ANN, BEN = "sip:ann@home1.example", "sip:ben@home1.example"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as server:
        yield server


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as server:
        yield server


@pytest.fixture(scope="module")
def stack(
    collector: Collector, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    settings: Settings = {
        "trace": {"otlp": collector.endpoint},
        "initiator.trusted": {"webhook_secrets": [SECRET]},
        'hosted."posted.ua"': {"backend": backend.url},
        'application."once.ua"': {"retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1}},
    }
    with Stack(tmp_path_factory.mktemp("spans"), settings) as running:
        yield running


@pytest.fixture
def core(stack: Stack) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port) as peer:
        yield peer


def submit(stack: Stack, number: int, *, flags: str = "01", to: str = ANN, **more: object) -> httpx.Response:
    """A push whose initiator traces it; each its own trace."""
    return httpx.post(
        f"{stack.http}/v1/pushes",
        json={
            "push_id": f"s{number}",
            "to": [to],
            "application": "mms.ua",
            "content_type": "text/plain",
            "content": "hello",
            **more,
        },
        headers={"traceparent": f"00-{trace(number)}-{SPAN}-{flags}", "tracestate": "theirs=1"},
        auth=("trusted", PASSWORD),
        trust_env=False,
    )


def trace(number: int) -> str:
    return f"{TRACE[:-2]}{number:02x}"


def test_all_steps_of_a_push_are_spans_of_its_initiators_trace(
    stack: Stack, core: SipPeer, collector: Collector
) -> None:
    with WebhookSink() as sink:
        answer = submit(stack, 1, notify_url=sink.url, notify_as="json")
        assert answer.status_code == 201, answer.text
        (told,) = sink.wait_for(1, 30)  # the notifier may still be loading its libraries
    found = collector.wait_for(trace(1), lambda spans: len(spans) >= 5)

    by_name = {span.name: span for span in found}
    assert by_name.keys() == {"push accept", "push delivery", "outbox", "MESSAGE", "push result"}
    accept, delivery = by_name["push accept"], by_name["push delivery"]
    assert (accept.kind, accept.parent_id) == (SERVER, SPAN)
    assert (delivery.kind, delivery.parent_id) == (INTERNAL, accept.span_id)
    assert (by_name["MESSAGE"].kind, by_name["MESSAGE"].parent_id) == (CLIENT, delivery.span_id)
    assert by_name["outbox"].parent_id == delivery.span_id
    assert (by_name["push result"].kind, by_name["push result"].parent_id) == (CLIENT, delivery.span_id)
    assert {span.state for span in found} == {"theirs=1"}
    assert {span.service for span in found} == {"omapush"}
    assert not any(span.is_error for span in found)
    assert all(span.start_ns <= span.end_ns for span in found)
    assert by_name["MESSAGE"].attributes["omapush.sip.status"] == 200
    assert delivery.attributes["omapush.push.id"] == "s1"
    assert ANN not in str(found)
    headers = {name.lower(): value for name, value in told.headers.items()}
    assert headers["traceparent"] == f"00-{trace(1)}-{by_name['push result'].span_id}-01"
    assert headers["tracestate"] == "theirs=1"
    assert collector.paths == {"/v1/traces"}
    shown = as_dict(stack.known(push_ref("trusted", "s1")))
    assert shown["trace_id"] == trace(1)


def test_what_fails_is_an_error_in_the_spans(stack: Stack, core: SipPeer, collector: Collector) -> None:
    core.policy = lambda _: Says(415, "Unsupported Media Type")
    assert submit(stack, 2, application="once.ua").status_code == 201
    found = collector.wait_for(trace(2), lambda spans: len(spans) >= 4)

    said = {span.name: span.said for span in found if span.is_error}
    assert said["MESSAGE"] == "SIP 415"
    assert said.keys() == {"MESSAGE", "push delivery"}


def test_a_push_that_is_refused_is_a_span_with_the_reason(
    stack: Stack, core: SipPeer, collector: Collector
) -> None:
    assert submit(stack, 3, deliver_before="2020-01-01T00:00:00Z").status_code == 422

    (span,) = collector.wait_for(trace(3), lambda spans: len(spans) >= 1)
    assert (span.name, span.parent_id, span.said) == ("push accept", SPAN, "2001 deliver_before")


def test_a_trace_that_nobody_keeps_is_passed_on_without_spans(
    stack: Stack, core: SipPeer, collector: Collector
) -> None:
    with WebhookSink() as sink:
        assert submit(stack, 4, flags="00", notify_url=sink.url, notify_as="json").status_code == 201
        (told,) = sink.wait_for(1, 30)  # the notifier may still be loading its libraries
    assert submit(stack, 5).status_code == 201
    collector.wait_for(trace(5), lambda spans: len(spans) >= 4)

    headers = {name.lower(): value for name, value in told.headers.items()}
    assert headers["traceparent"] == f"00-{trace(4)}-{SPAN}-00"
    assert collector.of(trace(4)) == []


def test_a_push_without_a_trace_carries_none(stack: Stack, core: SipPeer) -> None:
    with PushInitiator(stack.http, "trusted", PASSWORD) as initiator:
        assert initiator.push("plain", user_address(BEN), b"x", app="mms.ua").code == "1001"
    known = stack.finished(push_ref("trusted", "plain"))

    assert known.push.trace == ""
    assert stack.db.keys("trace-due:*") == []


def test_by_pap_a_trace_is_taken_as_well(stack: Stack, core: SipPeer, collector: Collector) -> None:
    headers = {"traceparent": f"00-{trace(6)}-{SPAN}-01"}
    with PushInitiator(stack.http, "trusted", PASSWORD, headers=headers) as initiator:
        assert initiator.push("by-pap", user_address(ANN), b"x", app="mms.ua").code == "1001"

    found = collector.wait_for(trace(6), lambda spans: len(spans) >= 4)
    assert {span.name for span in found} == {"push accept", "push delivery", "outbox", "MESSAGE"}


def test_a_push_that_an_operator_asked_for_begins_a_trace_of_its_own(
    stack: Stack, core: SipPeer, collector: Collector
) -> None:
    now = clock.now_ms()
    traces.switch_on(stack.store, traces.user_switch(BEN), until_ms=now + 600_000, now_ms=now)
    names = iter(range(100))

    def is_traced() -> bool:
        push_id = f"wished-{next(names)}"
        with PushInitiator(stack.http, "trusted", PASSWORD) as initiator:
            assert initiator.push(push_id, user_address(BEN), b"x", app="mms.ua").code == "1001"
        refs.append(push_ref("trusted", push_id))
        return bool(stack.finished(refs[-1]).push.trace)

    refs: list[str] = []
    wait_until(is_traced, 15, "a push is traced")
    found = collector.wait_for(spans.trace_id_of(refs[-1]), lambda spans: len(spans) >= 4)
    assert [span.parent_id for span in found if span.name == "push accept"] == [""]


def test_a_back_end_is_told_the_trace_of_a_push_for_a_user_who_is_traced(
    stack: Stack, core: SipPeer, collector: Collector, backend: Backend
) -> None:
    now = clock.now_ms()
    traces.switch_on(stack.store, traces.user_switch(BEN), until_ms=now + 600_000, now_ms=now)

    def is_traced() -> bool:
        core.ask(hosted.push(stack, core, BEN), stack.sip)
        return any(posted.of("traceparent") for posted in backend.posted(BEN))

    wait_until(is_traced, 15, "a back end is told of a trace")
    posted = next(one for one in backend.posted(BEN) if one.of("traceparent"))
    _, trace_id, span_id, flags = posted.of("traceparent").split("-")
    assert flags == "01"
    (span,) = collector.wait_for(trace_id, lambda spans: len(spans) >= 1)
    assert (span.name, span.kind, span.span_id, span.parent_id) == ("push to back end", CLIENT, span_id, "")


def test_a_collector_that_is_away_holds_up_nobody(stack: Stack, core: SipPeer, collector: Collector) -> None:
    collector.status = 500
    try:
        assert submit(stack, 7).status_code == 201
        assert stack.result(push_ref("trusted", "s7")).state == "delivered"
    finally:
        collector.status = 200
    assert submit(stack, 8).status_code == 201
    collector.wait_for(trace(8), lambda spans: len(spans) >= 4)
