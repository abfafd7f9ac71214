"""
Watches for trouble: every notifier tells what it sees of its node, and one of them keeps the alarms of all.

Alarms are stored where all nodes read them. While Redis is away each notifier only knows and logs that; it is
in the history once Redis is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError, StoreUnavailable
from omapush.health import node
from omapush.push import alarm_rules, alarms
from omapush.push.alarm_rules import Failing, NodeSeen
from omapush.push.alarms import AlarmChange, Condition, Watched
from omapush.store import alarms as stored
from omapush.store import health
from omapush.store.client import Store

_LEASE_MARGIN_MS: Final = 5_000
"What one look may take."


class AlarmKeeper:
    """Looks again and again."""

    def __init__(self, config: Config, store: Store, failing: Callable[[], Sequence[Failing]]) -> None:
        """`failing`: initiators that take no notifications of this process."""
        self._config = config
        self._store = store
        self._failing = failing
        self._limits = node.limits_of(config)
        self._node = config.node
        self._who = f"{self._node}/{secrets.token_hex(4)}"
        self._lease_ms = int(2_000 * config.alarms.every_s) + _LEASE_MARGIN_MS
        self._watched: Watched | None = None
        "None: another notifier keeps the alarms."
        self._away = alarms.begin(())
        "Of this process alone: whether Redis is away."
        self._untold: list[AlarmChange] = []
        "What has changed there and is not in the history yet."

    async def run(self) -> None:
        """Work until it is cancelled; then leave, so that this node is not taken for one that died."""
        try:
            while True:
                try:
                    await self.look()
                except PushError as error:
                    log.get().warning("store_trouble", problem=str(error), action="trying again")
                await asyncio.sleep(self._config.alarms.every_s)
        finally:
            with suppress(PushError):
                stored.leave(self._store, self._who, self._node)

    async def look(self) -> None:
        """Look once at the node, and when this process keeps the alarms, at everything."""
        try:
            offset_ms = await asyncio.to_thread(self._clock_offset_ms)
            seen = await node.look(self._config, clock_offset_ms=offset_ms, failing=self._failing())
            await asyncio.to_thread(self._keep, seen, offset_ms)
        except StoreUnavailable as error:
            self._note_store([Condition("store-away", "", str(error))])

    def _clock_offset_ms(self) -> int:
        before_ms = clock.now_ms()
        offset_ms = health.clock_offset_ms(self._store, before_ms)
        return offset_ms - (clock.now_ms() - before_ms) // 2

    def _note_store(self, conditions: list[Condition]) -> None:
        self._away, changes = alarms.look(self._away, conditions, clock.now_ms())
        self._untold += changes
        _log(changes)

    def _keep(self, seen: NodeSeen, offset_ms: int) -> None:
        stored.report(self._store, seen)
        if not stored.keep(self._store, self._who, self._lease_ms):
            self._watched = None
            self._note_store([])
            self._untold.clear()
            return
        now_ms = clock.now_ms() + offset_ms
        before = self._watched or alarms.begin(stored.stored(self._store))
        before = before._replace(standing=before.standing | self._away.standing)
        names = {name for name, _ in before.standing}
        conditions = [
            *alarm_rules.of_store(health.look(self._store, now_ms), self._limits, now_ms, names),
            *alarm_rules.of_nodes(stored.nodes(self._store, now_ms), self._limits, now_ms),
        ]
        watched, changes = alarms.look(before, conditions, now_ms)
        told = [*self._untold, *changes]
        if not stored.change(self._store, self._who, told, watched.standing.values()):
            self._watched = None
            return
        self._watched, self._away = watched, alarms.begin(())
        self._untold.clear()
        _log(changes)


def _log(changes: Sequence[AlarmChange]) -> None:
    for one in changes:
        name, subject, severity, text = one.alarm[1:5]
        if one.is_raised:
            log.get().warning("alarm_raised", name=name, subject=subject, severity=severity, found=text)
        else:
            log.get().info("alarm_cleared", name=name, subject=subject, severity=severity)
