"""The page of pushes to all subscribers that are under way."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from litestar import Controller, Request, Response, get

from omapush.pap_http.console.access import ROOT, Visitor, enter
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.store import fanouts, pushes
from omapush.store.client import Store
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known

SECTION: Final = f"{ROOT}/fan-outs"
_MOST: Final = 100


class Job(NamedTuple):
    """One push to subscribers, over all user shards."""

    known: Known
    reach: Reach
    shards: int
    "That still carry it out."
    backlog: int
    "Its deliveries in the outbox."
    percent: int


class FanOuts(Controller):
    """Pushes to subscribers."""

    guards = (enter,)

    @get("/fan-outs", name="console_fan_outs")
    async def fan_outs(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show how far each is."""
        jobs = await asyncio.to_thread(_jobs, desk_of(request).store)
        template = "fan_outs_live.html" if request.headers.get("hx-request") else "fan_outs.html"
        return shown(request, template, SECTION, jobs=jobs)


def _jobs(store: Store) -> list[Job]:
    by_ref: dict[str, list[fanouts.Job]] = {}
    for job in fanouts.jobs(store, range(store.layout.user_shards)):
        by_ref.setdefault(job.ref, []).append(job)
    found = []
    for ref, of_shards in list(by_ref.items())[:_MOST]:
        known = pushes.read(store, ref, most=0, events=False)
        reach = fanouts.reach(store, known) if known else None
        if known is None or known.subscribers is None or reach is None:
            continue
        whole = max(reach.subscribed, reach.made)
        percent = 100 * known.subscribers.ended // whole if whole else 0
        found.append(
            Job(known, reach, len(of_shards), sum(job.backlog for job in of_shards), min(percent, 100))
        )
    return sorted(found, key=lambda job: -job.known.push.accepted_ms)
