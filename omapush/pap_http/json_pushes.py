"""`/v1/pushes`: submit a push, see where it stands."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from omapush import clock, log
from omapush.errors import NotKnown, shortened
from omapush.pap_http import json_push_list, media
from omapush.pap_http.audited import told
from omapush.pap_http.json_parameters import After, Limit, PushName
from omapush.pap_http.json_paths import JSON_ROOT, location, unescaped
from omapush.pap_http.json_push_list import PushPage
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.json_values import MOST, NewPush, PushState, offer_of, state_of
from omapush.pap_http.parts import parts_of
from omapush.pap_http.problems import refusals
from omapush.pap_http.tracing import asked_of
from omapush.push.acceptance import NotPossible, NotTaken, PushIdUsed
from omapush.push.account import Account
from omapush.push.fan_out import FanOutState
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import REF_LENGTH, Event, push_ref
from omapush.store import fanouts, pushes
from omapush.store.client import Store
from omapush.store.counted import NONE_COUNTED
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known
from omapush.views.push_search import PushListState

_REF: Final = re.compile(rf"[0-9a-f]{{{REF_LENGTH}}}")
_DEEDS: Final[dict[FanOutState, str]] = {"paused": "pause", "running": "resume", "aborted": "abort"}
_STEPS: Final = (".", "..")
"Segments that clients take out of a URL, escaped or not (RFC 3986 5.2.4)."
_REPEATED: Final = {"Idempotent-Replayed": "true"}
_REFUSALS: Final = refusals(
    _400="A field is missing or wrong",
    _403="Your account may not do that",
    _409="You have used the push_id before, for another push",
    _413="Body or content is too large",
    _415="The body is not application/json",
    _422="Not possible as asked",
    _429="A limit of yours is reached: try again after Retry-After seconds",
)
UNKNOWN: Final = refusals(
    _400="The path or the query is wrong", _404="You have no such push, or not any more"
)
"What a route that shows something of one push may refuse."
_STEERED: Final = refusals(
    _404="You have no such push, or not any more",
    _422="The push names its recipients",
)


_SUBMITTED: Final = {
    200: ResponseSpec(PushState, description="A repeat: the push as it is now", generate_examples=False),
    **_REFUSALS,
}


class JsonPushes(JsonRoute):
    """Pushes of the initiator that asks."""

    path = f"{JSON_ROOT}/pushes"
    tags = ("pushes",)

    @post(
        status_code=201,
        name="push_submit",
        operation_id="push_submit",
        before_request=media.json_only,
        responses=_SUBMITTED,
    )
    async def submit(
        self, request: Request[Account, Any, Any], data: JSONBody[NewPush]
    ) -> Response[PushState]:
        """Store a push; from this answer on it will be delivered or come to another end."""
        account = request.user
        told(request, did="submit", what=data.push_id or "")
        parts_of(request).admission.admit_priority(data.priority, request)
        try:
            intake = parts_of(request).intake
            accepted = await intake.take(account, offer_of(data, account), asked=asked_of(request))
        except PushIdUsed as used:
            if not used.is_repeat:
                raise
            store = parts_of(request).store
            known, reach = await asyncio.to_thread(_look, store, account, data.push_id or "")
            told(request, result="repeat")
            return Response(state_of(known, reach), status_code=200, headers=_place(known, **_REPEATED))
        except NotTaken as refusal:
            log.get().info(
                "push_refused", initiator=account.name, push_id=data.push_id or "", why=str(refusal)
            )
            raise
        told(request, what=accepted.push.push_id, result=TAKEN_CODE)
        begun = NONE_COUNTED if accepted.push.subscribers else None
        known = Known(accepted.push, accepted.recipients, accepted.results, (), begun)
        return Response(
            state_of(known, Reach(0, 0)),
            status_code=201,
            headers=_place(known),
        )

    @get(name="push_list", operation_id="push_list", responses=refusals(_400="A parameter is wrong"))
    async def show_all(
        self,
        request: Request[Account, Any, Any],
        in_state: Annotated[
            PushListState | None, QueryParameter(name="state", description="Only pushes in it.")
        ] = None,
        application: Annotated[str, QueryParameter(description="Only those of this push application.")] = "",
        recipient: Annotated[
            str, QueryParameter(description="Only pushes to this address, in any form that pushes take.")
        ] = "",
        since: Annotated[
            datetime | None, QueryParameter(description="Only those accepted then or later.")
        ] = None,
        until: Annotated[
            datetime | None, QueryParameter(description="Only those accepted then or earlier.")
        ] = None,
        after: After = "",
        limit: Limit = 100,
    ) -> PushPage:
        """Return the initiator's pushes, newest first; `since` and `until` are about their acceptance."""
        wanted = json_push_list.wanted(in_state, application, recipient, since, until)
        store, before = parts_of(request).store, json_push_list.place(after)
        return await asyncio.to_thread(json_push_list.listed, store, request.user.name, wanted, before, limit)

    @get("/{push:str}", name="push_show", operation_id="push_show", responses=UNKNOWN)
    async def show(
        self,
        request: Request[Account, Any, Any],
        push: PushName,
        events: Annotated[bool, QueryParameter(description="With its event log.")] = False,
    ) -> PushState:
        """Return a push by its push-id or reference, with the state of each recipient."""
        store = parts_of(request).store
        known, reach = await asyncio.to_thread(_look, store, request.user, unescaped(push, "push"), events)
        return state_of(known, reach, events=events)

    @post(
        "/{push:str}/pause", status_code=200, name="push_pause", operation_id="push_pause", responses=_STEERED
    )
    async def pause(self, request: Request[Account, Any, Any], push: PushName) -> PushState:
        """Send nothing more of a push to subscribers until it is resumed; what is on its way is answered."""
        return await _steered(request, push, "paused")

    @post(
        "/{push:str}/resume",
        status_code=200,
        name="push_resume",
        operation_id="push_resume",
        responses=_STEERED,
    )
    async def resume(self, request: Request[Account, Any, Any], push: PushName) -> PushState:
        """Go on with a push that is paused."""
        return await _steered(request, push, "running")

    @post(
        "/{push:str}/abort", status_code=200, name="push_abort", operation_id="push_abort", responses=_STEERED
    )
    async def abort(self, request: Request[Account, Any, Any], push: PushName) -> PushState:
        """End a push to subscribers for all to whom nothing was sent yet."""
        return await _steered(request, push, "aborted")


