"""
`POST /pap`: one PAP document comes in, one goes out.

It is an ASGI application by itself: what a framework does for a handler with typed arguments and a response
object costs a push as much as reading its document does.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Request
from litestar.exceptions import ClientException, MethodNotAllowedException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Send

from omapush import clock
from omapush.pap_http import media
from omapush.pap_http.audited import told
from omapush.pap_http.pap_service import PapAnswer
from omapush.pap_http.parts import Parts, parts_of
from omapush.pap_http.tracing import asked_of

PATH: Final = "/pap"
_METHODS: Final = "OPTIONS, POST"
_DEEDS: Final = {"PushMessage": "submit", "CancelMessage": "cancel"}
"What the audit record calls operations that the JSON interface has, too."


class PapRequest(Request[Any, Any, Any]):
    """A request whose body is read at once."""

    largest = 0
    "Bytes of its body that are taken."

    async def body(self) -> bytes:
        """
        Return the body, the same at each call.

        Raises:
            RequestEntityTooLarge: it is longer than `largest`; no more of it is read.
            ClientException: the initiator went away before its end.
        """
        if not isinstance(self._body, bytes):
            self._body = await self._whole_body()
        return self._body

    async def _whole_body(self) -> bytes:
        stated = self.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated) > self.largest:
            raise RequestEntityTooLarge
        read = bytearray()
        while True:
            event: Any = await self.receive()
            if event["type"] == "http.disconnect":
                raise ClientException("the request did not come to its end")
            read += event["body"]
            if len(read) > self.largest:
                raise RequestEntityTooLarge
            if not event.get("more_body", False):
                return bytes(read)


async def answer(scope: Any, receive: Receive, send: Send) -> None:
    """Take one PAP document of a push initiator."""
    if scope.get("method") != "POST":
        await _other_method(scope, send)
        return
    request = PapRequest(scope, receive, send)
    parts = parts_of(request)
    request.largest = parts.config.api.max_body_bytes
    answered = await _answer(parts, request)
    did = _DEEDS.get(answered.operation, answered.operation)
    told(request, did=did, what=answered.push_id, result=answered.code)
    headers = [
        (b"content-type", answered.content_type.encode()),
        (b"content-length", b"%d" % len(answered.body)),
    ]
    if answered.retry_after_s:
        headers.append((b"retry-after", b"%d" % answered.retry_after_s))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body, "more_body": False})


async def _answer(parts: Parts, request: PapRequest) -> PapAnswer:
    await parts.admission.admit(request)
    account = request.scope["user"] = await parts.door.admit(request)
    media.require_pap(request)
    await parts.large_bodies.admit(request)
    body = await request.body()
    started = clock.monotonic()
    answered = await parts.pap.answer(account, request.headers["content-type"], body, asked_of(request))
    parts.metrics.answer_time.observe(clock.monotonic() - started)
    parts.metrics.requests.labels(answered.operation, answered.code).inc()
    return answered


async def _other_method(scope: Any, send: Send) -> None:
    """OPTIONS is told what there is, any other method that it is none of that."""
    if scope.get("method") != "OPTIONS":
        raise MethodNotAllowedException(headers={"Allow": _METHODS})
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", _METHODS.encode())]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
