"""The HTTP application: its parts and how they are put together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from litestar import Litestar, asgi
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler, ExceptionHandlersMap

from omapush.audit.journal import journal_for
from omapush.config import Config
from omapush.control.agent import Agent, follow
from omapush.errors import BadConfiguration, PushError
from omapush.pap_http import pap_route, tls
from omapush.pap_http.admission import Admission
from omapush.pap_http.audit_trail import AuditTrail
from omapush.pap_http.audited import Audited, tell_lock
from omapush.pap_http.authentication import Accounts
from omapush.pap_http.console.desk import desk_for
from omapush.pap_http.console.operators import Operators
from omapush.pap_http.console.routes import router
from omapush.pap_http.content_server import ContentServer
from omapush.pap_http.device_documents import DeviceDocuments, wrong_links
from omapush.pap_http.door import Door
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.health_routes import HealthRoutes
from omapush.pap_http.intake import Intake
from omapush.pap_http.json_cancel import JsonCancel
from omapush.pap_http.json_lists import JsonLists
from omapush.pap_http.json_paths import EscapedPaths
from omapush.pap_http.json_push_pages import JsonPushPages
from omapush.pap_http.json_pushes import JsonPushes
from omapush.pap_http.json_registrations import JsonRegistrations
from omapush.pap_http.json_subscriptions import JsonSubscriptions
from omapush.pap_http.large_bodies import LargeBodies
from omapush.pap_http.line import Line
from omapush.pap_http.lockout import Lockout
from omapush.pap_http.metrics import Metrics
from omapush.pap_http.openapi import DESCRIPTION
from omapush.pap_http.outflow_watch import OutflowWatch
from omapush.pap_http.pap_service import PapService
from omapush.pap_http.parts import Parts
from omapush.pap_http.passwords import PasswordChecks
from omapush.pap_http.probes import OutboxGate
from omapush.pap_http.problems import Problems
from omapush.pap_http.quotas import Quotas
from omapush.pap_http.shedding import Valve
from omapush.pap_http.stalled import Stalled
from omapush.pap_http.steering import ApiSteering, Lasting
from omapush.pap_http.tokens import BearerTokens
from omapush.pap_http.tracing import Tracing
from omapush.store import client
from omapush.store.client import Store
from omapush.telemetry.opening import span_export
from omapush.telemetry.wishes import Wishes

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport

Look = Callable[[], Coroutine[Any, Any, None]]
"What is looked at for as long as the application runs."


class _Shared(NamedTuple):
    """What is made once and outlives every reload of the configuration."""

    store: Store
    gate: OutboxGate
    metrics: Metrics
    quotas: Quotas
    commit: GroupCommit
    wishes: Wishes
    export: SpanExport | None
    line: Line
    admission: Admission
    trail: AuditTrail
    large_bodies: LargeBodies
    checks: PasswordChecks
    lockout: Lockout

    def parts(self, values: Config) -> Parts:
        """Return what the routes share while `values` is the configuration."""
        self.wishes.share = values.trace.share
        tracing = Tracing(values.trace, self.wishes, self.export)
        count, has_room = self.metrics.pushes.submitted, self.gate.has_room
        intake = Intake(values, self.store, self.commit, self.quotas, has_room, tracing, count)
        return Parts(
            values,
            self.store,
            self.metrics,
            Door(Accounts(values, self.checks), self.lockout, tokens_of(values)),
            self.large_bodies,
            intake,
            self.admission,
            PapService(values, self.store, intake),
        )


def create(config: Config) -> Litestar:
    """Return the application for `config`; its connections open with the first request."""
    shared = _shared(config)
    store, gate, metrics, admission = shared.store, shared.gate, shared.metrics, shared.admission
    contents = ContentServer(config, store, metrics.content)
    parts = shared.parts(config)
    secured, stalled = _secured(config), Stalled(config.api.request_s)
    desk = desk_for(parts, gate, Operators(config, shared.checks), shared.lockout)
    state = State(
        {
            "parts": parts,
            "contents": contents,
            "valve": Valve(admission, metrics.count_shed),
            "stalled": stalled,
            "desk": desk,
            "tls": secured,
            "document_key": config.device_document.key(),
            "wrong_documents": wrong_links(),
        },
        deep_copy=False,
    )
    steered = Lasting(gate, shared.quotas, shared.commit, shared.large_bodies, contents, shared.checks)
    agent = Agent(config, store, "api", ApiSteering(state, steered, shared.parts))
    outflow = OutflowWatch(store, gate, admission)
    looks: list[Look] = [gate.watch, admission.watch, outflow.watch, shared.wishes.watch]
    looks += [stalled.watch, partial(follow, agent)]
    if desk is not None:
        looks.append(desk.live.run)
    if secured is not None:
        looks.append(partial(tls.watch, secured, config.api))
    app = EscapedPaths(
        _routes(None if config.content.listen else contents, has_console=desk is not None),
        state=state,
        middleware=[Audited(shared.trail)],
        lifespan=[partial(_watched, looks, agent, shared.export)],
        exception_handlers=_answers_to_errors(metrics),
        request_max_body_size=config.api.max_body_bytes,
        openapi_config=DESCRIPTION,
        logging_config=None,
    )
    app.line = shared.line
    return app


def _shared(config: Config) -> _Shared:
    store = client.connect(config.redis)
    gate = OutboxGate(store, config.api.max_waiting)
    metrics = Metrics(config, store, gate)
    quotas = Quotas(config, store, metrics)
    commit = GroupCommit(store, quotas, retention_s=config.delivery.retention_s)
    line = Line()
    trail = AuditTrail(
        journal_for(config.audit.folder, config.audit.key_file), required=config.audit.required
    )
    return _Shared(
        store,
        gate,
        metrics,
        quotas,
        commit,
        Wishes(config.trace, store),
        span_export(config.trace, "api"),
        line,
        Admission(config.overload.http_queue_ms, commit.wait_s, line.wait_s),
        trail,
        LargeBodies(together=config.api.large_bodies_bytes, largest=config.api.max_body_bytes),
        PasswordChecks(),
        Lockout(store, partial(tell_lock, trail, metrics)),
    )


def _routes(contents: ContentServer | None, *, has_console: bool) -> list[ControllerRouterHandler]:
    """All routes; `contents` when links are served here, and not at an address of their own."""
    routes: list[ControllerRouterHandler] = [JsonPushes, JsonCancel, JsonPushPages, JsonLists]
    routes.append(asgi(pap_route.PATH, copy_scope=False)(pap_route.answer))
    routes += [JsonRegistrations, JsonSubscriptions, HealthRoutes, DeviceDocuments]
    if contents is not None:
        routes.append(asgi("/content", is_mount=True, copy_scope=False)(contents.answer))
    if has_console:
        routes.append(router())
    return routes


def _answers_to_errors(metrics: Metrics) -> ExceptionHandlersMap:
    problems = Problems(metrics)
    return {
        HTTPException: problems.of_http,
        PushError: problems.of_push,
        RecursionError: problems.of_depth,
        Exception: problems.of_defect,
    }


def _secured(config: Config) -> ssl.SSLContext | None:
    try:
        return tls.context(config.api) if config.api.certificate else None
    except OSError as error:
        raise BadConfiguration(f"{config.path}: api.certificate", f"cannot be used: {error}") from error


def tokens_of(config: Config) -> BearerTokens | None:
    """Return what reads bearer tokens; None when the configuration has no issuer."""
    return BearerTokens(config.tokens) if config.tokens.keys else None


@asynccontextmanager
async def _watched(
    looks: Sequence[Look], agent: Agent, export: SpanExport | None, _app: Litestar
) -> AsyncIterator[None]:
    """Look at the outbox, how long pushes wait, and orders, as long as it runs; then send the last spans."""
    watches = [asyncio.create_task(look()) for look in looks]
    yield
    for watch in watches:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
    await asyncio.to_thread(agent.retire)
    if export is not None:
        await asyncio.to_thread(export.close)
