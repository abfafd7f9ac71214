"""What supervisors and monitoring ask: does it serve, would a push get through, what was counted."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Final

from litestar import Controller, HttpMethod, Request, Response, get, route
from litestar.exceptions import PermissionDeniedException

from omapush.pap_http.metrics import CONTENT_TYPE
from omapush.pap_http.parts import parts_of
from omapush.pap_http.probes import problem_of_kamailio, problem_of_redis
from omapush.push.networks import Networks

ASKED_BY: Final = [HttpMethod.GET, HttpMethod.HEAD]
"Some load balancers want the status alone."


@lru_cache(maxsize=8)
def _networks(monitors: tuple[str, ...]) -> Networks:
    return Networks(monitors)


def _is_monitor(request: Request[Any, Any, Any]) -> bool:
    """Whether the operator's own monitoring asks: initiators, and everybody else, reach the same address."""
    address, api = request.client.host if request.client else "", parts_of(request).config.api
    is_this_machine = address == api.listen.rpartition(":")[0].strip("[]")
    return is_this_machine or _networks(api.monitors).holds(address)


class HealthRoutes(Controller):
    """Open to everybody who reaches the api's address."""

    include_in_schema = False

    @route("/healthz", name="healthz", http_method=ASKED_BY)
    async def healthz(self) -> dict[str, str]:
        """Tell that this process serves."""
        return {"status": "ok"}

    @route("/readyz", name="readyz", http_method=ASKED_BY)
    async def readyz(self, request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
        """Tell whether a push would get through: Redis and Kamailio are asked; a drained node says no."""
        parts = parts_of(request)
        redis, kamailio = await asyncio.gather(
            problem_of_redis(parts.store), problem_of_kamailio(parts.config)
        )
        state = {"redis": redis or "ok", "kamailio": kamailio or "ok"}
        if parts.admission.is_closed:
            state["node"] = "is being drained"
        if not _is_monitor(request):
            state = {what: said if said == "ok" else "not ok" for what, said in state.items()}
        return Response(state, status_code=200 if set(state.values()) == {"ok"} else 503)

    @get("/metrics", name="metrics")
    async def exposition(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Prometheus text format."""
        if not _is_monitor(request):
            raise PermissionDeniedException("metrics are for the addresses in api.monitors")
        return Response(await parts_of(request).metrics.exposition(), media_type=CONTENT_TYPE)
