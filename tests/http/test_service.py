"""Health, metrics, and what the api says when what it depends on is away."""

import re

import httpx

from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink, PushInitiator
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until

ALICE = "sip:alice@home1.example"


def ready(stack: Stack) -> tuple[int, dict[str, str]]:
    """What /readyz says."""
    answer = httpx.get(f"{stack.http}/readyz", trust_env=False, timeout=5)
    return answer.status_code, answer.json()


def wait_for_ready(stack: Stack) -> None:
    """Both answer; on a busy machine one of them may not do so in time at the first look."""
    whole = (200, {"redis": "ok", "kamailio": "ok"})
    wait_until(lambda: ready(stack) == whole, 20, lambda: f"both ready: {ready(stack)}")


def without_kamailio(said: tuple[int, dict[str, str]]) -> bool:
    status, state = said
    return (status, state["redis"]) == (503, "ok") and "OPTIONS" in state["kamailio"]


def exported(stack: Stack) -> dict[str, float]:
    """All samples of /metrics, by name and labels."""
    answer = httpx.get(f"{stack.http}/metrics", trust_env=False, timeout=5)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.text
    sample = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)", re.MULTILINE)
    return {name.replace(" ", ""): float(value) for name, value in sample.findall(text)}


def test_readiness_asks_redis_and_kamailio_themselves(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip", "api"))
    wait_for_ready(stack)

    stack.kill("sip")
    wait_until(lambda: without_kamailio(ready(stack)), 10, lambda: f"Kamailio missed: {ready(stack)}")

    stack.kill("redis")
    assert ready(stack)[1]["redis"] != "ok"
    assert httpx.get(f"{stack.http}/healthz", trust_env=False).json() == {"status": "ok"}

    stack.start("redis")
    stack.start("sip")
    wait_for_ready(stack)


def test_without_redis_a_push_gets_503_with_retry_after_and_later_goes_through(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip", "api", "notifier"))
    with PushInitiator(stack.http, "trusted", PASSWORD) as initiator, SipPeer(stack.core_port) as core:
        stack.kill("redis")
        answer = httpx.post(
            f"{stack.http}/pap",
            content=b'<pap><statusquery-message push-id="a"/></pap>',
            headers={"Content-Type": "application/xml"},
            auth=("trusted", PASSWORD),
            trust_env=False,
        )
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert initiator.push("away@pi", ALICE, b"x", app="mms.ua").http_status == 503

        stack.start("redis")
        wait_until(
            lambda: initiator.push("away@pi", ALICE, b"x", app="mms.ua").code in ("1001", "2007"), 10, "taken"
        )
        core.wait_for_push(ALICE)
        wait_until(lambda: ready(stack)[0] == 200, 10, "ready again")
    assert "Traceback" not in stack.logs(1000)


def test_a_full_outbox_gets_503_and_what_was_accepted_still_goes(make_stack: MakeStack) -> None:
    stack = make_stack({"api": {"max_waiting": 5}})
    with PushInitiator(stack.http, "trusted", PASSWORD) as initiator, SipPeer(stack.core_port) as core:
        core.policy = lambda _: None  # everything to one target waits behind the first
        taken: list[str] = []

        def refused() -> bool:
            answer = initiator.push(f"{len(taken)}@full", ALICE, b"x", app="mms.ua")
            if answer.code == "1001":
                taken.append(f"{len(taken)}@full")
            return answer.http_status == 503

        wait_until(refused, 20, "the outbox full")
        core.policy = lambda _: Says(200, "OK")
        core.wait_for_push(ALICE, len(taken), deadline_s=30)
        assert len(core.pushes(ALICE)) == len(taken) >= 5


def test_metrics_count_what_happened(
    front: Stack, initiator: PushInitiator, core: SipPeer, sink: NotificationSink, push_id: str
) -> None:
    before = exported(front)
    core.policy = lambda _: Says(415, "Unsupported Media Type")

    initiator.push(push_id, ALICE, b"x", app="mms.ua", notify_to=sink.url)
    sink.wait_for(1)

    once = (
        'omapush_pap_requests_total{code="1001",operation="PushMessage"}',
        'omapush_sip_requests_sent_total{method="MESSAGE"}',
        'omapush_sip_responses_total{method="MESSAGE",code="415"}',
        'omapush_deliveries_finished_total{state="aborted"}',
        "omapush_sent_to_reply_seconds_count",
    )

    def counted() -> dict[str, float]:
        after = exported(front)
        now = ("omapush_kamailio_up", 'omapush_outbox_deliveries{where="taken"}')
        return {name: after.get(name, 0) - before.get(name, 0) for name in once} | {
            name: after[name] for name in now
        }

    # Senders count after they have sent, and the outbox is looked at twice a second.
    expected = dict.fromkeys((*once, "omapush_kamailio_up"), 1.0)
    expected['omapush_outbox_deliveries{where="taken"}'] = 0.0
    wait_until(lambda: counted() == expected, 10, lambda: f"one of each: {counted()}")
