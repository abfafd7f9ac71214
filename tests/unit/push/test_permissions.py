"""What an account may do: which operations, and which methods it may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from omapush.config import initiator
from omapush.pap_http import json_permissions
from omapush.pap_http.json_cancel import JsonCancel
from omapush.pap_http.json_lists import JsonLists
from omapush.pap_http.json_push_pages import JsonPushPages
from omapush.pap_http.json_pushes import JsonPushes
from omapush.pap_http.json_registrations import JsonRegistrations
from omapush.pap_http.json_subscriptions import JsonSubscriptions
from omapush.push import account as accounts
from omapush.push.acceptance import ContentRules, NotAllowed, Offer, accept
from omapush.push.account import OPERATIONS, Account
from omapush.push.values import Method

ROUTES = (JsonCancel, JsonLists, JsonPushPages, JsonPushes, JsonRegistrations, JsonSubscriptions)


def submit(account: Account, **offer: Any) -> None:
    wanted = {"addresses": ("sip:alice@home1.example",), **offer}
    rules = ContentRules((), 1_000)
    one = Offer("id-1", application="mms.ua", content_type="text/plain", content=b"x", **wanted)
    accept(one, account=account, rules=rules, order_us=1_800_000_000_000_000, lifetime_s=60)


def account(**more: Any) -> Account:
    return Account("pi", ("*",), ("*",), **more)


@pytest.mark.parametrize(
    ("operation", "offer", "field"),
    [
        ("submit", {}, ""),
        ("subscribers", {"addresses": (), "subscribers": True}, "subscribers"),
        ("lists", {"lists": ("team",), "members": ("sip:bob@home1.example",)}, "lists"),
        ("cancel", {"replaces": "id-0"}, "replaces"),
    ],
)
def test_a_push_needs_each_operation_that_it_is(operation: str, offer: dict[str, Any], field: str) -> None:
    others = tuple(one for one in OPERATIONS if one != operation)

    submit(account(), **offer)
    with pytest.raises(NotAllowed) as caught:
        submit(account(operations=others), **offer)
    assert (caught.value.code, caught.value.field, caught.value.http_status) == ("2001", field, 403)
    assert operation in caught.value.problem


def test_a_method_that_is_not_allowed_cannot_be_asked_for_and_no_wish_is_fine() -> None:
    meek = account(methods=("MESSAGE",))

    submit(meek, method="MESSAGE")
    submit(meek)
    with pytest.raises(NotAllowed, match="INVITE") as caught:
        submit(meek, method="INVITE")
    assert caught.value.field == "method"


def test_each_route_of_the_json_interface_is_an_operation() -> None:
    """A route that is in no row would answer nobody."""
    names = {
        handler.name
        for controller in ROUTES
        for handler in vars(controller).values()
        if getattr(handler, "name", None) and hasattr(handler, "fn")
    }
    assert names == set(json_permissions.OF_ROUTE)
    assert set(json_permissions.OF_ROUTE.values()) == set(OPERATIONS)


def test_the_configuration_knows_the_same_operations_and_methods() -> None:
    assert initiator.Operation == accounts.Operation
    assert initiator.SipMethod == Method
