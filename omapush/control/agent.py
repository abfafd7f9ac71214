"""
What each process does about an operator's commands: it reads the orders to its node, carries them out, and
shows in Redis what it is in.

Twice a second, so that a command is answered at once by human measure and a push never waits for it. While
Redis is away nothing changes: orders stay as they were last read.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Final, Protocol

from omapush import clock, log
from omapush.config import Config, keys, load
from omapush.config.checks import check
from omapush.errors import BadConfiguration, PushError
from omapush.push.nodes import (
    CHECK,
    CHECKED,
    RECORD_VERSION,
    REFUSED,
    TAKE,
    TAKEN,
    TAKING,
    Change,
    Orders,
    Sign,
    state_of,
)
from omapush.store import client, nodes
from omapush.store.client import Store

EVERY_S: Final = 0.5
_REST_S: Final = 2.0
"Wait after Redis did not answer."
_ANNOUNCE_MS: Final = 1_500
"Time between signs of life when nothing has changed."
_MOST_CHANGES: Final = 200
"Largest number of changed keys that a process reports; more are applied, but not reported."


class Part(Protocol):
    """What an operator can control in a process."""

    def busy(self) -> str:
        """Return what it still has to finish when it takes nothing new; empty: nothing."""

    def drain(self, is_on: bool) -> None:
        """Take nothing new, or take work again; called once for each change."""

    def log_at(self, level: str) -> None:
        """Write lines of the log from that level on."""

    def take(self, config: Config) -> None:
        """Use another configuration from now on; keys that need a restart stay as they are."""

    def taking(self) -> str:
        """Return which parts of the process still use the former configuration; empty: none."""


class Agent:
    """One for a process; `carry_out` belongs to the thread that the part belongs to."""

    def __init__(self, config: Config, store: Store, kind: str, part: Part) -> None:
        self._config = config
        self._store = store
        self._kind = kind
        self._part = part
        self._name = f"{kind}:{os.getpid()}:{secrets.token_hex(4)}"
        self._started_ms = clock.now_ms()
        self._orders = Orders()
        self._has_read = False
        self._level: str = config.log.level
        self._ahead_ms = 0
        self._checked: Config | None = None
        "The configuration that a reload has checked and was not told to use yet."
        self._answer = ("", "", "")
        "The last reload that was answered, what was done, and why it was refused."
        self._changes: tuple[Change, ...] = ()
        self._shown: Sign | None = None
        self._tables = keys.digests(config)

    def read(self) -> Orders:
        """
        Return the orders to this node.

        Raises:
            StoreUnavailable: Redis is away.
        """
        before_ms = clock.now_ms()
        orders, redis_ms = nodes.look(self._store, self._config.node)
        self._ahead_ms = (before_ms + clock.now_ms()) // 2 - redis_ms
        return orders

    def carry_out(self, orders: Orders) -> None:
        """Carry out the orders that were not carried out yet."""
        if bool(orders.drain_ms) != bool(self._orders.drain_ms):
            self._part.drain(bool(orders.drain_ms))
            if orders.drain_ms:
                log.get().warning("draining", node=self._config.node)
            else:
                log.get().warning("serving_again", node=self._config.node)
        self._orders = orders
        if not self._has_read:
            self._has_read = True
            if orders.phase == TAKE:  # this process began after it, with a file that is as new
                self._answer = (orders.reload, TAKEN, "")
        if orders.reload and (orders.reload, orders.phase) != self._answered():
            self._reload(orders)
        level = orders.level(self._config.log.level, clock.now_ms())
        if level != self._level:
            self._level = level
            self._part.log_at(level)

    def announce(self) -> None:
        """
        Store the state of this process, if it has changed or a sign of life is due.

        Raises:
            StoreUnavailable: Redis is away.
        """
        if self._answer[1] == TAKING and not self._part.taking():
            self._answer = (self._answer[0], TAKEN, "")
        sign = self._sign()
        before = self._shown
        if before is not None and sign.at_ms - before.at_ms < _ANNOUNCE_MS:
            still = sign._replace(at_ms=before.at_ms, clock_ms=before.clock_ms)
            if still == before:
                return
        nodes.announce(self._store, sign)
        self._shown = sign

    def retire(self) -> None:
        """Delete the entry of this process, which is stopped; it does not matter if Redis is away."""
        try:
            nodes.retire(self._store, self._name)
        except PushError:
            return  # its sign of life runs out

    @property
    def config(self) -> Config:
        """What the process works with now."""
        return self._config

    def _sign(self) -> Sign:
        busy = self._part.busy() if self._orders.drain_ms else ""
        return Sign(
            RECORD_VERSION,
            self._name,
            self._config.node,
            self._kind,
            os.getpid(),
            self._started_ms,
            clock.now_ms(),
            state_of(self._orders, busy),
            busy,
            self._level,
            self._ahead_ms,
            self._tables,
            *self._answer,
            self._changes,
            client.release(),
        )

    # Reload --------------------------------------------------------------------------------------

    def _answered(self) -> tuple[str, str]:
        """The reload and the phase that have been answered."""
        name, phase, _ = self._answer
        return name, {CHECKED: CHECK, TAKING: TAKE, TAKEN: TAKE}.get(phase, self._orders.phase)

    def _reload(self, orders: Orders) -> None:
        if orders.phase == TAKE and self._answer[0] == orders.reload and self._checked is not None:
            config, self._checked = self._checked, None
            self._take(orders.reload, config)
            return
        try:
            found = load(self._config.path)
            config = keys.merged(self._config, found)
            check(config)
        except BadConfiguration as error:
            self._answer, self._changes = (orders.reload, REFUSED, str(error)), ()
            return
        self._changes = tuple(Change(*one) for one in keys.differences(self._config, found)[:_MOST_CHANGES])
        self._checked = config
        self._answer = (orders.reload, CHECKED, "")
        if orders.phase == TAKE:  # it came too late for the check
            self._checked = None
            self._take(orders.reload, config)

    def _take(self, name: str, config: Config) -> None:
        try:
            self._part.take(config)
        except Exception as error:  # noqa: BLE001 - a defect: the old values go on
            log.get().exception("reload_failed", node=self._config.node)
            self._answer = (name, REFUSED, f"a defect: {type(error).__name__}")
            return
        self._config = config
        self._tables = keys.digests(config)
        self._answer = (name, TAKING, "")
        log.get().warning("configuration_taken", keys=", ".join(one.key for one in self._changes) or "none")


async def follow(agent: Agent) -> None:
    """Follow the orders as long as an asyncio process runs; Redis is asked in a thread."""
    while True:
        try:
            agent.carry_out(await asyncio.to_thread(agent.read))
            await asyncio.to_thread(agent.announce)
            rest_s = EVERY_S
        except PushError as error:
            log.get().debug("orders_not_read", problem=str(error))
            rest_s = _REST_S
        except Exception:  # noqa: BLE001 - a defect: the process has work to do, steered or not
            log.get().exception("orders_crashed")
            rest_s = _REST_S
        await asyncio.sleep(rest_s)
