"""Everything that a node sees of itself, in one look."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import httpx

from omapush import clock
from omapush.audit.journal import journal_for
from omapush.config import Config
from omapush.errors import PushError
from omapush.health import files, kamailio
from omapush.health.sip_ping import problem_of_kamailio
from omapush.push.alarm_rules import Failing, Limits, NodeSeen

_API_ANSWER_S = 2.0
_RECORD_LATE_MS = 60_000


def limits_of(config: Config) -> Limits:
    """Return the limits beyond which something is wrong."""
    alarms = config.alarms
    return Limits(
        waiting_ms=int(alarms.waiting_s * 1000),
        owed_ms=int(alarms.owed_s * 1000),
        disk_percent=alarms.disk_percent,
        certificate_ms=int(alarms.certificate_days * 86_400_000),
        most_waiting=config.api.max_waiting,
        wants_media=config.sessions.enabled,
        record_ms=int(config.records.delay_s * 1000) + _RECORD_LATE_MS,
    )


async def look(config: Config, *, clock_offset_ms: int, failing: Sequence[Failing]) -> NodeSeen:
    """Return the state of the node now; takes as long as the slowest answer, at most two seconds."""
    sip_problem, api_problem, metrics = await asyncio.gather(
        problem_of_kamailio(config), _problem_of_api(config), kamailio.exposition(config)
    )
    state = kamailio.read(metrics.decode("utf-8", "replace"))
    return NodeSeen(
        version=1,
        node=config.node,
        at_ms=clock.now_ms() + clock_offset_ms,
        clock_offset_ms=clock_offset_ms,
        sip_problem=sip_problem,
        api_problem=api_problem,
        audit_problem=await asyncio.to_thread(_problem_of_audit, config),
        memory_free=state.memory_free,
        memory_total=state.memory_total,
        certificates=tuple(await asyncio.to_thread(lambda: list(files.certificates(config)))),
        disks=tuple(await asyncio.to_thread(lambda: list(files.disks(config)))),
        hops=state.hops,
        failing=tuple(failing),
    )


async def _problem_of_api(config: Config) -> str:
    scheme = "https" if config.api.certificate else "http"
    url = f"{scheme}://{config.api.listen}/healthz"
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # whether it answers is asked, nothing is told to it
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        async with httpx.AsyncClient(timeout=_API_ANSWER_S, trust_env=False, verify=anybody) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return f"{url}: {error or type(error).__name__}"
    return "" if answer.is_success else f"{url}: answered {answer.status_code}"


def _problem_of_audit(config: Config) -> str:
    try:
        journal = journal_for(config.audit.folder, config.audit.key_file)
    except PushError as error:
        return str(error)
    return journal.problem() if journal else ""