def _place(known: Known, **more: str) -> dict[str, str]:
    """A push-id that would be a step up, or none, in a path is named by the push's reference."""
    push = known.push
    return {"Location": location("pushes", push.ref if push.push_id in _STEPS else push.push_id), **more}


async def _steered(request: Request[Account, Any, Any], push: str, state: FanOutState) -> PushState:
    name = unescaped(push, "push")
    told(request, did=_DEEDS[state], what=name)
    known, reach = await asyncio.to_thread(_steer, parts_of(request).store, request.user, name, state)
    told(request, what=known.push.push_id)
    return state_of(known, reach)


def _steer(store: Store, account: Account, name: str, state: FanOutState) -> tuple[Known, Reach | None]:
    known = find(store, account, name, most=0)
    word = "resumed" if state == "running" else state
    event = Event(clock.now_ms(), -1, word, f"by {account.name}")
    if fanouts.steer(store, known.push.ref, state, event) is None:
        raise NotPossible("3001", "push", "only a push to all subscribers can be paused, resumed or aborted")
    return _look(store, account, known.push.ref)


def _look(store: Store, account: Account, name: str, events: bool = False) -> tuple[Known, Reach | None]:
    known = find(store, account, name, events=events)
    return known, fanouts.reach(store, known)


def find(
    store: Store, account: Account, name: str, *, most: int | None = MOST, events: bool = False
) -> Known:
    """
    Return the initiator's push of this push-id or reference; of recipients, and of events, `most` at most.

    Raises:
        NotKnown: there is none; one of another initiator does not exist for it.
    """
    refs = [push_ref(account.name, name), *([name] if _REF.fullmatch(name) else [])]
    for ref in refs:
        known = pushes.read(store, ref, most=most, events=events)
        if known is not None and known.push.initiator == account.name:
            return known
    raise NotKnown("push", f"no push {shortened(name)} of yours is known, or not any more")
