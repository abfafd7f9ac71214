"""Pages of pushes: find some, see what happened to one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from litestar import Controller, Request, Response, get
from litestar.params import FromQuery, QueryParameter

from omapush.errors import MalformedAddress, NotKnown, PeerIsWrong, shortened
from omapush.pap_http.console import now_view, push_view
from omapush.pap_http.console.access import ROOT, Visitor, enter, see
from omapush.pap_http.console.desk import Desk, desk_of
from omapush.pap_http.console.now_view import Row
from omapush.pap_http.console.shown import shown
from omapush.pap_http.json_push_list import place
from omapush.push.user_named import user_named
from omapush.store.own_pushes import Place
from omapush.views import push_lookup, push_search
from omapush.views.push_search import FOREVER_MS, LOOKED_AT, Wanted

SECTION: Final = f"{ROOT}/pushes"
_MOST: Final = 1_000_000
_PAGE: Final = 50
_STATES: Final = ("running", "finished", "paused", "aborted")
_TIME: Final = "%Y-%m-%dT%H:%M"


class Pushes(Controller):
    """Pushes of all initiators."""

    guards = (enter,)

    @get("/pushes", name="console_pushes")
    async def pushes(self, request: Request[Visitor, Any, Any], after: FromQuery[str] = "") -> Response[str]:
        """Show the newest pushes, or those that fit what is asked for."""
        desk, query = desk_of(request), request.query_params
        asked = {
            name: query.get(name, "").strip() for name in ("user", "initiator", "state", "since", "until")
        }
        problem, rows, further = "", list[Row](), None
        try:
            wanted, names = _wanted(desk, asked), _initiators(desk, asked["initiator"])
            rows, further = await asyncio.to_thread(_search, desk, names, wanted, place(after))
        except PeerIsWrong as error:
            problem = str(error)
        return shown(
            request,
            "pushes.html",
            SECTION,
            400 if problem else 200,
            asked=asked,
            problem=problem,
            pushes=rows,
            further=f"{further.accepted_ms}.{further.ref}" if further else "",
            initiators=list(desk.config.initiator),
            states=_STATES,
            looked_at=LOOKED_AT,
        )

    @get("/push", name="console_push")
    async def push(
        self,
        request: Request[Visitor, Any, Any],
        ref: FromQuery[str] = "",
        after: Annotated[int, QueryParameter(ge=0, le=_MOST)] = 0,
        recipient: Annotated[int, QueryParameter(ge=-1, le=_MOST)] = -1,
    ) -> Response[str]:
        """Show one push: recipients, ladder of all or of one of them, what may be done."""
        desk = desk_of(request)
        if not push_lookup.is_ref(ref):
            raise NotKnown("ref", f"{shortened(ref)} is no reference of a push")
        found = await asyncio.to_thread(push_view.view, desk.config, desk.store, ref, after, recipient)
        template = "push_live.html" if request.headers.get("hx-request") else "push.html"
        return shown(request, template, SECTION, view=found)

    @get("/find", name="console_find")
    async def find(self, request: Request[Visitor, Any, Any], q: FromQuery[str] = "") -> Response[str]:
        """Lead to what a text names: a push, else a user."""
        desk, text = desk_of(request), q.strip()
        ref = await asyncio.to_thread(push_view.find, desk.config, desk.store, text) if text else ""
        if ref:
            return see(f"{ROOT}/push?ref={ref}")
        if not text:
            return see(SECTION)
        try:
            return see(user_path(user_named(text, "user")))
        except MalformedAddress as error:
            raise NotKnown("q", f"no push and no user is called {shortened(text)}") from error


def user_path(aor: str) -> str:
    """Return where the page of a user is."""
    return f"{ROOT}/user?aor={quote(aor)}"


def _search(
    desk: Desk, initiators: list[str], wanted: Wanted, before: Place | None
) -> tuple[list[Row], Place | None]:
    found = push_search.search(desk.store, initiators, wanted, before, _PAGE)
    return now_view.rows_of(desk.store, [one.push.ref for one in found.pushes]), found.further


def _initiators(desk: Desk, asked: str) -> list[str]:
    return [name for name in desk.config.initiator if asked in ("", name)]


def _wanted(desk: Desk, asked: dict[str, str]) -> Wanted:
    if asked["initiator"] and asked["initiator"] not in desk.config.initiator:
        raise PeerIsWrong("initiator", "is not in the configuration")
    state = next((one for one in _STATES if one == asked["state"]), None)
    user = asked["user"] if ":" in asked["user"] or not asked["user"] else f"sip:{asked['user']}"
    return Wanted(
        state,
        "",
        user_named(user, "user") if user else "",
        _ms(asked["since"], "since", 0),
        _ms(asked["until"], "until", FOREVER_MS),
    )


def _ms(text: str, field: str, default: int) -> int:
    """A time as forms of browsers send it; it is UTC, as all times of the console are."""
    if not text:
        return default
    try:
        return int(datetime.strptime(text[:16], _TIME).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError as error:
        raise PeerIsWrong(field, "is no time such as 2026-01-31T09:00") from error
