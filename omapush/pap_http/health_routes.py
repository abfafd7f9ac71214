"""What supervisors and monitoring ask: does it serve, would a push get through, what was counted."""

from __future__ import annotations

import asyncio
from typing import Final

from litestar import Controller, Response, get

from omapush.config import Config
from omapush.pap_http.door import OPEN
from omapush.pap_http.metrics import CONTENT_TYPE, Metrics
from omapush.pap_http.probes import problem_of_kamailio, problem_of_redis
from omapush.store.client import Store

_FOR_ALL: Final = {OPEN: True}


class HealthRoutes(Controller):
    """Open to everybody who reaches the api's address."""

    include_in_schema = False

    @get("/healthz", name="healthz", opt=_FOR_ALL)
    async def healthz(self) -> dict[str, str]:
        """Tell that this process serves."""
        return {"status": "ok"}

    @get("/readyz", name="readyz", opt=_FOR_ALL)
    async def readyz(self, config: Config, store: Store) -> Response[dict[str, str]]:
        """Tell whether a push would get through: Redis and Kamailio are asked now."""
        redis, kamailio = await asyncio.gather(problem_of_redis(store), problem_of_kamailio(config))
        state = {"redis": redis or "ok", "kamailio": kamailio or "ok"}
        return Response(state, status_code=503 if redis or kamailio else 200)

    @get("/metrics", name="metrics", opt=_FOR_ALL)
    async def exposition(self, metrics: Metrics) -> Response[bytes]:
        """Prometheus text format."""
        return Response(await metrics.exposition(), media_type=CONTENT_TYPE)
