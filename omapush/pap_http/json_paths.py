"""What JSON requests name: push-ids and addresses in the path, escaped, and where a page begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote

from litestar import Litestar, Request
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.utils import normalize_path

from omapush.errors import MalformedAddress, PeerIsWrong, PushError
from omapush.pap_http import heads
from omapush.pap_http.admission import push_path
from omapush.pap_http.line import Line
from omapush.pap_http.secure_headers import careful
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wappush_address import recipient as sip_target

JSON_ROOT: Final = "/v1"
_AT_END: Final = "omapush.at_end"
_PREFIX: Final = f"{JSON_ROOT}/".encode()


class EscapedPaths(Litestar):
    """
    Finds routes of the JSON interface by the path as it was sent.

    ASGI servers undo the escapes first, which would make `a%2Fb` two steps of the path.
    """

    line: Line
    "Where pushes wait for their turn."

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
        if raw == b"*" and scope["method"] == "OPTIONS":
            await heads.tell_of_all(careful(scope, send))
            return
        if raw.startswith(_PREFIX):
            scope["path"] = raw.decode("latin-1")
        if scope["type"] == "http":
            if heads.may_be_asked(raw):
                allow = self._methods(scope["path"]) if scope["method"] == "OPTIONS" else ""
                scope, send = heads.as_get(scope, send, allow)
            send = careful(scope, send)
            if scope["method"] == "POST" and push_path(raw) is not None:
                await self.line.turn()
        at_end: list[Callable[[], None]] = []
        scope[_AT_END] = at_end
        try:
            await super().__call__(scope, receive, send)
        finally:
            for give_back in at_end:
                give_back()

    def _methods(self, path: str) -> str:
        """All methods that some route takes at a path, as the router tells who asks for another."""
        no_method: Any = "?"
        try:
            self.asgi_router.handle_routing(path=normalize_path(path), method=no_method)
        except MethodNotAllowedException as error:
            return (error.headers or {}).get("allow", "")
        except HTTPException:
            return ""
        return ""


def at_the_end(scope: Any, give_back: Callable[[], None]) -> None:
    """Have `give_back` called when the request is over, however it ends."""
    scope[_AT_END].append(give_back)


def is_json(request: Request[Any, Any, Any]) -> bool:
    """Tell whether a request is for the JSON interface, whether there is such a route or not."""
    path: str = request.scope["path"]
    return path == JSON_ROOT or path.startswith(f"{JSON_ROOT}/")


def unescaped(text: str, field: str) -> str:
    """
    Return a parameter of the path as the initiator means it.

    Raises:
        PeerIsWrong: its escapes are not UTF-8.
    """
    try:
        return unquote(text.encode("latin-1").decode(), errors="strict")
    except UnicodeDecodeError as error:
        raise PeerIsWrong(field, "is not UTF-8") from error


def user_of(address: str, field: str) -> str:
    """
    Return the address of record that an address means, in any form that pushes take.

    Raises:
        MalformedAddress: SIP reaches nobody there; the text names the parameter.
    """
    try:
        return address_of_record(sip_target(address), field=field)
    except PushError as error:
        raise MalformedAddress(field, getattr(error, "problem", str(error))) from error


def cursor(after: str, form: re.Pattern[str]) -> re.Match[str] | None:
    """
    Return what the `next` of the page before says, in the form that it has there; None for the first page.

    Raises:
        PeerIsWrong: it is no `next` of ours.
    """
    found = form.fullmatch(after)
    if after and found is None:
        raise PeerIsWrong("after", "is no `next` of an answer")
    return found if after else None


def location(*names: str) -> str:
    """Return the path of something, each of its names escaped."""
    return "/".join([JSON_ROOT, *(quote(name, safe="@:") for name in names)])
