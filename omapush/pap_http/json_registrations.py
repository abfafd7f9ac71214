"""`/v1/registrations`: whether a user can be reached, as far as an initiator may know."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.params import PathParameter
from msgspec import Struct

from omapush import clock
from omapush.errors import NotKnown
from omapush.pap_http.json_paths import JSON_ROOT, unescaped, user_of
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.json_values import moment
from omapush.pap_http.parts import parts_of
from omapush.pap_http.problems import refusals
from omapush.push.acceptance import NotAllowed
from omapush.push.account import Account
from omapush.push.registration import Contact, Registration, is_registered
from omapush.store import registrations
from omapush.store.client import Store

_REFUSALS: Final = refusals(
    _400="Not an address that SIP can reach",
    _403="You may not push to this recipient",
    _404="Nothing is known of this user, or not any more",
)


class Device(Struct, frozen=True):
    """A contact of the user. Its address is the operator's business."""

    applications: list[str]
    "Push applications that it has, of those that you may push to."
    expires: datetime
    source: str
    "Who said so: register, response, reginfo."
    at: datetime


class RegistrationState(Struct, frozen=True):
    """What is known of a user's registration."""

    aor: str
    registered: bool
    expires: datetime
    applications: list[str]
    "Those of all devices, of those that you may push to."
    contacts: list[Device]
    updated: datetime


class JsonRegistrations(JsonRoute):
    """Users that the initiator may push to."""

    path = f"{JSON_ROOT}/registrations"
    tags = ("registrations",)

    @get("/{aor:str}", name="registration_show", operation_id="registration_show", responses=_REFUSALS)
    async def show(
        self,
        request: Request[Account, Any, Any],
        aor: Annotated[
            str, PathParameter(description="Address of a user, in any form that pushes take, escaped.")
        ],
    ) -> RegistrationState:
        """Return whether a user is registered, and with which of the initiator's applications."""
        user = user_of(unescaped(aor, "aor"), "aor")
        if not request.user.may_reach(user):
            raise NotAllowed("aor", "initiator may not push to this recipient")
        record = await asyncio.to_thread(_read, parts_of(request).store, user)
        if record is None:
            raise NotKnown("aor", f"no REGISTER about {user} was seen, or not in the last day")
        return registration_state(record, request.user, clock.now_ms())


def _read(store: Store, user: str) -> Registration | None:
    return registrations.read(store, registrations.sip_identity(store, user))


def registration_state(record: Registration, account: Account, now_ms: int) -> RegistrationState:
    """Return what an initiator may know of a record: live contacts that have an application of its own."""
    devices = [_device(contact, account) for contact in record.contacts if contact.expires_ms > now_ms]
    seen = [device for device in devices if device.applications or "*" in account.applications]
    return RegistrationState(
        aor=record.aor,
        registered=is_registered(record, now_ms),
        expires=moment(record.expires_ms),
        applications=sorted({name for device in seen for name in device.applications}),
        contacts=seen,
        updated=moment(max(record.at_ms, record.reginfo_ms)),
    )


def _device(contact: Contact, account: Account) -> Device:
    return Device(
        applications=[name for name in contact.applications if account.may_use(name)],
        expires=moment(contact.expires_ms),
        source=contact.source,
        at=moment(contact.at_ms),
    )
