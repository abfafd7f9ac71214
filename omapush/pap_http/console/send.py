"""The page that sends a test push, as one of the initiators would."""

from __future__ import annotations

import secrets
from typing import Any, Final

from litestar import Controller, Request, Response, get, post

from omapush import clock
from omapush.errors import PeerIsWrong, PushError, TryLater
from omapush.pap_http.audited import told
from omapush.pap_http.authentication import account_of
from omapush.pap_http.console.access import ROOT, Visitor, deed, enter, see
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.push.acceptance import Offer, application_of

SECTION: Final = f"{ROOT}/send"
_METHODS: Final = ("", "MESSAGE", "NOTIFY", "REFER", "INVITE", "INDIRECT")
_PRIORITIES: Final = ("medium", "high", "low")
_LONGEST_S: Final = 300
"A test that did not get through by then is of no use to who waits for it."
_BLANK: Final = {
    "initiator": "",
    "to": "",
    "application": "mms.ua",
    "content_type": "text/plain",
    "content": "A test push from the console",
    "method": "",
    "priority": "medium",
}


class Send(Controller):
    """A push of an operator's own."""

    guards = (enter,)

    @get("/send", name="console_send")
    async def form(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show the form; `to` and `application` may be given."""
        given = {name: request.query_params.get(name, value) for name, value in _BLANK.items()}
        return _form(request, given)

    @post("/send", name="console_send_now")
    async def send(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Submit it, and lead to its page."""
        fields = {**_BLANK, **await deed(request, "submit")}
        desk = desk_of(request)
        initiator = desk.config.initiator.get(fields["initiator"])
        try:
            if initiator is None:
                raise PeerIsWrong("initiator", "is not in the configuration")
            desk.admission.admit_priority(fields["priority"], request)
            account = account_of(fields["initiator"], initiator)
            accepted = await desk.intake.take(account, _offer(fields, account.name))
        except TryLater:
            raise
        except PushError as error:
            return _form(request, fields, str(error), 422)
        told(request, what=accepted.push.push_id, result="done")
        return see(f"{ROOT}/push?ref={accepted.push.ref}")


def _offer(fields: dict[str, str], initiator: str) -> Offer:
    return Offer(
        push_id=f"console-{secrets.token_hex(6)}@{initiator}",
        addresses=(fields["to"].strip(),),
        application=application_of(fields["application"].strip()),
        content_type=fields["content_type"].strip(),
        content=fields["content"].encode(),
        priority=fields["priority"] if fields["priority"] in _PRIORITIES else "medium",
        method=fields["method"] if fields["method"] in _METHODS else "",
        deliver_before_ms=clock.now_ms() + _LONGEST_S * 1000,
    )


def _form(
    request: Request[Visitor, Any, Any], given: dict[str, str], problem: str = "", status: int = 200
) -> Response[str]:
    config = desk_of(request).config
    return shown(
        request,
        "send.html",
        SECTION,
        status,
        given=given,
        problem=problem,
        initiators=list(config.initiator),
        applications=list(config.application),
        methods=_METHODS,
        priorities=_PRIORITIES,
        longest_s=_LONGEST_S,
    )
