"""`/v1/subscriptions`: who has subscribed to the initiator's applications, and the end of a subscription."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from litestar import Request, delete, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from omapush import clock
from omapush.errors import NotKnown, PeerIsWrong, shortened
from omapush.pap_http.json_parameters import After, Limit
from omapush.pap_http.json_paths import JSON_ROOT, cursor, user_of
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.json_values import moment
from omapush.pap_http.parts import parts_of
from omapush.pap_http.problems import refusals
from omapush.push import subscription as rules
from omapush.push.acceptance import NotAllowed, application_of
from omapush.push.account import Account
from omapush.push.subscribe import CONTENT
from omapush.push.subscription import Subscription
from omapush.store import registrations, subscriptions
from omapush.store.client import Store
from omapush.store.subscriptions import Placed

_ID: Final = re.compile(r"[0-9a-f]{32}")
_CURSOR: Final = re.compile(r"([0-9]{1,5})\.([0-9a-f]{32})")
_LISTING: Final = refusals(_400="A parameter is wrong", _403="It is not yours to see")
_ENDING: Final = refusals(_400="A parameter is wrong", _404="You see no such subscription, or not any more")


class SubscriptionState(Struct, frozen=True):
    """One subscription of a device."""

    id: str
    aor: str
    profile: Literal["oma-app", "device"]
    "For an application's pushes, or about the device itself."
    application: str
    state: Literal["active", "pending", "terminated"]
    reason: str
    "Why it is terminated; the device is being told."
    device: str
    vendor: str
    model: str
    expires: datetime
    at: datetime


class SubscriptionPage(Struct, frozen=True):
    """Some subscriptions, in no order that means anything."""

    subscriptions: list[SubscriptionState]
    next: str
    "Value of `after` for what follows; empty: nothing does."


class JsonSubscriptions(JsonRoute):
    """Subscriptions of users, and to applications, that the initiator may push to."""

    path = f"{JSON_ROOT}/subscriptions"
    tags = ("subscriptions",)

    @get(name="subscriptions_list", operation_id="subscriptions_list", responses=_LISTING)
    async def show(
        self,
        request: Request[Account, Any, Any],
        aor: Annotated[
            str, QueryParameter(description="Only those of this user; needed without `application`.")
        ] = "",
        application: Annotated[str, QueryParameter(description="Only those of this push application.")] = "",
        after: After = "",
        limit: Limit = 100,
    ) -> SubscriptionPage:
        """Return the subscriptions of a user, or those to an application, page by page."""
        account, store = request.user, parts_of(request).store
        if aor:
            return await asyncio.to_thread(_of_user, store, account, user_of(aor, "aor"), application)
        if not application:
            raise PeerIsWrong("aor", "needed: aor or application")
        ari = application_of(application)
        if not account.may_use(ari):
            raise NotAllowed("application", "initiator may not push to this application")
        return await asyncio.to_thread(_of_application, store, account, ari, after, limit)

    @delete("/{id:str}", name="subscription_end", operation_id="subscription_end", responses=_ENDING)
    async def end(
        self,
        request: Request[Account, Any, Any],
        id: Annotated[str, PathParameter(description="`id` of a subscription, escaped.")],
        reason: Annotated[
            Literal["rejected", "deactivated", "noresource"],
            QueryParameter(description="What the device is told (RFC 6665 4.1.3)."),
        ] = "rejected",
    ) -> None:
        """End a subscription; the device is told so, with the reason that its next step depends on."""
        await asyncio.to_thread(_end, parts_of(request).store, request.user, id, reason)


def may_see(account: Account, one: Subscription) -> bool:
    """Tell whether an initiator may know of a subscription; of one about a device, if it is for all."""
    return _is_its_own(account, one) and account.may_reach(one.aor)


def _is_its_own(account: Account, one: Subscription) -> bool:
    return account.may_use(one.application) if one.profile == CONTENT else "*" in account.applications


def _of_user(store: Store, account: Account, aor: str, application: str) -> SubscriptionPage:
    if not account.may_reach(aor):
        raise NotAllowed("aor", "initiator may not push to this recipient")
    wanted = application_of(application) if application else ""
    user = registrations.sip_identity(store, aor)
    found = [one for one in subscriptions.of_user(store, user) if wanted in ("", one.application)]
    return SubscriptionPage([_state(one) for one in found if _is_its_own(account, one)], "")


def _of_application(
    store: Store, account: Account, application: str, after: str, limit: int
) -> SubscriptionPage:
    """One page: it has fewer than `limit` where some are not for this initiator to see."""
    shard, last = _cursor(after)
    ids: list[str] = []
    while shard < store.layout.user_shards:
        ids += subscriptions.page(store, shard, application, after=last, most=limit - len(ids))
        if len(ids) == limit:
            break
        shard, last = shard + 1, ""
    found = [one for one in subscriptions.read_all(store, ids) if one is not None]
    following = f"{shard}.{ids[-1]}" if len(ids) == limit else ""
    return SubscriptionPage([_state(one) for one in found if may_see(account, one)], following)


def _cursor(after: str) -> tuple[int, str]:
    found = cursor(after, _CURSOR)
    return (int(found[1]), found[2]) if found else (0, "")


def _end(store: Store, account: Account, name: str, reason: rules.Reason) -> None:
    now_ms = clock.now_ms()

    def ended(old: Subscription | None) -> Placed[bool]:
        if old is None or not may_see(account, old):
            return Placed(old, None, False)
        new = rules.terminated(old, reason, now_ms)
        return Placed(new or old, 0 if new else None, True)

    if _ID.fullmatch(name) is None or not subscriptions.change(store, name, ended):
        raise NotKnown("id", f"no subscription {shortened(name)} is there for you to see")


def _state(one: Subscription) -> SubscriptionState:
    return SubscriptionState(
        id=one.id,
        aor=one.aor,
        profile=one.profile,
        application=one.application,
        state=one.state,
        reason=one.reason,
        device=one.device,
        vendor=one.vendor,
        model=one.model,
        expires=moment(one.expires_ms),
        at=moment(one.at_ms),
    )
