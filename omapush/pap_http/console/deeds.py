"""What operators do to pushes: take one back, pause, resume or abort one to all subscribers."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Controller, Request, Response, post

from omapush import clock
from omapush.errors import NotKnown, shortened
from omapush.pap_http.audited import told
from omapush.pap_http.console.access import ROOT, Forbidden, Visitor, deed, enter, see
from omapush.pap_http.console.desk import Desk, desk_of
from omapush.push.fan_out import FanOutState
from omapush.push.values import Event
from omapush.store import cancelling, fanouts, pushes
from omapush.views import push_lookup

_STEPS: Final[dict[str, FanOutState]] = {"pause": "paused", "resume": "running", "abort": "aborted"}
_WORDS: Final = {"paused": "paused", "running": "resumed", "aborted": "aborted"}


class Deeds(Controller):
    """Each by a form of a page, and in the audit record."""

    guards = (enter,)
    path = "/push"

    @post("/cancel", name="console_cancel")
    async def cancel(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Take a push back from all whom it has not reached."""
        fields = await deed(request, "cancel")
        ref = _ref(fields)
        told(request, what=ref)
        await asyncio.to_thread(_cancel, desk_of(request), ref, request.user.operator.name)
        return see(f"{ROOT}/push?ref={ref}")

    @post("/steer", name="console_steer")
    async def steer(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Pause, resume or abort a push to all subscribers."""
        fields = await deed(request, "steer")
        ref, state = _ref(fields), _STEPS.get(fields.get("what", ""))
        if state is None:
            raise Forbidden("a push to subscribers is paused, resumed or aborted, nothing else")
        told(request, did=fields["what"], what=ref)
        await asyncio.to_thread(_steer, desk_of(request), ref, state, request.user.operator.name)
        return see(f"{ROOT}/fan-outs" if fields.get("back") == "fan-outs" else f"{ROOT}/push?ref={ref}")


def _ref(fields: dict[str, str]) -> str:
    ref = fields.get("ref", "")
    if not push_lookup.is_ref(ref):
        raise NotKnown("ref", f"{shortened(ref)} is no reference of a push")
    return ref


def _cancel(desk: Desk, ref: str, operator: str) -> None:
    known = pushes.read(desk.store, ref, events=False)
    if known is None:
        raise NotKnown("ref", "this push is not known any more")
    if known.subscribers is not None:
        _steer(desk, ref, "aborted", operator)
        return
    now_ms, keep_s = clock.now_ms(), desk.config.delivery.retention_s
    pushes.note(desk.store, [(ref, Event(now_ms, -1, "cancel", f"by operator {operator}"))])
    everybody = range(len(known.recipients))
    cancelling.cancel(desk.store, known, everybody, now_ms=now_ms, retention_s=keep_s)


def _steer(desk: Desk, ref: str, state: FanOutState, operator: str) -> None:
    event = Event(clock.now_ms(), -1, _WORDS[state], f"by operator {operator}")
    if fanouts.steer(desk.store, ref, state, event) is None:
        raise NotKnown("ref", "this is no push to subscribers, or it is not known any more")
