"""The HTTP application: routes, and what HTTP itself has to say before PAP is read (spec/pap.md 1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import ClientException, HTTPException

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError, TryLater
from omapush.pap_http.authentication import Accounts, claimed_name
from omapush.pap_http.brake import Brake
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.metrics import CONTENT_TYPE, Metrics
from omapush.pap_http.pap_service import PapService
from omapush.pap_http.probes import OutboxGate, problem_of_kamailio, problem_of_redis
from omapush.store import client

_PAP_TYPES = ("multipart/related", "application/xml", "text/xml")


def create(config: Config) -> Litestar:
    """Return the application for `config`; its connections open with the first request."""
    store = client.connect(config.redis)
    gate = OutboxGate(store, config.api.max_waiting)
    service = PapService(config, store, GroupCommit(store), gate.has_room)
    metrics = Metrics(config, store, gate)
    accounts = Accounts(config)
    brake = Brake()

    @post("/pap", status_code=202, name="pap")
    async def pap(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take one PAP document of a push initiator."""
        authorization = request.headers.get("authorization")
        account = accounts.authenticate(authorization)
        if account is None:
            await brake.failed(request.client.host if request.client else "", claimed_name(authorization))
            raise HTTPException(
                "user name or password is wrong",
                status_code=401,
                headers={"WWW-Authenticate": 'Basic realm="omapush"'},
            )
        content_type = request.headers.get("content-type", "")
        _refuse_other_media(content_type, request.headers.get("content-encoding", ""))
        body = await request.body()
        started = clock.monotonic()
        answer = await service.answer(account, content_type, body)
        metrics.answer_time.observe(clock.monotonic() - started)
        metrics.requests.labels(answer.operation, answer.code).inc()
        return Response(answer.body, status_code=202, media_type=answer.content_type)

    @get("/healthz", name="healthz")
    async def healthz() -> dict[str, str]:
        """Tell that this process serves."""
        return {"status": "ok"}

    @get("/readyz", name="readyz")
    async def readyz() -> Response[dict[str, str]]:
        """Tell whether a push would get through: Redis and Kamailio are asked now."""
        redis, kamailio = await asyncio.gather(problem_of_redis(store), problem_of_kamailio(config))
        state = {"redis": redis or "ok", "kamailio": kamailio or "ok"}
        return Response(state, status_code=503 if redis or kamailio else 200)

    @get("/metrics", name="metrics")
    async def exposition() -> Response[bytes]:
        """Prometheus text format."""
        return Response(await metrics.exposition(), media_type=CONTENT_TYPE)

    def refused(_request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
        metrics.http_refused.labels(str(error.status_code)).inc()
        return Response(
            f"{error.detail}\n",
            status_code=error.status_code,
            media_type="text/plain",
            headers=error.headers,
        )

    def not_now(_request: Request[Any, Any, Any], error: PushError) -> Response[str]:
        metrics.http_refused.labels(str(error.http_status)).inc()
        log.get().warning("push_not_taken", status=error.http_status, problem=str(error))
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TryLater) else {}
        reason = "not now, try again later\n" if isinstance(error, TryLater) else f"{error}\n"
        return Response(reason, status_code=error.http_status, media_type="text/plain", headers=headers)

    @asynccontextmanager
    async def life(_app: Litestar) -> AsyncIterator[None]:
        watch = asyncio.create_task(gate.watch())
        yield
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch

    return Litestar(
        [pap, healthz, readyz, exposition],
        lifespan=[life],
        exception_handlers={HTTPException: refused, PushError: not_now},
        request_max_body_size=config.api.max_body_bytes,
        openapi_config=None,
        logging_config=None,
    )


def _refuse_other_media(content_type: str, content_encoding: str) -> None:
    """Raise 415 for a body that is not PAP, or that would have to be unpacked first."""
    if content_type.partition(";")[0].strip().lower() not in _PAP_TYPES:
        raise ClientException("Content-Type: multipart/related or application/xml expected", status_code=415)
    if content_encoding.strip().lower() not in ("", "identity"):
        raise ClientException("Content-Encoding: send the body as it is", status_code=415)
