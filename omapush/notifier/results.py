"""
Result notifications to push initiators, one for each recipient (spec/pap.md 5 and 9).

A result is borrowed from Redis for as long as one try may take; it is settled when the initiator answered,
else it comes back by itself. So it is told once, and again only when we died before noting the answer.
"""

from __future__ import annotations

import asyncio
import random

import httpx

from omapush import clock, log
from omapush.config import Config, Notify
from omapush.errors import PushError
from omapush.protocol import pap_reader
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_writer import write
from omapush.push.values import Event
from omapush.store import pushes
from omapush.store.client import Store
from omapush.store.pushes import Due

_IDLE_S = 0.1
_REST_S = 1.0
_LARGEST_ANSWER = 65_536


class Notifications:
    """Delivers what is owed, with a bounded number under way."""

    def __init__(self, config: Config, store: Store, client: httpx.AsyncClient) -> None:
        self._settings: Notify = config.notify
        self._store = store
        self._client = client
        self._free = config.notify.concurrency
        self._tasks: set[asyncio.Task[None]] = set()
        self._tries: dict[str, int] = {}

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            try:
                found = await self._borrow() if self._free > 0 else 0
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                await asyncio.sleep(_REST_S)
                continue
            if found == 0:
                await asyncio.sleep(_IDLE_S)

    async def _borrow(self) -> int:
        lease_ms = int(self._settings.timeout_s * 1000) + 10_000
        most = max(1, self._free // self._store.layout.push_shards)
        due = await asyncio.to_thread(
            pushes.borrow_due, self._store, now_ms=clock.now_ms(), lease_ms=lease_ms, most=most
        )
        for member, one in due:
            self._free -= 1
            task = asyncio.create_task(self._tell(member, one))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return len(due)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1

    async def _tell(self, member: str, due: Due | None) -> None:
        index = pushes.split_member(member)[1]
        if due is None:
            await self._settle(member, 0, Event(clock.now_ms(), index, "forgotten", "push is gone"))
            return
        refusal = await self._post(due)
        now_ms = clock.now_ms()
        if not refusal:
            self._tries.pop(member, None)
            text = f"{due.result.state} {due.result.code} told to {due.push.notify_url}"
            await self._settle(member, 0, Event(now_ms, index, "notified", text))
        elif now_ms - due.result.at_ms > self._settings.give_up_s * 1000:
            self._tries.pop(member, None)
            log.get().error("notification_given_up", push_id=due.push.push_id, why=refusal)
            await self._settle(member, 0, Event(now_ms, index, "notify-given-up", refusal))
        else:
            again_ms = now_ms + self._wait_ms(member)
            text = f"{refusal}; again at {clock.iso(again_ms)}"
            await self._settle(member, again_ms, Event(now_ms, index, "notify-failed", text))

    def _wait_ms(self, member: str) -> int:
        """Double the wait with each failure; a restart begins again with the shortest."""
        tries = self._tries.get(member, 0)
        self._tries[member] = tries + 1
        wait_s = min(self._settings.first_retry_s * 2 ** min(tries, 30), self._settings.longest_retry_s)
        return int(wait_s * 1000 * (0.5 + random.random() / 2))

    async def _settle(self, member: str, again_ms: int, event: Event) -> None:
        try:
            await asyncio.to_thread(pushes.settle, self._store, member, again_ms=again_ms, event=event)
        except PushError as error:
            log.get().warning("notification_not_settled", member=member, problem=str(error))

    async def _post(self, due: Due) -> str:
        """Return why the initiator did not take the notification, or an empty text."""
        try:
            response = await self._client.post(
                due.push.notify_url,
                content=write(_notification(due)),
                headers={"Content-Type": "application/xml"},
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{type(error).__name__}: {error}"
        if not 200 <= response.status_code < 300:
            return f"HTTP {response.status_code}"
        return _refusal(response)


def _refusal(response: httpx.Response) -> str:
    """A 2xx is an answer; a PAP document in it may still say that the notification was not understood."""
    kind = response.headers.get("content-type", "")
    if not response.content or len(response.content) > _LARGEST_ANSWER or "xml" not in kind:
        return ""
    try:
        operation = pap_reader.read(kind, response.content).document.operation
    except PushError as error:
        log.get().info("notification_answer_unread", problem=str(error))
        return ""
    if isinstance(operation, pap.ResultNotificationResponse) and pap.code_class(operation.code) in (3, 4):
        return f"PAP {operation.code} {operation.desc or ''}".strip()
    return ""


def _notification(due: Due) -> pap.ResultNotification:
    push, result = due.push, due.result
    confirmed = result.state == "delivered" and result.sip_code == 200
    return pap.ResultNotification(
        push_id=push.push_id,
        address=due.recipient.address,
        state=pap.MessageState(result.state),
        code=result.code,
        desc=result.desc,
        event_time=result.at_ms // 1000,
        received_time=push.accepted_ms // 1000,
        sender_name="omapush",
        delivery_method=pap.DeliveryMethod.CONFIRMED if confirmed else pap.DeliveryMethod.UNCONFIRMED,
    )
