"""
Looks names of next hops up, again and again as long as anybody uses them.

What was found is used on while DNS is silent (RFC 8767): an S-CSCF rather keeps its address than loses it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import KSR
import ksr_reader
import named_hops
from settings import Settings

from omapush import clock, log
from omapush.protocol.sip_uri import SipUri

if TYPE_CHECKING:
    from omapush.resolving import Found

_LEAST_S: Final = 5.0
"Registries of services may say that an address holds for 0 s; asking more often helps nobody."
_LONGEST_S: Final = 600.0
"The table forgets after longer than that, so that nothing stays in it which nobody looks up."
_NOT_FOUND_S: Final = 30.0
"After that a name that was not found is looked up again."
_SILENT_S: Final = 5.0
"The same while DNS says nothing."
_FORGOTTEN_S: Final = 600.0
"A name that nobody used for so long is forgotten."
_MOST: Final = 10_000
_AT_ONCE: Final = 64
_TURN_S: Final = 0.05
"The process that looks names up has other things to do as well."


@dataclass
class _Name:
    used: float
    due: float = 0.0
    value: str = ""
    "As it stands in the table; empty before anything was found out."
    is_silent: bool = False
    "DNS said nothing when it was asked last."


class Lookups:
    """In the control process."""

    def __init__(self) -> None:
        self._names: dict[str, _Name] = {}
        self._under_way: dict[str, asyncio.Task[Found]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def run_once(self, settings: Settings) -> None:
        """Go on with all look-ups that are due, without waiting long for any."""
        now = clock.monotonic()
        self._note_used(now)
        due = (name for name, one in self._names.items() if one.due <= now and name not in self._under_way)
        for name in list(due)[: _AT_ONCE - len(self._under_way)]:
            if now - self._names[name].used > _FORGOTTEN_S:
                del self._names[name]
                KSR.htable.sht_rm(named_hops.TABLE, name)
            else:
                self._begin(name, settings)
        if self._under_way:
            self._go_on()

    def _note_used(self, now: float) -> None:
        while queued := ksr_reader.next_queued(named_hops.QUEUE):
            name = queued[0]
            if name in self._names:
                self._names[name].used = now
            elif len(self._names) < _MOST:
                self._names[name] = _Name(now)
            else:
                log.get().warning(
                    "next_hop_not_found", name=_shown(name), problem=f"{_MOST} other names are in use"
                )
                KSR.htable.sht_sets(named_hops.TABLE, name, named_hops.NOT_FOUND)

    def _begin(self, name: str, settings: Settings) -> None:
        from omapush import resolving  # only this process needs it

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        asked = resolving.find(SipUri.parse(name), transports=settings.transports, families=settings.families)
        self._under_way[name] = self._loop.create_task(asked)

    def _go_on(self) -> None:
        assert self._loop is not None  # noqa: S101 - there are tasks
        self._loop.run_until_complete(asyncio.wait(self._under_way.values(), timeout=_TURN_S))
        for name in [name for name, task in self._under_way.items() if task.done()]:
            self._note(name, self._under_way.pop(name))

    def _note(self, name: str, task: asyncio.Task[Found]) -> None:
        from omapush import resolving

        known = self._names[name]
        try:
            found = task.result()
        except resolving.DnsSilent as error:
            self._note_silent(name, known, str(error))
        except resolving.NameNotFound as error:
            self._note_not_found(name, known, str(error))
        except Exception as error:
            self._note_not_found(name, known, str(error))
            raise
        else:
            if known.value == named_hops.NOT_FOUND or known.is_silent:
                log.get().info("next_hop_found", name=_shown(name))
            self._keep(name, known, named_hops.packed(found.servers), found.ttl_s)

    def _note_silent(self, name: str, known: _Name, problem: str) -> None:
        if not known.is_silent:
            action = "its addresses are used on" if known.value else "what goes there waits"
            log.get().warning("dns_silent", name=_shown(name), problem=problem, action=action)
        known.is_silent, known.due = True, clock.monotonic() + _SILENT_S
        if known.value:
            KSR.htable.sht_sets(named_hops.TABLE, name, known.value)

    def _note_not_found(self, name: str, known: _Name, problem: str) -> None:
        if known.value != named_hops.NOT_FOUND:
            log.get().warning("next_hop_not_found", name=_shown(name), problem=problem)
        self._keep(name, known, named_hops.NOT_FOUND, _NOT_FOUND_S)

    def _keep(self, name: str, known: _Name, value: str, holds_s: float) -> None:
        known.value, known.is_silent = value, False
        known.due = clock.monotonic() + min(max(holds_s, _LEAST_S), _LONGEST_S)
        KSR.htable.sht_sets(named_hops.TABLE, name, value)


def _shown(name: str) -> str:
    """Host and port, and the transport where the URI says one."""
    return name.partition(":")[2]
