"""`POST /pap`: one PAP document comes in, one goes out."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, post

from omapush import clock
from omapush.pap_http import media
from omapush.pap_http.audited import told
from omapush.pap_http.parts import parts_of
from omapush.pap_http.tracing import asked_of


class PapRoute(Controller):
    """The PAP interface; its documents are described elsewhere (schema/pap.rng)."""

    path = "/pap"
    include_in_schema = False

    @post(status_code=202, name="pap")
    async def answer(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take one PAP document of a push initiator."""
        parts = parts_of(request)
        await parts.admission.admit(request)
        account = request.scope["user"] = await parts.door.admit(request)
        media.require_pap(request)
        await parts.large_bodies.admit(request)
        body = await request.body()
        started = clock.monotonic()
        answer = await parts.pap.answer(account, request.headers["content-type"], body, asked_of(request))
        parts.metrics.answer_time.observe(clock.monotonic() - started)
        parts.metrics.requests.labels(answer.operation, answer.code).inc()
        told(request, did=answer.operation, what=answer.push_id, result=answer.code)
        headers = {"Retry-After": str(answer.retry_after_s)} if answer.retry_after_s else {}
        return Response(answer.body, status_code=202, media_type=answer.content_type, headers=headers)
