"""Which operation of an initiator each route of the JSON interface is."""

from __future__ import annotations

from typing import Final

from omapush.push.acceptance import require
from omapush.push.account import Account, Operation

OF_ROUTE: Final[dict[str, Operation]] = {
    "push_submit": "submit",
    "push_list": "status",
    "push_show": "status",
    "push_recipients": "status",
    "push_events": "status",
    "push_cancel": "cancel",
    "push_pause": "subscribers",
    "push_resume": "subscribers",
    "push_abort": "subscribers",
    "list_list": "lists",
    "list_create": "lists",
    "list_show": "lists",
    "list_delete": "lists",
    "list_members": "lists",
    "list_change": "lists",
    "registration_show": "users",
    "subscriptions_list": "users",
    "subscription_end": "subscriptions",
}


def check(account: Account, route: str | None) -> None:
    """
    Do nothing when an initiator may use a route.

    Raises:
        NotAllowed: the operator has not allowed it.
    """
    require(account, OF_ROUTE[route or ""])
