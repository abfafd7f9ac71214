"""`POST /pap`: one PAP document comes in, one goes out."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, post

from omapush import clock
from omapush.pap_http import media
from omapush.pap_http.metrics import Metrics
from omapush.pap_http.pap_service import PapService
from omapush.push.acceptance import Account


class PapRoute(Controller):
    """The PAP interface; its documents are described elsewhere (schema/pap.rng)."""

    path = "/pap"
    include_in_schema = False

    @post(status_code=202, name="pap", before_request=media.pap_only)
    async def answer(
        self, request: Request[Account, Any, Any], service: PapService, metrics: Metrics
    ) -> Response[bytes]:
        """Take one PAP document of a push initiator."""
        body = await request.body()
        started = clock.monotonic()
        answer = await service.answer(request.user, request.headers["content-type"], body)
        metrics.answer_time.observe(clock.monotonic() - started)
        metrics.requests.labels(answer.operation, answer.code).inc()
        return Response(answer.body, status_code=202, media_type=answer.content_type)
