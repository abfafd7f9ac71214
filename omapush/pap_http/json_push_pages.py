"""`/v1/pushes/{push}/recipients` and `/events`: what is too long for one answer, page by page."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.params import QueryParameter

from omapush.pap_http.json_parameters import After, Limit, PushName
from omapush.pap_http.json_paths import JSON_ROOT, cursor, unescaped
from omapush.pap_http.json_pushes import UNKNOWN, find
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.json_values import (
    EventPage,
    RecipientPage,
    RecipientState,
    line_of,
    recipients_of,
)
from omapush.pap_http.parts import parts_of
from omapush.push.account import Account
from omapush.push.values import State
from omapush.store import event_log, push_pages
from omapush.store.client import Store

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_LOOKED_AT: Final = 5_000
"Recipients that one request looks at for those in a certain state."


class JsonPushPages(JsonRoute):
    """Parts of a push of the initiator that asks."""

    path = f"{JSON_ROOT}/pushes/{{push:str}}"
    tags = ("pushes",)

    @get("/recipients", name="push_recipients", operation_id="push_recipients", responses=UNKNOWN)
    async def recipients(
        self,
        request: Request[Account, Any, Any],
        push: PushName,
        in_state: Annotated[
            State | None, QueryParameter(name="state", description="Only recipients in it.")
        ] = None,
        after: After = "",
        limit: Limit = 100,
    ) -> RecipientPage:
        """Return recipients in the order in which they were given, of all states or of one."""
        store, name = parts_of(request).store, unescaped(push, "push")
        return await asyncio.to_thread(
            _recipients, store, request.user, name, in_state, _number(after), limit
        )

    @get("/events", name="push_events", operation_id="push_events", responses=UNKNOWN)
    async def events(
        self,
        request: Request[Account, Any, Any],
        push: PushName,
        after: After = "",
        limit: Limit = 100,
    ) -> EventPage:
        """Return lines of the event log in the order in which they were written."""
        store, name = parts_of(request).store, unescaped(push, "push")
        return await asyncio.to_thread(_events, store, request.user, name, _number(after), limit)


def _number(after: str) -> int:
    found = cursor(after, _NUMBER)
    return int(found[0]) if found else 0


def _recipients(
    store: Store, account: Account, name: str, state: State | None, first: int, limit: int
) -> RecipientPage:
    """One page: it has fewer than `limit` where many were looked at for few of that state."""
    ref = find(store, account, name, most=0).push.ref
    found: list[RecipientState] = []
    end = first + (limit if state is None else _LOOKED_AT)
    at = first
    for page in push_pages.read_all(store, ref, first, end - first):
        for one in recipients_of(page.recipients, page.results, page.first):
            at = one.index + 1
            if state in (None, one.state):
                found.append(one)
                if len(found) == limit:
                    return RecipientPage(found, _if_more(store, ref, at))
    return RecipientPage(found, _if_more(store, ref, at) if at == end else "")


def _if_more(store: Store, ref: str, at: int) -> str:
    return str(at) if push_pages.read(store, ref, at, 1).recipients else ""


def _events(store: Store, account: Account, name: str, first: int, limit: int) -> EventPage:
    ref = find(store, account, name, most=0).push.ref
    lines = event_log.events(store, ref, first, limit)
    return EventPage([line_of(line) for line in lines], str(first + limit) if len(lines) == limit else "")
