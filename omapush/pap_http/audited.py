"""
Every request that changes something, and every log-in that failed, is in the audit record before its answer
leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar import Request
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from omapush import clock
from omapush.audit.chain import Entry
from omapush.pap_http.audit_trail import AuditTrail
from omapush.pap_http.authentication import claimed_name
from omapush.pap_http.lockout import Locked
from omapush.pap_http.metrics import Metrics
from omapush.push.account import Account

_FACTS: Final = "omapush.audit"
_ONLY_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PAP_READS: Final = frozenset({"StatusQuery", "CcqMessage"})


@dataclass
class Facts:
    """What a route tells of its request; what it leaves out is taken from path and status."""

    did: str = ""
    what: str = ""
    result: str = ""
    who: str = ""
    "Whoever is no push initiator: `operator/alice`."


def told(
    request: Request[Any, Any, Any], *, did: str = "", what: str = "", result: str = "", who: str = ""
) -> None:
    """Tell the audit record what a request is about, in the words of the service."""
    facts = request.scope.get(_FACTS)
    if isinstance(facts, Facts):
        facts.did, facts.what, facts.result = did or facts.did, what or facts.what, result or facts.result
        facts.who = who or facts.who


class Audited(ASGIMiddleware):
    """Stands before all routes."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass a request on; its entry is written when the status of its answer is known."""
        if not self._trail.is_kept:
            await next_app(scope, receive, send)
            return
        is_read = scope.get("method") in _ONLY_READS
        if not is_read:
            self._trail.check()
        facts = Facts()
        shared: Any = scope  # for the route, which gets the same
        shared[_FACTS] = facts

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and facts.did not in _PAP_READS:
                status = message["status"]
                if not is_read or _is_failed_log_in(scope, status):
                    await self._trail.note(_entry(scope, facts, status))
            await send(message)

        await next_app(scope, receive, noted)


async def tell_lock(trail: AuditTrail, metrics: Metrics, locked: Locked) -> None:
    """Count a lock after many wrong passwords, and have it in the record."""
    metrics.lock_outs.labels(locked.counter.kind).inc()
    await trail.note(
        Entry(
            at=clock.iso(clock.now_ms()),
            who="nobody",
            did="lock-out",
            what=f"{locked.counter.kind} {locked.counter.value}",
            result="done",
            more=(("for_s", str(locked.for_s)),),
        )
    )


def _is_failed_log_in(scope: Scope, status: int) -> bool:
    """Tell whether credentials were shown and not taken; who only reads may be a guesser all the same."""
    return status in (401, 429) and not isinstance(scope.get("user"), Account) and bool(_authorization(scope))


def _entry(scope: Scope, facts: Facts, status: int) -> Entry:
    user, client = scope.get("user"), scope.get("client")
    known = isinstance(user, Account)
    is_log_in = not known and status in (401, 429)
    claimed = "" if known else claimed_name(_authorization(scope))
    return Entry(
        at=clock.iso(clock.now_ms()),
        who=facts.who or (f"initiator/{user.name}" if isinstance(user, Account) else "nobody"),
        did=facts.did or ("log-in" if is_log_in else f"{scope.get('method', '')}".lower()),
        what=facts.what or scope["path"],
        result=facts.result or (str(status) if status >= 400 else "done"),
        source=client[0] if client else "",
        more=(("claimed", claimed),) if claimed else (),
    )


def _authorization(scope: Scope) -> str | None:
    found = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return found.decode("latin-1") if found is not None else None
