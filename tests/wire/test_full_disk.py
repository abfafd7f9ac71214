"""The disk of Redis is full: what is new gets 503, what was accepted goes on by itself once there is room."""

from __future__ import annotations

from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import httpx

from chaos import disk
from omapush.store import owed
from tests.conftest import MakeStack
from tests.fakes.initiator import NotificationSink, PushInitiator, user_address
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register

AOR = "sip:patient@home1.example"


class LastRoom(NotificationSink):
    """A provider whose answer comes when the disk is full."""

    def __init__(self, running: ExitStack) -> None:
        super().__init__()
        self.stack: Stack | None = None
        self._running = running

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        if self.stack is not None:
            stack, self.stack = self.stack, None
            self._running.enter_context(disk.full(stack.parts["redis"].pid, stack.run_dir))
            wait_until(lambda: json_push(stack).status_code == 503, 10, "a disk that is full")
        super()._take(request)


def json_push(stack: Stack) -> httpx.Response:
    body = {"to": [AOR], "application": "mms.ua", "content": "x", "content_type": "text/plain"}
    access = ("trusted", PASSWORD)
    return httpx.post(f"{stack.http}/v1/pushes", json=body, auth=access, timeout=20, trust_env=False)


def test_what_is_new_is_refused_and_what_was_told_is_not_told_again(make_stack: MakeStack) -> None:
    stack = make_stack()
    with (
        ExitStack() as full,
        LastRoom(full) as sink,
        PushInitiator(stack.http, "trusted", PASSWORD) as initiator,
        SipPeer(stack.core_port) as core,
    ):
        to = user_address(AOR)
        sink.stack = stack
        assert initiator.push("first", to, b"1", app="mms.ua", notify_to=sink.url).code == "1001"
        sink.wait_for(1, 30)

        refused = initiator.push("second", to, b"2", app="mms.ua", notify_to=sink.url)
        answer = core.ask(register(AOR, core), stack.sip)
        by_json = json_push(stack)
        assert refused.http_status == answer.status == by_json.status_code == 503
        assert int(answer.header("Retry-After")) > 0
        assert int(by_json.headers["Retry-After"]) > 0

        full.close()
        wait_until(lambda: owed.count(stack.store) == 0, 10, "it is settled, long before its lease is over")
        wait_until(
            lambda: initiator.push("second", to, b"2", app="mms.ua", notify_to=sink.url).code == "1001",
            10,
            "room for a push",
        )
        told = {one.push_id: one.message_state for one in sink.wait_for(2, 20)}
        assert core.ask(register(AOR, core), stack.sip).status == 200

        assert told == {"first": "delivered", "second": "delivered"}
        assert len(sink.received) == 2
        assert "Traceback" not in stack.logs(10_000)
