"""`POST /v1/pushes/{push}/cancel`: take a push back, for all of its recipients or some."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from omapush.pap_http import media
from omapush.pap_http.audited import told
from omapush.pap_http.json_parameters import PushName
from omapush.pap_http.json_paths import JSON_ROOT, unescaped
from omapush.pap_http.json_pushes import find
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.pap_known import CANCEL_WORDS, cancel_addresses, cancel_for_all
from omapush.pap_http.parts import Parts, parts_of
from omapush.pap_http.problems import refusals
from omapush.push import replacing
from omapush.push.acceptance import NotPossible
from omapush.push.account import Account

_REFUSED = refusals(
    _400="A field is missing or wrong",
    _404="You have no such push, or not any more",
    _415="The body is not application/json",
    _422="A push to all subscribers is taken back as a whole",
)


class Cancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a push shall not reach any more."""

    to: Annotated[list[str], Meta(min_length=1, description="Addresses as in the push; else all.")] | None = (
        None
    )


class Cancelled(Struct, frozen=True):
    """What came of a cancel for one recipient."""

    address: str
    "Empty: all subscribers."
    cancelled: bool
    "True: it is never delivered there."
    code: str
    "1000 cancelled, 2008 too late, 2003 not an address of the push."
    desc: str


class CancelState(Struct, frozen=True):
    """What came of a cancel."""

    push_id: str
    ref: str
    recipients: list[Cancelled]


class JsonCancel(JsonRoute):
    """Pushes of the initiator that asks, taken back."""

    path = f"{JSON_ROOT}/pushes"
    tags = ("pushes",)

    @post(
        "/{push:str}/cancel",
        status_code=200,
        name="push_cancel",
        operation_id="push_cancel",
        before_request=media.json_only,
        responses=_REFUSED,
    )
    async def cancel(
        self, request: Request[Account, Any, Any], push: PushName, data: JSONBody[Cancel]
    ) -> CancelState:
        """Take a push back; whoever is answered with 1000 never gets it, however often this is asked."""
        name = unescaped(push, "push")
        told(request, did="cancel", what=name)
        state = await asyncio.to_thread(_cancel, parts_of(request), request.user, name, data)
        told(request, what=state.push_id, result=state.recipients[0].code)
        return state


def _cancel(parts: Parts, account: Account, name: str, wanted: Cancel) -> CancelState:
    known = find(parts.store, account, name, most=None)
    if known.subscribers is not None:
        if wanted.to is not None:
            raise NotPossible(replacing.NOT_FOR_THEM_CODE, "to", "the push is to all subscribers")
        codes = {"": cancel_for_all(parts.store, known, account)}
    else:
        keep_s = parts.config.delivery.retention_s
        codes = cancel_addresses(parts.store, known, wanted.to or (), retention_s=keep_s)
    recipients = [
        Cancelled(address, code == replacing.CANCELLED_CODE, code, CANCEL_WORDS[code])
        for address, code in codes.items()
    ]
    return CancelState(known.push.push_id, known.push.ref, recipients)
