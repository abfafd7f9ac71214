"""`/v1/lists`: distribution lists of the initiator that asks."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final

from litestar import Request, Response, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta, Struct

from omapush.errors import NotKnown, PeerIsWrong, shortened
from omapush.pap_http import media
from omapush.pap_http.json_parameters import After, Limit, ListName
from omapush.pap_http.json_paths import JSON_ROOT, cursor, location, unescaped, user_of
from omapush.pap_http.json_route import JsonRoute
from omapush.pap_http.parts import parts_of
from omapush.pap_http.problems import refusals
from omapush.push.acceptance import LIST_NAME, NotAllowed, NotPossible
from omapush.push.account import Account
from omapush.store import lists
from omapush.store.lists import TooMany

_AFTER: Final = re.compile(r"[^\x00-\x20\x7f]{1,600}")
_REFUSALS: Final = refusals(_400="A name or parameter is wrong", _404="You have no such list")
_CHANGING: Final = refusals(
    _400="A member is no address; the field says which",
    _403="You may not push to a member; the field says which",
    _404="You have no such list",
    _415="The body is not application/json",
    _422="The list would have too many members",
)


class DistributionList(Struct, frozen=True):
    """One list."""

    name: str
    members: int


_CREATING: Final = {
    201: ResponseSpec(DistributionList, description="The list is new", generate_examples=False),
    **refusals(_400="The name is wrong", _422="You have too many lists"),
}


class ListPage(Struct, frozen=True):
    """Some of the initiator's lists, in order of their names."""

    lists: list[DistributionList]
    next: str
    "Value of `after` for what follows; empty: nothing does."


class MemberPage(Struct, frozen=True):
    """Some members of a list, in order of their addresses."""

    members: list[str]
    next: str
    "Value of `after` for what follows; empty: nothing does."


Addresses = Annotated[list[str], Meta(max_length=lists.AT_ONCE, description="In any form that pushes take.")]


class MemberChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Members that go, then members that come, as one step."""

    add: Addresses = []
    remove: Addresses = []


class ChangedList(Struct, frozen=True):
    """A list after a change."""

    name: str
    members: int
    added: int
    "Those that were not in it before."
    removed: int


class JsonLists(JsonRoute):
    """Lists of the initiator that asks; another's do not exist for it."""

    path = f"{JSON_ROOT}/lists"
    tags = ("lists",)

    @get(name="list_list", operation_id="list_list", responses=refusals(_400="A parameter is wrong"))
    async def show_all(
        self,
        request: Request[Account, Any, Any],
        after: After = "",
        limit: Limit = 100,
    ) -> ListPage:
        """Return the initiator's lists in order of their names."""
        store, name = parts_of(request).store, _after(after)
        found = await asyncio.to_thread(lists.page, store, request.user.name, after=name, most=limit)
        following = found[-1].name if len(found) == limit else ""
        return ListPage([DistributionList(*one) for one in found], following)

    @put("/{name:str}", name="list_create", operation_id="list_create", responses=_CREATING)
    async def create(self, request: Request[Account, Any, Any], name: ListName) -> Response[DistributionList]:
        """Create a list, 201; 200 when it is there already, and stays as it is."""
        named, parts = _name(name), parts_of(request)
        most = parts.config.api.max_lists
        try:
            is_new = await asyncio.to_thread(lists.create, parts.store, request.user.name, named, most=most)
        except TooMany as error:
            raise NotPossible("2001", "name", f"you have {most} lists, and may not have more") from error
        found = await asyncio.to_thread(lists.show, parts.store, request.user.name, named)
        return Response(
            DistributionList(named, found.members if found else 0),
            status_code=201 if is_new else 200,
            headers={"Location": location("lists", named)},
        )

    @get("/{name:str}", name="list_show", operation_id="list_show", responses=_REFUSALS)
    async def show(self, request: Request[Account, Any, Any], name: ListName) -> DistributionList:
        """Return a list and how many members it has."""
        found = await asyncio.to_thread(lists.show, parts_of(request).store, request.user.name, _name(name))
        if found is None:
            raise _unknown(name)
        return DistributionList(*found)

    @delete("/{name:str}", name="list_delete", operation_id="list_delete", responses=_REFUSALS)
    async def delete(self, request: Request[Account, Any, Any], name: ListName) -> None:
        """Delete a list; pushes that were accepted for it go on."""
        if not await asyncio.to_thread(lists.delete, parts_of(request).store, request.user.name, _name(name)):
            raise _unknown(name)

    @get("/{name:str}/members", name="list_members", operation_id="list_members", responses=_REFUSALS)
    async def members(
        self,
        request: Request[Account, Any, Any],
        name: ListName,
        after: After = "",
        limit: Limit = 100,
    ) -> MemberPage:
        """Return members in order of their addresses."""
        store, owner, named, behind = parts_of(request).store, request.user.name, _name(name), _after(after)
        found = await asyncio.to_thread(lists.members, store, owner, named, after=behind, most=limit)
        if not found and await asyncio.to_thread(lists.show, store, owner, named) is None:
            raise _unknown(name)
        return MemberPage(found, found[-1] if len(found) == limit else "")

    @post(
        "/{name:str}/members",
        status_code=200,
        name="list_change",
        operation_id="list_change",
        before_request=media.json_only,
        responses=_CHANGING,
    )
    async def change(
        self, request: Request[Account, Any, Any], name: ListName, data: JSONBody[MemberChange]
    ) -> ChangedList:
        """Take members out and put others in; with one that is wrong nothing is changed."""
        parts, account, named = parts_of(request), request.user, _name(name)
        remove = [user_of(address, f"remove[{index}]") for index, address in enumerate(data.remove)]
        add = [_member(account, address, f"add[{index}]") for index, address in enumerate(data.add)]
        most = parts.config.api.max_members
        try:
            changed = await asyncio.to_thread(
                lists.change, parts.store, account.name, named, remove=remove, add=add, most=most
            )
        except TooMany as error:
            problem = f"the list would have more than {most} members"
            raise NotPossible("2001", "add", problem) from error
        if changed is None:
            raise _unknown(name)
        return ChangedList(named, changed.members, changed.added, changed.removed)


def _member(account: Account, address: str, field: str) -> str:
    aor = user_of(address, field)
    if not account.may_reach(aor):
        raise NotAllowed(field, f"initiator may not push to {shortened(address)}")
    return aor


def _name(name: str) -> str:
    named = unescaped(name, "name")
    if LIST_NAME.fullmatch(named) is None:
        raise PeerIsWrong("name", "a list's name has 1 to 64 letters, digits, '.', '_' or '-'")
    return named


def _after(after: str) -> str:
    found = cursor(after, _AFTER)
    return found[0] if found else ""


def _unknown(name: str) -> NotKnown:
    return NotKnown("name", f"you have no list {shortened(name)}")
