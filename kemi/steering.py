"""
What an operator has told this node, as the processes of one Kamailio tell it each other in shared memory.

One process, the only one that asks Redis for it, writes; all others look now and then, which costs them one
read of a table, and go on with what they find.
"""

from __future__ import annotations

from typing import Final

import KSR
from settings import Settings

from omapush import clock, log
from omapush.config import Config
from omapush.config.passing import packed, unpacked
from omapush.control.agent import EVERY_S, Agent
from omapush.errors import PushError
from omapush.store import client

QUEUES: Final = (
    "results",
    "watch_notifies",
    "watch_answers",
    "subscribes",
    "notified",
    "referred",
    "refer_notifies",
    "hosted",
    "invited",
    "session_requests",
    "session_forks",
)
"All queues between our processes, those of REGISTERs aside, of which there is one for each capturer."
COMPLETERS: Final = ("results", "subscribes", "watches", "hosted", "sessions", "traces")
_TABLE: Final = "control"
_STATE: Final = "state"
_CONFIG: Final = "config"
_RELOAD_TLS: Final = '{"jsonrpc":"2.0","method":"tls.reload","id":1}'
"Certificate, key, CAs and revocation lists, for connections that begin from then on."
_LOOK_AGAIN_S: Final = 0.02
_REST_S: Final = 2.0

_look_at = 0.0
_seen = ""
_generation = 0
_level = ""
is_draining = False
"In any process: this node takes nothing new."


def look() -> Config | None:
    """In any process: see what has changed; returns the configuration to go on with when that is another."""
    global _look_at, _seen, _generation, _level, is_draining
    now = clock.monotonic()
    if now < _look_at:
        return None
    _look_at = now + _LOOK_AGAIN_S
    state = KSR.htable.sht_get(_TABLE, _STATE)
    if not isinstance(state, str) or state == _seen:
        return None
    _seen = state
    generation, level, draining = state.split(" ")
    is_draining = draining == "1"
    if level != _level:
        _level = level
        log.set_level(level)
    if int(generation) == _generation:
        return None
    _generation = int(generation)
    return unpacked(str(KSR.htable.sht_get(_TABLE, _CONFIG)))


def told(who: str) -> None:
    """In a sender or completer: say that it works with the configuration that it has seen."""
    KSR.htable.sht_seti(_TABLE, f"at:{who}", _generation)


def tell_busy(sender: int, number: int) -> None:
    """In a sender that is being drained: say how many of its requests have no answer yet."""
    if KSR.htable.sht_get(_TABLE, f"busy:{sender}") != number:
        KSR.htable.sht_seti(_TABLE, f"busy:{sender}", number)


class SipSteering:
    """In the one process that asks for orders: a part as omapush/control wants it."""

    def __init__(self, settings: Settings) -> None:
        self._config = settings.config
        self._senders = range(settings.config.sip.senders)
        self._capturers = range(settings.config.sip.capturers)
        self._generation = 0
        self._level: str = settings.config.log.level
        self._is_drained = False
        self._agent = Agent(settings.config, client.connect(settings.config.redis), "sip", self)
        self._at = 0.0

    def run_once(self) -> None:
        """Read orders when it is time, and carry them out."""
        if clock.monotonic() < self._at:
            return
        try:
            self._agent.carry_out(self._agent.read())
            self._agent.announce()
            self._at = clock.monotonic() + EVERY_S
        except PushError as error:
            log.get().debug("orders_not_read", problem=str(error))
            self._at = clock.monotonic() + _REST_S

    def busy(self) -> str:
        """Return what senders still wait for, and what waits to be stored."""
        found = [KSR.htable.sht_get(_TABLE, f"busy:{sender}") for sender in self._senders]
        if any(not isinstance(number, int) or number < 0 for number in found):
            return "senders that give their shards back"
        in_flight = sum(number for number in found if isinstance(number, int))
        queues = (*QUEUES, *(f"registers{number}" for number in self._capturers))
        waiting = sum(KSR.mqueue.mq_size(queue) for queue in queues)
        words = {"requests in flight": in_flight, "messages to be stored": waiting}
        return ", ".join(f"{number} {what}" for what, number in words.items() if number > 0)

    def drain(self, is_on: bool) -> None:
        """Have senders give back their shards, and OPTIONS refused."""
        self._is_drained = is_on
        for sender in self._senders:
            KSR.htable.sht_seti(_TABLE, f"busy:{sender}", -1)
        self._publish()

    def log_at(self, level: str) -> None:
        """Have all processes write lines of the log from that level on."""
        self._level = level
        log.set_level(level)
        self._publish()

    def take(self, config: Config) -> None:
        """Have all processes go on with another configuration; files of TLS are read again."""
        if any(listen.startswith("tls:") for listen in config.sip.listen):
            KSR.jsonrpcs.exec(_RELOAD_TLS)
        KSR.htable.sht_sets(_TABLE, _CONFIG, packed(config))
        self._generation += 1
        self._publish()

    def taking(self) -> str:
        """Return which processes have not said that they work with it; SIP workers look at each request."""
        wanted = [
            *(f"sender {number}" for number in self._senders),
            *(f"registers {number}" for number in self._capturers),
            *(f"{name} 0" for name in COMPLETERS),
        ]
        late = [who for who in wanted if KSR.htable.sht_get(_TABLE, f"at:{who}") != self._generation]
        return ", ".join(late)

    def _publish(self) -> None:
        state = f"{self._generation} {self._level} {int(self._is_drained)}"
        KSR.htable.sht_sets(_TABLE, _STATE, state)
