"""
Pushes for applications hosted behind this server, posted to their back ends (docs/hosting.md).

A push is borrowed from Redis for as long as one exchange may take, and settled with what that came to; else
it comes back by itself. So a back end is told once, and again only when we died before noting its answer.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import httpx

from omapush import clock, log
from omapush.config import Config, Hosted
from omapush.errors import PushError
from omapush.notifier import answer
from omapush.notifier.calls import Call
from omapush.notifier.slots import Slots, Turn, host_of
from omapush.protocol import retry_after
from omapush.protocol.trace_context import TraceContext
from omapush.push import backend_answer, spans
from omapush.push.backend_answer import Verdict
from omapush.push.hosted import HostedPush, HostedState
from omapush.push.retry import RetryPlan
from omapush.push.values import TARGET_LENGTH
from omapush.store import hosted
from omapush.store.client import Store
from omapush.store.hosted import Due
from omapush.telemetry.wishes import Wishes

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport

_IDLE_S: Final = 0.05
"How often what is due is looked for: senders may be waiting."
_BUSY_S: Final = 0.01
"The same while exchanges are under way, which may be what there was no room for."
_REST_S: Final = 1.0
_SETTLE_MS: Final = 10_000
"What noting an answer may take, on top of waiting for a slot and of the exchange."
_AS_THEY_ARE: Final = frozenset({"content-language", "content-disposition"})
"Headers that mean the same in HTTP."


class Backends:
    """Tells back ends what is due, with a bounded number of exchanges under way."""

    def __init__(
        self,
        config: Config,
        store: Store,
        client: httpx.AsyncClient,
        wishes: Wishes | None = None,
        export: SpanExport | None = None,
    ) -> None:
        self._hosted = {ari: one for ari, one in config.hosted.items() if not one.is_stream}
        self._kept_s = config.delivery.retention_s
        self._concurrency = config.notify.concurrency
        self._store = store
        self._client = client
        self._wishes = wishes
        self._export = export
        self._slots = Slots(config.notify.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()
        "Pushes of each application that are borrowed here."

    async def run(self, stop: asyncio.Event) -> None:
        """
        Work until `stop` is set, then wait for exchanges under way.

        Redis being away only makes it wait.
        """
        while self._hosted and not stop.is_set():
            try:
                found = 0
                for application, terms in self._hosted.items():
                    found += await self._borrow(application, terms, stop)
                rest_s = 0.0 if found else _BUSY_S if self._tasks else _IDLE_S
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                rest_s = _REST_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), rest_s)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(one.timeout_s for one in self._hosted.values()))

    async def _borrow(self, application: str, terms: Hosted, stop: asyncio.Event) -> int:
        """Take what is due and return how much that was; what its host has no room for comes back later."""
        # No more than will have its turn within the lease: what waits here is out of other nodes' reach.
        room = min(self._concurrency - self._held[application], self._slots.room())
        if room <= 0:
            return 0
        now_ms = clock.now_ms()
        due = await asyncio.to_thread(
            hosted.borrow,
            self._store,
            application,
            now_ms,
            lease_ms=2 * int(terms.timeout_s * 1000) + _SETTLE_MS,
            most=max(1, room // self._store.layout.user_shards),
            kept_s=self._kept_s,
        )
        host = host_of(terms.backend)
        for one in due:
            if self._slots.hold(host):
                self._held[application] += 1
                task = asyncio.create_task(self._when_free(one, terms, host, now_ms, stop))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return len(due)

    async def _when_free(
        self, due: Due, terms: Hosted, host: str, borrowed_ms: int, stop: asyncio.Event
    ) -> None:
        """Tell one push, unless no slot was free in time: the lease must outlast the exchange."""
        try:
            async with self._slots.exchange(host) as turn:
                if not stop.is_set() and clock.now_ms() - borrowed_ms <= terms.timeout_s * 1000:
                    await self._tell(due, terms, turn)
        finally:
            self._slots.let_go(host)
            self._held[due.push.application] -= 1

    async def _tell(self, due: Due, terms: Hosted, turn: Turn) -> None:
        push = due.push
        tries = due.state.tries + 1
        if 0 < push.valid_until_ms <= clock.now_ms():
            verdict = Verdict("refused", 480, "expired before the back end took it")
        else:
            call = self._call(push, tries)
            began = clock.monotonic()
            verdict = await self._exchange(push, terms, tries, call, turn)
            turn.took_s = clock.monotonic() - began
            call.ended("" if verdict.kind == "taken" else verdict.text)
        now_ms = clock.now_ms()
        retry = terms.retry
        plan = RetryPlan(retry.attempts, int(retry.first_s * 1000), int(retry.longest_s * 1000), retry.growth)
        again_ms = backend_answer.next_try_ms(verdict, tries, plan, now_ms, random.random())
        state = HostedState(tries, now_ms, verdict.text)
        try:
            told = await asyncio.to_thread(
                hosted.settle, self._store, push, verdict, state, again_ms=again_ms
            )
        except PushError as error:
            log.get().warning("hosted_not_settled", id=push.id, problem=str(error))
            return
        if verdict.kind != "taken" and not told and again_ms is None:
            log.get().error("hosted_given_up", application=push.application, id=push.id, why=verdict.text)

    def _call(self, push: HostedPush, attempt: int) -> Call:
        """The exchange as the beginning of a trace, when the push is one that is traced."""
        if self._wishes is None or self._export is None:
            return Call(None, None, "", {})
        switches = self._wishes.switches
        # The first half of the id is that of the user: all pushes of some would be no fair share.
        if not (push.recipient in switches.users or switches.samples(push.id[TARGET_LENGTH:])):
            return Call(None, None, "", {})
        context = TraceContext(spans.trace_id_of(push.id), "", is_sampled=True)
        about: spans.Attributes = {"omapush.hosted.id": push.id, "omapush.application": push.application}
        return Call(self._export, context, "push to back end", {**about, "omapush.attempts": attempt})

    async def _exchange(
        self, push: HostedPush, terms: Hosted, attempt: int, call: Call, turn: Turn
    ) -> Verdict:
        """Return what the back end says; whatever goes wrong means that it did not take the push."""
        turn.is_answered = False
        try:
            async with (
                asyncio.timeout(terms.timeout_s),
                self._client.stream(
                    "POST",
                    terms.backend,
                    content=push.content,
                    headers=headers_of(push, attempt, call.headers),
                ) as response,
            ):
                turn.is_answered = answer.is_well(response.status_code)
                asked = response.headers.get("retry-after", "")
                after_s = retry_after.delay_s(asked, clock.now_ms() / 1000)
                return backend_answer.judge(response.status_code, after_s)
        except TimeoutError:
            return backend_answer.no_answer(f"no answer within {terms.timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return backend_answer.no_answer(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - one push must not end the task that others wait behind
            log.get().exception("backend_exchange_crashed", application=push.application, id=push.id)
            return backend_answer.no_answer(type(error).__name__)


def headers_of(
    push: HostedPush, attempt: int, more: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[bytes, bytes]]:
    """Return the headers of the POST that hands a push to its back end, and `more` of them."""
    named = [
        ("Content-Type", push.content_type),
        ("X-Push-Application", push.application),
        ("X-Push-Sender", push.sender),
        ("X-Push-Recipient", push.recipient),
        ("X-Push-Id", push.id),
        ("X-Push-Sender-Id", push.push_id),
        ("X-Push-Method", push.method),
        ("X-Push-Call-Id", push.call_id),
        ("X-Push-Initiator", push.initiator_uri),
        ("X-Push-Content-Uri", push.content_uri),
        ("X-Push-Received", clock.iso(push.received_ms)),
        ("X-Push-Valid-Until", clock.iso(push.valid_until_ms) if push.valid_until_ms else ""),
        ("X-Push-Attempt", str(attempt)),
        *((_name_of(name), value) for name, value in push.fields),
        *more.items(),
    ]
    return [(name.encode(), value.encode()) for name, value in named if value]


def _name_of(field: str) -> str:
    """Fields that mean something else in HTTP, or could, get a name of their own."""
    return field if field in _AS_THEY_ARE else f"X-Push-Header-{field}"
