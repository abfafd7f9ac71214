"""fanout_notify: NOTIFYs a second when one push goes to all subscribers of an application."""

from __future__ import annotations

import base64
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx

from bench import full_size, message_push
from bench.figure import Figure, compared
from bench.native_presence import Presence
from omapush.push.values import push_ref
from omapush.store import subscriptions
from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.stack import PASSWORD, ROOT, Stack

APPLICATION = "news.ua"
_NATIVE_MOST = 10_000
"The module's cost grows with the square of this number."
_SUBSCRIBED_WITHIN_S = 180
_TOLD_WITHIN_S = 120
_PUBLICATION = (
    '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" '
    'entity="sip:application@home1.example"><tuple id="t"><status><basic>open</basic></status></tuple>'
    "</presence>"
)
_PUBLISH = (
    "PUBLISH sip:application@home1.example SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKpublish\r\nMax-Forwards: 70\r\n"
    "From: <sip:application@home1.example>;tag=p\r\nTo: <sip:application@home1.example>\r\n"
    "Call-ID: publish\r\nCSeq: 1 PUBLISH\r\nExpires: 3600\r\nEvent: presence\r\n"
    "Content-Type: application/pidf+xml\r\nContent-Length: {length}\r\n\r\n{body}"
)


def measure(number: int) -> Callable[[Path, int], Figure]:
    """Return what measures both sides in turn, the module with at most 10,000 subscribers."""
    return partial(_measure, number)


def _measure(number: int, folder: Path, rounds: int) -> Figure:
    native = min(number, _NATIVE_MOST)
    ours, theirs = [], []
    for turn in range(rounds):
        ours.append(_ours(folder / f"ours-{turn}", number))
        theirs.append(_native(folder / f"native-{turn}", native))
    name = "fanout_notify" if number > _NATIVE_MOST else f"fanout_notify_{number}"
    return compared(name, "NOTIFY/s", f"native presence, {native:,} subscribers", ours, theirs)


def _ours(folder: Path, number: int) -> float:
    """Until the last subscriber has its NOTIFY; all results have to be stored soon after."""
    with (
        full_size.stack(folder, ("redis", "sip", "api")) as stack,
        _subscribers(folder, "application", stack.sip[1], stack.core_port, number) as subscribers,
    ):
        _wait_for(subscribers, "subscribed", _SUBSCRIBED_WITHIN_S)
        assert subscriptions.count(stack.store, APPLICATION) == number
        started = time.monotonic()
        ref = _push_to_all(stack)
        told = _told(subscribers)
        stack.parts["sip"].wait_until(lambda: _delivered(stack, ref) == number, 30, "results")
        return number / (told - started)


def _push_to_all(stack: Stack) -> str:
    """Push to all subscribers of the application as a content provider does; returns the reference."""
    push = {
        "subscribers": True,
        "push_id": "fan-out",
        "application": APPLICATION,
        "content_type": "application/vnd.wap.mms-message",
        "content_base64": base64.b64encode(message_push.CONTENT).decode(),
    }
    answer = httpx.post(f"{stack.http}/v1/pushes", json=push, auth=("trusted", PASSWORD), trust_env=False)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return push_ref("trusted", "fan-out")


def _delivered(stack: Stack, ref: str) -> int:
    counted = stack.known(ref).subscribers
    return counted.by_state.get("delivered", 0) if counted else 0


def _native(folder: Path, number: int) -> float:
    with (
        Presence(folder, "memory") as presence,
        _subscribers(folder, "presence", presence.port, free_port(), number) as subscribers,
    ):
        _wait_for(subscribers, "subscribed", _SUBSCRIBED_WITHIN_S)
        started = time.monotonic()
        _publish(presence.port)
        return number / (_told(subscribers) - started)


def _publish(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        request = _PUBLISH.format(port=own.getsockname()[1], length=len(_PUBLICATION), body=_PUBLICATION)
        own.sendto(request.encode(), ("127.0.0.1", port))


def _subscribers(folder: Path, kind: str, server: int, own: int, number: int) -> Process:
    return Process(
        [sys.executable, "-m", "bench.subscribers", kind, str(server), str(own), str(number)],
        log=folder / "subscribers.log",
        cwd=ROOT,
    )


def _told(subscribers: Process) -> float:
    """Return when the last subscriber had its NOTIFY."""
    _wait_for(subscribers, "told", _TOLD_WITHIN_S)
    return float(subscribers.log_text().split()[-1])


def _wait_for(subscribers: Process, word: str, within_s: float) -> None:
    subscribers.wait_until(lambda: word in subscribers.log_text(), within_s, f"all subscribers {word}")
